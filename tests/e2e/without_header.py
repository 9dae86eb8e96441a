#!/usr/bin/env python3
"""without_header.py IN TYPE OUT: an IGVM file in which headers of TYPE (hexadecimal) are of an unknown, optional type."""
import struct, sys, zlib

data = bytearray(open(sys.argv[1], "rb").read())
kind = int(sys.argv[2], 16)
magic, version, offset, size, total, _ = struct.unpack_from("<IIIIII", data)
at, end, found = offset, offset + size, 0
while at + 8 <= end:
    t, n = struct.unpack_from("<II", data, at)
    if t == kind:
        struct.pack_into("<I", data, at, 0x800003FF)
        found += 1
    at += 8 + ((n + 7) & ~7)
struct.pack_into("<I", data, 20, 0)
struct.pack_into("<I", data, 20, zlib.crc32(data[:offset + size]))
open(sys.argv[3], "wb").write(data)
sys.exit(0 if found else "no header of that type")
