#!/usr/bin/env bash
# Our NVMe controller under a driver that nobody here wrote: Linux's own, in VTL2, with nvme-cli.
# after: nvme-linux.igvm
. "$(dirname "$0")/lib.sh"
work=$(mktemp -d)
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -rf "$work"' EXIT
truncate -s 64M "$work/a" "$work/b"
up linux --no-wait --vtl2-console --igvm "$O/nvme-linux.igvm" --vtl2-memory 384M --memory 128M \
	--nvme "$work/a" --nvme "$work/b,block=4096,queues=2"
l() { python3 tests/e2e/vtl2-shell.py "$PARAVANE_VMS/linux/vsock" 100 "$1"; }
says() { matches "$1" l "$2"; }
m() { vm -n linux monitor "$1" >/dev/null; }
md5() { grep -oE '\b[0-9a-f]{32}\b' | head -n 1; }
check "Linux finds both controllers" l ""
check "their namespaces have the files' sizes and blocks" says '^131072 16384 512 4096$' 'a=/sys/block/${A#/dev/}n1 b=/sys/block/${B#/dev/}n1; echo $(cat $a/size) $(($(cat $b/size) / 8)) $(cat $a/queue/logical_block_size) $(cat $b/queue/logical_block_size)'
check "nvme list" says '^/dev/nvme[01]n1 .*PARAVANE0001 .*Paravane NVMe controller .*67.11  MB /  67.11  MB +512 +B' 'nvme list'
check "id-ctrl" says '^sgls +: 0x1$' 'nvme id-ctrl $A'
check "id-ns" says 'lbaf  0 : ms:0   lbads:12' 'nvme id-ns ${B}n1'
check "a namespace that is none" says 'Invalid Namespace' 'nvme id-ns $A -n 2'
check "list-ns, ns-descs" says '^uuid +: 656d766e' 'nvme list-ns $A && nvme ns-descs ${A}n1'
check "smart-log" says '^available_spare_threshold.*: 10%' 'nvme smart-log $A'
check "error-log has the refused command" says 'status_field.*Invalid Namespace' 'nvme error-log $A -e 8'
check "fw-log and changed-ns-list-log" l 'nvme fw-log $A && nvme changed-ns-list-log $A'
check "a log that is none" says 'Invalid Log Page' 'nvme get-log $A -i 0x70 -l 512'
check "get-feature and set-feature: current is not default" l 'nvme set-feature $A -f 4 -v 0x15e && nvme get-feature $A -f 4 | grep -q 0x0000015e &&
	nvme get-feature $A -f 4 -s 1 | grep -q 0x00000157'
check "a feature that cannot be saved" says 'Feature Identifier.*not.*saveable|Feature ID Not Saveable|Not Saveable' 'nvme set-feature $A -f 4 -v 0x15e -s'
check "Linux has asked for events of namespaces" says 'value:0x00000100' 'nvme get-feature $A -f 0xb'
check "Abort of what is not there" says 'result: 0x00000001' 'nvme admin-passthru $A --opcode=8 --cdw10=0x10001'
check "commands that are not claimed are refused" l 'for c in "sanitize $A -a 2" "device-self-test $A -s 1" "write-uncor ${A}n1 -s 0 -c 0" "verify ${A}n1 -s 0 -c 0"; do
	nvme $c 2>&1 | grep -q "Invalid Command Opcode" || { echo $c; exit 1; }; done'
# data; the second half through lists of small pages
check "written and read back, blocks of 512 and 4096" l 'dd if=/dev/urandom of=/tmp/r bs=1M count=8 2>/dev/null; want=$(md5sum </tmp/r)
	for d in $A $B; do dd if=/tmp/r of=${d}n1 bs=1M oflag=direct 2>/dev/null; dd if=/tmp/r of=${d}n1 bs=28k seek=1000 oflag=direct 2>/dev/null
	[ "$want" = "$(dd if=${d}n1 bs=1M count=8 iflag=direct 2>/dev/null | md5sum)" ] || exit 1; done'
check "page cache and a flush" l 'dd if=/tmp/r of=${A}n1 bs=1000 seek=40000 count=1000 conv=fsync 2>/dev/null && nvme flush ${A}n1'
check "the same through scatter gather lists" l 'echo 4096 >/sys/module/nvme/parameters/sgl_threshold; dd if=/tmp/r of=${A}n1 bs=1M seek=9 oflag=direct 2>/dev/null
	dd if=/tmp/r of=${A}n1 bs=28k seek=1000 oflag=direct 2>/dev/null
	[ "$(md5sum </tmp/r)$(md5sum </tmp/r)" = "$(dd if=${A}n1 bs=1M skip=9 count=8 iflag=direct 2>/dev/null | md5sum)$(dd if=${A}n1 bs=28k skip=1000 count=8388608 iflag=direct,count_bytes 2>/dev/null | md5sum)" ]'
check "there were such lists" bash -c 'scripts/vm -n linux monitor "info devices" | grep -E "^nvme0: .*sgls [1-9]"'
check "compare, and one that fails" l 'head -c 4096 /tmp/r >/tmp/r4; nvme compare ${A}n1 -s 0 -c 7 -z 4096 -d /tmp/r4 && ! nvme compare ${A}n1 -s 1 -c 7 -z 4096 -d /tmp/r4'
check "write-zeroes, dsm, blkdiscard read as zeroes" l 'z=$(dd if=/dev/zero bs=64k count=3 2>/dev/null | md5sum)
	nvme write-zeroes ${B}n1 -s 1600 -c 15 && nvme dsm ${B}n1 -d -s 1616 -b 16 && blkdiscard -o $((1632 * 4096)) -l 65536 ${B}n1 &&
	[ "$z" = "$(dd if=${B}n1 bs=64k skip=100 count=3 iflag=direct 2>/dev/null | md5sum)" ]'
want=$(l 'md5sum </tmp/r; sync' | md5)
check "the host's file has the bytes, blocks of 512" [ "$want" = "$(head -c 8M "$work/a" | md5sum | md5)" ]
check "the host's file has the bytes, blocks of 4096" [ "$want" = "$(tail -c +28672001 "$work/b" | head -c 8M | md5sum | md5)" ]
check "reset: the driver brings it up again" l 'nvme reset $A && sleep 1 && [ $(cat /sys/class/nvme/${A#/dev/}/state) = live ] && dd if=${A}n1 of=/dev/null bs=4k count=1 iflag=direct'
check "format erases; another format is refused" l 'nvme format ${B}n1 -f -l 1 2>&1 | grep -q "Invalid Format" && nvme format ${B}n1 -f -l 0 &&
	[ "$(dd if=/dev/zero bs=1M count=8 2>/dev/null | md5sum)" = "$(dd if=${B}n1 bs=1M count=8 iflag=direct 2>/dev/null | md5sum)" ]'
check "unbound, the driver shuts the controller down; bound, it is back" l 'f=$(basename $(readlink /sys/class/nvme/${B#/dev/}/device)); cd /sys/bus/pci/drivers/nvme &&
	echo $f >unbind && sleep 0.5 && echo $f >bind && sleep 1 && [ $(grep -c live /sys/class/nvme/*/state | grep -c ":1") = 2 ]'
check "the host saw the shutdown" matches '^nvme1: .* shutdowns [1-9]' vm -n linux monitor 'info devices'
# faults: Linux recovers as it should and no byte is another
cat >"$work/strike" <<'END'
dmesg -c >/dev/null
blkdiscard -o 0 -l 1572864 ${A}n1
dd if=/tmp/r of=${A}n1 bs=64k count=24 oflag=direct 2>/dev/null || echo failed
[ "$(dd if=/tmp/r bs=64k count=24 2>/dev/null | md5sum)" = "$(dd if=${A}n1 bs=64k count=24 iflag=direct 2>/dev/null | md5sum)" ] && echo same || echo others
dmesg | cut -c 1-150
END
# strike FAULT same|others|failed [WHAT-THE-KERNEL-SAYS]
strike() {
	local out
	m "nvme 0 fault $1"
	out=$(l "$(cat "$work/strike")")
	m 'nvme 0 fault off'
	grep -q "^$2\$" <<<"$out" && grep -qE -- "${3:-}" <<<"$out" || { printf '%s\n' "$out"; return 1; }
}
check "delay: late is not lost" strike delay:200/16 same
check "drop: Abort gets it back" strike drop/30 same 'timeout, aborting'
check "lose: a reset after Abort" strike lose/40 same 'reset controller'
check "corrupt: a wrong identifier is noticed" strike corrupt/40 same 'invalid id'
check "duplicate: the second is noticed" strike duplicate/9 same 'invalid id'
check "silent: found by polling" strike silent/40 same 'completion polled'
check "status: another try" strike status:6/7 same
check "fatal: a reset" strike fatal/40 same 'will reset: CSTS=0x3'
check "media: an error of those blocks, no other" strike media:256+4 failed 'critical medium error, dev nvme[01]n1, sector 256'
check "the blocks beside them are well" l 'dd if=${A}n1 of=/dev/null bs=512 skip=260 count=100 iflag=direct 2>/dev/null'
m 'nvme 0 fault flushfail'
check "flushfail: fsync says so" bash -c '! python3 tests/e2e/vtl2-shell.py "$1" 60 "dd if=/tmp/r of=\${A}n1 bs=4k count=4 conv=fsync"' _ "$PARAVANE_VMS/linux/vsock"
m 'nvme 0 fault loseflush'
check "loseflush: nobody can tell" l 'nvme flush ${A}n1'
m 'nvme 0 fault off'
check "losewrite: the checker sees it" strike losewrite/9 others
check "misdirect: the checker sees it" strike misdirect/9 others
check "flip: the checker sees it" strike flip/9 others
l '(sleep 0.5; dd if=/tmp/r of=${A}n1 bs=64k count=24 oflag=direct 2>/dev/null; echo $? >/tmp/stalled) >/dev/null 2>&1 &' >/dev/null
m 'nvme 0 fault stall:1'
sleep 2
m 'nvme 0 fault off'
check "stall: goes on when the queue does" l 'n=100; while [ ! -e /tmp/stalled ] && [ $n -gt 0 ]; do n=$((n - 1)); sleep 0.1; done; [ "$(cat /tmp/stalled)" = 0 ]'
m 'nvme 0 fault capacity:1000'
check "capacity: an event, and Linux knows the size" l 'n=50; while [ $(cat /sys/block/${A#/dev/}n1/size) != 1000 ] && [ $n -gt 0 ]; do n=$((n - 1)); sleep 0.1; done; cat /sys/block/${A#/dev/}n1/size; [ $n -gt 0 ]'
m 'nvme 0 fault off'
check "and again" l 'n=50; while [ $(cat /sys/block/${A#/dev/}n1/size) != 131072 ] && [ $n -gt 0 ]; do n=$((n - 1)); sleep 0.1; done; [ $n -gt 0 ]'
m 'nvme 0 fault protect'
check "protect: an event, and writes are refused" l 'n=50; while [ $(cat /sys/block/${A#/dev/}n1/ro) != 1 ] && [ $n -gt 0 ]; do n=$((n - 1)); sleep 0.1; done
	[ $n -gt 0 ] && ! dd if=/tmp/r of=${A}n1 bs=4k count=1 oflag=direct 2>/dev/null'
m 'nvme 0 fault off'
check "after it all it is whole" strike delay:1/1000 same
check "unplugged under load and plugged again" bash -c '
	sh() { python3 tests/e2e/vtl2-shell.py "$1" 60 "$2"; }
	sh "$1" "(dd if=\${A}n1 of=/dev/null bs=64k iflag=direct 2>/dev/null; echo x >/tmp/ended) >/dev/null 2>&1 &"
	scripts/vm -n linux monitor "nvme 0 unplug" >/dev/null
	sh "$1" "n=100; while [ -n \"\$(grep -l PARAVANE0001 /sys/class/nvme/*/serial)\" -o ! -e /tmp/ended ] && [ \$n -gt 0 ]; do n=\$((n - 1)); sleep 0.1; done; [ \$n -gt 0 ]" || exit 1
	scripts/vm -n linux monitor "nvme 0 plug" >/dev/null
	sleep 5
	sh "$1" "		[ \"\$(dd if=/tmp/r bs=64k count=24 2>/dev/null | md5sum)\" = \"\$(dd if=\${A}n1 bs=64k count=24 iflag=direct 2>/dev/null | md5sum)\" ]"' _ "$PARAVANE_VMS/linux/vsock"
if [ "$(vm list | sed -n 's/^linux //p')" = bench ]; then
	check "the bench machine's disk was reached past its page cache" matches '^nvme0: .* direct [1-9]' vm -n linux monitor 'info devices'
fi
check "no warning or oops" l '! dmesg | grep -E "'"$warnings"'|Call Trace"'
check "nothing was refused or lost on the way" bash -c 'scripts/vm -n linux monitor "info devices" | grep -E "^nvme1: vpci.* refused 0 .* lost 0"'
vm -n linux monitor 'info devices' | grep -E '^nvme0: (reads|errors|lists)' | sed 's/^/     # /'
finish
