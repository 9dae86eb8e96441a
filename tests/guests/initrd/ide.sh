#!/bin/busybox sh
# Loads what disks and CDs behind the PIIX's IDE function need, and waits until /dev/sda is there (or the seconds given are
# over). A second argument is libata's force=, e.g. pio4.
for m in scsi_common scsi_mod "libata ${2:+force=$2}" "ata_piix prefer_ms_hyperv=0" sd_mod cdrom sr_mod; do
	set -- "$1" $m
	grep -q "^$2 " /proc/modules || insmod /lib/modules/$2.ko $3 || exit 1
done
n=$((${1:-20} * 5))
while [ ! -b /dev/sda ] && [ $n -gt 0 ]; do
	n=$((n - 1))
	sleep 0.2
done
[ -b /dev/sda ]
