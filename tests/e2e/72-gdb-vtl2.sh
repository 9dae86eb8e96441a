#!/usr/bin/env bash
# gdb on VTL2 itself, by pvhost: the shim from its first instruction, the firmware's kernel as it runs.
. "$(dirname "$0")/lib.sh"
work=$(mktemp -d)
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -rf "$work"' EXIT
vm -n shim up --cpus 2 --gdb wait >/dev/null
g() { vm -n shim exec --timeout 60 "$@"; }
m() { vm -n shim monitor "$@"; }
# session NAME COMMAND...: its text in $work/NAME
session() {
	local out=$work/$1
	shift
	printf 'set pagination off\nset confirm off\nset height 0\nset can-use-hw-watchpoints 0\nset remotetimeout 20\n' >"$out.gdb"
	printf '%s\n' "$@" >>"$out.gdb"
	timeout 120 scripts/vm -n shim gdb --vtl2 -batch -x "$out.gdb" >"$out" 2>&1 || { tail -n 30 "$out"; return 1; }
}
says() { matches "$2" cat "$work/$1"; }

check "the firmware waits for gdb at its first instruction" session first 'info threads' 'p $pc == shim_start' 'p/x $rsp' 'stepi' \
	'p (long)$pc - (long)&shim_start' 'stepi 2' 'p (long)$rsp == (long)&shim_stack_end' 'set $rbp = 0x1234' \
	'maintenance flush register-cache' 'p/x $rbp' 'stepi' 'maintenance flush register-cache' 'p/x $rbp' \
	'tbreak shim_main' 'continue' 'bt' 'next' 'next' 'p/x base' 'monitor physical on' 'x/2xb 0' 'monitor physical off' \
	'monitor info vtl' 'monitor nonsense' 'set $n = 0' 'set $moved = 0' 'while $n < 200' 'set $last = $pc' 'stepi' 'set $n = $n + 1' \
	'set $moved = $moved + ($pc != $last)' 'end' 'p $moved > 150' 'break shim_main' 'monitor reset' 'continue' 'bt 1' 'delete' 'detach'
check "both VPs are threads" says first 'VP 1: not started'
check "it is the shim's entry" says first '^\$1 = 1$'
check "a step is one instruction" says first '^\$3 = 1$'
check "a register is the instruction's doing" says first '^\$4 = 1$'
check "a register was written" says first '^\$5 = 0x1234$'
check "and XOR has cleared it" says first '^\$6 = 0x0$'
check "a breakpoint, with its line" says first 'hit Temporary breakpoint 1, shim_main'
check "back-trace from there" says first '^#1 .* shim_start'
check "the guest's memory is seen too" says first '^0x0:'
check "pvhost's monitor answers" says first '^guest not started'
check "what is unknown is said" says first 'not a command'
check "200 more steps move" says first '^\$8 = 1$'
check "a breakpoint in the life after a reset" says first 'hit Breakpoint 2, shim_main'
check "a reset takes it on to a new life" matches '^resets 1' m 'info vtl'
check "there it boots" python3 scripts/vm-agent.py "$PARAVANE_VMS/shim/com2" wait 200
# where a VP is found is chance: an idle guest's is in VTL0 most of the time
in_vtl0() {
	for _ in 1 2 3 4 5 6 7 8; do
		session idle 'thread apply all bt 3' detach || return 1
		says idle '__mshv_vtl_return_call' && return
		sleep 1
	done
	return 1
}
check "a VP in VTL0 is at VTL2's call" in_vtl0
runs() { [ "$(g 'echo on')" = on ]; }
busy() { while :; do vm -n shim diag run true; done >/dev/null 2>&1; }
busy &
check "a session on the kernel that runs" session kernel 'info threads' 'thread apply all bt 3' 'tbreak do_sys_openat2' 'continue' 'bt' 'stepi' 'stepi' \
	'p $pc > (void *)do_sys_openat2' 'x/2i $pc' 'monitor info vp' 'watch *(int *)$rsp' 'delete' 'detach'
kill $!
wait $! 2>/dev/null
check "its breakpoint is met" says kernel 'hit Temporary breakpoint 1, .*do_sys_openat2'
check "back-trace of a program's call" says kernel '#1 .*x64_sys_open'
check "its steps go on" says kernel '^\$1 = 1$'
check "the guest runs on" runs
# TCG has no use for debug registers; a real processor's would be taken
hardware() { session hardware 'hbreak do_sys_openat2' 'continue' detach; says hardware 'Could not insert hardware breakpoint|hit Temporary|Hardware assisted'; }
check "a hardware breakpoint is refused in gdb's words, or taken" hardware
vanish() {
	local p
	mkfifo "$work/in"
	sleep 60 >"$work/in" &
	p=$!
	timeout 60 scripts/vm -n shim gdb --vtl2 -ex 'set confirm off' -ex 'break do_sys_openat2' -ex 'p 1234' <"$work/in" >"$work/vanish" 2>&1 &
	for _ in $(seq 200); do grep -q '= 1234' "$work/vanish" && break; sleep 0.1; done
	timeout 30 scripts/vm -n shim gdb --vtl2 -batch -ex 'info threads' >"$work/second" 2>&1
	pkill -9 -P $! gdb || kill -9 $!
	wait $! 2>/dev/null
	kill $p
	timeout 30 scripts/vm -n shim diag ping
}
check "a client that vanishes leaves the firmware running" vanish
check "meanwhile a second one was turned away" matches 'turned away' cat "$PARAVANE_VMS/shim/bench.log"
check "one after it is served" session again 'info threads' 'kill'
check "kill ends the machine" vm -n shim wait 60
vm -n shim down
check "a wrong word is refused" fails_with 2 'may be followed by ,nowait' "$O/native/bin/pvhost" --gdb 1234,later
check "a port that cannot be had is said" fails_with 1 'gdb' "$O/native/bin/pvhost" --gdb nowhere:1 --igvm "$O/paravane.igvm"

finish
