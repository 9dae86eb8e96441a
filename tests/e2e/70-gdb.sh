#!/usr/bin/env bash
# gdb on the guest through the firmware's stub: a guest kernel of 7.x with symbols, which knows nothing of it.
# needs: deps/kernel-guest/bzImage
# Software breakpoints are IN instructions here and hardware ones are refused: QEMU's TCG can neither (docs/guide.md).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/shape_lib.sh"
row=(4 8G 64M,at=self hypervisor debug)
shape "${row[@]}"
work=$(mktemp -d)
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -rf "$work"' EXIT
sessions=${GDB_SESSIONS:-5}
up gdb "${shape[@]}"
machine=gdb
g() { vm -n $machine exec --timeout 60 "$@"; }
d() { vm -n $machine diag "$@"; }
m() { vm -n $machine monitor "$@"; }
# session NAME COMMAND...: a gdb session of these commands; its text in $work/NAME, and the guest opens files meanwhile (nobody=1: there is
# no agent in it that could; patience: seconds that it has for that)
session() {
	local out=$work/$1 c
	shift
	printf 'set pagination off\nset confirm off\nset height 0\nset can-use-hw-watchpoints 0\nset remotetimeout 20\n' >"$out.gdb"
	printf '%s\n' "$@" >>"$out.gdb"
	[ -n "${nobody:-}" ] || (sleep 1; vm -n $machine exec --timeout "${patience:-60}" 'for i in 1 2 3 4 5; do cat /proc/uptime; done' >"$out.guest" 2>&1) &
	timeout 120 scripts/vm -n $machine gdb -batch -x "$out.gdb" >"$out" 2>&1
	c=$?
	wait
	[ $c = 0 ] || { tail -n 30 "$out"; return 1; }
}
says() { matches "$2" cat "$work/$1"; }
exceptions() { m 'info exits' | sed -n 's/.* exception \([0-9]*\)$/\1/p' | awk '{n += $1} END {print n + 0}'; }

has_shape gdb "${row[@]}"
check "nobody attached: no exception has left the guest" [ "$(exceptions)" = 0 ]
check "a session: threads, back-traces, kernel's own gdb commands" session look 'info threads' 'thread apply all bt' 'lx-ps' 'lx-dmesg' \
	'monitor info registers' 'monitor info msr' 'monitor info mtrr' 'monitor info exits' 'monitor info pagetables 0xffffffff81000000' \
	'monitor vtl2 inspect vm/gdb' 'monitor nonsense' $'python\ntry:\n  gdb.execute("x/2xg 0x10")\nexcept gdb.error as e:\n  print(e)\nend' 'monitor physical on' 'x/2xb 0x7c00' 'monitor physical off' 'p $lstar' detach
check "every VP is a thread" says look 'Thread 4 "VP 3"'
# down to where the kernel begins, or to the first function on an interrupt's stack (the kernel's debug information does not say
# how to get off it), or out of a user's program, of which gdb knows nothing
traced() {
	awk '/^Thread [0-9]+ \(/ { if (t && !good) bad = 1; t++; good = 0; first = 1; next }
		t && /^#/ { if (first && /^#0 +0x0000[0-9a-f]+ in \?\?/) good = 1; first = 0 }
		t && /(start_kernel|start_secondary|entry_SYSCALL_64|ret_from_fork_asm|sysvec_|exc_|common_interrupt|do_softirq)/ { good = 1 }
		END { exit t != 4 || bad || !good }' "$work/look" || { grep -E '^(Thread|#)' "$work/look"; return 1; }
}
check "each has a back-trace down to its start" traced
check "lx-ps lists tasks" says look '^0x[0-9a-f]+ +1 +init'
check "lx-dmesg shows the log" says look 'Linux version 7'
check "monitor: registers, MSRs, MTRRs" says look 'LSTAR +c0000082 ffffffff81'
check "monitor: page tables" says look '^physical 1000000'
check "monitor: the firmware's tree" says look '^state: held'
check "monitor: what is unknown is said" says look 'no such command'
check "memory that is not there is an error" says look 'Cannot access memory at address 0x10'
check "physical memory is there" says look '^0x7c00:'
check "the guest ran on" matches '^[0-9.]+ [0-9.]+$' cat "$work/look.guest"

check "break, step, watch, write" session break 'break do_sys_openat2' continue 'bt 3' 'print filename' 'x/1xb $pc' 'stepi' 'stepi' \
	'p/x $eflags & 0x100' 'next' 'next' 'p linux_banner[0]' 'set var saved_command_line[0] = 0x5a' 'p/c saved_command_line[0]' \
	'p $r15' 'set $keep = $r15' 'set $r15 = 0x1234' 'stepi' 'p/x $r15' 'set $r15 = $keep' 'delete' \
	'tbreak build_open_flags' continue 'watch flags' 'continue' 'delete' detach
check "the breakpoint is met" says break 'hit Breakpoint 1, do_sys_openat2'
check "back-trace from there" says break '#[12] .*do_sys_open'
check "its bytes are the guest's own" bash -c "! grep -E '^0x.*<do_sys_openat2.*0xec$' '$work/break'"
check "the guest's flags have no TF" says break '^\$[0-9]+ = 0x0$'
check "a variable is seen to change" says break 'Old value|Watchpoint [0-9]+ deleted'
check "memory was written" says break "90 'Z'"
check "a register was written" says break '= 0x1234$'
check "the guest ran on after it" matches '^[0-9.]+ [0-9.]+$' cat "$work/break.guest"
check "the guest sees what was written" g 'head -c 1 /proc/cmdline | grep -q Z'
check "a hardware breakpoint is refused here, in gdb's words" bash -c "
	timeout 60 scripts/vm -n gdb gdb -batch -ex 'hbreak do_sys_openat2' -ex continue -ex detach 2>&1 | grep -q 'Could not insert hardware breakpoint'"

short() {
	local i
	for i in $(seq "$sessions"); do
		session "short$i" 'thread apply all bt 2' 'stepi 3' detach || { echo "session $i of $sessions"; return 1; }
	done
}
check "$sessions short sessions with 4 VPs" short
# a client that vanishes while the guest is held, and while it runs, with a breakpoint in
vanish() {
	local stopped=$1 p
	mkfifo "$work/in.$stopped"
	sleep 30 >"$work/in.$stopped" &
	p=$!
	timeout 60 scripts/vm -n gdb gdb -ex 'set confirm off' -ex 'break do_sys_openat2' ${stopped:+-ex "$stopped"} <"$work/in.$stopped" >"$work/vanish" 2>&1 &
	for _ in $(seq 100); do grep -q 'Breakpoint 1 at' "$work/vanish" && break; sleep 0.1; done
	sleep 1
	pkill -9 -P $! gdb || kill -9 $!
	wait $! 2>/dev/null
	kill $p
	[ "$(g 'echo on')" = on ]
}
check "a client that vanishes leaves the guest running" vanish 'info threads'
check "also when the guest ran" vanish continue
check "nobody is attached" matches '^state: nobody' d inspect vm/gdb
check "and no breakpoint is left" matches '^breakpoints: 0' d inspect vm/gdb
before=$(exceptions)
g 'i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); done; cat /proc/uptime' >/dev/null
check "nobody attached: no exception leaves the guest any more" [ "$(exceptions)" = "$before" ]
check "no warning in the guest" g '! dmesg | grep -E "'"$warnings"'"'
echo "     # stalls seen by the guest: $(g 'dmesg | grep -cE "soft lockup|rcu.*stalls on"')"
# pvhost's pause under a debugger: the session waits and goes on
check "the host's pause holds a session up, no more" session paused 'info threads' \
	'shell scripts/vm -n gdb monitor pause; (sleep 4; scripts/vm -n gdb monitor resume) >/dev/null 2>&1 &' \
	'shell scripts/vm -n gdb monitor "info vtl"' 'maintenance flush register-cache' 'thread apply all bt 1' 'stepi' detach
check "it was paused then" says paused '^guest started, paused'
# a panic, for which the debugger itself sees; it stops the other processors, with interrupts off
patience=10 check "a program is sent somewhere else" session jump 'tbreak do_sys_openat2' continue 'set $rdi = linux_banner' 'set $rax = 0' 'set $rip = panic' detach
sleep 5
nobody=1 check "at a panic: what it came from, and a step" session panic 'thread apply all bt' 'stepi' 'stepi' detach
check "it came from here" says panic '^#[0-9]+ .* (v?panic) \('
check "others stand still with interrupts off" says panic 'stop_this_cpu'
timeout 100 scripts/vm -n gdb gdb -batch -ex kill >/dev/null 2>&1
check "kill switches the guest off" vm -n gdb wait 60
vm -n gdb down
machine=one
vm -n one up --cpus 1 --apic vmm --kernel "$O/deps/kernel-guest/bzImage" --vtl2-append PARAVANE_WAIT_FOR_DEBUGGER=1 --no-wait >/dev/null
first() {
	local i
	for i in $(seq 60); do
		[ "$(d inspect vm/gdb/state 2>/dev/null)" = nobody ] && break
		sleep 1
	done
	nobody=1 session first 'p/x $pc' 'p/x $cs' 'stepi' 'p/x $pc' 'delete' detach
}
check "one VP, its APIC in the firmware: gdb at the first instruction" first
check "it is the kernel's entry" says first '^\$1 = 0x1[0-9a-f]+$'
check "then the guest boots" python3 scripts/vm-agent.py "$PARAVANE_VMS/one/com2" wait 120
check "$sessions short sessions with one VP" short
check "monitor: the local APIC that the firmware plays" session lapic 'monitor info lapic' detach
check "it has its registers" says lapic '^(tpr|id|svr|ldr)'
# the connection ends with it, perhaps before the answer
monitor_reset() {
	timeout 60 scripts/vm -n one gdb -batch -ex 'monitor reset'
	for _ in $(seq 20); do m 'info vtl' | grep '^resets 1' && return; sleep 0.5; done
	return 1
}
check "monitor reset" monitor_reset
check "the guest comes up again, when a debugger has let go" first
check "and boots" python3 scripts/vm-agent.py "$PARAVANE_VMS/one/com2" wait 120
check "gdb on the worker itself" matches 'worker_main' timeout 100 scripts/vm -n one gdb --process worker -batch -ex 'bt 8' -ex detach
check "which goes on" matches '^state: nobody' d inspect vm/gdb
check "the guest is alive" g true
vm -n closed up --cpus 1 --vtl2-append PARAVANE_DIAGNOSTICS=restricted --no-wait >/dev/null
closed() {
	for _ in $(seq 60); do vm -n closed diag ping >/dev/null 2>&1 && break; sleep 1; done
	! timeout 20 scripts/vm -n closed gdb -batch -ex 'info threads' 2>&1 | grep 'Thread 1'
}
check "the production policy has no gdbstub" closed
finish
