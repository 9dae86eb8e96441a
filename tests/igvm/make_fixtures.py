#!/usr/bin/env python3
"""Hand-assembles IGVM files that igvmgen would never write, from the public igvm_defs alone.

    make_fixtures.py DIR    writes DIR/foreign.igvm and DIR/fixed.igvm

foreign: a gap behind the fixed header, unknown optional headers, a second platform whose headers must be ignored,
         PAGE_DATA before REQUIRED_MEMORY, the VP context before the memory it points to, file data in reverse order with
         holes, one area with several parameters, a relocatable region of 4 MiB at 256 MiB, page tables behind it.
fixed:   no relocation headers at all, one page and one register set.
"""
import os
import struct
import sys
import zlib

PAGE = 4096
VSM, SNP = 0x1, 0x2
BASE, TABLES = 0x10000000, 0x10400000
PRESENT = 0x23


def page(text):
    return text.encode().ljust(PAGE, b"\0")


def register(name, low, high=0):
    return struct.pack("<BI11xQQ", 2, name, low, high)


class Image:
    """headers in the order given; file data placed backwards, each piece behind a hole of 24 bytes"""

    def __init__(self, gap):
        self.gap, self.headers, self.pieces = gap, [], []

    def add(self, kind, body, data=None):
        self.headers.append((kind, body, data))

    def page(self, gpa, data, mask=VSM):
        self.add(0x302, lambda at: struct.pack("<QIIIHH", gpa, mask, at, 0, 0, 0), data)

    def context(self, registers, mask=VSM):
        data = struct.pack("<I", len(registers)) + b"".join(registers)
        self.add(0x304, lambda at: struct.pack("<QIIHH", 0, mask, at, 0, 0), data)

    def build(self):
        start = 24 + self.gap
        size = sum(8 + (len(b if isinstance(b, bytes) else b(0)) + 7 & ~7) for _, b, _ in self.headers)
        data, offsets = b"", {}
        for index, (_, _, piece) in reversed(list(enumerate(self.headers))):
            if piece:
                data += b"\xEE" * 24
                offsets[index] = start + size + len(data)
                data += piece
        out = b""
        for index, (kind, body, _) in enumerate(self.headers):
            body = body if isinstance(body, bytes) else body(offsets.get(index, 0))
            out += struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)
        fixed = [0x4D564749, 1, start, len(out), start + len(out) + len(data or b"\0"), 0]
        fixed[5] = zlib.crc32(out, zlib.crc32(struct.pack("<6I", *fixed)))
        return struct.pack("<6I", *fixed) + b"\x77" * self.gap + out + (data or b"\0")


def tables():
    """root, one PDPT, one PD: two 2 MiB pages and, through a fourth table, 4 KiB pages for the tables themselves"""
    root, pdpt, pd = [0] * 512, [0] * 512, [0] * 512
    root[0] = TABLES + PAGE | PRESENT
    pdpt[0] = TABLES + 2 * PAGE | PRESENT
    for i in range(2):
        pd[(BASE >> 21) + i] = BASE + (i << 21) | PRESENT | 0xC0
    return [struct.pack("<512Q", *t) for t in (root, pdpt, pd)]


def foreign():
    image = Image(gap=40)
    image.add(0x80000077, b"optional in the platform section")
    image.add(0x1, struct.pack("<IBBHQ", SNP, 2, 2, 1, 0))
    image.add(0x1, struct.pack("<IBBHQ", VSM, 2, 1, 1, 0))
    image.add(0x101, struct.pack("<QII", 0x30000, SNP, 0))
    image.add(0x103, struct.pack("<IHBBQQQ", VSM, 0, 2, 0, TABLES, 16 * PAGE, 3 * PAGE))
    image.add(0x80000155, b"")
    image.add(0x102, struct.pack("<IHBBQQQQQ", VSM, 0, 2, 7, 0x200000, BASE, 0x400000, 0, 1 << 40))
    image.context([register(0x20010, BASE + 0x200), register(0x40002, TABLES), register(0x40003, 0x20),
                   register(0x70001, 0x1F << 48, BASE + PAGE), register(0x20006, 0x1234)])
    image.page(BASE + PAGE, page("second"))
    image.page(BASE, page("first"))
    image.page(BASE, page("only for another platform"), mask=SNP)
    image.page(BASE + 2 * PAGE, None)
    image.page(0x5000, page("below"))
    for index, table in enumerate(tables()):
        image.page(TABLES + index * PAGE, table)
    image.add(0x301, struct.pack("<QII", 4 * PAGE, 9, 0))
    image.add(0x80000399, b"optional among directives")
    image.add(0x307, struct.pack("<II", 9, 8))
    image.add(0x30E, struct.pack("<II", 9, 0x100))
    image.add(0x30C, struct.pack("<II", 9, 0x1000))
    image.add(0x30A, struct.pack("<II", 9, 0x2000))
    image.add(0x313, struct.pack("<II", 9, 0x2100))
    image.add(0x30F, struct.pack("<II", 9, 0x3000))
    image.add(0x303, struct.pack("<QII", BASE + 0x100000, VSM, 9))
    image.add(0x305, struct.pack("<QIIII", BASE, VSM, 0x600000, 1, 0))
    image.add(0x305, struct.pack("<QIIII", 0x4000, VSM, 0x4000, 0, 0))
    return image.build()


def fixed():
    image = Image(gap=0)
    image.add(0x1, struct.pack("<IBBHQ", VSM, 2, 1, 1, 0))
    image.add(0x305, struct.pack("<QIIII", BASE, VSM, 0x200000, 1, 0))
    image.page(BASE, page("fixed"))
    image.context([register(0x20010, BASE)])
    return image.build()


def main():
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)
    for name, data in (("foreign", foreign()), ("fixed", fixed())):
        with open(os.path.join(directory, name + ".igvm"), "wb") as file:
            file.write(data)


main()
