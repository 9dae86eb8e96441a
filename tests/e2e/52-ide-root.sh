#!/usr/bin/env bash
# A guest without VMBus drivers: the same Debian root file system, now an ATA disk of the firmware's PIIX4 over the assigned NVMe
# controller, as VTL2 settings with the protocol IDE say; beside it an IDE CD.
# needs: root.ext4
. "$(dirname "$0")/lib.sh"

image=$(mktemp)
cd=$(mktemp)
settings=$(mktemp)
cp --sparse=always -L "$O/root.ext4" "$image"
head -c 2M /dev/urandom >"$cd"
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -f "$image" "$cd" "$settings"' EXIT
cat >"$settings" <<END
{"version": "V1", "dynamic": {"storage_controllers": [
  {"instance_id": "32412632-0001-4000-8000-7076686f7374", "protocol": "IDE", "luns": [
    {"channel": 0, "location": 0, "physical_devices": {"type": "SINGLE", "device":
      {"device_type": "NVME", "device_path": "6e766d65-0001-4000-8000-7076686f7374", "sub_device_path": 1}}},
    {"channel": 1, "location": 0, "is_dvd": true, "physical_devices": {"type": "SINGLE", "device":
      {"device_type": "NVME", "device_path": "6e766d65-0002-4000-8000-7076686f7374", "sub_device_path": 1}}}]}]}}
END
g() { vm -n iderun exec --timeout 300 "$@"; }
md5() { grep -oE '\b[0-9a-f]{32}\b' | head -n 1; }
fio="fio --ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 --verify_backlog=64 --group_reporting --minimal"

up iderun --cpus 1 --memory 512M --nvme "$image" --nvme "$cd" --vtl2-settings "$settings" \
	--append "console=ttyS0,115200 root=/dev/sda quiet modprobe.blacklist=hv_vmbus ata_piix.prefer_ms_hyperv=0"
check "the root file system is an ATA disk" g '[ "$(findmnt -no SOURCE /)" = /dev/sda ] && readlink /sys/block/sda | grep -q 00:07.1/ata1 && ! grep -q hv_vmbus /proc/modules'
check "login on the console" python3 tests/e2e/console.py "$PARAVANE_VMS/iderun/com1" "" "login:"
check "fio with verify" g "$fio --name=a --directory=/root --size=8M --rw=randrw --bsrange=4k-128k --blockalign=4096 --iodepth=8 \
	--randseed=3 >/tmp/fio.out 2>&1 || { tail -n 5 /tmp/fio.out; false; }"
check "fsx" g 'fsx /root/fsx 600 5'
check "hdparm knows it" matches 'UDMA|udma' g 'hdparm -I /dev/sda | grep -i udma'
check "the CD is the other image" [ "$(g 'modprobe sr_mod 2>/dev/null; md5sum </dev/sr0' | md5)" = "$(md5sum <"$cd" | md5)" ]
check "IDE drives do not change at run time" matches StorageCannotModifyIdeAtRuntime bash -c "
	sed 's/\"channel\": 1, \"location\": 0/\"channel\": 1, \"location\": 1/' '$settings' >'$settings.2'; scripts/vm -n iderun settings '$settings.2'; rm -f '$settings.2'"
check "no warning, oops or I/O error in the guest" g '! dmesg | grep -E "'"$warnings"'|Call Trace|I/O error|exception Emask|EXT4-fs error"'
check "it powers off" bash -c 'scripts/vm -n iderun exec "systemctl poweroff" >/dev/null 2>&1; scripts/vm -n iderun wait 120'
vm -n iderun down
check "e2fsck finds nothing to repair in the host's file" e2fsck -fn "$image"
finish
