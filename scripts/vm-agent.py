#!/usr/bin/env python3
"""Talks to the agent in the guest over COM2's unix socket.

vm-agent.py SOCKET wait SECONDS          until the agent answers
vm-agent.py SOCKET exec SECONDS COMMAND  prints the output, exits with the command's status; 124 when time is up,
                                         125 when the connection is lost before the answer
vm-agent.py SOCKET console          copies between a serial port and standard input and output until the port closes
"""
import base64, fcntl, os, select, socket, sys, time


class Lost(Exception):
    """the connection ended, or was reset, after something was sent"""


class Agent:
    def __init__(self, path, deadline):
        self.path, self.deadline, self.buffer = path, deadline, b""
        self.sock = None

    def connect(self):
        while time.monotonic() < self.deadline:
            try:
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.connect(self.path)
                return True
            except OSError:
                time.sleep(0.3)
        return False

    def line(self, until):
        """next line, or None when time is up"""
        while b"\n" not in self.buffer:
            left = min(until, self.deadline) - time.monotonic()
            if left <= 0:
                return None
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65536)
            except (TimeoutError, socket.timeout):
                return None
            except OSError:
                data = b""
            if not data:
                raise Lost
            self.buffer += data
        raw, self.buffer = self.buffer.split(b"\n", 1)
        return raw.decode("latin1").strip("\r\x00 ")

    def run(self, command, out, retry_s=None):
        """status of the command, or None when time is up; asks again every retry_s seconds, and on a new connection. Without it a command is
        sent once, and a connection that is lost then is an error: it may have run."""
        ident = f"{os.getpid()}.{time.monotonic_ns()}"
        text = base64.b64encode(command.encode()).decode()
        again = 0
        while time.monotonic() < self.deadline:
            if time.monotonic() >= again:
                if again and retry_s is None:
                    return None
                again = time.monotonic() + (retry_s or 1e9)
                try:
                    self.sock.sendall(f"\nEXEC {ident} {text}\n".encode())
                except OSError:
                    self.sock.close()
                    if not self.connect():
                        return None
                    again = 0
                    continue
            try:
                got = self.line(again)
            except Lost:
                if retry_s is None:
                    raise
                time.sleep(0.3)
                self.sock.close()
                if not self.connect():
                    return None
                self.buffer, again = b"", 0
                continue
            words = (got or "").split(" ", 2)
            if len(words) == 3 and words[1] == ident:
                if words[0] == "OUT":
                    try:
                        out(base64.b64decode(words[2]))
                    except ValueError:
                        print("vm-agent: a line of output was damaged", file=sys.stderr)
                        return 125
                elif words[0] == "EXIT":
                    return int(words[2])
        return None


def console(path):
    sock, sources = socket.socket(socket.AF_UNIX), [sys.stdin.fileno()]
    sock.connect(path)
    sources.append(sock)
    while True:
        for source in select.select(sources, [], [])[0]:
            data = sock.recv(65536) if source is sock else os.read(source, 65536)
            if source is sock:
                if not data:
                    return
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            elif data:
                sock.sendall(data)
            else:
                sources.remove(source)  # the end of the input is not the end of the session


def main():
    if len(sys.argv) == 3 and sys.argv[2] == "console":
        return console(sys.argv[1])
    if len(sys.argv) < 4 or sys.argv[2] not in ("wait", "exec"):
        sys.exit(__doc__)
    path, verb, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    agent = Agent(path, time.monotonic() + seconds)
    lock = open(path + ".lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not agent.connect():
        sys.exit(124)
    if verb == "wait":
        sys.exit(124 if agent.run("true", lambda b: None, retry_s=3) is None else 0)

    def out(data):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    try:
        status = agent.run(sys.argv[4], out)
    except Lost:
        print("vm-agent: the connection was lost before the guest answered; the command may have run", file=sys.stderr)
        sys.exit(125)
    if status is None:
        print(f"vm-agent: no answer from the guest in {seconds:.0f} s", file=sys.stderr)
        sys.exit(124)
    sys.exit(status)


main()
