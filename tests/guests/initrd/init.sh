#!/bin/busybox sh
# First program of the guest's initrd: fills the tree, then becomes busybox's init.
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /etc /root /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /tmp
hostname guest
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
