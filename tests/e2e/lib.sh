# Sourced by e2e tests. A test is a file tests/e2e/NN-name.sh; it prints TAP-like lines through the functions here.
# Machines are named, and shared by checks that do not spoil them: boots are what costs.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
O=${O:-build}
checks=0 bad=0
export PARAVANE_VMS=${PARAVANE_VMS:-${TMPDIR:-/tmp}/paravane-e2e-$$}

vm() { scripts/vm "$@"; }
# check NAME COMMAND...: passes when the command succeeds; says how long it took when that is what make test's time goes to
check() {
	local name=$1 out start=$SECONDS
	shift
	checks=$((checks + 1))
	if out=$("$@" 2>&1); then
		echo "ok   $name$(took $start)"
	else
		bad=$((bad + 1))
		echo "FAIL $name"
		printf '%s\n' "$out" | tail -n 25 | sed 's/^/     | /'
	fi
}
took() { [ $((SECONDS - $1)) -lt 5 ] || echo " [$((SECONDS - $1)) s]"; }
# soon SECONDS COMMAND...: succeeds within that time, tried twice a second
soon() {
	local end=$((SECONDS + $1)) out
	shift
	until out=$("$@" 2>&1); do
		[ $SECONDS -lt $end ] || { printf '%s\n' "$out"; return 1; }
		sleep 0.5
	done
}
# what a guest's kernel says when something is wrong, for grep -E; since 6.19 a warning names its place before its processor
warnings='WARNING: (CPU|[^ ]+:[0-9]+ at )|BUG:|Oops'
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
# with_xsave DIR COMMAND...: bench machines that it starts have XSAVE for x87 and SSE, as every real machine has at least; KVM there
# must be told what the guest does with it (HACKING.md). DIR: a folder for that, until they have ended.
with_xsave() {
	local dir=$1
	shift
	gcc -shared -fPIC -O1 -o "$dir/xcr0.so" tests/tools/xcr0_preload.c && echo 'export LD_PRELOAD=/extra/xcr0.so' >"$dir/init.sh" || return 1
	BENCH_XSAVE=+xsave BENCH_EXTRA=$dir "$@"
}
# up NAME OPTION...: a machine; when it does not come up the whole file fails, with what it said
up() {
	local n=$1 start=$SECONDS
	shift
	checks=$((checks + 1))
	if vm -n "$n" up "$@"; then
		echo "ok   $n comes up ($*)$(took $start)"
	else
		bad=$((bad + 1))
		echo "FAIL $n comes up ($*)"
		vm -n "$n" down
		finish
	fi
}
# round_trips NAME N: VTL0 is held, the state of VPs and devices saved and put back, and it goes on: N times. One that meets a VP in the
# middle of an access is tried again.
round_trips() {
	local i k text node=vm/partition/state_round_trip
	for i in $(seq $((3 * $2))); do
		vm -n "$1" diag inspect -u go $node >/dev/null || return 1
		for k in $(seq 50); do
			text=$(vm -n "$1" diag inspect $node)
			[ "$text" = "under way" ] || break
			sleep 0.1
		done
		[[ $text != "$2 good, "* ]] || { echo "$text"; return; }
		sleep "0.$((RANDOM % 5))"
	done
	echo "$text"
	return 1
}
finish() {
	echo "$((checks - bad)) $bad"
	vm list | while read -r n _; do vm -n "$n" down; done
	exit 0
}
trap 'vm list | while read -r n _; do vm -n "$n" down; done' EXIT
