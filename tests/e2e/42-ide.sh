#!/usr/bin/env bash
# A guest that knows no VMBus: the stock ata_piix finds a disk over NVMe and a CD behind the firmware's IDE function.
. "$(dirname "$0")/lib.sh"
image=$(mktemp) cd=$(mktemp)
# by instance: which of two comes first is not sure
n1=6e766d65-0001-4000-8000-7076686f7374 n2=6e766d65-0002-4000-8000-7076686f7374
truncate -s 64M "$image"
head -c 4M /dev/urandom >"$cd"
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -f "$image" "$cd"' EXIT
up ide --cpus 2 --memory 1G --nvme "$image" --nvme "$cd" --vtl2-append PARAVANE_IDE=nvme:$n1+trace,1:0=cd:nvme:$n2,ram:8M \
	--append 'console=ttyS0,115200 quiet modprobe.blacklist=hv_vmbus ata_piix.prefer_ms_hyperv=0'
# names follow no order: the master is $a, the slave $b
names='a=$(ls /sys/class/scsi_disk/0:0:0:0/device/block) b=$(ls /sys/class/scsi_disk/0:0:1:0/device/block);'
g() { vm -n ide exec --timeout 120 "$@"; }
n() { g "$names $*"; }
d() { vm -n ide diag "$@"; }
counter() { d inspect vm/chipset/ide/"$1" | grep -oE '[0-9]+$'; }
md5() { grep -oE '\b[0-9a-f]{32}\b' | head -n 1; }

check "PCI has the three functions" g 'cat /sys/bus/pci/devices/*/device | tr "\n" " " | grep -x "0x7192 0x7110 0x7111 "'
check "the guest finds its disk through ata_piix" g 'ide 30 && { k=50; while ! [ -e /sys/class/scsi_disk/0:0:0:0/device/block -a -e /sys/class/scsi_disk/0:0:1:0/device/block ] && [ $k -gt 0 ]; do k=$((k - 1)); sleep 0.2; done; } && readlink /sys/block/sda | grep -q 0000:00:07.1/ata1 && dmesg | grep -q "ata1.00: ATA-7: Virtual HD"'
check "at the legacy ports and lines" g 'grep -E "^ 14:.*ata_piix" /proc/interrupts && grep -E "^ 15:.*ata_piix" /proc/interrupts && dmesg | grep -q "cmd 0x1f0 ctl 0x3f6 bmdma 0xffa0 irq 14"'
check "master and slave, sizes are right" n '[ $(cat /sys/block/$a/size) = 131072 ] && [ $(cat /sys/block/$b/size) = 16384 ]'
check "by DMA, what is written is read back" n 'dd if=/dev/urandom of=/tmp/r bs=1M count=8 2>/dev/null
	dd if=/tmp/r of=/dev/$a bs=1M oflag=direct 2>/dev/null; dd if=/tmp/r of=/dev/$a bs=1M seek=40 oflag=direct 2>/dev/null
	[ "$(md5sum </tmp/r)" = "$(dd if=/dev/$a bs=64k count=128 iflag=direct 2>/dev/null | md5sum)" ]'
check "it was DMA, straight from the guest's pages" bash -c '[ "$(scripts/vm -n ide diag inspect -r vm/chipset/ide/primary/0/disk | grep -E "^ +direct:" | grep -cE "[1-9]")" -ge 1 ]'
check "it moved by the bus master" [ "$(counter primary/0/dma_bytes)" -ge $((24 << 20)) ]
a=$(counter primary/0/flushes)
check "a sync" n 'dd if=/dev/zero of=/dev/$a bs=4k seek=16000 count=1 conv=fsync 2>/dev/null'
check "reaches the disk as a flush" [ "$(counter primary/0/flushes)" -gt "$a" ]
check "the slave on its own" n 'dd if=/tmp/r of=/dev/$b bs=1M count=4 oflag=direct 2>/dev/null; [ "$(dd if=/tmp/r bs=1M count=4 2>/dev/null | md5sum)" = "$(dd if=/dev/$b bs=1M count=4 iflag=direct 2>/dev/null | md5sum)" ]'
check "a discard gives zeroes" n 'blkdiscard -o 0 -l 1048576 /dev/$b && dd if=/dev/$b bs=1M count=1 iflag=direct 2>/dev/null | tr -d "\0" | wc -c | grep -x 0'
n 'm=$(md5sum </tmp/r); (while [ ! -e /tmp/enough ]; do dd if=/tmp/r of=/dev/$b bs=64k oflag=direct count=96
	[ "$(dd if=/dev/$b bs=64k count=96 iflag=direct | md5sum)" = "$(dd if=/tmp/r bs=1M count=6 | md5sum)" ] || echo bad >/tmp/bad; done >/dev/null 2>&1; echo >/tmp/over) &' >/dev/null 2>&1
check "while it writes and reads, the state of the controller and all else is saved and put back three times" round_trips ide 3
check "no byte is another" n 'touch /tmp/enough; k=300; while [ ! -e /tmp/over ] && [ $k -gt 0 ]; do k=$((k - 1)); sleep 0.2; done; ls /tmp; [ -e /tmp/over ] && [ ! -e /tmp/bad ]'
want=$(md5sum <"$cd" | md5)
check "the CD is /dev/sr0" g '[ $(cat /sys/block/sr0/size) = 8192 ] && grep -q "Virtual CD" /sys/block/sr0/device/model'
check "and has the file's bytes" [ "$want" = "$(g 'dd if=/dev/sr0 bs=64k 2>/dev/null | md5sum' | md5)" ]
check "so far no reset, time-out or error in the guest" g '! dmesg | grep -E "ata[12].*(exception|failed|reset|timeout)"'
check "nobody writes to it" g '! dd if=/tmp/r of=/dev/sr0 bs=2k count=1 oflag=direct 2>/dev/null'
# the same machine again, with a driver that may do PIO only
p=$(counter primary/0/pio_bytes)
check "the driver comes back for PIO" g 'rmmod sr_mod sd_mod ata_piix libata && ide 30 pio4 && sleep 3 && dmesg | grep "ata1.00: FORCE: xfer_mask set to pio4"'
check "by PIO, it reads and writes too" n 'b=$(dd if=/dev/$a bs=64k count=16 iflag=direct 2>/dev/null | md5sum); dd if=/tmp/r of=/dev/$a bs=64k count=16 seek=160 oflag=direct 2>/dev/null
	[ "$b" = "$(dd if=/tmp/r bs=1M count=1 2>/dev/null | md5sum)" ] && [ "$b" = "$(dd if=/dev/$a bs=64k count=16 skip=160 iflag=direct 2>/dev/null | md5sum)" ]'
check "the CD by PIO" [ "$(head -c 256K "$cd" | md5sum | md5)" = "$(g 'dd if=/dev/sr0 bs=64k count=4 2>/dev/null | md5sum' | md5)" ]
check "it went through the data port" [ "$(($(counter primary/0/pio_bytes) - p))" -ge $((3 << 20)) ]
check "its drive is in PIO mode 4" matches "transfer_mode: 0xc" d inspect -r vm/chipset/ide/primary/0
check "no reset, time-out or error in the guest" g '! dmesg | grep -E "'"$warnings"'|I/O error|ata[12].*(exception|failed|reset|timeout)"'
check "nothing was ignored, no table was bad" bash -c '! scripts/vm -n ide diag inspect -r vm/chipset/ide | grep -E "(ignored|bad_prds): [1-9]"'
r=$(g 'sync; md5sum </tmp/r' | md5)
vm -n ide down
part() { tail -c +$((($1 << 20) + 1)) "$image" | head -c $(($2 << 20)) | md5sum | md5; }
check "the host's file has the bytes, twice" [ "$r $r" = "$(part 0 8) $(part 40 8)" ]
check "and those that went by PIO" [ "$(part 0 1)" = "$(part 10 1)" ]
finish
