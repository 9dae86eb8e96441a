# Sourced by the files about crashes, after lib.sh: a folder in $work, and what they share.
work=$(mktemp -d)
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -rf "$work"' EXIT

# pid MACHINE worker|control: as soon as diagnostics tell it, which is before the guest runs
pid() {
	local i p
	for i in $(seq 150); do
		p=$(vm -n "$1" diag inspect -r "proc/$2" 2>/dev/null | sed -n 's/^ *pid: //p')
		[ -z "$p" ] || { echo "$p"; return; }
		sleep 0.4
	done
	echo "$1 tells no $2 in a minute" >&2
	return 1
}
appears() { # appears SECONDS FILE
	local i
	for i in $(seq $(($1 * 5))); do [ ! -e "$2" ] || return 0; sleep 0.2; done
	echo "no $2 after $1 s: $(ls -la "$(dirname "$2")")"
	return 1
}
# by_name CORE worker|control|tpm [FILE]: gdb finds the way from main() to where it stood; what it says also in FILE
by_name() {
	local bt=${3:-$work/bt}
	scripts/symbolize "$1" >"$bt" 2>&1 || { cat "$bt"; return 1; }
	cat "$bt"
	grep -q "process [0-9]* ($2), signal 11" "$bt" && grep -qE " ${2}_main \(" "$bt"
}
# with_vps CORE: also the way into each VP's thread
with_vps() { by_name "$1" worker && grep -qE " vp_thread \(" "$work/bt"; }
resets() { vm -n "$1" monitor 'info vtl' | sed -n 's/^resets //p'; }
running() {
	local i
	for i in $(seq 150); do ! vm -n "$1" diag inspect control_state 2>/dev/null | grep -q running || return 0; sleep 0.4; done
	return 1
}
# reset_after MACHINE N: it has begun anew since its resets were N
reset_after() {
	local i now
	for i in $(seq 100); do
		now=$(resets "$1")
		[ -z "$now" ] || [ "$now" -le "$2" ] || return 0
		sleep 0.2
	done
	echo "no reset after 20 s"
	return 1
}
