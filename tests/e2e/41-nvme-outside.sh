#!/usr/bin/env bash
# Our NVMe driver on controllers that nobody here wrote: QEMU's, in the bench machine, through VFIO behind Intel's IOMMU.
# needs: target/bin/nvme_drive
. "$(dirname "$0")/lib.sh"
work=$(mktemp -d)
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -rf "$work"' EXIT
extra=$work/extra
mkdir -p "$extra/modules"
cp "$O/target/bin/nvme_drive" "$extra/"
for m in irqbypass vfio vfio_virqfd vfio_iommu_type1 vfio-pci-core vfio-pci; do
	f=$(find -L "$O/deps/guest/modules" -name "$m.ko*" -print -quit)
	case $f in *.xz) xz -dc "$f" >"$extra/modules/$m.ko" ;; "") ;; *) cp "$f" "$extra/modules/" ;; esac
done
head -c 6M /dev/urandom >"$extra/first"
head -c 3M /dev/urandom >"$extra/second"
for f in a b c d e; do truncate -s 256M "$work/$f"; done
cat >"$extra/init.sh" <<'END'
for m in irqbypass vfio vfio_virqfd vfio_iommu_type1 vfio-pci-core vfio-pci; do
	[ ! -e /extra/modules/$m.ko ] || insmod /extra/modules/$m.ko 2>/dev/null # KVM has brought one of them
done
n=0
for f in /sys/bus/pci/devices/*; do
	[ "$(cat $f/class)" = 0x010802 ] || continue
	n=$((n + 1))
	echo vfio-pci >$f/driver_override
	[ ! -e $f/driver ] || echo ${f##*/} >$f/driver/unbind
	echo ${f##*/} >/sys/bus/pci/drivers_probe
	eval "f$n=$f"
	echo "controller $n: ${f##*/} group $(basename $(readlink $f/iommu_group)) driver $(basename $(readlink $f/driver))"
done
drive() {
	local name=$1
	shift
	# line by line: the machine outside waits for some of them
	/extra/nvme_drive "$@" 2>/run/$name.log | while read -r line; do
		case $line in *_us_below* | *": 0") ;; *) echo "$name: $line" ;; esac
	done
	head -n 80 /run/$name.log | sed "s/^/$name says: /" # the serial port is slow
}
drive many $f1 3 inspect copy:1:12000:/extra/first compare:1:12000:/extra/first copy:3:5000:/extra/second \
	load:1:3:11 load:3:3:12 load:2:2:13 compare:3:5000:/extra/second resets:1:4:14 deaf:3:2:15 disable:1:16 shutdown
drive again $f1 1 compare:3:5000:/extra/second load:3:1:21 event:60 shutdown
drive bad $f1 2 unreadable:4:8192 copy:4:0:/extra/second compare:4:0:/extra/second shutdown
drive hot $f2 2 copy:1:140000:/extra/second unplug:1:60:31
echo "pvhost ended with status 0"
sync
poweroff -f
END
drive() { printf -- '-drive if=none,id=%s,format=raw,discard=unmap,file=%s' "$1" "$work/$1"; }
export BENCH_EXTRA=$extra
export BENCH_QEMU="-device intel-iommu,intremap=on -machine kernel-irqchip=split -monitor unix:$work/hmp,server=on,wait=off
	$(drive a),iops=300 $(drive b) $(drive c) $(drive d)
	-device nvme,id=many,serial=MANY,max_ioqpairs=4,mdts=5,bus=pcie.0,addr=10
	-device nvme-ns,bus=many,drive=a,nsid=1
	-device nvme-ns,bus=many,drive=b,nsid=2
	-device nvme-ns,bus=many,drive=c,nsid=3,logical_block_size=4096,physical_block_size=4096
	-blockdev driver=blkdebug,node-name=e,image.driver=file,image.filename=$work/e,inject-error.0.event=none,inject-error.0.iotype=read,inject-error.0.errno=5,inject-error.0.sector=8192
	-device nvme-ns,bus=many,drive=e,nsid=4
	-device pcie-root-port,id=slot1,chassis=1,slot=1,bus=pcie.0,addr=11 -device nvme,id=hot,serial=HOT,drive=d,bus=slot1"
BENCH_QEMU=${BENCH_QEMU//$'\n'/ }
said() { grep -qE -- "$1" "$PARAVANE_VMS/outside/bench.log" 2>/dev/null; }
wait_said() {
	for _ in $(seq 1200); do
		! said "$1" || return 0
		! said 'ended with status' && kill -0 "$(cat "$PARAVANE_VMS/outside/pid")" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}
hmp() { printf '%s\n' "$1" | socat -t 2 - "UNIX-CONNECT:$work/hmp" >/dev/null; }
up outside --bench --no-wait --memory 64M
wait_said 'again: event: waiting' && hmp 'qom-set /machine/peripheral/many smart_critical_warning 4'
wait_said 'hot: unplug: waiting' && sleep 1 && hmp 'device_del hot'
wait_said 'ended with status'
log=$PARAVANE_VMS/outside/bench.log
has() { grep -E -- "$1" "$log" || { grep -a 'FAIL\|says: error' "$log"; tail -n 5 "$log" "$PARAVANE_VMS/outside/qemu.log"; return 1; }; }
check "both controllers are in IOMMU groups" [ "$(grep -c '^controller .* group [0-9]* driver vfio-pci' "$log")" = 2 ]
states='disabling enabling identifying asking counting listing identifying creating ready '
check "bring-up goes through its states" [ "$(sed -n 's/^many says: debug: nvme: [^ ]* \([a-z]*\).*/\1/p' "$log" | head -n 9 | tr '\n' ' ')" = "$states" ]
check "what Identify said is read" has '^many: serial: MANY'
check "a namespace has blocks of 4096 bytes" has '^many: *block_size: 4096'
check "a transfer is no longer than MDTS allows" has '^many: max_transfer: 131072'
check "512 bytes a block: written and read back" has '^many: compare: compared 6291456 bytes, sectors of 512'
check "4096 bytes a block: written and read back" has '^many: compare: compared 3145728 bytes, sectors of 4096'
check "random requests from three queues, three namespaces" [ "$(grep -cE '^many: load: load: reads [0-9]{3,}' "$log")" = 3 ]
check "resets under load: commands are given again" has '^many: resets 4, commands given again [1-9]'
check "commands that the device never sees: Abort, then a reset" has '^many: aborts [1-9][0-9]*, resets [1-9]'
check "disabled behind its back: the driver notices in 5 s" has '^many: recovered in [1-4]?[0-9]{1,3} ms'
check "shutdown is answered" has '^many: shutdown: shutdown ended with 0, CSTS 0'
check "another life, one queue: the bytes are there" has '^again: compare: compared 3145728'
check "an event is heard, its log read" has '^again: events [1-9].*critical warning 0x4'
check "an error of the medium is one, and only of its blocks" has '^bad: unreadable: the sector -5, with others -5, others 0'
check "removal under load: everything ends" has '^hot: removed after [1-9][0-9]* requests; the next one ends with -19'
check "nothing failed" bash -c '! grep FAIL "$1"' _ "$log"
# with other eyes: the files behind the namespaces
at() { tail -c +$(($2 + 1)) "$work/$1" | head -c "$3"; }
check "the host's file has the bytes, blocks of 512" cmp <(at a $((12000 * 512)) 6M) "$extra/first"
check "the host's file has the bytes, blocks of 4096" cmp <(at c $((5000 * 4096)) 3M) "$extra/second"
check "the removed device's file has the bytes" cmp <(at d $((140000 * 512)) 3M) "$extra/second"
grep -aE '^(many|again|hot): (load|resets|aborts|recovered|removed)' "$log" | sed 's/^/     # /'
finish
