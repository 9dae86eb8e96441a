#!/usr/bin/env python3
"""An IGVM reader that shares nothing with the C one: written from the public igvm_defs alone.

    igvm_read.py FILE            check FILE, print one line per header (runs of pages are joined)
    igvm_read.py --json FILE     the same as JSON
    igvm_read.py --memory FILE DIR   write every loaded range to DIR/<gpa>.bin

Exit 0: the file is valid. Exit 1: it is not; stderr says why.
"""
import json
import os
import struct
import sys
import zlib

MAGIC = 0x4D564749
OPTIONAL = 1 << 31
PAGE = 4096

TYPES = {
    0x1: "SUPPORTED_PLATFORM", 0x101: "GUEST_POLICY", 0x102: "RELOCATABLE_REGION",
    0x103: "PAGE_TABLE_RELOCATION_REGION", 0x301: "PARAMETER_AREA", 0x302: "PAGE_DATA",
    0x303: "PARAMETER_INSERT", 0x304: "VP_CONTEXT", 0x305: "REQUIRED_MEMORY", 0x307: "VP_COUNT",
    0x308: "SRAT", 0x309: "MADT", 0x30A: "MMIO_RANGES", 0x30B: "SNP_ID_BLOCK", 0x30C: "MEMORY_MAP",
    0x30D: "ERROR_RANGE", 0x30E: "COMMAND_LINE", 0x30F: "SLIT", 0x310: "PPTT", 0x311: "VBS_MEASUREMENT",
    0x312: "DEVICE_TREE", 0x313: "ENVIRONMENT_INFO",
}
PARAMETERS = (0x307, 0x308, 0x309, 0x30A, 0x30C, 0x30E, 0x30F, 0x310, 0x312, 0x313)
# name, struct format (little endian, as laid out by the Rust repr(C)), fields
BODIES = {
    0x1: ("<IBBHQ", "mask highest_vtl platform_type platform_version shared_gpa_boundary"),
    0x101: ("<QII", "policy mask reserved"),
    0x102: ("<IHBBQQQQQ", "mask vp_index vtl flags alignment gpa size minimum maximum"),
    0x103: ("<IHBBQQQ", "mask vp_index vtl reserved gpa size used_size"),
    0x301: ("<QII", "number_of_bytes area file_offset"),
    0x302: ("<QIIIHH", "gpa mask file_offset flags data_type reserved"),
    0x303: ("<QII", "gpa mask area"),
    0x304: ("<QIIHH", "gpa mask file_offset vp_index reserved"),
    0x305: ("<QIIII", "gpa mask number_of_bytes flags reserved"),
    0x30D: ("<QII", "gpa mask size_bytes"),
}
for kind in PARAMETERS:
    BODIES[kind] = ("<II", "area byte_offset")
REGISTERS = {
    0x20004: "rsp", 0x20005: "rbp", 0x20006: "rsi", 0x20010: "rip", 0x20011: "rflags", 0x40000: "cr0",
    0x40002: "cr3", 0x40003: "cr4", 0x60000: "es", 0x60001: "cs", 0x60002: "ss", 0x60003: "ds", 0x60004: "fs",
    0x60005: "gs", 0x60006: "ldtr", 0x60007: "tr", 0x70000: "idtr", 0x70001: "gdtr", 0x80001: "efer",
    0x80004: "pat", 0x8000D: "mtrr_def_type",
}


class Bad(Exception):
    pass


def need(condition, text):
    if not condition:
        raise Bad(text)


def section_of(kind):
    for section, (low, high) in enumerate(((1, 0x100), (0x101, 0x200), (0x301, 0x400))):
        if low <= kind <= high:
            return section
    return None


def fixed_header(data):
    need(len(data) >= 24, "shorter than the fixed header")
    magic, version, offset, size, total, checksum = struct.unpack_from("<6I", data)
    need(magic == MAGIC, f"magic {magic:#x}")
    need(version in (1, 2), f"format version {version}")
    fixed = 24 if version == 1 else 32
    need(offset >= fixed and offset % 8 == 0, f"variable header offset {offset:#x}")
    need(total == len(data), f"total_file_size {total}, file has {len(data)} bytes")
    need(offset + size <= len(data), "variable headers run past the end")
    if version == 2:
        need(len(data) >= 32, "shorter than the version 2 fixed header")
        architecture, page = struct.unpack_from("<II", data, 24)
        need(architecture == 0 and page == PAGE, f"architecture {architecture}, page size {page}")
    head = bytearray(data[:fixed])
    head[20:24] = bytes(4)
    crc = zlib.crc32(data[offset:offset + size], zlib.crc32(bytes(head)))
    need(crc == checksum, f"checksum {checksum:#010x}, computed {crc:#010x}")
    return offset, size


def vp_registers(data, offset):
    need(offset + 4 <= len(data), "VP context past the end")
    count, = struct.unpack_from("<I", data, offset)
    need(0 < count <= 256 and offset + 4 + count * 32 <= len(data), f"VP context with {count} registers")
    registers = []
    for i in range(count):
        vtl, name, zero, low, high = struct.unpack_from("<BI11sQQ", data, offset + 4 + i * 32)
        need(zero == bytes(11), "VP register padding not zero")
        registers.append({"vtl": vtl, "name": REGISTERS.get(name, hex(name)), "low": low, "high": high})
    return registers


def read_headers(data):
    at, size = fixed_header(data)
    data_start = end = at + size
    headers, section = [], 0
    while at < end:
        need(at + 8 <= end, f"header at {at:#x} cut off")
        raw, length = struct.unpack_from("<II", data, at)
        need(at + 8 + length <= end, f"body of header at {at:#x} cut off")
        padded = (length + 7) & ~7
        need(not any(data[at + 8 + length:at + 8 + padded]), f"padding of header at {at:#x} not zero")
        kind = raw & ~OPTIONAL
        if kind not in TYPES:
            need(raw & OPTIONAL, f"unknown required header type {raw:#x} at {at:#x}")
            headers.append({"at": at, "type": f"optional {kind:#x}", "length": length})
            at += 8 + padded
            continue
        need(section_of(kind) >= section, f"{TYPES[kind]} at {at:#x} after a later section began")
        section = section_of(kind)
        header = {"at": at, "type": TYPES[kind]}
        if kind in BODIES:
            layout, fields = BODIES[kind]
            need(length == struct.calcsize(layout), f"{TYPES[kind]} at {at:#x} has length {length}")
            header.update(zip(fields.split(), struct.unpack_from(layout, data, at + 8)))
        check_header(data, header, data_start)
        headers.append(header)
        at += 8 + padded
    return headers


def check_header(data, header, data_start):
    kind = header["type"]
    if "gpa" in header and kind != "VP_CONTEXT":
        need(header["gpa"] % PAGE == 0, f"{kind} gpa {header['gpa']:#x} not page aligned")
    offset = header.get("file_offset", 0)
    if offset:
        need(data_start <= offset < len(data), f"{kind} file offset {offset:#x} outside the data")
    if kind == "PAGE_DATA" and offset:
        need(offset + PAGE <= len(data), f"page data at {offset:#x} cut off")
    if kind == "VP_CONTEXT":
        header["registers"] = vp_registers(data, offset)
    if kind == "PARAMETER_AREA":
        need(header["number_of_bytes"] % PAGE == 0, "parameter area not in pages")


def check_file(headers):
    platforms = [h for h in headers if h["type"] == "SUPPORTED_PLATFORM"]
    need(platforms, "no supported platform")
    # headers of other platforms describe other machines; look at VSM_ISOLATION if the file has it
    mask = next((p["mask"] for p in platforms if p["platform_type"] == 1), platforms[0]["mask"])
    areas, done, pages = {}, set(), {}
    for h in headers:
        kind = h["type"]
        if not h.get("mask", mask) & mask:
            continue
        if kind == "PARAMETER_AREA":
            need(h["area"] not in areas, f"parameter area {h['area']} twice")
            areas[h["area"]] = h["number_of_bytes"]
        elif "byte_offset" in h:
            need(h["area"] in areas and h["area"] not in done, f"{kind} into area {h['area']}")
            need(h["byte_offset"] < areas[h["area"]], f"{kind} past the end of its area")
        elif kind == "PARAMETER_INSERT":
            need(h["area"] in areas and h["area"] not in done, f"insert of area {h['area']}")
            done.add(h["area"])
            for gpa in range(h["gpa"], h["gpa"] + areas[h["area"]], PAGE):
                need(gpa not in pages, f"page {gpa:#x} written twice")
                pages[gpa] = None
        elif kind == "PAGE_DATA":
            need(h["gpa"] not in pages, f"page {h['gpa']:#x} written twice")
            pages[h["gpa"]] = h["file_offset"]
    regions = [h for h in headers if h["type"] in ("RELOCATABLE_REGION", "PAGE_TABLE_RELOCATION_REGION")]
    for i, a in enumerate(regions):
        for b in regions[i + 1:]:
            need(a["gpa"] + a["size"] <= b["gpa"] or b["gpa"] + b["size"] <= a["gpa"], "regions overlap")
    for region in regions:
        need(any(r["vtl"] == region["vtl"] for h in headers for r in h.get("registers", ())),
             "no VP context for a relocated VTL")
    return pages


def walk_identity(data, headers, pages):
    """Follow CR3 as an MMU would: every leaf must map its own address. Returns bytes mapped."""
    roots = [r["low"] for h in headers for r in h.get("registers", ()) if r["name"] == "cr3"]
    mapped = 0

    def table(gpa):
        need(pages.get(gpa) is not None, f"page table {gpa:#x} has no data")
        return struct.unpack_from("<512Q", data, pages[gpa]) if pages[gpa] else (0,) * 512

    def descend(gpa, level, base):
        nonlocal mapped
        for index, entry in enumerate(table(gpa)):
            address = base + (index << (12 + 9 * level))
            if not entry & 1:
                continue
            target = entry & 0x000FFFFFFFFFF000
            if level and not entry & 0x80:
                descend(target, level - 1, address)
                continue
            need(target == address, f"{address:#x} is mapped to {target:#x}")
            mapped += 1 << (12 + 9 * level)
    for root in roots:
        descend(root & ~0xFFF, 3, 0)
    return mapped


def joined(headers):
    """page data headers with consecutive addresses become one row"""
    rows = []
    for h in headers:
        if h["type"] == "PAGE_DATA" and rows and rows[-1]["type"] == "PAGE_DATA" and \
                rows[-1]["gpa"] + rows[-1]["pages"] * PAGE == h["gpa"] and rows[-1]["flags"] == h["flags"]:
            rows[-1]["pages"] += 1
            rows[-1]["zero_pages"] += not h["file_offset"]
            continue
        row = dict(h)
        if h["type"] == "PAGE_DATA":
            row.update(pages=1, zero_pages=int(not h["file_offset"]))
        rows.append(row)
    return rows


def print_rows(rows):
    for row in rows:
        fields = " ".join(f"{k}={v:#x}" if isinstance(v, int) else f"{k}={v}"
                          for k, v in row.items() if k not in ("at", "type", "registers"))
        print(f"{row['at']:#08x} {row['type']:<28} {fields}")
        for r in row.get("registers", ()):
            print(f"{'':9} vtl{r['vtl']} {r['name']:<8} {r['low']:#018x} {r['high']:#018x}")


def write_memory(data, pages, directory):
    os.makedirs(directory, exist_ok=True)
    out = previous = None
    for gpa in sorted(g for g in pages if pages[g] is not None):
        if out is None or gpa != previous + PAGE:
            if out:
                out.close()
            out = open(os.path.join(directory, f"{gpa:x}.bin"), "wb")
        out.write(data[pages[gpa]:pages[gpa] + PAGE] if pages[gpa] else bytes(PAGE))
        previous = gpa
    if out:
        out.close()


def main(argv):
    options = [a for a in argv if a.startswith("--")]
    names = [a for a in argv if not a.startswith("--")]
    if not names:
        print(__doc__, file=sys.stderr)
        return 2
    with open(names[0], "rb") as file:
        data = file.read()
    try:
        headers = read_headers(data)
        pages = check_file(headers)
        mapped = walk_identity(data, headers, pages)
    except (Bad, struct.error) as error:
        print(f"{names[0]}: {error}", file=sys.stderr)
        return 1
    if "--memory" in options:
        write_memory(data, pages, names[1])
    elif "--json" in options:
        json.dump({"bytes": len(data), "identity_mapped": mapped, "headers": joined(headers)}, sys.stdout, indent=1)
    else:
        print_rows(joined(headers))
        print(f"{len(data)} bytes, {len(headers)} headers, {len(pages)} pages, {mapped >> 20} MiB identity mapped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
