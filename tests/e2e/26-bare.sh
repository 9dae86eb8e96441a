#!/usr/bin/env bash
# needs: bare-guest.img
# A guest without a kernel (tests/guests/bare): processor modes, memory that is not its own, accesses at random; and many short
# lives. SWEEP, INSTRUCTIONS, RESETS: how many cases, user-mode instructions among all kinds, and lives.
. "$(dirname "$0")/lib.sh"
SWEEP=${SWEEP:-10000} INSTRUCTIONS=${INSTRUCTIONS:-3000} RESETS=${RESETS:-4} SEED=${SEED:-7}
said=$(mktemp) extra=$(mktemp -d)
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -rf "$said" "$extra"' EXIT
bare() { # WORDS OPTION...: the machine is up; what the guest says goes to $said
	local words=$1
	shift
	: >"$said"
	vm -n bare up --no-wait --kernel "$O/bare-guest.img" --append "$words" --memory 512M --no-reboot "$@" >/dev/null 2>&1 || return 1
	for _ in $(seq 50); do [ ! -S "$PARAVANE_VMS/bare/com1" ] || break; sleep 0.2; done
	# the port is there once pvhost is: what was said before is kept for the first that listens
	(while [ -S "$PARAVANE_VMS/bare/com1" ]; do socat -u "UNIX-CONNECT:$PARAVANE_VMS/bare/com1" - 2>/dev/null; sleep 0.3; done >>"$said") &
}
ended() { # it powered off by itself and found nothing wrong
	vm -n bare wait "${1:-120}" || { vm -n bare logs | tail -n 20; return 1; }
	! grep FAIL "$said" && grep -qx 'done: 0 wrong' "$said" || { tail -n 20 "$said"; return 1; }
}

# What follows the modes is not judged: behind them the guest at times executes at 0x1001240, in the middle of an instruction, and
# ends in #UD. Whether that is QEMU 7.2's translator, which mixes two pages' bits of RIP, or ours is not known.
in_all_modes() {
	for _ in $(seq 120); do
		! grep -q 'an interrupt in real mode' "$said" || break
		sleep 0.5
	done
	[ "$(sed '/an interrupt in real mode/q' "$said" | grep -cE '(^|, )ok ')" = 10 ] || { cat "$said"; return 1; }
}
bare modes
check "ports, MMIO, CPUID and interrupts in 32 and 16 bit and real mode" in_all_modes
vm -n bare down
bare modes --apic vmm
check "also where the firmware plays the APIC" in_all_modes
vm -n bare down
bare "vectors protect testdev=7" --firmware-log - --vtl2-append PARAVANE_TESTDEV=1
check "x87 and SSE registers over exits; VTL2's memory from everywhere; devices of test suites, where the firmware is asked for them" ended
check "the host hears the value of a debug exit that is no success" matches 'parameters 0x7 ' vm -n bare logs
vm -n bare down
with_xsave "$extra" bare vectors
initial_state() { ended && [ "$(grep -c ': ok registers in their initial state' "$said")" = 5 ]; }
check "with XSAVE also registers in their initial state (XSTATE_BV clear)" initial_state
vm -n bare down
# QEMU's translator gives up ("tcg fatal error") on some of the instructions: these are cases that it bears
bare "seed=7 sweep=$INSTRUCTIONS"
check "$INSTRUCTIONS accesses and instructions at random" ended
sed -n 's/^\(instructions: .*\)/     # \1/p' "$said"
vm -n bare down
bare "protect seed=$SEED sweep=$SWEEP kinds=15" --apic vmm --vtl2-memory 32M,at=self
check "VTL2's memory likewise where the firmware plays the APIC and took its memory itself; then $SWEEP ports, MMIO, MSRs and hypercalls at random, seed $SEED" ended $((120 + SWEEP / 50))
grep -E '^(ports|MMIO|MSRs|hypercalls): ' "$said" | sed 's/^/     # /'
vm -n bare down

# what pvhost holds, as the kernel beneath it counts
process() {
	vm -n bare monitor 'info process' | awk '
		$1 == "memory_kib" { for (i = 2; i < NF; i += 2) if ($i == "Pss_Anon") print $i, $(i + 1); next }
		{ sub(":", "", $2); print $1, $2; for (i = 3; i < NF; i += 2) print $i, $(i + 1) }'
}
resets() { vm -n bare monitor 'info vtl' | sed -n 's/^resets //p'; }
lives() { # until so many resets
	for _ in $(seq $((60 + 60 * $1))); do
		vm -n bare list | grep -q ^bare || break
		n=$(resets)
		[ "${n:-0}" -lt "$1" ] || return 0
		sleep 0.5
	done
	echo "${n:-no} resets"
	return 1
}
grown() { join <(sort <<<"$1") <(sort <<<"$2") | awk '{ if ($3 > $2 + ($1 == "Pss_Anon" ? 1024 : 0)) { print; bad = 1 } n++ } END { exit bad || n < 3 }'; }
vm -n bare up --no-wait --kernel "$O/bare-guest.img" --append reset --memory 512M >/dev/null 2>&1
check "two lives" lives 2
was=$(process)
check "$RESETS lives" lives "$RESETS"
now=$(process)
check "pvhost holds no more after them" grown "$was" "$now"
join <(sort <<<"$was") <(sort <<<"$now") | awk '{ printf "%s %s->%s ", $1, $2, $3 } END { print "" }' | sed 's/^/     # /'
finish
