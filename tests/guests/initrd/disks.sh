#!/bin/busybox sh
# Loads what SCSI disks over VMBus need, and waits until /dev/sda is there (or the seconds given are over).
for m in hv_vmbus scsi_common scsi_mod scsi_transport_fc hv_storvsc sd_mod; do
	grep -q "^$m " /proc/modules || insmod /lib/modules/$m.ko || exit 1
done
n=$((${1:-20} * 5))
while [ ! -b /dev/sda ] && [ $n -gt 0 ]; do
	n=$((n - 1))
	sleep 0.2
done
[ -b /dev/sda ]
