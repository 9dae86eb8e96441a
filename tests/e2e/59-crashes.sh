#!/usr/bin/env bash
# The worker, the control process and the TPM's process die at random moments, again and again in one machine: each leaves a core
# that gdb reads by name. For the first two the machine begins anew each time; the TPM's process does, and the guest runs on.
# CRASHES: how often, each (10). WHO: of whom (worker control). SEED: of the moments.
# limit: 1500
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/crash_lib.sh"
CRASHES=${CRASHES:-10} WHO=${WHO:-worker control} SEED=${SEED:-$(date +%N)}
RANDOM=$((10#$SEED % 32768))

vm -n again up --tpm --no-wait --cpus 2 --memory 512M --crash-dumps "$work/again,count=100000" --on-crash reset \
	--vtl2-console --vtl2-append PARAVANE_ON_WORKER_DEATH=reset
echo "     # $CRASHES of each, SEED=$SEED"
n=0
mkdir "$work/read"
# crash WHO: at a moment between the start of diagnostics and three seconds later, when the guest boots; each fifth not before it does,
# on a slow machine too (pvhost gives up firmware that dies 50 times without it). Its core is read while the next life begins.
crash() {
	local who=$1 p core ms=$((RANDOM % 3000))
	p=$(pid again "$who") || return 1
	[ $((n % 5)) != 4 ] || running again || return 1
	sleep $((ms / 1000)).$(printf %03d $((ms % 1000)))
	echo "$who, process $p, after $ms ms"
	# a busy machine may let a connection wait longer than pvdiag does
	vm -n again diag crash "$p" || { sleep 1; vm -n again diag crash "$p"; } || return 1
	core=$work/again/again-$((++n)).core
	appears 30 "$core" || return 1
	crashed=$p
	(by_name "$core" "$who" "$work/read/$who.$n" >/dev/null && mv "$work/read/$who.$n" "$work/read/$who.$n.good" && rm "$core") &
}
# the TPM's process comes again, or is refused: its secrets are not in the core
tpm_settles() { # tpm_settles PID: another one serves, or none will
	local i state
	for i in $(seq 300); do
		state=$(vm -n again diag inspect -r tpm 2>/dev/null)
		case $state in *"state: refused"*) echo "then it is refused"; return ;; esac
		[[ $state == *"state: ready"* && $state != *"pid: $1"* ]] && { echo "then it is ready"; return; }
		sleep 0.2
	done
	echo "no other TPM process after a minute: $state"
	return 1
}
# lives WHO [tpm]: CRASHES lives, each ended by a crash of WHO, with one of the TPM's process before
lives() {
	local i before
	for i in $(seq "$CRASHES"); do
		[ -z "${2:-}" ] || { crash tpm && tpm_settles "$crashed"; } || break
		before=$(resets again)
		crash "$1" && reset_after again "$before" || break
		[ "$i" -lt "$CRASHES" ] || { wait; return; }
	done
	wait
	echo "crash $i of $CRASHES"
	vm -n again logs | tail -n 8
	vm -n again logs vtl2 | grep -aE 'crash/|emergency|resets|tpm' | tail -n 12
	return 1
}
read_by_name() { # WHO: all of its cores were
	local f
	for f in "$work/read/$1".*; do case $f in *.good) ;; *) tail -n 30 "$f"; return 1 ;; esac; done
	[ "$(ls "$work/read/$1".*.good | wc -l)" = "$CRASHES" ] || { ls "$work/read"; return 1; }
}
if [[ $WHO == *worker* ]]; then
	lives worker tpm >"$work/out" 2>&1 && r=0 || r=1
	check "the worker, $CRASHES times: each a new life; before it the TPM's process, and another one" bash -c 'cat "$1"; exit $0' $r "$work/out"
fi
if [[ $WHO == *control* ]]; then
	lives control >"$work/out" 2>&1 && r=0 || r=1
	check "the control process, $CRASHES times" bash -c 'cat "$1"; exit $0' $r "$work/out"
fi
for who in ${WHO/worker/worker tpm}; do check "gdb reads each core of $who by name" read_by_name "$who"; done
check "no core was left unfinished" bash -c '! ls "$0" | grep partial' "$work/again"
check "the guest comes up after all of it" python3 scripts/vm-agent.py "$PARAVANE_VMS/again/com2" wait 120
vm -n again down
finish
