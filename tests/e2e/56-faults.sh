#!/usr/bin/env bash
# Faults of the NVMe controller while fio writes and verifies in the guest. What can be recovered from must not be felt but for
# the time it takes; what cannot must reach the guest as the error it is, and no other; nothing may change a byte in silence. At
# last faults that do change bytes, which fio has to find, and the controller pulled out and put back.
# SEED: which faults when. TIME: seconds of faults that can be recovered from.
. "$(dirname "$0")/lib.sh"
make -s root-image >&2 || exit 1
SEED=${SEED:-$(($(date +%s) % 32768))} TIME=${TIME:-20}
RANDOM=$SEED
image=$(mktemp)
second=$(mktemp)
cp --sparse=always -L "$O/root.ext4" "$image"
truncate -s 16M "$second"
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -rf "$image" "$second"' EXIT
MiB=1048576
g() { vm -n faults exec --timeout 300 ". /root/fio_load.sh; $1"; }
m() { vm -n faults monitor "nvme 1 fault $1" >/dev/null; }
d() { vm -n faults diag "$@"; }
background() { g "(load $1 $2 $3 >/dev/null 2>&1 &)"; }
# how often each kind (or the one given) struck, as pvhost counts
met() {
	local kind=${1:-.*}
	kind=${kind%%[:/]*}
	vm -n faults monitor 'info devices' | sed -n "s/^nvme1: fault \($kind\) met \([0-9]*\)\$/\1 \2/p"
}
worker() { d inspect worker proc/worker | grep -oE 'pid: [0-9]+' | sort -u; }
trouble="$warnings|Call Trace|hung task|EXT4-fs error"
no_error() { g "! dmesg | grep -B6 -A12 -E 'I/O error|$trouble'"; }
# errors were meant to be there; nothing worse was
forget_errors() { g "! dmesg -c | grep -B6 -A12 -E '$trouble'"; }
md5() { grep -oE '\b[0-9a-f]{32}\b' | head -n 1; }

up faults --cpus 2 --memory 512M --nvme "$image" --nvme "$second" --append "console=ttyS0,115200 root=/dev/sda quiet"
echo "     # SEED=$SEED TIME=$TIME"
vm -n faults exec "cat >/root/fio_load.sh <<'EOF'
$(cat tests/e2e/fio_load.sh)
EOF
swapoff -a; dmesg -c >/dev/null; modprobe sg 2>/dev/null; [ -b /dev/sdb ]" >/dev/null
was=$(worker)
d inspect -u 1000 vm/nvme/0002:00:00.0/controller/timeout_ms >/dev/null
check "without faults all is well" g "run 16 $((12 * MiB)) $((4 * MiB)) 7"

# ---- what can be recovered from, at random
kinds=(delay:40/3 drop/29 lose/29 corrupt/29 duplicate/3 silent/7 stall:1 stall:2 fatal/41 status:6/23)
background 0 $((4 * MiB)) "$SEED"
end=$((SECONDS + TIME)) n=0
# on a busy machine one may not strike in its time: until each has, but not for ever
distinct=$(printf '%s\n' "${kinds[@]%%[:/]*}" | sort -u | wc -l)
while [ $SECONDS -lt $end ] || [ $n -lt ${#kinds[@]} ] || { [ "$(met | wc -l)" -lt "$distinct" ] && [ $SECONDS -lt $((end + 300)) ]; }; do
	# in another order each time
	[ $((n % ${#kinds[@]})) != 0 ] || mapfile -t order < <(for k in "${kinds[@]}"; do echo "$RANDOM $k"; done | sort -n | cut -d' ' -f2)
	kind=${order[n % ${#kinds[@]}]}
	before=$(met "$kind")
	m "$kind"
	sleep "$((RANDOM % 2)).$((RANDOM % 10))"
	for _ in $(seq 20); do [ "$(met "$kind")" = "$before" ] || break; sleep 0.3; done
	m off
	sleep "0.$((RANDOM % 10))"
	n=$((n + 1))
done
check "faults that can be recovered from: fio finds every byte, and no error" g stop_load
check "nor has the kernel seen one" no_error
background 0 $((2 * MiB)) "$SEED"
m "fatal/40 notready"
sleep 4
for _ in $(seq 60); do [ -z "$(met notready)" ] || break; sleep 0.5; done
m off
check "a controller that is not ready for a while" g stop_load
check "is no error for the guest" no_error
r=$(g 'awk "{ if (\$2 > r) r = \$2; if (\$3 > w) w = \$3; k += \$4 } END { print NR, int(r / 1000), int(w / 1000), k }" /tmp/rounds')
read -r rounds longest_read longest_write kib <<<"$r"
echo "     # $rounds rounds of fio, $kib KiB; longest read $longest_read ms, longest write $longest_write ms; $n times a fault"
limit=$(g 'cat /sys/block/$(basename $(disk))/device/timeout')
check "nothing took as long as the guest's own time-out ($limit s)" test "$((longest_read + longest_write))" -lt "$((limit * 1000))"
check "each kind was met" bash -c "echo '$(met)'; [ \"\$(echo '$(met)' | wc -l)\" = 10 ]"
check "the guest made no mistake in the server's eyes" bash -c '! scripts/vm -n faults diag inspect -r vm/storage vm/vmbus | grep -E "mistakes: [1-9]"'

# ---- errors, and only where and while they are
background 0 $((2 * MiB)) 3
m media:16384+64
check "media: the read fails as one" g 'fails "medium error" "unrecovered read" read_at 16400'
check "media: the write, too" g 'fails "medium error" "write error" write_at 16384'
check "media: beside it nothing fails" g 'good read_at 16376 && good read_at 16448 && good write_at 16448'
m off
check "media: gone with the fault" g 'good write_at 16384 && good read_at 16384'
check "media: fio elsewhere did not feel it" g stop_load
m protect
check "protect: writes fail, reads do not" g 'fails "data protect" "write protect" write_at 0 && good read_at 0'
m off
check "protect: gone with the fault" g 'until_ 50 good write_at 16384'
m capacity:16384
check "capacity: the guest is told, looks and knows the size" g 'until_ 50 has_size 16384'
check "capacity: what is beyond fails, what is within does not" g 'fails "illegal request" "out of range" read_at 16384 && good read_at 8192'
m off
check "capacity: gone with the fault, and heard of, too" g 'until_ 50 has_size 32768 && until_ 50 good read_at 16384'
m flushfail
check "flushfail: the flush fails, writes do not" g 'fails "medium error|hardware error" "." flush && good write_at 16384'
m off
check "flushfail: gone with the fault" g 'good flush'
m status:281
check "status: is an error" g 'fails "medium error" "unrecovered read" read_at 0'
m off
check "the guest lives with them" forget_errors
check "after all that fio finds every byte" g "run 64 0 $((2 * MiB)) 11"
check "and the kernel no error" no_error

# ---- faults that lie: the checker has to find them
for lie in losewrite/17 misdirect/17 flip/17; do
	m $lie
	check "$lie is found" g "finds 16 $((4 * MiB)) $((1 * MiB)) $RANDOM"
	m off
done

# ---- out and in again
held() { d inspect proc/meminfo/HugePages_Total proc/worker/descriptors | grep -oE '[0-9]+$' | tr '\n' ' '; }
before=$(held)
background 0 $((2 * MiB)) 5
sleep 2
vm -n faults monitor 'nvme 1 unplug' >/dev/null
check "unplugged under load: fio hears of it" g 'until_ 600 test -s /tmp/bad; grep -qE "Input/output|No such device|Remote I/O" /tmp/bad || { cat /tmp/bad; false; }'
vm -n faults monitor 'nvme 1 plug' >/dev/null
check "plugged in: the LUN comes back" g 'until_ 600 back'
after=$(held)
echo "     # huge pages and descriptors of the firmware: $before, then $after"
check "the firmware holds nothing more of the old one" [ "$after" = "$before" ]
check "with what was on it" g "run 16 $((12 * MiB)) $((4 * MiB)) 7 --verify_only"
check "the guest lives with them" forget_errors
check "and it works" g "run 64 0 $((4 * MiB)) 13 && run 16 $((4 * MiB)) $((4 * MiB)) 14"
check "no error any more" no_error
check "the same worker all the time" [ "$was" = "$(worker)" ]
check "the firmware answers" matches 'control_state: running' d inspect
met | sed 's/^/     # met: /'
guest=$(g 'sync; dd if=$(disk) bs=64k iflag=direct 2>/dev/null | md5sum' | md5)
check "it powers off" bash -c 'scripts/vm -n faults exec "systemctl poweroff" >/dev/null 2>&1; scripts/vm -n faults wait 120'
vm -n faults down
check "the host's file is what the guest read" [ "$guest" = "$(md5sum <"$second" | md5)" ]
check "the host's file is what fio wrote" python3 tests/e2e/fio_judge.py "$second" 0 $((8 * MiB))
check "and what it wrote before all that" python3 tests/e2e/fio_judge.py "$second" $((12 * MiB)) $((4 * MiB))
check "e2fsck finds nothing to repair on the root disk" e2fsck -fn "$image"
finish
