# Sourced by the files about the TPM, after lib.sh: a Debian guest's disk with tests/guests/tpm/tpm.sh on it, and what they share.
work=$(mktemp -d)
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -rf "$work"' EXIT
image=$work/root.ext4 vmgs=$work/vm.vmgs log=$work/firmware.log
append="console=ttyS0,115200 root=/dev/sda quiet"
cp --sparse=always -L "$O/root.ext4" "$image"
PATH=$PATH:/sbin:/usr/sbin debugfs -w -R "write tests/guests/tpm/tpm.sh root/tpm.sh" "$image" >/dev/null 2>&1

d() { vm -n tpm diag --timeout 60 "$@"; }
g() { vm -n tpm exec --timeout 900 "$@"; }
# one check in the guest
t() { g "bash /root/tpm.sh $*"; }
start() { up tpm --memory 512M --tpm "$@" --nvme "$image" --append "$append" --firmware-log "$log"; }
value() { d inspect "$1" | grep -oE '[0-9]+$'; }
sum() { d inspect -r vm/chipset/tpm | awk -v n="$1:" '$1 == n {print $2; exit}'; }
resets() { vm -n tpm monitor 'info vtl' | sed -n 's/^resets //p'; }
# the guest resets the machine, firmware and all, and is up again
reboot() {
	local before
	before=$(resets)
	g 'sync; (sleep 1; systemctl reboot) >/dev/null 2>&1 &'
	for _ in $(seq 600); do [ "$(resets)" = "$before" ] || break; sleep 0.5; done
	[ "$(resets)" != "$before" ] && python3 scripts/vm-agent.py "$PARAVANE_VMS/tpm/com2" wait 600
}
# the machine ends, as when somebody pulls the plug of a guest that has written everything, and another one begins
again() {
	g sync
	vm -n tpm down
	start "$@"
}
quiet() { g '! dmesg | grep -E "'"$warnings"'|Call Trace|hung task"'; }

