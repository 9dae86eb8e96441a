#!/usr/bin/env python3
"""tpm_bridge.py [--platform] PORT PROGRAM: the TPM's process of the firmware (build/native/bin/paravane-tpm), for programs on this
machine: it plays control, worker and the guest's driver, and serves the TCTI "mssim:host=localhost,port=PORT" (and PORT + 1). A new
TPM each time. --platform: the platform hierarchy stays open, which no guest ever sees."""
import os, socket, struct, sys, threading

MESSAGE = struct.Struct("<IIIiQQIBBH")  # vmm/device_worker/message.h
ACCESS, ACCESS_DONE, MEMORY_READ, MEMORY_WRITE, MEMORY_DONE, CALL = 1, 2, 4, 5, 6, 13
PLACE, MEASURE_LAST = 1, 5  # vmm/device_worker/tpm.h
HELLO, LOAD, STORE, READY, SAY = 1, 2, 3, 4, 5  # vmm/device_worker/keep.h
PAGE = 0x200000  # registers, commands, responses: a page each


def take(sock, n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


class Tpm:
    def __init__(self, program, platform):
        pairs = [socket.socketpair(socket.AF_UNIX, kind) for kind in (socket.SOCK_SEQPACKET, socket.SOCK_SEQPACKET, socket.SOCK_STREAM)]
        (self.events, e), (self.commands, c), (self.parent, p) = pairs
        self.memory, self.files, self.ids, self.ready = bytearray(3 * 4096), {}, 0, threading.Event()
        if not os.fork():
            high = [os.dup2(s.fileno(), 20 + i) for i, s in enumerate((e, c, p))]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)
            os.closerange(6, 100)
            os.execve(program, ["tpm"], {})
        threading.Thread(target=self.keep, daemon=True).start()
        self.ready.wait(120)
        self.call(PLACE, struct.pack("<QQ", PAGE, PAGE + 4096))
        if not platform:
            self.call(MEASURE_LAST)
        self.write(0x08, 1)  # the locality

    def keep(self):
        while True:
            operation, file, n = struct.unpack("<III", take(self.parent, 12))
            data = take(self.parent, n)
            error, answer = 0, b""
            if operation == SAY:
                print("tpm:", data.decode(errors="replace"), file=sys.stderr)
                continue
            if operation == HELLO:
                answer = bytes(4)
            elif operation == LOAD:
                error, answer = (0, self.files[file]) if file in self.files else (-2, b"")
            elif operation == STORE:
                self.files[file] = data
            self.parent.sendall(struct.pack("<iI", error, len(answer)) + answer)
            if operation == READY:
                self.ready.set()

    def call(self, operation, payload=b""):
        self.ids += 1
        self.commands.send(MESSAGE.pack(CALL, self.ids, len(payload), 0, 0, operation, 0, 0, 0, 0) + payload)
        while True:  # it may want memory first
            self.commands.settimeout(0.01)
            try:
                answer = self.commands.recv(1 << 17)
                break
            except TimeoutError:
                self.serve(0.01)
        if MESSAGE.unpack(answer[:40])[3]:
            raise OSError(-MESSAGE.unpack(answer[:40])[3], "the TPM's process says no")

    def serve(self, timeout=None):
        self.events.settimeout(timeout)
        try:
            packet = self.events.recv(1 << 17)
        except TimeoutError:
            return None
        if not packet:
            raise EOFError("the TPM's process has ended")
        kind, ident, _, _, gpa, value, *_ = MESSAGE.unpack(packet[:40])
        at = gpa - PAGE
        if kind == MEMORY_WRITE:
            self.memory[at:at + len(packet) - 40] = packet[40:]
            self.events.send(MESSAGE.pack(MEMORY_DONE, ident, 0, 0, 0, 0, 0, 0, 0, 0))
        elif kind == MEMORY_READ:
            data = bytes(self.memory[at:at + value])
            self.events.send(MESSAGE.pack(MEMORY_DONE, ident, len(data), 0, 0, 0, 0, 0, 0, 0) + data)
        return kind

    def write(self, offset, value):
        self.ids += 1
        self.events.send(MESSAGE.pack(ACCESS, self.ids, 0, 0, offset, value, 1, 4, 1, 0))
        while self.serve() != ACCESS_DONE:
            pass

    def command(self, data):
        self.write(0x40, 1)
        self.memory[4096:4096 + len(data)] = data
        self.write(0x4c, 1)
        while self.memory[0x4c]:
            self.serve()
        size = struct.unpack(">I", self.memory[8194:8198])[0]
        return bytes(self.memory[8192:8192 + size])

    def flush(self):
        """transient objects and loaded sessions, as /dev/tpmrm0 does with a client's when it goes"""
        for first in (0x80000000, 0x02000000):
            answer = self.command(struct.pack(">HIIIII", 0x8001, 22, 0x17a, 1, first, 64))
            for i in range(struct.unpack(">I", answer[15:19])[0]):
                self.command(struct.pack(">HII", 0x8001, 14, 0x165) + answer[19 + 4 * i:23 + 4 * i])


clients = 0


def serve_commands(tpm, lock, client):
    global clients
    with lock:
        clients += 1
    try:
        while struct.unpack(">I", take(client, 4))[0] == 8:
            _, n = struct.unpack(">BI", take(client, 5))
            data = take(client, n)
            with lock:
                answer = tpm.command(data)
            client.sendall(struct.pack(">I", len(answer)) + answer + bytes(4))
    except (EOFError, ConnectionError):
        pass
    with lock:
        clients -= 1
        if not clients:
            tpm.flush()
    client.close()


def serve_platform(client):
    try:
        while struct.unpack(">I", take(client, 4))[0] != 20:
            client.sendall(bytes(4))
    except (EOFError, ConnectionError):
        pass
    client.close()


def listen(port, serve):
    with socket.create_server(("127.0.0.1", port)) as s:
        while True:
            threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()


def main():
    args = [a for a in sys.argv[1:] if a != "--platform"]
    if len(args) != 2:
        sys.exit(__doc__)
    tpm, lock, port = Tpm(args[1], "--platform" in sys.argv), threading.Lock(), int(args[0])
    threading.Thread(target=listen, args=(port + 1, serve_platform), daemon=True).start()
    listen(port, lambda c: serve_commands(tpm, lock, c))


main()
