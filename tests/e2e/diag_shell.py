#!/usr/bin/env python3
"""diag_shell.py PVDIAG ARG...: a person at `pvdiag … shell`: a window with a size that changes, Ctrl-C, an exit code."""
import fcntl, os, pty, re, select, struct, sys, termios, time

pid, fd = pty.fork()
if not pid:
    os.execvp(sys.argv[1], sys.argv[1:])
got = ""


def resize(rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def wait_for(pattern, seconds=60):
    """What comes until the pattern does; it is consumed."""
    global got
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if m := re.search(pattern, got):
            text, got = got[: m.end()], got[m.end() :]
            return text
        if select.select([fd], [], [], 0.2)[0]:
            try:
                got += os.read(fd, 4096).decode("latin1")
            except OSError:
                break
    sys.exit(f"{pattern!r} did not come; there is {got!r}")


def type_line(text):
    os.write(fd, text.encode() + b"\n")


def size_becomes(want):
    """Until the size that was told once is there."""
    for _ in range(20):
        type_line("stty size")
        if want in wait_for(r"\d+ \d+\r\n"):
            return
        time.sleep(1)
    sys.exit(f"the terminal's size did not become {want}")


resize(33, 101)
wait_for(r"# ")
size_becomes("33 101")
type_line("echo $TERM-$((6*7)); tty")
wait_for(r"-42\r\n/dev/pts/\d")
type_line("sleep 300; echo slept")
time.sleep(1)
os.write(fd, b"\x03")
type_line("echo status=$?")
wait_for(r"status=130")
resize(40, 90)
size_becomes("40 90")
type_line("exit 5")
end = time.monotonic() + 60
while time.monotonic() < end:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        code = os.waitstatus_to_exitcode(status)
        sys.exit(0 if code == 5 else f"the shell's exit status is {code}")
    if select.select([fd], [], [], 0.2)[0]:
        try:
            os.read(fd, 4096)
        except OSError:
            pass
sys.exit("pvdiag did not end")
