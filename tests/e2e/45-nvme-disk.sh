#!/usr/bin/env bash
# The guest's SCSI disk is a namespace of the NVMe controller that the host assigned: the guest's bytes are in the host's file.
. "$(dirname "$0")/lib.sh"
image=$(mktemp)
large=$(mktemp)
truncate -s 64M "$image" "$large"
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -f "$image" "$large"' EXIT
up join --cpus 2 --memory 1G --nvme "$image" --nvme "$large,block=4096" --vtl2-append PARAVANE_DISKS=nvme:0+trace,nvme:1
g() { vm -n join exec --timeout 120 "$@"; }
d() { vm -n join diag "$@"; }
# the sum of a counter over the queues
sum() { d inspect -r vm/storage/scsi0/luns/0/disk | awk -v n="$1:" '$1 == n {s += $2} END {print s + 0}'; }
# what the guest says, without what a console adds
md5() { grep -oE '\b[0-9a-f]{32}\b' | head -n 1; }

check "the guest finds the disk" g 'disks 30; n=300; while ! ls /sys/block | grep -q ^sd && [ $n -gt 0 ]; do n=$((n - 1)); sleep 0.1; done; s=/dev/$(ls /sys/class/scsi_disk/0:0:0:0/device/block) && echo "s=$s" >/tmp/names'
check "it has the file's size" g '. /tmp/names; [ $(cat /sys/block/${s#/dev/}/size) = 131072 ]'
check "the firmware says which disk it is" matches 'kind: nvme' d inspect -r vm/storage/scsi0/luns/0
check "what is written is read back, from both processors" g '. /tmp/names; dd if=/dev/urandom of=/tmp/r bs=1M count=8 2>/dev/null
	taskset 1 dd if=/tmp/r of=$s bs=1M oflag=direct 2>/dev/null; taskset 2 dd if=/tmp/r of=$s bs=1M seek=16 oflag=direct 2>/dev/null
	a=$(md5sum </tmp/r); b=$(taskset 2 dd if=$s bs=128k count=64 iflag=direct 2>/dev/null | md5sum); c=$(taskset 1 dd if=$s bs=1M skip=16 count=8 iflag=direct 2>/dev/null | md5sum)
	[ "$a" = "$b" ] && [ "$a" = "$c" ]'
check "odd sizes and places" g '. /tmp/names; dd if=/tmp/r of=$s bs=3584 seek=9500 count=300 conv=notrunc oflag=direct 2>/dev/null
	[ "$(dd if=/tmp/r bs=3584 count=300 2>/dev/null | md5sum)" = "$(dd if=$s bs=3584 skip=9500 count=300 iflag=direct 2>/dev/null | md5sum)" ]'
check "a disk of sectors of 4096 bytes is one for the guest, too" g 'n=100; while ! ls /sys/class/scsi_disk/0:0:0:1/device/block >/dev/null 2>&1 && [ $n -gt 0 ]; do n=$((n - 1)); sleep 0.1; done
	l=$(ls /sys/class/scsi_disk/0:0:0:1/device/block) && [ $(cat /sys/block/$l/queue/logical_block_size) = 4096 ] && [ $(cat /sys/block/$l/size) = 131072 ] &&
	dd if=/tmp/r of=/dev/$l bs=1M seek=3 oflag=direct 2>/dev/null && dd if=/tmp/r of=/dev/$l bs=12k seek=2000 count=300 conv=notrunc,fsync 2>/dev/null &&
	[ "$(dd if=/tmp/r bs=12k count=300 2>/dev/null | md5sum)" = "$(dd if=/dev/$l bs=12k skip=2000 count=300 iflag=direct 2>/dev/null | md5sum)" ]'
flushes() { d inspect vm/storage/scsi0/luns/0/disk/flush/count | grep -oE '[0-9]+$'; }
a=$(flushes)
check "a sync reaches the disk as a flush" g '. /tmp/names; dd if=/dev/zero of=$s bs=4k seek=16000 count=1 conv=fsync 2>/dev/null'
check "it was counted" [ "$(flushes)" -gt "$a" ]
check "direct transfers, through both queues" bash -c '
	[ "$(scripts/vm -n join diag inspect -r vm/storage/scsi0/luns/0/disk | grep -cE "direct: [1-9]")" = 2 ]'
echo "     # direct $(sum direct), bounced $(sum bounced), bytes copied $(sum bounced_bytes), errors $(sum errors)"
check "most went without a copy" [ "$(sum direct)" -gt "$(sum bounced)" ]
# what the controller does wrong stays between it and the firmware
m() { vm -n join monitor "nvme 0 fault $1" >/dev/null; }
d inspect -u 1000 vm/nvme/0001:00:00.0/controller/timeout_ms >/dev/null
for fault in duplicate/3 silent/31 corrupt/41 status:6/5 fatal/71; do
	g '. /tmp/names; dd if=/dev/zero of=$s bs=1M count=3 oflag=direct 2>/dev/null' >/dev/null
	m $fault
	check "under $fault no byte is another" g '. /tmp/names; dd if=/tmp/r of=$s bs=64k count=48 oflag=direct 2>/dev/null &&
		[ "$(dd if=/tmp/r bs=64k count=48 2>/dev/null | md5sum)" = "$(dd if=$s bs=64k count=48 iflag=direct 2>/dev/null | md5sum)" ]'
	m off
done
m media:1024+8
check "an error of the medium is one, and only there" g '. /tmp/names; ! dd if=$s of=/dev/null bs=4k skip=128 count=1 iflag=direct 2>/dev/null &&
	dd if=$s of=/dev/null bs=4k skip=129 count=8 iflag=direct 2>/dev/null'
m losewrite
check "a lost write is seen by who looks" g '. /tmp/names; dd if=/dev/zero of=$s bs=64k count=1 oflag=direct 2>/dev/null &&
	[ "$(dd if=/dev/zero bs=64k count=1 2>/dev/null | md5sum)" != "$(dd if=$s bs=64k count=1 iflag=direct 2>/dev/null | md5sum)" ]'
m off
want=$(g 'md5sum </tmp/r' | md5)
disk=$(g '. /tmp/names; sync; dd if=$s bs=1M iflag=direct 2>/dev/null | md5sum' | md5)
check "the guest made no mistake in the server's eyes" bash -c '! scripts/vm -n join diag inspect -r vm/storage | grep -E "mistakes: [1-9]"'
check "no warning or oops in the guest" g '! dmesg | grep -E "'"$warnings"'|Call Trace|I/O error" | grep -v "sector 102[4-9]\|sector 103[01]"'
check "unplugged, reads fail at once and the guest lives on" bash -c '
	scripts/vm -n join monitor "nvme 0 unplug" >/dev/null
	for _ in $(seq 20); do
		scripts/vm -n join diag inspect -r vm/nvme | grep -q "state: gone" && break; sleep 0.5
	done
	scripts/vm -n join exec --timeout 60 ". /tmp/names; ! dd if=\$s of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null"'
vm -n join down
check "the host's file has the bytes, twice" [ "$want" = "$(head -c 8M "$image" | md5sum | md5)" ]
check "also of 4096 bytes a sector" [ "$want" = "$(tail -c +3145729 "$large" | head -c 8M | md5sum | md5)" ]
same() { cmp <(head -c 8M "$image") <(tail -c +16777217 "$image" | head -c 8M); }
check "both processors wrote the same" same
check "the whole file is what the guest read" [ "$disk" = "$(md5sum <"$image" | md5)" ]
finish
