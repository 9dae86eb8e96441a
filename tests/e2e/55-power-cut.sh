#!/usr/bin/env bash
# Power cuts: every write and flush that reaches two disks is recorded by QEMU, outside of the firmware and of pvhost, while the
# guest's file systems work; then cuts are replayed here. One of the disks loses flushes on purpose: its cuts must lose data.
# At last pvhost's machine is killed under load.
. "$(dirname "$0")/lib.sh"
command -v e2fsck >/dev/null && command -v debugfs >/dev/null || { echo "FAIL e2fsprogs is missing: run scripts/setup"; echo "0 1"; exit 1; }
work=$(mktemp -d)
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -rf "$work"' EXIT
for n in 0 1; do
	truncate -s 24M "$work/$n.img"
	mke2fs -q -t ext4 -J size=4 "$work/$n.img"
	cp --sparse=always "$work/$n.img" "$work/$n.base"
done
g() { vm -n cut exec --timeout 300 "$@"; }
cuts() { python3 tests/e2e/power_cut.py "$work/$1.log" "$work/$1.base" --cuts "$2" --seed "${SEED:-1}"; }

up cut --cpus 2 --memory 512M --bench --nvme "$work/0.img,record=$work/0.log" --nvme "$work/1.img,record=$work/1.log" \
	--vtl2-append PARAVANE_DISKS=nvme:0,nvme:1+fault+nofua
check "both file systems are mounted" g 'disks 60; n=100; while [ ! -b /dev/sdb ] && [ $n -gt 0 ]; do n=$((n - 1)); sleep 0.2; done
	mkdir /a /b; mount -t ext4 /dev/sda /a && mount -t ext4 /dev/sdb /b && mkdir -p /a/x /b/x'
fault=vm/storage/scsi0/luns/1/disk/below
# without FUA: with it the host's own flush for the journal's commit would cover the flush that was lost
check "the second disk loses flushes" bash -c "
	scripts/vm -n cut diag inspect -u 4 $fault/op_mask && scripts/vm -n cut diag inspect -u 1 $fault/one_in && scripts/vm -n cut diag inspect -u 3 $fault/fault"
check "work on the first" matches 'churn: 150 records' g 'churn /a 150; sync'
check "work on the second" matches 'churn: 60 records' g 'churn /b 60; sync'
g '(churn /a 100000 >/dev/null 2>&1 &)' >/dev/null
sleep 8
kill -9 "$(cat "$PARAVANE_VMS/cut/pid")"
sleep 1
vm -n cut down
check "killed under load: nothing that was acknowledged is lost" python3 tests/e2e/power_cut.py "$work/0.log" "$work/0.img"
check "power cuts lose nothing that was flushed" cuts 0 "${CUTS:-150}"
python3 tests/e2e/power_cut.py "$work/0.log" "$work/0.base" --cuts 1 | sed 's/^/     # /'
check "lost flushes are noticed" fails_with 1 'cuts lost something' cuts 1 40
finish
