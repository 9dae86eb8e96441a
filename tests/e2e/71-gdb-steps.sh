#!/usr/bin/env bash
# A bare guest, stepped through the firmware's gdbstub; by KVM itself on a plain VM in the same bench machine; and in Unicorn.
# needs: target/bin/steps_kvm native/bin/steps_unicorn
. "$(dirname "$0")/lib.sh"
steps=${GDB_STEPS:-1000}
work=$(mktemp -d)
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -rf "$work"' EXIT
as -o "$work/steps.o" tests/guests/bare/steps.S && ld -Ttext=0x3000000 -o "$work/steps.elf" "$work/steps.o" &&
	objcopy -O binary "$work/steps.elf" "$work/steps.bin" || exit 1
mkdir "$work/extra"
cp "$O/target/bin/steps_kvm" "$work/steps.bin" "$work/extra/"
printf '/extra/steps_kvm /extra/steps.bin %s\n' "$steps" >"$work/extra/init.sh"
BENCH_EXTRA=$work/extra vm -n steps up --bench --vtl2-append PARAVANE_WAIT_FOR_DEBUGGER=1 --no-wait >/dev/null
ready() {
	for _ in $(seq 120); do
		[ "$(vm -n steps diag inspect vm/gdb/state 2>/dev/null)" = nobody ] && return
		sleep 1
	done
	return 1
}
check "VTL0 waits for a debugger" ready
"$O/native/bin/steps_unicorn" "$work/steps.bin" "$steps" >"$work/unicorn"
vm -n steps logs | tr -d '\r' | grep '^steps ' >"$work/kvm"
check "Unicorn has made $steps steps" matches "^steps $steps " cat "$work/unicorn"
check "so has KVM, the same" cmp "$work/unicorn" "$work/kvm"
stub() { timeout "${STEPS_LIMIT:-600}" python3 tests/e2e/gdb_steps.py "$PARAVANE_VMS/steps/vsock" "$work/steps.bin" "$steps" >"$work/all"; }
check "the gdbstub has made $steps" stub
grep '^steps ' "$work/all" >"$work/stub"
sed -n 's/^packets/     # packets/p' "$work/all"
check "and it has gone the same way" cmp "$work/unicorn" "$work/stub"
finish
