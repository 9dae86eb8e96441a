#!/usr/bin/env python3
"""completions.py PVDIAG [VM]: what bash, zsh and fish complete with `pvdiag completions`; with a machine, also its nodes."""
import os, pty, re, select, subprocess, sys, tempfile, time

pvdiag = os.path.realpath(sys.argv[1])
vm = os.path.realpath(sys.argv[2]) if len(sys.argv) > 2 else None
folder = tempfile.TemporaryDirectory()
work = folder.name
os.environ["PATH"] = os.path.dirname(pvdiag) + ":" + os.environ["PATH"]
os.environ.update(HOME=work, ZDOTDIR=work, TERM="dumb")


def script(shell, name):
    path = os.path.join(work, name)
    with open(path, "wb") as f:
        f.write(subprocess.run([pvdiag, "completions", shell], check=True, stdout=subprocess.PIPE).stdout)
    return path


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60).stdout


def bash(line, file):
    words = line.split(" ")
    return run("bash", "-c", 'source "$0"; compopt() { :; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pvdiag; '
               'printf "%s\\n" "${COMPREPLY[@]}"', file, *words).split()


def fish(line, file):
    return [l.split("\t")[0] for l in run("fish", "-c", 'source $argv[1]; complete -C "$argv[2]"', file, line).splitlines()]


def zsh(line, fpath):
    """A shell with a terminal, as its completion wants one. What can be completed is listed or, if it is one thing, inserted."""
    pid, fd = pty.fork()
    if not pid:
        os.execvp("zsh", ["zsh", "-f", "-i"])

    def until(mark, seconds=60):
        got, end = b"", time.time() + seconds
        while mark not in got and time.time() < end:
            if select.select([fd], [], [], 0.2)[0]:
                got += os.read(fd, 4096)
        return got.decode(errors="replace")

    # the key prints a line of its own when the completion is done
    os.write(fd, f"stty -echo; PS1=; fpath=({fpath} $fpath); autoload -Uz compinit; compinit -u -D; setopt no_beep; LISTMAX=0; "
             "done-it() { zle expand-or-complete; zle list-choices; print; print -r -- \"<$BUFFER>\"; }; zle -N done-it; "
             "bindkey '^X' done-it; print rea''dy\n".encode())
    until(b"ready")
    os.write(fd, line.encode() + b"\x18")
    said = until(b">\r\n")
    os.close(fd)
    os.waitpid(pid, 0)
    return re.findall(r"[^\s<>]+", said)


shells = {"bash": (bash, script("bash", "pvdiag.bash")), "fish": (fish, script("fish", "pvdiag.fish")),
          "zsh": (zsh, os.path.dirname(script("zsh", "_pvdiag")))}
cases = [("pvdiag insp", "inspect"), ("pvdiag inspect --rec", "--recursive"), ("pvdiag kmsg --fo", "--follow"),
         ("pvdiag completions f", "fish"), ("pvdiag ./vm.vsock kmsg --fo", "--follow")]
if vm:
    cases += [(f"pvdiag {vm} inspect vm/part", "vm/partition"), (f"pvdiag {vm} inspect vm/partition/vp_", "vm/partition/vp_count")]
bad = 0
for name, (complete, file) in shells.items():
    for line, want in cases:
        got = complete(line, file)
        if want not in [g.rstrip("/ ") for g in got]:
            bad += 1
            print(f"{name}: '{line}' completes to {got[:10]}, not {want}")
print(f"{len(cases) * len(shells) - bad} of {len(cases) * len(shells)} are right")
sys.exit(bad != 0)
