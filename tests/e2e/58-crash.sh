#!/usr/bin/env bash
# Processes of the firmware die, and the host gets their cores, which gdb reads by name; the machine ends or begins anew, as its
# policy says. The guest's own ends, reported with what they say of themselves: a panic with its text, a triple fault with registers.
# CRASHES: how often the worker and the control process are made to die, each (10). SEED: of the moments.
. "$(dirname "$0")/lib.sh"
CRASHES=${CRASHES:-10} SEED=${SEED:-$(date +%N)}
RANDOM=$((10#$SEED % 32768))
work=$(mktemp -d)
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -rf "$work"' EXIT

# pid MACHINE worker|control: as soon as diagnostics tell it, which is before the guest runs
pid() {
	local i p
	for i in $(seq 150); do
		p=$(vm -n "$1" diag inspect -r "proc/$2" 2>/dev/null | sed -n 's/^ *pid: //p')
		[ -z "$p" ] || { echo "$p"; return; }
		sleep 0.4
	done
	echo "$1 tells no $2 in a minute" >&2
	return 1
}
appears() { # appears SECONDS FILE
	local i
	for i in $(seq $(($1 * 5))); do [ ! -e "$2" ] || return 0; sleep 0.2; done
	echo "no $2 after $1 s: $(ls -la "$(dirname "$2")")"
	return 1
}
# by_name CORE worker|control: gdb finds the way from main() to where it stood, in every thread of ours
by_name() {
	scripts/symbolize "$1" >"$work/bt" 2>&1 || { cat "$work/bt"; return 1; }
	cat "$work/bt"
	grep -q "process [0-9]* ($2), signal 11" "$work/bt" && grep -qE " exec_run \(" "$work/bt" && grep -qE " ${2}_main \(" "$work/bt" &&
		{ [ "$2" = control ] || [ "${3:-}" != vps ] || grep -qE " vp_thread \(" "$work/bt"; }
}
resets() { vm -n "$1" monitor 'info vtl' | sed -n 's/^resets //p'; }
# reset_after N: the machine has begun anew
reset_after() {
	local i
	for i in $(seq 100); do [ "$(resets again)" -le "$1" ] 2>/dev/null || return 0; sleep 0.2; done
	echo "no reset after 20 s"
	return 1
}

# ---- policy: the machine ends
vm -n once up --no-wait --cpus 2 --memory 512M --crash-dumps "$work/once" --vtl2-console
check "the worker is made to crash" bash -c 'scripts/vm -n once diag crash '"$(pid once worker)"
check "its core comes" appears 30 "$work/once/once-1.core"
check "gdb reads it by name" by_name "$work/once/once-1.core" worker
check "it carries the kernel's log, with who died" matches 'process [0-9]+ \(worker\) died of signal 11' scripts/symbolize --kmsg "$work/once/once-1.core"
check "the guest's memory is not in it" bash -c '[ "$(stat -c %s "$0")" -lt 33554432 ]' "$work/once/once-1.core"
check "nobody but its owner may read it" bash -c '[ "$(stat -c %a "$0")" = 600 ]' "$work/once/once-1.core"
check "the machine ends, as --on-crash end has it" bash -c 'scripts/vm -n once wait 60; [ $? = 3 ]'
check "the host says so" matches 'the firmware reports a crash: .*VTL2' vm -n once logs
check "and which file it is" matches 'a process of the firmware crashed: .*once-1.core, [0-9]+ bytes' vm -n once logs
vm -n once down

# ---- a host that takes no cores: a clear line, and the same end
vm -n refused up --no-wait --memory 512M --crash-dumps "$work/refused,count=0" --vtl2-console
check "a control process crashes" bash -c 'scripts/vm -n refused diag crash '"$(pid refused control)"
check "VTL2 resets all the same" bash -c 'scripts/vm -n refused wait 60; [ $? = 3 ]'
check "the firmware says that the host did not want the core" matches 'the host says 0x80004005 to a new core' vm -n refused logs vtl2
check "there is none" bash -c '! ls "$0" | grep .' "$work/refused"
vm -n refused down

# ---- policy: the machine begins anew
up again --cpus 2 --memory 512M --crash-dumps "$work/again,count=100000" --on-crash reset --vtl2-append PARAVANE_ON_WORKER_DEATH=reset
g() { vm -n again exec --timeout 60 "$@"; }
before=$(resets again)
g 'insmod /lib/modules/hv_vmbus.ko* 2>/dev/null; (sleep 1; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &' >/dev/null 2>&1
check "a guest that panics is reported" bash -c 'for i in $(seq 60); do ! scripts/vm -n again logs | grep -q "the guest reports a crash" || exit 0; sleep 0.5; done; exit 1'
check "with what it says" matches '\| .*sysrq triggered crash' vm -n again logs
check "the firmware's log has it too" matches 'guest: .*sysrq triggered crash' vm -n again diag kmsg
check "and runs on" matches 'running' vm -n again diag inspect control_state
vm -n again monitor reset >/dev/null
check "a reset" reset_after "$before"
before=$(resets again)
check "the guest is back" python3 scripts/vm-agent.py "$PARAVANE_VMS/again/com2" wait 120
g '(sleep 1; echo triple >/sys/kernel/reboot/type; reboot -f) >/dev/null 2>&1 &' >/dev/null 2>&1
check "a triple fault resets the machine" reset_after "$before"
check "its registers are reported by name" matches '\| .*rip=0x[0-9a-f]+' vm -n again logs
check "also segments and tables" matches '\| .*idtr=.* limit 0' vm -n again logs

echo "     # $CRASHES of each, SEED=$SEED"
n=0
# crash_at_random worker|control: at a moment between the start of diagnostics and four seconds later, when the guest boots
crash_at_random() {
	local who=$1 p before size ms=$((RANDOM % 4000))
	p=$(pid again "$who") || return 1
	before=$(resets again)
	sleep $((ms / 1000)).$(printf %03d $((ms % 1000)))
	echo "$who, process $p, after $ms ms"
	vm -n again diag crash "$p" || return 1
	n=$((n + 1))
	appears 30 "$work/again/again-$n.core" && by_name "$work/again/again-$n.core" "$who" && reset_after "$before" || return 1
	rm "$work/again/again-$n.core"
}
crashes() {
	local i
	for i in $(seq "$CRASHES"); do crash_at_random "$1" || { echo "crash $i of $CRASHES"; vm -n again logs | tail -n 5; return 1; }; done
}
crashes worker >"$work/out" 2>&1 && r=0 || r=1
check "the worker, $CRASHES times: a core by name, and a new life" bash -c 'cat "$1"; exit $0' $r "$work/out"
crashes control >"$work/out" 2>&1 && r=0 || r=1
check "the control process, $CRASHES times" bash -c 'cat "$1"; exit $0' $r "$work/out"
check "no core was left unfinished" bash -c '! ls "$0" | grep partial' "$work/again"
check "the guest comes up after all of it" python3 scripts/vm-agent.py "$PARAVANE_VMS/again/com2" wait 120
vm -n again down
finish
