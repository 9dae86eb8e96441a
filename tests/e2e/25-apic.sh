#!/usr/bin/env bash
# A host that offers VTL0 no local APIC: the firmware plays it, with SynIC and timers.
# needs: guest-newer.initrd
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/shape_lib.sh"
row=(2 512M 64M vmm newer)
shape "${row[@]}"
image=$(mktemp) vmgs=$(mktemp)
truncate -s 64M "$image"
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -f "$image" "$vmgs"' EXIT
up apic "${shape[@]}" --nvme "$image" --vmgs "$vmgs" --watchdog
g() { vm -n apic exec --timeout 120 "$@"; }
d() { vm -n apic diag "$@"; }
m() { vm -n apic monitor "$@"; }
value() { d inspect "vm/partition/vps/$1" | grep -oE '[0-9]+$' | tail -n 1; }
above() { [ "$1" -gt "$2" ] || { echo "$1 is not above $2"; return 1; }; }

has_shape apic "${row[@]}"
check "it uses the APIC in x2APIC mode, and its lazy EOI" g 'dmesg | grep "enlightened APIC (x2apic mode)"'
check "the hypervisor's APIC of VTL0 had nothing to do" matches 'vtl0: .* interrupts 0 ' m 'info exits'
check "both take timer interrupts" g 'awk "/HVS:|LOC:/ {a += \$2; b += \$3} END {exit !(a > 0 && b > 0)}" /proc/interrupts'
check "IPIs arrive, both ways" g 'for c in 0 1; do taskset $((c + 1)) sh -c "i=0; while [ \$i -lt 300 ]; do i=\$((i + 1)); done" & done; wait
	awk "/RES:|CAL:/ {a += \$2; b += \$3} END {exit !(a > 0 && b > 0)}" /proc/interrupts'
check "a halted processor waits on its executor" above "$(value 1/apic/halts)" 0
check "interrupts that need no end cost no exit" above "$(value 0/apic/eois_saved)" 100
check "the guest finds its disk on VMBus" g 'disks 30; n=300; while ! ls /sys/block | grep -q ^sd && [ $n -gt 0 ]; do n=$((n - 1)); sleep 0.1; done; ls /sys/block | grep -q ^sd'
check "what is written is read back, from both processors" g 's=/dev/$(ls /sys/class/scsi_disk/0:0:0:0/device/block); dd if=/dev/urandom of=/tmp/r bs=1M count=4 2>/dev/null
	taskset 1 dd if=/tmp/r of=$s bs=1M oflag=direct 2>/dev/null
	[ "$(md5sum </tmp/r)" = "$(taskset 2 dd if=$s bs=64k count=64 iflag=direct 2>/dev/null | md5sum)" ]'
check "messages and event flags went through the SynIC played here" above "$(value 0/apic/synic/events)" 0
check "user space may touch ports: its task register is as it was loaded" g 'ports 0x71 2000'
check "a sleep lasts as long as the host says" g 'a=$(cut -d" " -f1 /proc/uptime); sleep 5; b=$(cut -d" " -f1 /proc/uptime); awk -v a=$a -v b=$b "BEGIN {exit !(b - a >= 5 && b - a < 8)}"'
g 's=/dev/$(ls /sys/class/scsi_disk/0:0:0:0/device/block); m=$(md5sum </tmp/r); (while [ ! -e /tmp/enough ]; do
	dd if=/tmp/r of=$s bs=64k seek=100 oflag=direct; [ "$(dd if=$s bs=64k skip=100 count=64 iflag=direct | md5sum)" = "$m" ] || echo bad >/tmp/bad
	done >/dev/null 2>&1; echo >/tmp/over) &' >/dev/null 2>&1
check "while it writes and reads, the state of VPs, APICs and devices is saved and put back five times" round_trips apic 5
check "no byte is another, and it goes on" g 'touch /tmp/enough; k=300; while [ ! -e /tmp/over ] && [ $k -gt 0 ]; do k=$((k - 1)); sleep 0.2; done; ls /tmp; [ -e /tmp/over ] && [ ! -e /tmp/bad ]'
check "pause and resume" bash -c 'scripts/vm -n apic diag pause && sleep 2 && scripts/vm -n apic diag resume'
check "and it goes on" matches '^2$' g nproc
# stalls are told, not judged: with other machines beside it QEMU takes longer for a tick than its 4 ms, and the guest does
# nothing but ticks; whether that is all there is to it is not known yet
check "no warning in the guest" g '! dmesg | grep -v "soft lockup" | grep -E "'"$warnings"'"'
echo "     # stalls seen by the guest: $(g 'dmesg | grep -cE "soft lockup|rcu.*stalls on"')"
resets() { m 'info vtl' | sed -n 's/^resets //p'; }
check "the guest's watchdog is Linux's by ACPI's table" matches wdat_wdt g 'insmod /lib/modules/watchdog.ko; insmod /lib/modules/wdat_wdt.ko; cat /sys/class/watchdog/watchdog0/identity'
check "which did nothing before this boot" matches '^0$' g 'cat /sys/class/watchdog/watchdog0/bootstatus'
check "fed, it does nothing" g 'watchdog -T 8 -t 1 /dev/watchdog0 && sleep 10'
check "and it runs" matches 'runs: true' d inspect vm/chipset/watchdog
reset_by_watchdog() {
	g 'kill -9 $(pidof watchdog)' >/dev/null 2>&1 &
	for _ in $(seq 60); do
		[ "$(resets)" != 1 ] || break
		sleep 0.5
	done
	for _ in $(seq 60); do
		vm -n apic exec --timeout 20 nproc 2>/dev/null | grep -qx 2 && return 0
		sleep 1
	done
	return 1
}
check "left alone, it resets the guest, which comes up again with both processors" reset_by_watchdog
check "the host is told so" matches "the guest's watchdog expired" vm -n apic logs
# WDIOF_CARDRESET
check "so is the guest" matches '^32$' g 'insmod /lib/modules/watchdog.ko; insmod /lib/modules/wdat_wdt.ko; cat /sys/class/watchdog/watchdog0/bootstatus'
g '(sleep 1; poweroff) &' >/dev/null 2>&1
check "poweroff" vm -n apic wait 90
check "and only once" matches '\b00\b' "$O/native/bin/pvvmgs" dump --hex "$vmgs" guest-watchdog
vm -n word up --vtl2-append "PARAVANE_CPUID=-avx,-lm" --firmware-log - --no-wait >/dev/null
check "a CPUID policy that is not understood ends the machine" bash -c 'scripts/vm -n word wait 60; [ $? = 3 ]'
check "it says why" matches "the worker cannot go on: PARAVANE_CPUID .*: no feature is called 'lm'" vm -n word logs
finish
