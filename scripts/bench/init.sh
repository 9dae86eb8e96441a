#!/bin/busybox sh
# The bench machine's only job: KVM where there is none. Loads it, starts pvhost with the options it was given, carries
# pvhost's sockets to TCP ports that only the machine outside can reach, and powers off when pvhost ends.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
echo 1 >/proc/sys/kernel/printk
# khugepaged would make 2 MiB of a page or two at a time of its own choosing, and tests count what pvhost has
echo never >/sys/kernel/mm/transparent_hugepage/enabled
while read -r m; do insmod "/modules/$m"; done </modules/order
ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up
ip link set lo up
for pair in 1:com1 2:com2 3:vsock 4:monitor 5:gdb; do
	socat -t 86400 "TCP-LISTEN:400${pair%%:*},fork,reuseaddr" "UNIX-CONNECT:/run/${pair##*:}" 2>/dev/null &
done
for disk in /sys/block/vd*; do
	[ ! -e "$disk/serial" ] || case $(cat "$disk/serial") in
	pvnvme* | pvvmgs) ln -s "/dev/${disk##*/}" "/dev/$(cat "$disk/serial")" ;;
	esac
done
if [ -e /extra/init.sh ]; then
	echo "bench: runs what it was given" # perhaps pvhost never comes
	. /extra/init.sh
fi
# what pvhost writes there are lines already
for tty in /dev/ttyS1 /dev/ttyS2; do stty -F $tty -opost 2>/dev/null; done
set --
while read -r arg; do set -- "$@" "$arg"; done </pvhost.args
ulimit -c 0
# cores go out as they come (scripts/bench/receive), those that are not whole at the end
send_cores() {
	for f in /run/cores/*."$1"; do
		[ -e "$f" ] || continue
		{ echo "${f##*/} $(stat -c %s "$f")"; cat "$f"; } | socat -t 60 - TCP:10.0.2.100:4005 2>/dev/null | grep -q ok && rm -f "$f" ||
			echo "bench: ${f##*/} was not taken"
	done
}
mkdir -m 700 /run/cores
sender=
case " $* " in *" --crash-dumps "*)
	while [ ! -e /run/ended ]; do send_cores core; sleep 0.2; done &
	sender=$!
	;;
esac
# scripts/vm lets nobody in before: what is said on a connection to a machine that does not listen yet would be lost
(
	while [ ! -S /run/monitor ]; do sleep 0.1; done # it is made last
	echo "bench: listens"
) &
/bin/pvhost "$@" </dev/null
status=$?
touch /run/ended
[ -z "$sender" ] || wait "$sender"
send_cores core
send_cores partial
echo "pvhost ended with status $status"
sync
poweroff -f
