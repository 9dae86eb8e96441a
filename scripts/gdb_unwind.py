"""For gdb, sourced by scripts/symbolize: a way out of functions without unwind tables.

musl's C library is compiled without them, and gdb's own guess for such a function is wrong more often than not. Here the caller is
looked for on the stack: the first word that is an address behind a call of this very function; if there is none, behind an indirect
call or a call of something that jumps; if there is none either, behind any call. $symbolize_file names the program."""
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

    def rank(self, address, function):
        """0: behind a call of function; 1: of what may lead there; 2: of another; None: behind no call"""
        code = bytes(gdb.selected_inferior().read_memory(address - 7, 7))
        if code[2] == 0xE8:
            target = (address + struct.unpack("<i", code[3:])[0]) & (1 << 64) - 1
            if target == function:
                return 0
            return 1 if target in self.names and not self.has_table(target) else 2
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
        return info


register_unwinder(None, NoTables(gdb.convenience_variable("symbolize_file").string()), replace=True)
