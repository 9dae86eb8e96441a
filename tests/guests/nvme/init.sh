#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin LD_LIBRARY_PATH=/lib
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /tmp
echo "linux in VTL2 is up" >/dev/kmsg
exec socat VSOCK-LISTEN:1,fork,reuseaddr EXEC:/bin/shell
