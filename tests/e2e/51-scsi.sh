#!/usr/bin/env bash
# One processor: the root file system over hv_storvsc again, a second disk as sg3_utils sees it, and VTL2 settings that change
# while the guest runs.
# needs: root.ext4
. "$(dirname "$0")/lib.sh"

image=$(mktemp)
second=$(mktemp)
work=$(mktemp -d)
cp --sparse=always -L "$O/root.ext4" "$image"
truncate -s 32M "$second"
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -rf "$image" "$second" "$work"' EXIT
append="console=ttyS0,115200 root=/dev/sda quiet"
g() { vm -n root exec --timeout 300 "$@"; }
clean() { e2fsck -fn "$image"; }
# the second disk is stopped and taken away below; what udev reads from it just then fails, and should
quiet() { g '! dmesg | grep -v "dev sdb" | grep -E "'"$warnings"'|Call Trace|I/O error|hung task|EXT4-fs error"'; }
# the login prompt on COM1, as a person would see it
login() { python3 tests/e2e/console.py "$PARAVANE_VMS/root/com1" "" "login:"; }
no_mistake() { ! vm -n root diag inspect -r vm/storage | grep -E "mistakes: [1-9]"; }
fio="fio --ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 --verify_backlog=64 --blockalign=4096 --group_reporting --minimal"

up root --cpus 1 --memory 512M --nvme "$image" --nvme "$second" --append "$append"
check "one processor: login on the console" login
check "fio, depth 16, unaligned sizes" g "$fio --name=c --directory=/root --size=6M --rw=randrw --bsrange=512-64k --blockalign=512 --iodepth=16 \
	>/tmp/fio.out 2>&1 || { tail -n 5 /tmp/fio.out; false; }"
check "the second disk is there" g '[ "$(cat /sys/block/sdb/size)" = 65536 ]'

# ---- SCSI as sg3_utils sees it
check "sg_inq: what the unit is" matches 'Vendor identification: Msft' g 'sg_inq /dev/sdb'
check "sg_vpd: names of the unit, binary and ASCII" g 'sg_vpd -p di /dev/sdb | grep -q NAA && sg_vpd -p sn /dev/sdb | grep -q "Unit serial number: [0-9a-f]"'
check "sg_vpd: limits, provisioning, characteristics" g 'sg_vpd -p bl /dev/sdb | grep -q "Maximum unmap block descriptor count: 16" &&
	sg_vpd -p lbpv /dev/sdb | grep -q "LBPU): 1" && sg_vpd -p bdc /dev/sdb | grep -qi "non-rotating"'
check "sg_readcap 10 and 16" g '[ "$(sg_readcap /dev/sdb | grep -c "Number of logical blocks=65536")" = 1 ] && sg_readcap --16 /dev/sdb | grep -q "lbpme=1"'
check "sg_luns and sg_turs" g 'sg_luns /dev/sdb | grep -q "0001000000000000" && sg_turs /dev/sdb'
check "sg_unmap: what was unmapped reads as zeroes" g 'dd if=/dev/urandom of=/dev/sdb bs=1M count=2 oflag=direct 2>/dev/null
	sg_unmap --force --lba=0 --num=2048 /dev/sdb && [ -z "$(dd if=/dev/sdb bs=1M count=1 iflag=direct 2>/dev/null | tr -d "\0" | head -c 1 | od -An -tx1)" ] &&
	[ -n "$(dd if=/dev/sdb bs=1M skip=1 count=1 iflag=direct 2>/dev/null | tr -d "\0" | head -c 1 | od -An -tx1)" ]'
check "sg_write_same" g 'sg_write_same --16 --lba=4096 --num=64 --in=/dev/zero --xferlen=512 /dev/sdb'
check "sg_verify" g 'sg_verify --lba=0 --count=64 /dev/sdb; ! sg_verify --lba=65536 --count=1 /dev/sdb 2>/dev/null'
check "sg_sync and sg_start" g 'sg_sync /dev/sdb && sg_start --stop /dev/sdb && ! sg_turs /dev/sdb >/dev/null 2>&1; sg_start --start /dev/sdb && sg_turs /dev/sdb'
check "sg_persist: register, reserve, release" g 'sg_persist -n --out --register --param-sark=abc /dev/sdb && sg_persist -n --in --read-keys /dev/sdb | grep -q 0xabc &&
	sg_persist -n --out --reserve --param-rk=abc --prout-type=3 /dev/sdb && sg_persist -n --in --read-reservation /dev/sdb | grep -q "Exclusive Access" &&
	sg_persist -n --out --release --param-rk=abc --prout-type=3 /dev/sdb && sg_persist -n --out --register --param-rk=abc --param-sark=0 /dev/sdb'
check "sg_format is refused" g '! sg_format --format --quick --wait /dev/sdb >/tmp/o 2>&1; grep -qiE "illegal|not supported|invalid" /tmp/o'
check "sg_modes: a write cache, FUA" g 'sg_modes -p 8 /dev/sdb | grep -q "DpoFua=1"; grep -q "write back" /sys/class/scsi_disk/0:0:0:1/cache_type'

# ---- settings by GET, changed while the guest runs
vm -n root settings >"$work/0"
edit() { python3 -c 'import json, sys
d = json.load(open(sys.argv[1])); l = d["dynamic"]["storage_controllers"][0]["luns"]; exec(sys.argv[3]); json.dump(d, open(sys.argv[2], "w"))' "$work/0" "$work/$1" "$2"; }
edit 1 'l.pop(1)'
edit 2 'l[1].update(location=5, vendor_id="Acme", product_id="Anvil", serial_number="SN-77", scsi_disk_size_in_bytes="1048576", write_cache=False)'
edit 3 'l[1]["physical_devices"]["device"]["sub_device_path"] = 9'
edit 4 'd["dynamic"]["storage_controllers"].pop()'
edit 5 'l[1]["location"] = 0'
echo '{"version":' >"$work/6"
wait_gone='n=50; while [ -e /sys/block/sdb ] && [ $n -gt 0 ]; do n=$((n - 1)); sleep 0.2; done; [ ! -e /sys/block/sdb ]'
check "a disk is taken away" matches '^accepted$' vm -n root settings "$work/1"
check "the guest sees it go" g "$wait_gone"
check "it comes back elsewhere, as somebody else's" matches '^accepted$' vm -n root settings "$work/2"
check "the guest sees it come" g 'n=50; while ! lsblk -n -o HCTL,SIZE,SERIAL,VENDOR,MODEL | grep -E "0:0:0:5 +1M SN-77 +Acme +Anvil" && [ $n -gt 0 ]; do n=$((n - 1)); sleep 0.2; done
	grep -q "write through" /sys/class/scsi_disk/0:0:0:5/cache_type'
check "a namespace that is none is refused" matches 'StorageCannotFindVtl2Device.*no namespace 9' vm -n root settings "$work/3"
check "a controller does not go at run time" matches 'StorageCannotAddRemoveControllerAtRuntime' vm -n root settings "$work/4"
check "one place for two disks is refused" matches 'StorageLunLocationDuplicated' vm -n root settings "$work/5"
check "half a document is refused" matches 'JsonFormatError.*line 1' vm -n root settings "$work/6"
check "what was refused changed nothing" g '[ "$(cat /sys/block/sdb/size)" = 2048 ] && dd if=/dev/sdb of=/dev/null bs=64k iflag=direct 2>/dev/null'
check "no warning, oops or I/O error in the guest" quiet
check "it powers off" bash -c 'scripts/vm -n root exec "systemctl poweroff" >/dev/null 2>&1; scripts/vm -n root wait 120'
vm -n root down
check "e2fsck finds nothing to repair in the host's file" clean
finish
