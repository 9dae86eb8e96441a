#!/usr/bin/env python3
"""gdb_steps.py VSOCK CODE COUNT: puts a bare guest (tests/guests/bare) into a VTL0 that waits for a debugger, through the gdbstub alone,
steps it, and prints a digest for each 100 steps, as steps_kvm and steps_unicorn do. Ends with packets and bytes per step."""
import socket
import struct
import sys

CODE, DATA, STACK, FLAGS, EACH = 0x3000000, 0x3010000, 0x3020000, 0xCC5, 100
NAMES = "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15".split()


class Stub:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60)
        self.s.connect(path)
        self.s.sendall(b"CONNECT 4\n")
        self.buffer = b""
        while b"\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\n", 1)
        assert line.startswith(b"OK"), line
        self.packets = self.bytes = 0
        assert self.ask(b"QStartNoAckMode") == b"OK"

    def more(self):
        data = self.s.recv(65536)
        if not data:
            raise SystemExit("the stub has closed the connection")
        self.buffer += data

    def ask(self, packet):
        self.s.sendall(b"$%s#%02x" % (packet, sum(packet) & 0xFF))
        while True:
            begin, end = self.buffer.find(b"$"), self.buffer.find(b"#")
            if 0 <= begin < end and len(self.buffer) >= end + 3:
                break
            self.more()
        answer, self.buffer = self.buffer[begin + 1 : end], self.buffer[end + 3 :]
        self.packets += 1
        self.bytes += len(packet) + len(answer) + 8
        return answer

    def ok(self, packet):
        answer = self.ask(packet)
        if answer != b"OK":
            raise SystemExit("%r: %r" % (packet, answer))

    def names(self):
        xml = b""
        while True:
            part = self.ask(b"qXfer:features:read:target.xml:%x,1000" % len(xml))
            xml += part[1:]
            if part[:1] == b"l":
                break
        numbers = {}
        for reg in xml.decode().split("<reg ")[1:]:
            numbers[reg.split('name="')[1].split('"')[0]] = int(reg.split('regnum="')[1].split('"')[0])
        return numbers


def main():
    vsock, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    stub = Stub(vsock)
    number = stub.names()
    code = open(path, "rb").read()
    stub.ok(b"M%x,%x:%s" % (CODE, len(code), code.hex().encode()))
    stub.ok(b"M%x,200:" % DATA + b"00" * 0x200)
    for name in NAMES:
        stub.ok(b"P%x=%s" % (number[name], struct.pack("<Q", STACK if name == "rsp" else 0).hex().encode()))
    stub.ok(b"P%x=%s" % (number["eflags"], b"02000000"))
    cr4 = struct.unpack("<Q", bytes.fromhex(stub.ask(b"p%x" % number["cr4"]).decode()))[0]
    stub.ok(b"P%x=%s" % (number["cr4"], struct.pack("<Q", cr4 | 1 << 9).hex().encode()))
    for name in ("xmm0", "xmm1"):
        stub.ok(b"P%x=%s" % (number[name], b"00" * 16))
    stub.ok(b"P%x=%s" % (number["rip"], struct.pack("<Q", CODE).hex().encode()))
    # where the registers lie in a g packet: 17 of 8 bytes, eflags and six selectors of 4, then x87 and XMM
    xmm = 17 * 8 + 7 * 4 + 8 * 10 + 8 * 4
    digest = 0xCBF29CE484222325
    packets, size = stub.packets, stub.bytes
    for i in range(1, count + 1):
        stop = stub.ask(b"vCont;s:1")
        if not stop.startswith(b"T05"):
            raise SystemExit("step %d: %r" % (i, stop))
        g = bytes.fromhex(stub.ask(b"g").decode())
        gprs, (rip,), (flags,) = struct.unpack_from("<16Q", g), struct.unpack_from("<Q", g, 128), struct.unpack_from("<I", g, 136)
        if flags & 0x100:
            raise SystemExit("step %d: TF is seen in the flags" % i)
        words = struct.pack("<18Q", rip, flags & FLAGS, *gprs) + g[xmm : xmm + 32]
        for byte in words:
            digest = ((digest ^ byte) * 0x100000001B3) & (1 << 64) - 1
        if i % EACH == 0:
            print("steps %d %016x" % (i, digest), flush=True)
    print("packets %.2f bytes %.0f per step" % ((stub.packets - packets) / count, (stub.bytes - size) / count))
    stub.s.sendall(b"$k#6b")


main()
