#!/usr/bin/env bash
# A stock Debian system whose root file system is on the assigned NVMe controller, reached through hv_storvsc, with four
# processors: it boots to a login, and what fio, fsx and fstrim do to it is checked in the guest and in the host's file.
# A second controller has an empty disk: VERIFY_MIB (16 here, 10240 in `make long TEST=verify`) are written to it and verified,
# half a GiB at a time.
# needs: root.ext4
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/shape_lib.sh"

image=$(mktemp) empty=$(mktemp)
truncate -s 512M "$empty"
cp --sparse=always -L "$O/root.ext4" "$image"
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -f "$image" "$empty"' EXIT
append="console=ttyS0,115200 root=/dev/sda quiet"
g() { vm -n root exec --timeout 300 "$@"; }
clean() { e2fsck -fn "$image"; }
quiet() { g '! dmesg | grep -E "'"$warnings"'|Call Trace|I/O error|hung task|EXT4-fs error"'; }
# the login prompt on COM1, as a person would see it
login() { python3 tests/e2e/console.py "$PARAVANE_VMS/root/com1" "" "login:"; }
no_mistake() { ! vm -n root diag inspect -r vm/storage | grep -E "mistakes: [1-9]"; }
fio="fio --ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 --verify_backlog=64 --blockalign=4096 --group_reporting --minimal"

row=(4 512M 32M hypervisor cloud)
shape "${row[@]}"
up root "${shape[@]}" --nvme "$image" --nvme "$empty" --append "$append"
has_shape root "${row[@]}"
check "the root file system is the disk" g '[ "$(findmnt -no SOURCE,FSTYPE / | tr -s " ")" = "/dev/sda ext4" ] && [ "$(nproc)" = 4 ]'
check "login on the console" login
check "systemd has no failed unit" g 'n=60; while [ "$(systemctl is-system-running)" = starting ] && [ $n -gt 0 ]; do n=$((n - 1)); sleep 1; done
	systemctl --failed --no-legend; [ "$(systemctl is-system-running)" = running ]'
check "fio, four jobs, mixed sizes, depth 64, verified" g "$fio --name=a --directory=/root --numjobs=4 --size=12M --rw=randrw --bsrange=4k-256k \
	--iodepth=64 --randseed=1 >/tmp/fio.out 2>&1 || { tail -n 5 /tmp/fio.out; false; }"
check "fio, sequential, depth 1, synchronous" g "$fio --name=b --directory=/root --size=8M --rw=write --bs=64k --iodepth=1 --fsync=16 \
	>/tmp/fio.out 2>&1 || { tail -n 5 /tmp/fio.out; false; }"
# round SEED MIB: what is written differs from round to round, so an old block is a wrong one. xxhash costs the guest's processor least
round() {
	vm -n root exec --timeout 1800 "fio --ioengine=libaio --direct=1 --verify=xxhash --verify_fatal=1 --group_reporting --minimal --name=v --filename=/dev/sdb \
		--numjobs=4 --size=$(($2 / 4))M --offset_increment=$(($2 / 4))M --rw=write --bsrange=64k-1M --blockalign=4096 --iodepth=4 \
		--randseed=$1 >/tmp/fio.out 2>&1 || { tail -n 5 /tmp/fio.out; false; }"
}
left=${VERIFY_MIB:-16} n=1
while [ "$left" -gt 0 ]; do
	mib=$((left < 512 ? left : 512))
	check "fio, $mib MiB in large blocks on the second controller, verified, seed $n" round $n $mib
	left=$((left - mib)) n=$((n + 1))
done
check "fsx" g 'fsx /root/fsx 1000 1'
check "fstrim gives space back" g 'rm -f /root/a.* /root/b.*; sync; fstrim -v / | grep -E "[0-9]{6,} bytes"'
check "the device was told" bash -c '[ "$(scripts/vm -n root diag inspect vm/storage/scsi0/luns/0/disk/unmap/count | grep -oE "[0-9]+$")" -gt 0 ]'
check "every processor has its channel" bash -c '[ "$(scripts/vm -n root diag inspect -r vm/storage/scsi0/channels | grep -cE "packets: [1-9]")" -ge 3 ]'
check "the guest made no mistake in the server's eyes" no_mistake
check "no warning, oops or I/O error in the guest" quiet
check "it powers off" bash -c 'scripts/vm -n root exec "systemctl poweroff" >/dev/null 2>&1; scripts/vm -n root wait 120'
vm -n root down
check "e2fsck finds nothing to repair in the host's file" clean

finish
