#!/usr/bin/env python3
"""Writes an initramfs in the kernel's "newc" cpio format (Documentation/driver-api/early-userspace/buffer-format.rst)
from a list of entries. Reproducible: sorted, owned by root, times and inode numbers do not come from the machine.

usage: mkcpio.py LIST SOURCE_FOLDER >OUT"""
import os
import stat
import sys

KINDS = {"dir": 2, "file": 3, "link": 2, "node": 5}


def fail(text):
    sys.exit(f"mkcpio.py: {text}")


def parse(line, where, folder):
    """One line of the list as (path, mode, data, major, minor)."""
    kind, *rest = line.split()
    if kind not in KINDS or len(rest) != KINDS[kind]:
        fail(f"{where}: not understood: {line}")
    path = rest[0].strip("/")
    if kind == "link":
        return path, stat.S_IFLNK | 0o777, rest[1].encode(), 0, 0
    mode = int(rest[1], 8)
    if kind == "dir":
        return path, stat.S_IFDIR | mode, b"", 0, 0
    if kind == "node":
        form = {"c": stat.S_IFCHR, "b": stat.S_IFBLK}[rest[2]]
        return path, form | mode, b"", int(rest[3]), int(rest[4])
    source = os.path.join(folder, rest[2])
    try:
        with open(source, "rb") as f:
            return path, stat.S_IFREG | mode, f.read(), 0, 0
    except OSError as e:
        fail(f"{where}: {source}: {e.strerror}")


def record(out, inode, path, mode, data, major, minor):
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = [inode, mode, 0, 0, links, 0, len(data), 0, 0, major, minor, len(name), 0]
    out.write(b"070701" + b"".join(b"%08X" % f for f in fields) + name)
    out.write(b"\0" * (-(110 + len(name)) % 4) + data + b"\0" * (-len(data) % 4))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    entries = {}
    with open(sys.argv[1], encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.split("#")[0].strip()
            if not line:
                continue
            entry = parse(line, f"{sys.argv[1]}:{number}", sys.argv[2])
            if entry[0] in entries:
                fail(f"{sys.argv[1]}:{number}: {entry[0]} is there twice")
            entries[entry[0]] = entry
    # sorted by name, a folder comes before what is in it
    for inode, path in enumerate(sorted(entries), 1):
        parent = os.path.dirname(path)
        if parent and parent not in entries:
            fail(f"{path}: its folder {parent} is not in the list")
        record(sys.stdout.buffer, inode, *entries[path])
    record(sys.stdout.buffer, 0, "TRAILER!!!", 0, b"", 0, 0)


main()
