#!/usr/bin/env bash
# `make run` as a newcomer types it: from the build to the guest's shell and out again.
. "$(dirname "$0")/lib.sh"
session() {
	local out=$PARAVANE_VMS.run start=$SECONDS
	mkfifo "$PARAVANE_VMS.in"
	make --no-print-directory run <"$PARAVANE_VMS.in" >"$out" 2>&1 &
	exec 8>"$PARAVANE_VMS.in"
	for _ in $(seq 180); do ! grep -q 'Paravane guest' "$out" || break; sleep 1; done
	echo "the shell was there after $((SECONDS - start)) s"
	printf '\nuname -r\npoweroff\n' >&8
	wait $!
	local status=$?
	exec 8>&-
	cat "$out"
	[ $((SECONDS - start)) -lt 180 ] && grep -q 'cloud-amd64' "$out" && grep -q 'Power down' "$out" && [ $status = 0 ]
}
check "make run ends at a shell, and with its poweroff" session
check "no machine is left" bash -c '[ -z "$(scripts/vm list)" ]'
rm -f "$PARAVANE_VMS.run" "$PARAVANE_VMS.in"
finish
