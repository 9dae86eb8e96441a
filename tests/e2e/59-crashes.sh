#!/usr/bin/env bash
# The worker and the control process die at random moments, again and again in one machine, which begins anew each time: each leaves
# a core that gdb reads by name. CRASHES: how often, each (10). SEED: of the moments.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/crash_lib.sh"
CRASHES=${CRASHES:-10} SEED=${SEED:-$(date +%N)}
RANDOM=$((10#$SEED % 32768))

vm -n again up --no-wait --cpus 2 --memory 512M --crash-dumps "$work/again,count=100000" --on-crash reset \
	--vtl2-console --vtl2-append PARAVANE_ON_WORKER_DEATH=reset
echo "     # $CRASHES of each, SEED=$SEED"
n=0
# crash_at_random worker|control: at a moment between the start of diagnostics and four seconds later, when the guest boots
crash_at_random() {
	local who=$1 p before size ms=$((RANDOM % 4000))
	p=$(pid again "$who") || return 1
	before=$(resets again)
	sleep $((ms / 1000)).$(printf %03d $((ms % 1000)))
	echo "$who, process $p, after $ms ms"
	# a busy machine may let a connection wait longer than pvdiag does
	vm -n again diag crash "$p" || { sleep 1; vm -n again diag crash "$p"; } || return 1
	n=$((n + 1))
	appears 30 "$work/again/again-$n.core" && by_name "$work/again/again-$n.core" "$who" && reset_after again "$before" || return 1
	rm "$work/again/again-$n.core"
}
crashes() {
	local i
	for i in $(seq "$CRASHES"); do
		crash_at_random "$1" && continue
		echo "crash $i of $CRASHES"
		vm -n again logs | tail -n 8
		vm -n again logs vtl2 | grep -aE 'crash/|emergency|resets' | tail -n 8
		return 1
	done
}
crashes worker >"$work/out" 2>&1 && r=0 || r=1
check "the worker, $CRASHES times: a core by name, and a new life" bash -c 'cat "$1"; exit $0' $r "$work/out"
crashes control >"$work/out" 2>&1 && r=0 || r=1
check "the control process, $CRASHES times" bash -c 'cat "$1"; exit $0' $r "$work/out"
check "no core was left unfinished" bash -c '! ls "$0" | grep partial' "$work/again"
check "the guest comes up after all of it" python3 scripts/vm-agent.py "$PARAVANE_VMS/again/com2" wait 120
vm -n again down
finish
