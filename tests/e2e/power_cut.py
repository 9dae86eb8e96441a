#!/usr/bin/env python3
"""power_cut.py LOG BASE [--cuts N] [--seed N]: replays what QEMU's blklogwrites recorded (the format of Linux' dm-log-writes).

Each cut is a moment of the log: what a flush covered before it is on the disk, of what came after each write is or is not, as the
seed draws. BASE is the ext4 image as it was before. After each cut the journal is replayed by e2fsck, which may repair nothing that
a power cut does not explain; and /log must have every record whose successor had been begun (tests/guests/tools/churn.c).
Without --cuts BASE is judged as it is, against the log's last record. Exit status 1: a cut lost something; its number is said."""
import argparse, os, random, re, shutil, struct, subprocess, sys, tempfile

MAGIC, FLUSH, FUA, DISCARD, MARK = 0x6A736677736872, 1, 2, 4, 8
RECORD = re.compile(rb"record (\d{10}) 0{35}\1\n")


def entries(path):
    with open(path, "rb") as f:
        magic, version, _, sector = struct.unpack("<QQQI", f.read(28))
        if magic != MAGIC or version != 1:
            sys.exit(f"power_cut: {path}: not a log of writes")
        f.seek(sector)
        while len(head := f.read(sector)) == sector:
            at, count, flags, _ = struct.unpack("<QQQQ", head[:32])
            if not at and not count and not flags:
                break
            data = b"" if flags & (DISCARD | MARK) else f.read(count * sector)
            yield at * sector, count * sector, flags, data


def apply(image, entry):
    at, length, flags, data = entry
    image.seek(at)
    image.write(bytes(length) if flags & DISCARD else data)


def tool(*args):
    r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return r.returncode, r.stdout


EXPLAINED = re.compile(r"recovering journal|[Oo]rphan|^$|clean,|^/\S+: \d+/\d+ files|^\S+: \*+ FILE SYSTEM WAS MODIFIED|^e2fsck |"
                       r"Superblock last (write|mount) time|files \(.*blocks$|Clearing (orphan|inode)|"
                       r"Setting free (inodes|blocks) count|[Ff]ree (blocks|inodes) count wrong", re.M)


def judge(path, newest):
    """None, or what is wrong; newest: a record whose writing had begun, -1: none"""
    status, said = tool("e2fsck", "-fp", path)
    strange = [l for l in said.splitlines() if not EXPLAINED.search(l)]
    if status > 1 or strange:
        return f"e2fsck -p: status {status}: {' | '.join(strange) or said.strip()}"
    status, said = tool("e2fsck", "-fn", path)
    if status:
        return f"e2fsck -n after it: status {status}: {said.strip()[-300:]}"
    with tempfile.NamedTemporaryFile() as out:
        tool("debugfs", "-R", f"dump /log {out.name}", path)
        text = open(out.name, "rb").read()
    for n in range(len(text) // 64):
        m = RECORD.fullmatch(text[n * 64:n * 64 + 64])
        if n < newest and (not m or int(m[1]) != n):
            return f"record {n} of the log is damaged, and {newest} had been begun: {text[n * 64:n * 64 + 64]!r}"
    if len(text) // 64 < newest:
        return f"the log ends with record {len(text) // 64 - 1}, and {newest} had been begun"
    return None


def cut(base, log, at, rng, work):
    path = os.path.join(work, "cut.img")
    subprocess.run(["cp", "--sparse=always", base, path], check=True)
    flushed = max((i for i in range(at) if log[i][2] & FLUSH), default=-1)
    newest = max((int(n) for e in log[:at] for n in e[4]), default=-1)
    with open(path, "r+b") as image:
        for i in range(at):
            if i <= flushed or log[i][2] & FUA or rng.random() < 0.5:
                apply(image, log[i][:4])
    return judge(path, newest)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("log")
    p.add_argument("base")
    p.add_argument("--cuts", type=int, default=0)
    p.add_argument("--seed", type=int, default=1)
    o = p.parse_args()
    log = [(*e, RECORD.findall(e[3])) for e in entries(o.log)]
    flushes = sum(1 for e in log if e[2] & FLUSH)
    records = max((int(n) for e in log for n in e[4]), default=-1)
    bad = 0
    with tempfile.TemporaryDirectory() as work:
        if not o.cuts:
            shutil.copyfile(o.base, os.path.join(work, "it"))
            why = judge(os.path.join(work, "it"), records)
            print(f"power_cut: {records + 1} records begun: {why or 'nothing is lost'}")
            sys.exit(1 if why else 0)
        for n in range(o.cuts):
            rng = random.Random(o.seed * 1000003 + n)
            at = rng.randrange(len(log) + 1)
            why = cut(o.base, log, at, rng, work)
            if why:
                bad += 1
                if bad <= 3:
                    print(f"power_cut: seed {o.seed}, cut {n} behind entry {at} of {len(log)}: {why}")
    print(f"power_cut: {len(log)} writes, {flushes} flushes, {records + 1} records; {bad} of {o.cuts} cuts lost something")
    sys.exit(1 if bad else 0)


main()
