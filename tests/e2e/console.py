#!/usr/bin/env python3
"""console.py SOCKET TEXT WANT: types TEXT at a console and waits for WANT in what it prints (not in the echo)."""
import socket, sys, time

path, text, want = sys.argv[1:4]
s = socket.socket(socket.AF_UNIX)
s.connect(path)
s.settimeout(1)
got, end, typed = "", time.monotonic() + 60, 0
while time.monotonic() < end:
    if time.monotonic() > typed + 15:
        s.sendall(b"\n" + text.encode() + b"\n")
        typed = time.monotonic()
    try:
        got += s.recv(4096).decode("latin1")
    except (TimeoutError, socket.timeout):
        pass
    if want in got:
        sys.exit(0)
print(f"console did not print {want!r}; it printed {got[-500:]!r}")
sys.exit(1)
