#!/usr/bin/env python3
"""console_bulk.py SOCKET paste KIB: pastes so much into a program on the guest's console and prints the SHA-256 of what was sent;
the program writes what it reads to /tmp/pasted. console_bulk.py SOCKET print LINES: has the guest print that many numbered lines
and checks that all come, in order."""
import hashlib, random, socket, sys, time

path, what, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
LIMIT = 7200
s = socket.socket(socket.AF_UNIX)
s.connect(path)
s.settimeout(1)


def read_until(want, seconds):
    got, end = b"", time.monotonic() + seconds
    while want not in got:
        if time.monotonic() > end:
            sys.exit(f"no {want!r} after {seconds} s, but {got[-200:]!r}")
        try:
            got += s.recv(65536)
        except (TimeoutError, socket.timeout):
            pass
    return got


# the shell first answers, so that nothing that was typed earlier is in the way; quotes keep the echo from looking like the answer
s.sendall(b"\n\necho re''ady\n")
read_until(b"ready", 60)
if what == "paste":
    data = random.Random(count).randbytes(count * 1024)
    s.sendall(f"stty raw -echo crtscts; echo go''es; head -c {len(data)} >/tmp/pasted; stty sane; echo do''ne\n".encode())
    read_until(b"goes", 60)
    time.sleep(1)
    sent = 0
    s.settimeout(LIMIT)
    while sent < len(data):
        sent += s.send(data[sent : sent + 4096])
    s.settimeout(1)
    read_until(b"done", LIMIT)
    print(hashlib.sha256(data).hexdigest())
else:
    start = time.monotonic()
    s.sendall(f"echo fi''rst; seq 1 {count}; echo la''st\n".encode())
    got = read_until(b"last", LIMIT).replace(b"\r", b"")
    lines = got[got.index(b"first\n") + 6 : got.index(b"last")].split(b"\n")[:-1]
    for i, line in enumerate(lines, 1):
        if line != str(i).encode():
            sys.exit(f"line {i} is {line!r}")
    if len(lines) != count:
        sys.exit(f"{len(lines)} lines of {count}")
    print(f"{len(got)} bytes in {time.monotonic() - start:.0f} s")
