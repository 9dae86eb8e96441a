#!/usr/bin/env bash
# needs: guest-generic.initrd
# limit: 1800
# Machines of many shapes. The ten rows cover 86 of the 101 pairs of values; ten rows of these factors can cover 87. Eight like
# these are in make test, but five of those are other files' machines (grep has_shape); here are the three that are nobody's.
# SHAPES=ten: all ten. SHAPES=all: every combination and three more (make long TEST=shapes), with PART=I/N the Ith, N+Ith, 2N+Ith...
# of them, and with SKIP=K not the first K of those, for who goes on where another run was ended.
# SHAPES="8 2G": those rows of the ten that begin so.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/shape_lib.sh"

table() {
	cat <<END
1 512M 64M,at=self vmm        generic
2 8G   32M         vmm        generic
4 2G   64M         hypervisor generic xsave
END
	# Four ticking guest processors, whose ticks the firmware makes, on one emulated processor that has a hundred other things to
	# do: minutes until it is up, most of them ticks. Eight are worse: in a busy bench machine the guest's agent answers too late.
	[ -z "${SHAPES:-}" ] || cat <<END
1 2G   32M         hypervisor newer
2 512M 64M         vmm        newer
2 2G   64M,at=self hypervisor cloud
4 8G   64M,at=self hypervisor debug
4 512M 32M         vmm        cloud
8 8G   64M         hypervisor cloud
8 2G   32M         vmm        debug
END
}
product() {
	for cpus in 1 2 4 8; do for memory in 512M 2G 8G; do for vtl2 in 32M 64M 64M,at=self; do for apic in hypervisor vmm; do
		for guest in cloud generic newer debug; do echo $cpus $memory $vtl2 $apic $guest; done
	done; done; done; done
	# and the ends of what a guest may have
	echo 1 256M 32M vmm cloud
	echo 2 64G 64M vmm generic
	echo 1 64G 64M hypervisor cloud
}

extra=$(mktemp -d)
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -rf "$extra"' EXIT
g() { vm -n shape exec --timeout 240 "$@"; }
# the bytes are there, and the driver heard of them
new_generation() {
	local id
	id=$(vm -n shape monitor 'generation new' | head -n 1)
	g 'n=50; while ! dmesg | grep -q "reseeded due to virtual machine fork" && [ $n -gt 0 ]; do n=$((n - 1)); sleep 0.2; done; dmesg | grep "reseeded due to"' &&
		[ "$id" = "$(vm -n shape diag inspect vm/generation_id/id | grep -oE '[0-9a-f]{32}')" ]
}

[ -z "${SHAPES:-}" ] || make -s "$O/guest-newer.initrd" "$O/deps/kernel-guest/bzImage" >&2 || exit 1
rows() {
	case ${SHAPES:-ten} in
	all) product | awk -v part="${PART:-1/1}" '{ split(part, p, "/") } (NR - p[1]) % p[2] == 0' | tail -n +$((${SKIP:-0} + 1)) ;;
	ten) table ;;
	*) table | grep "^$SHAPES" ;;
	esac
}
# eight programs on one processor, each with sums in SSE registers
sums() {
	g 'for i in 1 2 3 4 5 6 7 8; do taskset 1 awk "BEGIN { for (i = 1; i < 60000; i++) s += 1 / i; printf \"%.15f\n\", s }" & done | sort | uniq -c; wait'
}
while read -r cpus memory vtl2 apic guest xsave; do
	with=()
	[ -z "$xsave" ] || with=(with_xsave "$extra")
	shape "$cpus" "$memory" "$vtl2" "$apic" "$guest"
	checks=$((checks + 1)) start=$SECONDS
	if ! out=$(PV_WAIT=${PV_WAIT:-500} "${with[@]}" vm -n shape up "${shape[@]}" --append 'console=ttyS0,115200 quiet' 2>&1 </dev/null); then
		bad=$((bad + 1))
		echo "FAIL $cpus VPs, $memory, VTL2 $vtl2, apic $apic, guest $guest"
		tail -n 25 <<<"$out" | sed 's/^/     | /'
		vm -n shape down
		continue
	fi
	echo "ok   up in $((SECONDS - start)) s"
	has_shape shape "$cpus" "$memory" "$vtl2" "$apic" "$guest"
	if [ "$guest" = generic ]; then # it has the driver
		check "its driver has the generation ID" g 'ls -d /sys/bus/acpi/drivers/vmgenid/MSFT1002:00' </dev/null
		check "a new one reaches it" new_generation </dev/null
	fi
	if [ -n "$xsave" ]; then
		check "it has XSAVE" g 'grep -qw xsave /proc/cpuinfo' </dev/null
		check "programs on one processor keep their SSE registers" matches '^ *8 11[.]' sums </dev/null
	fi
	# a soft lockup, which has a call trace, is the emulated processor's
	check "no warning in the guest" g '! dmesg | grep -v "soft lockup" | grep -E "'"$warnings"'|general protection|blocked for more"' </dev/null
	g '(sleep 1; poweroff) &' >/dev/null 2>&1 </dev/null
	check "it powers off" vm -n shape wait 120 </dev/null
	vm -n shape down
done < <(rows)
finish
