"""For gdb, sourced by scripts/symbolize: a way out of functions without unwind tables.

musl's C library is compiled without them, and gdb's own guess for such a function is wrong more often than not. Here the caller is
looked for on the stack: the first word that is an address behind a call of this very function, or of one that jumps to it; if there
is none, behind an indirect call; if there is none either, behind any call. $symbolize_file names the program."""
import bisect
import re
import struct
import subprocess

import gdb
from gdb.unwinder import Unwinder, register_unwinder

SCAN = 16384
END = ("libc_start_main_stage2", "start", "__clone", "__unmapself", "_start_c")
SAVED = ("rbx", "rbp", "r12", "r13", "r14", "r15")


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


class NoTables(Unwinder):
    def __init__(self, path):
        super().__init__("paravane-no-tables")
        self.tables = sorted((int(a, 16), int(b, 16)) for a, b in
                             re.findall(r"pc=([0-9a-f]+)\.\.([0-9a-f]+)", run("readelf", "-wf", path)))
        symbols = sorted({(int(at, 16), name) for at, kind, name in
                          (line.split()[-3:] for line in run("nm", "--defined-only", path).splitlines()) if kind in "tTwW"})
        self.starts, self.names = [s[0] for s in symbols], {}
        for at, name in symbols:
            self.names.setdefault(at, []).append(name)
        self.text = self.starts[0], self.starts[-1] + 65536

    def has_table(self, pc):
        i = bisect.bisect_right(self.tables, (pc, 1 << 64)) - 1
        return i >= 0 and self.tables[i][0] <= pc < self.tables[i][1]

    def function(self, pc):
        i = bisect.bisect_right(self.starts, pc) - 1
        return self.starts[i] if i >= 0 else 0

    def jumps_to(self, start, function):
        """does the function at start have a direct jump to the other one? Bytes that only look like a jump are rare enough."""
        i = bisect.bisect_right(self.starts, start)
        size = min(self.starts[i] - start, 2048) if i < len(self.starts) else 64
        code = bytes(gdb.selected_inferior().read_memory(start, size))
        for at, byte in enumerate(code):
            if byte == 0xE9 or 0x80 <= byte <= 0x8F and at and code[at - 1] == 0x0F:
                end, form = at + 5, "<i"
            elif byte == 0xEB or 0x70 <= byte <= 0x7F:
                end, form = at + 2, "<b"
            else:
                continue
            if end <= size and start + end + struct.unpack(form, code[at + 1:end])[0] == function:
                return True
        return False

    def rank(self, address, function):
        """0: behind a call of function, or of one that jumps there; 1: behind an indirect one; 2: of another; None: no call"""
        code = bytes(gdb.selected_inferior().read_memory(address - 7, 7))
        if code[2] == 0xE8:
            target = (address + struct.unpack("<i", code[3:])[0]) & (1 << 64) - 1
            if target == function:
                return 0
            if target not in self.names:
                return None
            return 0 if self.jumps_to(target, function) else 2
        if any(code[7 - n] == 0xFF and code[8 - n] >> 3 & 7 == 2 for n in (2, 3, 4, 6, 7)):
            return 1
        return None

    def caller(self, sp, function):
        memory = gdb.selected_inferior()
        found = {}
        for at in range(sp, sp + SCAN, 8):
            try:
                word = struct.unpack("<Q", bytes(memory.read_memory(at, 8)))[0]
                rank = self.rank(word, function) if self.text[0] < word < self.text[1] else None
            except gdb.MemoryError:
                break
            if rank is not None:
                found.setdefault(rank, (at, word))
                if rank == 0:
                    break
        return found[min(found)] if found else (sp, 0)

    def frame_pointer(self, sp, rbp):
        """rbp of a caller that has a frame pointer, as all of ours: a function without tables may have saved it and used it for
        something else. It points to the caller's saved one, which lies higher, and behind that is an address behind a call."""
        memory = gdb.selected_inferior()

        def fits(at):
            try:
                saved, back = struct.unpack("<QQ", bytes(memory.read_memory(at, 16)))
                return (saved == 0 or at < saved < at + (1 << 23)) and self.text[0] < back < self.text[1] and \
                    self.rank(back, 0) is not None
            except gdb.MemoryError:
                return False

        if sp <= rbp < sp + (1 << 23) and fits(rbp):
            return rbp
        return next((at for at in range(sp, sp + SCAN, 8) if fits(at)), rbp)

    def __call__(self, frame):
        pc, sp = int(frame.read_register("rip")), int(frame.read_register("rsp"))
        if not self.text[0] <= pc < self.text[1] or self.has_table(pc):
            return None
        function = self.function(pc)
        ends = any(name in END for name in self.names.get(function, ()))
        at, word = (sp, 0) if ends else self.caller(sp, function)
        info = frame.create_unwind_info(FrameId(gdb.Value(at + 8), gdb.Value(function)))
        kind = frame.read_register("rsp").type
        info.add_saved_register("rip", gdb.Value(word).cast(kind))
        info.add_saved_register("rsp", gdb.Value(at + 8).cast(kind))
        for name in SAVED:
            info.add_saved_register(name, frame.read_register(name))
        if self.has_table(word):
            rbp = self.frame_pointer(at + 8, int(frame.read_register("rbp")) & (1 << 64) - 1)
            info.add_saved_register("rbp", gdb.Value(rbp).cast(kind))
        return info


register_unwinder(None, NoTables(gdb.convenience_variable("symbolize_file").string()), replace=True)
