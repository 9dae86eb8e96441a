#!/usr/bin/env python3
"""per_exit.py BEFORE AFTER: from pvhost's and the firmware's counters, what an intercepted access cost: VTL switches besides those
for VTL2's own interrupts, and run ioctls besides those that were cancelled for other work."""
import re, sys


def read(path):
    text = open(path).read()
    # the host's counters of VP 1; what follows is VP 1's own tree
    text = text[re.search(r"^vp ?1\b", text, re.M).start():]
    one = lambda pattern: int(re.search(pattern, text, re.M).group(1))
    return {
        "switches": one(r"vtl_switches (\d+)"),
        "preempted": one(r"intercepts:.*?\bpreempted (\d+)"),
        "intercepts": sum(int(n) for name, n in re.findall(r"(\w+) (\d+)", re.search(r"intercepts: (.*)", text).group(1)) if name != "preempted"),
        "runs": one(r"idle_waits: (\d+)"),
        "cancelled": one(r"cancelled: (\d+)"),
        "handled": sum(map(int, re.findall(r"^  (?:io|memory|msr|cpuid|halt|exception|hypercall|apic_eoi|\w+_deliverable): (\d+)", text, re.M))),
        "registers": one(r"register_calls: (\d+)"),
    }


before, after = read(sys.argv[1]), read(sys.argv[2])
d = {k: after[k] - before[k] for k in before}
switches = (d["switches"] - 2 * d["preempted"]) / d["intercepts"]
calls = (d["runs"] - d["cancelled"] + d["registers"]) / d["handled"]
print(f"{d['intercepts']} intercepts, {d['cancelled']} runs cancelled: {switches:.3f} switches, {calls:.3f} system calls each")
sys.exit(0 if d["handled"] > 4000 and abs(switches - 2) < 0.005 and abs(calls - 1) < 0.005 else 1)
