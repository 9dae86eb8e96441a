# Sourced by e2e tests. A test is a file tests/e2e/NN-name.sh; it prints TAP-like lines through the functions here.
# Machines are named, and shared by checks that do not spoil them: boots are what costs.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
O=${O:-build}
checks=0 bad=0
export PARAVANE_VMS=${PARAVANE_VMS:-${TMPDIR:-/tmp}/paravane-e2e-$$}

vm() { scripts/vm "$@"; }
# check NAME COMMAND...: passes when the command succeeds
check() {
	local name=$1 out
	shift
	checks=$((checks + 1))
	if out=$("$@" 2>&1); then
		echo "ok   $name"
	else
		bad=$((bad + 1))
		echo "FAIL $name"
		printf '%s\n' "$out" | tail -n 25 | sed 's/^/     | /'
	fi
}
# matches REGEX COMMAND...: the command's output (stdout and stderr) has a line that matches
matches() {
	local re=$1 out
	shift
	out=$("$@" 2>&1)
	grep -qE -- "$re" <<<"$out" || { printf 'no line matches %s in:\n%s\n' "$re" "$out"; return 1; }
}
# fails_with STATUS REGEX COMMAND...: exits with the status and says the one thing it should, in few lines
fails_with() {
	local want=$1 re=$2 out status
	shift 2
	out=$("$@" 2>&1)
	status=$?
	[ "$status" = "$want" ] || { printf 'status %s, wanted %s:\n%s\n' "$status" "$want" "$out"; return 1; }
	grep -qE -- "$re" <<<"$out" || { printf 'no line matches %s in:\n%s\n' "$re" "$out"; return 1; }
	[ "$(grep -c . <<<"$out")" -le 4 ] || { printf 'more than a clear line:\n%s\n' "$out"; return 1; }
}
# up NAME OPTION...: a machine; when it does not come up the whole file fails, with what it said
up() {
	local n=$1
	shift
	checks=$((checks + 1))
	if vm -n "$n" up "$@"; then
		echo "ok   $n comes up ($*)"
	else
		bad=$((bad + 1))
		echo "FAIL $n comes up ($*)"
		vm -n "$n" down
		finish
	fi
}
finish() {
	echo "$((checks - bad)) $bad"
	vm list | while read -r n _; do vm -n "$n" down; done
	exit 0
}
trap 'vm list | while read -r n _; do vm -n "$n" down; done' EXIT
