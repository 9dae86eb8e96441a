#!/usr/bin/env python3
"""Runs a shell command in the Linux that tests/guests/mknvme put into VTL2, over vsock: vtl2-shell.py SOCKET SECONDS COMMAND.

Prints the output, exits with the command's status; 124 when time is up. COMMAND "" waits until the shell answers.
"""
import base64, socket, sys, time

path, limit, command = sys.argv[1], time.monotonic() + float(sys.argv[2]), sys.argv[3]


def attempt():
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(max(0.1, limit - time.monotonic()))
        s.connect(path)
        s.sendall(b"CONNECT 1\n")
        data = b""
        while b"\n" not in data:
            more = s.recv(4096)
            if not more:
                return None
            data += more
        data = data.split(b"\n", 1)[1]
        s.sendall(base64.b64encode(command.encode() or b"true") + b"\n")
        while b"\nSTATUS " not in data or not data.endswith(b"\n"):
            more = s.recv(65536)
            if not more:
                return None
            data += more
        text, status = data.rsplit(b"\nSTATUS ", 1)
        sys.stdout.write(text.decode("latin1"))
        return int(status)


while time.monotonic() < limit:
    try:
        status = attempt()
    except OSError:
        status = None
    if status is not None:
        sys.exit(status)
    if command:
        break  # a command may have had its effect: it is not run twice
    time.sleep(0.5)
print("vtl2-shell: no answer", file=sys.stderr)
sys.exit(124)
