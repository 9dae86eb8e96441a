#!/usr/bin/env python3
"""fio_judge.py FILE OFFSET LEN [--step N]: judges what fio --verify=crc32c --verify_interval=4096 left in a disk's file, from outside
of guest, firmware and pvhost. Each block says in its header where it belongs; its header and every N-th block's data are checked
against their checksums. Prints a line; exits with 1 when a block is wrong.
"""
import argparse, struct, sys

BLOCK, MAGIC = 4096, 0xACCA
HEADER = struct.Struct("<HHIQQIIHHI")  # magic, type, len, seed, offset, seconds, nanoseconds, thread, number, crc of these


def make_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


TABLE = make_table()


def crc32c(data):
    crc, table = 0xFFFFFFFF, TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return crc


def what_is_wrong(block, place, whole):
    if not any(block):
        return "was never written"
    head = HEADER.unpack_from(block)
    if head[0] != MAGIC or head[2] != BLOCK:
        return "has no header"
    if crc32c(block[: HEADER.size - 4]) not in (head[9], head[9] ^ 0xFFFFFFFF):
        return "has a damaged header"
    if head[4] != place:
        return f"holds what belongs at {head[4]:#x}"
    if whole:
        want = struct.unpack_from("<I", block, HEADER.size)[0]
        if crc32c(block[HEADER.size + 4 :]) not in (want, want ^ 0xFFFFFFFF):
            return "has other data than fio wrote"
    return None


def main():
    p = argparse.ArgumentParser()
    p.add_argument("file")
    p.add_argument("offset", type=int)
    p.add_argument("len", type=int)
    p.add_argument("--step", type=int, default=4)
    a = p.parse_args()
    wrong = 0
    with open(a.file, "rb") as f:
        f.seek(a.offset)
        for n in range(a.len // BLOCK):
            place = a.offset + n * BLOCK
            why = what_is_wrong(f.read(BLOCK), place, n % a.step == 0)
            if why:
                wrong += 1
                if wrong <= 5:
                    print(f"block at {place:#x} {why}")
    print(f"{a.len // BLOCK} blocks, {wrong} wrong")
    sys.exit(wrong != 0)


main()
