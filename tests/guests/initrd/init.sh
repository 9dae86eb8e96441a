#!/bin/busybox sh
# First program of the guest's initrd: fills the tree, then becomes busybox's init.
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /etc /root /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /tmp
hostname guest
# root=/dev/... on the command line: a disk's own system takes over
root=$(sed -n 's/.*\broot=\([^ ]*\).*/\1/p' /proc/cmdline)
# Linux looks at SCSI disks side by side and names them as it comes: give sda to the one of the lowest LUN
in_order() {
	[ "$(cat /proc/partitions | grep -c ' sd[a-z]$')" -gt 1 ] && [ ! -d /sys/class/scsi_disk/0:0:0:0/device/block/sda ] || return 0
	cd /sys/bus/scsi/drivers/sd || return 0
	set -- [0-9]*
	for d; do echo "$d" >unbind; done
	for d; do echo "$d" >bind; done
	cd /
}
if [ -n "$root" ]; then
	mkdir -p /root
	find=disks
	grep -q "modprobe.blacklist=[^ ]*hv_vmbus" /proc/cmdline && find=ide
	if $find 60 && sleep 1 && in_order && mount -t ext4 "$root" /root; then
		# our tools beside the system's own
		cp /bin/fsx /bin/churn /bin/ports /root/usr/local/bin/
		umount /proc /sys /tmp
		mount --move /dev /root/dev
		exec switch_root /root /sbin/init
	fi
	echo "initrd: $root cannot be mounted; a shell of the initrd follows"
fi
cat >/etc/inittab <<END
ttyS0::respawn:/bin/cttyhack /bin/sh -l
ttyS1::respawn:/bin/agent
::ctrlaltdel:/sbin/reboot
END
cat >/etc/profile <<END
export PS1='guest# ' PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root
cd /root
END
echo "Paravane guest: $(uname -sr), $(nproc) processors. 'poweroff' ends it, 'reboot' restarts it."
exec /sbin/init
