#!/usr/bin/env bash
# NVMe controllers: offered over vPCI, driven by the firmware, faults, removal.
. "$(dirname "$0")/lib.sh"
image=$(mktemp)
truncate -s 64M "$image"
trap 'rm -f "$image"; vm list | while read -r n _; do vm -n "$n" down; done' EXIT
check "a missing file is said" fails_with 1 'is no file, or empty' vm -n bad up --nvme /nonexistent.img
up nvme --cpus 2 --nvme "$image" --nvme ram:16M,serial=SECOND,fault=delay:20/2
d() { vm -n nvme diag "$@"; }
m() { vm -n nvme monitor "$@"; }
# bring-up goes on beside the guest's boot; the delayed one takes longer
ready() {
	for _ in $(seq 40); do
		[ "$(d inspect -r vm/nvme 2>/dev/null | grep -c 'probes_good: 2')" = 2 ] && return
		sleep 0.5
	done
	d inspect -r vm/nvme
	return 1
}
check "each queue of both reads" ready
check "both are ready" matches '^2$' bash -c 'scripts/vm -n nvme diag inspect -r vm/nvme | grep -c "state: ready"'
check "the namespace has the file's size" matches 'blocks: 131072' d inspect -r vm/nvme/0001:00:00.0
check "the host sees the queues" matches 'nvme0: queue 2 size 64' m 'info devices'
check "VTL2 counts no interrupt that was not sent" bash -c '
	sent=$(scripts/vm -n nvme monitor "info devices" | sed -n "s/^nvme0: vpci.* interrupts \([0-9]*\) .*/\1/p")
	seen=$(scripts/vm -n nvme diag inspect -r vm/nvme/0001:00:00.0/pci | awk "/interrupts_/ {n += \$2} END {print n}")
	echo "$sent sent, $seen seen"; [ "$seen" -gt 2 ] && [ "$seen" -le "$sent" ]'
check "nothing was refused or lost" matches 'refused 0 .* lost 0' m 'info devices'
check "a fault that is none is said" matches 'is not a fault' m 'nvme 0 fault sometimes'
check "unplugging is noticed" bash -c '
	scripts/vm -n nvme monitor "nvme 0 unplug" >/dev/null
	for _ in $(seq 20); do
		scripts/vm -n nvme diag inspect -r vm/nvme | grep -q "state: gone" && exit; sleep 0.5
	done; exit 1'
check "plugged again, it is found" bash -c '
	scripts/vm -n nvme monitor "nvme 0 plug" >/dev/null
	for _ in $(seq 20); do
		sleep 0.5
		[ "$(scripts/vm -n nvme diag inspect -r vm/nvme | grep -c "state: ready")" = 2 ] && exit
	done; exit 1'
check "the firmware lives on" matches 'alive' vm -n nvme exec 'echo alive'
finish
