#!/usr/bin/env bash
# One VP: a stock Debian kernel to its shell, seen from inside, from the host and through the firmware; reset and power-off.
# needs: guest-newer.initrd
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/shape_lib.sh"
row=(1 2G 32M hypervisor newer)
shape "${row[@]}"
up one "${shape[@]}" --vtl2-console --append "console=ttyS0,115200 quiet iomem=relaxed"
has_shape one "${row[@]}"
g() { vm -n one exec --timeout 120 "$@"; }
d() { vm -n one diag "$@"; }

check "uname names the stock Debian kernel" matches 'Linux guest 6\..*Debian|Linux guest .*cloud-amd64' g 'uname -a'
check "the guest has features that 20-smp hides" g 'for f in smap rdrand; do grep -qw $f /proc/cpuinfo || { echo $f; exit 1; }; done'
check "the guest sees Hyper-V" g 'dmesg | grep "Hypervisor detected: Microsoft Hyper-V"'
check "its timer is Hyper-V's" g 'grep -E "HVS: +[1-9]" /proc/interrupts'
check "the serial port interrupts" g 'grep -E ": +[1-9][0-9]* .*ttyS0" /proc/interrupts'
check "the clock source is Hyper-V's" matches 'hyperv_clocksource_tsc_page|tsc' g 'cat /sys/devices/system/clocksource/clocksource0/current_clocksource'
check "a command's status comes back" fails_with 7 . g 'echo out; exit 7'
check "time passes at the right rate" g 'a=$(cut -d. -f1 /proc/uptime); sleep 3; b=$(cut -d. -f1 /proc/uptime); [ $((b - a)) -ge 2 ] && [ $((b - a)) -le 6 ]'
check "the real-time clock's alarm rings" g 'echo $(($(cat /sys/class/rtc/rtc0/since_epoch) + 2)) >/sys/class/rtc/rtc0/wakealarm && n=60
	while ! grep -qE "^ *8: +[1-9].*rtc0" /proc/interrupts && [ $n -gt 0 ]; do n=$((n - 1)); sleep 0.2; done; grep -E "^ *8: +[1-9].*rtc0" /proc/interrupts'
check "hv_vmbus connects at once" g 'start=$(cut -d. -f1 /proc/uptime); insmod /lib/modules/hv_vmbus.ko && [ $(($(cut -d. -f1 /proc/uptime) - start)) -le 10 ] && dmesg | grep "Vmbus version:5.3"'
check "inspect shows the VMBus connection" matches 'version_minor: 3' d inspect -r vm/vmbus
check "no warning or oops in the guest" g '! dmesg | grep -E "'"$warnings"'|Call Trace"'
# VTL2's ticks fall between an access that pvhost answers and its completion: the load must not get lost
check "what the APIC's registers read is never lost" g '[ "$(for i in $(seq 400); do devmem 0xfee00030 32; done | sort -u | wc -l)" = 1 ]'
check "--append reaches the guest" matches iomem=relaxed g 'cat /proc/cmdline'
# lines "FROM TO" in hexadecimal: none of the guest's RAM may be VTL2's
apart() {
	local vtl2
	vtl2=$(vm -n one monitor 'info vtl' | sed -n 's/^vtl2 memory 0x\([0-9a-f]*\)-0x\([0-9a-f]*\).*/\1 \2/p')
	g 'sed -n "s/^ *\([0-9a-f]*\)-\([0-9a-f]*\) : System RAM/\1 \2/p" /proc/iomem' | python3 -c '
import sys
low, high = (int(x, 16) for x in sys.argv[1:])
ram = [[int(x, 16) for x in l.split()] for l in sys.stdin if l.strip()]
print("VTL2", sys.argv[1:], "RAM", ram)
sys.exit(not ram or any(a < high and b >= low for a, b in ram))' $vtl2
}
check "VTL2 memory is not in the guest's map" apart
check "the console answers" python3 tests/e2e/console.py "$PARAVANE_VMS/one/com1" 'echo answer-$((6*7))' 'answer-42'

check "monitor: info vtl" matches 'guest started' vm -n one monitor 'info vtl'
check "monitor: info exits counts port intercepts" matches 'io_port [1-9]' vm -n one monitor 'info exits'
check "monitor: info vp" matches 'vp 0: started' vm -n one monitor 'info vp'
check "monitor: info history" matches '^VP 0, exit [0-9]+: VTL[02] entered at 0x' vm -n one monitor 'info history'
check "monitor: GET was used" matches 'get: requests [1-9]' vm -n one monitor 'info devices'
check "monitor: unknown words are told so" matches 'not a command' vm -n one monitor 'frobnicate'

check "pvdiag ping" d ping
check "inspect shows VPs" matches 'vps' d inspect -r vm
check "inspect shows exits by reason" matches '^ *io: *[1-9]' d inspect -r vm/partition
check "inspect shows devices" matches 'ioapic|com1' d inspect -r vm/chipset
check "inspect shows the build" matches 'version|commit' d inspect -r build_info
check "inspect shows memory of the processes" matches '[pP]ss' d inspect -r proc
check "inspect --json parses" bash -c 'scripts/vm -n one diag inspect -r --json | python3 -m json.tool'
check "inspect of nothing is an error" fails_with 1 'no-such-node' d inspect vm/no-such-node
check "kmsg shows the firmware's log" matches 'worker|control' d kmsg
filter_takes_effect() {
	d inspect -u debug trace/filter >/dev/null || return 1
	matches 'debug' d inspect trace/filter || return 1
	g true
	timeout 8 scripts/vm -n one diag kmsg -f >"$PARAVANE_VMS/one/kmsg" 2>&1 &
	sleep 2; g true; wait
	d inspect -u info trace/filter >/dev/null
	matches 'info' d inspect trace/filter
}
check "a log filter changes at once" filter_takes_effect
check "a wrong filter is refused" fails_with 1 . d inspect -u no=such=level trace/filter
follow() {
	timeout 20 scripts/vm -n one diag kmsg -f >"$PARAVANE_VMS/one/follow" 2>/dev/null &
	local p=$! before
	sleep 4
	before=$(wc -c <"$PARAVANE_VMS/one/follow")
	kill -0 $p || return 1
	kill $p
	[ "$before" -gt 200 ]
}
check "kmsg -f follows" follow

reboots() {
	g '(sleep 1; reboot) &' >/dev/null 2>&1
	sleep 5
	python3 scripts/vm-agent.py "$PARAVANE_VMS/one/com2" wait 200 || return 1
	matches 'resets 1' vm -n one monitor 'info vtl' && matches 'Linux' g uname
}
check "reboot in the guest restarts the machine" reboots
check "the firmware answers after the reset" matches 'vps' d inspect -r vm
g '(sleep 1; poweroff) &' >/dev/null 2>&1
check "poweroff in the guest ends pvhost with status 0" vm -n one wait 90
vm -n one down
check "down leaves nothing" bash -c '! ls -d "$PARAVANE_VMS"/one 2>/dev/null'
finish
