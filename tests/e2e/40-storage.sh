#!/usr/bin/env bash
# SCSI disks over VMBus: the stock guest's hv_storvsc and sd against the firmware's server, with two VPs and sub-channels.
. "$(dirname "$0")/lib.sh"
up disks --cpus 2 --memory 1G --vtl2-append "PARAVANE_DISKS=ram:64M+fault+trace,ram:16M:4k+ro,ram:4M+delay"
g() { vm -n disks exec --timeout 120 "$@"; }
d() { vm -n disks diag "$@"; }

check "no disk module is loaded yet" g '! [ -e /dev/sda ]'
check "the guest finds its disks" g 'disks 30; n=100; while [ $(ls /sys/block | grep -c ^sd) -lt 3 ] && [ $n -gt 0 ]; do n=$((n - 1)); sleep 0.1; done; ls /sys/block | grep -c ^sd | grep -x 3'
# names follow no order: LUN 0 is $rw, LUN 1 is $ro, LUN 2 is $slow
g 'rw=/dev/$(ls /sys/class/scsi_disk/0:0:0:0/device/block) ro=/dev/$(ls /sys/class/scsi_disk/0:0:0:1/device/block) slow=/dev/$(ls /sys/class/scsi_disk/0:0:0:2/device/block); echo "rw=$rw ro=$ro slow=$slow" >/tmp/names' >/dev/null 2>&1
check "they are Hyper-V's kind of disk" g 'grep -l "Virtual Disk" /sys/class/scsi_disk/*/device/model | grep -c . | grep -x 3'
check "sizes are what was asked for" g '. /tmp/names; [ $(cat /sys/block/${rw#/dev/}/size) = 131072 ] && [ $(cat /sys/block/${ro#/dev/}/size) = 32768 ]'
check "the sector size is what was asked for" g '. /tmp/names; [ $(cat /sys/block/${ro#/dev/}/queue/logical_block_size) = 4096 ] && [ $(cat /sys/block/${rw#/dev/}/queue/logical_block_size) = 512 ]'
check "the guest opened a channel a VP" matches 'max_sub_channels: 1' d inspect -r vm/storage/scsi0
check "both channels are ready" bash -c '[ "$(scripts/vm -n disks diag inspect -r vm/storage/scsi0/channels | grep -c "state: ready")" = 2 ]'
check "what is written is read back, from both processors" g '. /tmp/names; dd if=/dev/urandom of=/tmp/r bs=1M count=4 2>/dev/null; taskset 1 dd if=/tmp/r of=$rw bs=1M oflag=direct 2>/dev/null; taskset 2 dd if=/tmp/r of=$rw bs=1M seek=16 oflag=direct 2>/dev/null
	a=$(md5sum </tmp/r); b=$(taskset 2 dd if=$rw bs=128k count=32 iflag=direct 2>/dev/null | md5sum); c=$(taskset 1 dd if=$rw bs=1M skip=16 count=4 iflag=direct 2>/dev/null | md5sum); [ "$a" = "$b" ] && [ "$a" = "$c" ]'
check "a channel moves to another processor and back" g 'cd /sys/bus/vmbus/devices/*/channels/1 && for i in 1 0 1; do echo $i >cpu && grep -qx $i cpu || exit 1; . /tmp/names; [ "$(dd if=$rw bs=128k count=32 iflag=direct 2>/dev/null | md5sum)" = "$(md5sum </tmp/r)" ] || exit 2; done'
check "and the firmware with it" matches 'vp: 1' d inspect -r vm/vmbus/channels/1
check "odd sizes and places" g '. /tmp/names; dd if=/tmp/r of=$rw bs=3584 seek=7 count=300 conv=notrunc oflag=direct 2>/dev/null; a=$(dd if=/tmp/r bs=3584 count=300 2>/dev/null | md5sum); b=$(dd if=$rw bs=3584 skip=7 count=300 iflag=direct 2>/dev/null | md5sum); [ "$a" = "$b" ]'
check "a sync reaches the disk as a flush" bash -c 'flushes() { scripts/vm -n disks diag inspect vm/storage/scsi0/luns/0/disk/flush/count | grep -oE "[0-9]+$"; }; a=$(flushes); scripts/vm -n disks exec ". /tmp/names; dd if=/dev/zero of=\$rw bs=4k count=1 conv=fsync 2>/dev/null"; [ "$(flushes)" -gt "$a" ]'
check "a discard gives zeroes" g '. /tmp/names; dd if=/tmp/r of=$rw bs=1M count=2 oflag=direct 2>/dev/null; blkdiscard -o 0 -l 1048576 $rw; dd if=$rw bs=1M count=1 iflag=direct 2>/dev/null | tr -d "\0" | wc -c | grep -x 0'
check "the read-only disk refuses writes" g '. /tmp/names; ! dd if=/tmp/r of=$ro bs=4k count=1 oflag=direct 2>/dev/null'
check "a read error arrives in the guest" bash -c 'f=vm/storage/scsi0/luns/0/disk/below/below
	set() { scripts/vm -n disks diag inspect -u "$2" $f/$1 >/dev/null; }
	set op_mask 1; set fault 1; set one_in 1; scripts/vm -n disks diag inspect -r $f >/dev/null
	scripts/vm -n disks exec ". /tmp/names; ! dd if=\$rw of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null" && r=0 || r=1
	set fault 0; scripts/vm -n disks diag inspect -r $f >/dev/null
	scripts/vm -n disks exec "dmesg | grep -q \"Medium Error\"" && [ $r = 0 ]'
check "afterwards it reads again" g '. /tmp/names; dd if=$rw of=/dev/null bs=4k count=1 iflag=direct'
# a disk that takes half a minute to answer
delay() { d inspect -u "$1" vm/storage/scsi0/luns/2/disk/below/delay_us && d inspect -r vm/storage/scsi0/luns/2/disk/below; } >/dev/null
delay 30000000
g '. /tmp/names; dd if=$slow of=/tmp/slow bs=4k count=1 iflag=direct 2>/dev/null &' >/dev/null 2>&1
check "its request waits" soon 10 matches 'waiting: 1' d inspect -r vm/storage/scsi0/luns/2/disk/below
check "the state is not taken before it has answered, which is said" matches 'a disk does not answer' bash -c '! scripts/vm -n disks diag --timeout 60 dump-saved-state 2>&1 >/dev/null'
check "the guest goes on meanwhile" g '. /tmp/names; [ ! -s /tmp/slow ] && dd if=$rw of=/dev/null bs=4k count=1 iflag=direct'
delay 1000
check "and has its answer in the end" soon 60 g '[ -s /tmp/slow ]'
check "then the state is taken" bash -c '[ $(scripts/vm -n disks diag --timeout 60 dump-saved-state | wc -c) -gt 2000 ]'
check "the driver leaves and comes back" g 'for i in 1 2; do rmmod sd_mod hv_storvsc || exit 1; disks 30 || exit 1; sleep 1; done; . /tmp/names; rw=/dev/$(ls /sys/class/scsi_disk/0:0:0:0/device/block); b=$(dd if=$rw bs=1M skip=16 count=4 iflag=direct 2>/dev/null | md5sum); [ "$(md5sum </tmp/r)" = "$b" ]'
check "no GPADL and no channel was left behind" bash -c 'scripts/vm -n disks diag inspect -r vm/vmbus | grep -qE "^gpadls: [12]$"'
check "the guest made no mistake in the server's eyes" bash -c '! scripts/vm -n disks diag inspect -r vm/vmbus | grep -E "mistakes: [1-9]" && ! scripts/vm -n disks diag inspect -r vm/storage | grep -E "mistakes: [1-9]"'
check "no warning or oops in the guest" g '! dmesg | grep -E "'"$warnings"'|Call Trace"'
vm -n disks down
finish
