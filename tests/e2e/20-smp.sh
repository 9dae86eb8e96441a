#!/usr/bin/env bash
# Two VPs, two executors, one guest; two machines at once by name.
. "$(dirname "$0")/lib.sh"
up two --cpus 2 --memory 1G
g() { vm -n two exec --timeout 120 "$@"; }
d() { vm -n two diag "$@"; }
check "the guest has two processors" matches '^2$' g nproc
check "both take timer interrupts" g 'awk "/HVS:|LOC:/ {a += \$2; b += \$3} END {exit !(a > 0 && b > 0)}" /proc/interrupts'
check "both run at once" g 'for c in 0 1; do taskset $((c + 1)) sh -c "i=0; while [ \$i -lt 3000 ]; do i=\$((i + 1)); done" & done; wait'
check "IPIs arrive" g 'grep -E "RES:|CAL:" /proc/interrupts | awk "{n += \$2 + \$3} END {exit !(n > 0)}"'
check "both VPs' executors are seen" matches '^ *io: *[0-9]' d inspect -r vm/partition/vps/1
check "the host sees both in use" matches 'vp 1: started' vm -n two monitor 'info vp'
# a pause of the host's freezes the partition's time: TSC, reference counter, timers
m() { vm -n two monitor "$@"; }
g 'taskset 1 sh -c "while :; do :; done" & (i=0; while [ $i -lt 24 ]; do read t _ </proc/uptime; echo $t; sleep 0.5; i=$((i + 1)); done >/run/clock) &' >/dev/null 2>&1
sleep 2
stands() {
	local a b
	m pause
	a=$(m 'info vtl' | grep reference_time)
	sleep 25
	b=$(m 'info vtl' | grep reference_time)
	m pause
	m resume
	echo "$a, $b"
	[ -n "$a" ] && [ "$a" = "$b" ]
}
check "while pvhost holds it paused, time stands still" stands
check "it is not paused now" matches 'not paused' m resume
g 'while [ $(wc -l </run/clock) -lt 24 ]; do sleep 1; done; pkill -x sh; true' >/dev/null 2>&1
check "the guest's clock has no gap" g 'awk "NR > 1 && (\$1 - last > 10 || \$1 < last) {bad = 1} {last = \$1} END {print NR, last; exit bad || NR < 24}" /run/clock'
check "no stall was seen" g '! dmesg | grep -E "soft lockup|stalls on|unstable"'
check "no warning in the guest" g '! dmesg | grep -E "WARNING: CPU|BUG:|Oops|soft lockup"'
check "a second name is a second machine" matches 'is not up' vm -n other exec true
g '(sleep 1; poweroff) &' >/dev/null 2>&1
check "poweroff with two VPs" vm -n two wait 90
finish
