#!/usr/bin/env bash
# The guest goes away and comes again: storage driver unbound and loaded anew, kernel after kernel by kexec without a word to the
# firmware but VMBus's, and resets of the machine. Nothing may be more after the last than after the first, as the kernels beneath
# count: VTL2's for the worker (pvdiag inspect proc), the machine's for pvhost (info process).
# REBOOTS, KEXECS, RELOADS: how many of each. hv_vmbus itself is not unloaded: a Linux guest on AMD hangs then, its local APIC
# timer having become a broadcast device without replacement.
. "$(dirname "$0")/lib.sh"
REBOOTS=${REBOOTS:-2} KEXECS=${KEXECS:-2} RELOADS=${RELOADS:-3}
work=$(mktemp -d)
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -rf "$work"' EXIT
mkdir "$work/root"
cp -L "$O/deps/guest/vmlinuz" "$O/guest.initrd" "$work/root/"
truncate -s 64M "$work/disk.img"
mke2fs -q -t ext4 -d "$work/root" "$work/disk.img" || exit 1
g() { vm -n again exec --timeout 120 "$@"; }
d() { vm -n again diag "$@"; }
# the disk is there, and read and written a little: each life has done the same when it is measured
use='disks 60 && mkdir -p /k && mount -t ext4 /dev/sda /k && dd if=/k/vmlinuz of=/dev/null bs=256k iflag=direct 2>/dev/null &&
	dd if=/dev/zero of=/k/scratch bs=64k count=16 oflag=direct 2>/dev/null && sync'
leave='umount /k'

# ---- what is counted: lines "name value"
counts_inside() {
	d inspect -r proc | awk '
		/^ *[a-z]*:$/ { who = $1; sub(":", "", who) }
		who == "meminfo" && $1 ~ /^(Slab|MemAvailable|HugePages_Total):$/ || who ~ /worker|control/ && $1 ~ /^(descriptors|threads|Pss):$/ {
			sub(":", "", $1); print who "." $1, $2 }'
	d inspect -r vm/vmbus | awk '/^ *gpadls:/ { print "gpadls", $2 } /^ *opens:/ { n++ } END { print "channels", n + 0 }'
	d inspect -r vm/storage | awk '/^ *under_way:/ { n += $2 } END { print "requests", n + 0 }'
}
# pvhost's own memory is Pss_Anon: the rest is the guest's and the firmware's, which grows as they touch it
counts_outside() {
	vm -n again monitor 'info process' | awk '
		$1 == "memory_kib" { for (i = 2; i < NF; i += 2) if ($i == "Pss_Anon") print "pvhost." $i, $(i + 1); next }
		{ sub(":", "", $2); print "pvhost." $1, $2; for (i = 3; i < NF; i += 2) print "pvhost." $i, $(i + 1) }'
}
# no_growth FIRST LAST KIB: counts may not be more, memory by so many KiB (MemAvailable less, by four
# times as much: it is the kernel's estimate, and moves with its lists of free pages)
no_growth() {
	awk -v slack="$3" '
		NR == FNR { was[$1] = $2; next }
		!($1 in was) { print "new: " $0; bad = 1; next }
		{ seen++; more = $2 - was[$1]; memory = $1 ~ /Pss|Slab/ }
		$1 ~ /MemAvailable/ { more = -more / 4; memory = 1 }
		more > (memory ? slack : 0) { print $1 ": " was[$1] " became " $2; bad = 1 }
		END { exit bad || seen < 4 }' "$1" "$2"
}
told() { join <(sort "$1") <(sort "$2") | awk '{ printf "%s %s->%s ", $1, $2, $3 } END { print "" }' | fold -sw 110 | sed 's/^/     # /'; }
# life N: the guest's agent answers in the kernel that was started with life=N
life() {
	for _ in $(seq 60); do
		vm -n again exec --timeout 5 "grep -q 'life=$1\\b' /proc/cmdline" 2>/dev/null && return
		sleep 1
	done
	return 1
}

up again --cpus 2 --memory 512M --nvme "$work/disk.img" --append "console=ttyS0,115200 quiet life=0"
was=$(d inspect worker)
check "the first life uses its disk" g "$use"

# ---- the driver goes and comes
reload() {
	local id i
	id=$(g 'ls /sys/bus/vmbus/drivers/hv_storvsc' | grep -oE '[0-9a-f-]{36}' | head -n 1)
	[ -n "$id" ] || return 1
	for i in $(seq "$1"); do
		if [ $((i % 2)) = 0 ]; then
			g "$leave && echo $id >/sys/bus/vmbus/drivers/hv_storvsc/unbind && echo $id >/sys/bus/vmbus/drivers/hv_storvsc/bind && sleep 1 && $use" || return 1
		else
			g "$leave && rmmod hv_storvsc && sleep 0.5 && $use" || return 1
		fi
	done
}
check "hv_storvsc unloaded and loaded" reload 1
counts_inside >"$work/reload.1"
check "unloaded or unbound and back, $((RELOADS - 1)) times more" reload $((RELOADS - 1))
counts_inside >"$work/reload.n"
told "$work/reload.1" "$work/reload.n"
check "nothing more is held for it in the firmware" no_growth "$work/reload.1" "$work/reload.n" 256

# ---- kernel after kernel, the firmware stays
next_kernel() {
	local i
	for i in $(seq "$1" "$2"); do
		vm -n again exec --timeout 10 "kexec /k/vmlinuz /k/guest.initrd 'console=ttyS0,115200 quiet life=$i'" >"$work/kexec.out" 2>&1
		life "$i" || { cat "$work/kexec.out"; return 1; }
		g "$use" || return 1
	done
}
check "kexec: another kernel takes over, and has the disk" next_kernel 1 1
counts_inside >"$work/kexec.1"
counts_outside >"$work/kexec-outside.1"
check "$((KEXECS - 1)) more" next_kernel 2 "$KEXECS"
counts_inside >"$work/kexec.n"
counts_outside >"$work/kexec-outside.n"
told "$work/kexec.1" "$work/kexec.n"
check "nothing more is held for the guest in the firmware" no_growth "$work/kexec.1" "$work/kexec.n" 256
told "$work/kexec-outside.1" "$work/kexec-outside.n"
check "nor by pvhost" no_growth "$work/kexec-outside.1" "$work/kexec-outside.n" 512
check "the same worker all the time" [ "$was" = "$(d inspect worker)" ]
check "the guest made no mistake in the server's eyes" bash -c '! scripts/vm -n again diag inspect -r vm/storage vm/vmbus | grep -E "mistakes: [1-9]"'

# ---- resets of the machine
reboot_guest() {
	local i before after
	for i in $(seq "$1"); do
		before=$(vm -n again monitor 'info vtl' | sed -n 's/^resets //p')
		vm -n again exec --timeout 5 'sync; umount /k; reboot -f' >/dev/null 2>&1
		for _ in $(seq 60); do
			after=$(vm -n again monitor 'info vtl' | sed -n 's/^resets //p')
			[ "${after:-0}" -le "$before" ] || break
			sleep 0.5
		done
		[ "${after:-0}" -gt "$before" ] && life 0 && g "$use" || return 1
	done
}
check "the guest resets the machine" reboot_guest 1
counts_outside >"$work/reset.1"
counts_inside >"$work/inside.1"
check "$((REBOOTS - 1)) times more" reboot_guest $((REBOOTS - 1))
counts_outside >"$work/reset.n"
counts_inside >"$work/inside.n"
told "$work/reset.1" "$work/reset.n"
check "pvhost holds nothing more of the kernel" no_growth "$work/reset.1" "$work/reset.n" 1024
check "each life of the firmware is like the first" no_growth "$work/inside.1" "$work/inside.n" 512
check "it powers off" bash -c 'scripts/vm -n again exec --timeout 5 "umount /k; poweroff -f" >/dev/null 2>&1; scripts/vm -n again wait 60'
vm -n again down
check "e2fsck finds nothing to repair" e2fsck -fn "$work/disk.img"
finish
