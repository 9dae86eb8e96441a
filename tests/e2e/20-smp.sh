#!/usr/bin/env bash
# Two VPs, two executors, one guest; two machines at once by name.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/shape_lib.sh"
row=(2 2G 64M,at=self hypervisor cloud)
shape "${row[@]}"
up two "${shape[@]}" --vtl2-append "PARAVANE_CPUID=-sha_ni,-smap,1:ecx:40000000:0 PARAVANE_WATCH=all"
g() { vm -n two exec --timeout 120 "$@"; }
d() { vm -n two diag "$@"; }
has_shape two "${row[@]}"
# 10-boot sees that they are there otherwise
check "no processor has the features that the policy hides" g '[ "$(grep -c "^flags.* aes" /proc/cpuinfo)" = 2 ] && ! grep -wE "sha_ni|smap|rdrand" /proc/cpuinfo'
check "inspect shows the policy" matches '7\.0: ebx clear 0x20100000 set 0' d inspect -r vm/partition/cpuid
system_calls_go_there() { # on VP $1; the guest says where its kernel has them begin
	local there
	there=$(g 'sed -n "s/ T entry_SYSCALL_64$//p" /proc/kallsyms') && [ -n "$there" ] && matches "last: 0x0*$there\$" d inspect -r "vm/partition/vps/$1/watch/lstar"
}
check "where system calls go was seen as it was written" system_calls_go_there 0
check "on the second VP too" system_calls_go_there 1
check "segments for them, as Linux has them" matches 'last: 0x23001000000000$' d inspect -r vm/partition/vps/1/watch/star
check "the log tells of it, and of where" matches 'VP 1: VTL0 writes lstar at 0xffff' d kmsg
check "both take timer interrupts" g 'awk "/HVS:|LOC:/ {a += \$2; b += \$3} END {exit !(a > 0 && b > 0)}" /proc/interrupts'
check "both run at once" g 'for c in 0 1; do taskset $((c + 1)) sh -c "i=0; while [ \$i -lt 3000 ]; do i=\$((i + 1)); done" & done; wait'
check "IPIs arrive" g 'grep -E "RES:|CAL:" /proc/interrupts | awk "{n += \$2 + \$3} END {exit !(n > 0)}"'
check "both VPs' executors are seen" matches '^ *io: *[0-9]' d inspect -r vm/partition/vps/1
check "the host sees both in use" matches 'vp 1: started' vm -n two monitor 'info vp'
# CONSOLE_IN KiB are pasted, CONSOLE_LINES lines printed on each console, in both at once: a byte costs more than one exit, and a
# bench machine makes a thousand of those in a second. make long TEST=console: 64 KiB, and 1 MiB on COM1.
IN=${CONSOLE_IN:-2} LINES_OUT=${CONSOLE_LINES:-1000}
bulk() { python3 tests/e2e/console_bulk.py "$PARAVANE_VMS/two/com1" "$@"; }
long_g() { vm -n two exec --timeout 7200 "$@"; }
pasted() {
	local sum
	sum=$(bulk paste "$IN") || { echo "$sum"; return 1; }
	[ "$(g 'sha256sum </tmp/pasted' | cut -c1-64)" = "$sum" ]
}
both_print() {
	local out p
	out=$(mktemp)
	long_g "seq 1 $((LINES_OUT > 10000 ? 10000 : LINES_OUT))" >"$out" &
	p=$!
	bulk print "$LINES_OUT" || return 1
	wait $p
	seq 1 $((LINES_OUT > 10000 ? 10000 : LINES_OUT)) | cmp - "$out"
}
both_take() { # COM2's input is the command itself
	local text sum
	text=$(head -c 1500 /dev/urandom | base64 -w 0)
	(for _ in 1 2 3; do [ "$(g "echo $text | md5sum")" = "$(echo "$text" | md5sum)" ] || exit 1; done) &
	pasted && wait $!
}
g 'dmesg -n 1' >/dev/null
check "$LINES_OUT lines printed on both consoles at once are complete and in order" both_print
check "$IN KiB pasted into one, with the other busy, arrive as they were" both_take
g 'for c in 1 2; do (while [ ! -e /tmp/enough ]; do date >>/tmp/date.$c; done) & done' >/dev/null 2>&1
check "while both work, their state is saved and put back five times" round_trips two 5
check "and they go on" g 'for c in 1 2; do cp /tmp/date.$c /tmp/was.$c; done; sleep 2; for c in 1 2; do ! cmp -s /tmp/date.$c /tmp/was.$c || exit 1; done; touch /tmp/enough'
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
check "no warning in the guest" g '! dmesg | grep -E "'"$warnings"'|soft lockup"'
check "a second name is a second machine" matches 'is not up' vm -n other exec true
g '(sleep 1; poweroff) &' >/dev/null 2>&1
check "poweroff with two VPs" vm -n two wait 90
finish
