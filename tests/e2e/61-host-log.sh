#!/usr/bin/env bash
# The firmware's log on the host: from its first record on, filtered while it runs, and a flood of records that harms nobody.
. "$(dirname "$0")/lib.sh"
work=$(mktemp -d)
log=$work/fw.jsonl
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -rf "$work"' EXIT
d() { vm -n log diag --timeout 60 "$@"; }
g() { vm -n log exec --timeout 120 "$@"; }
# has REGEX: soon a line of the file matches
has() {
	for _ in $(seq 30); do ! grep -qE -- "$1" "$log" || return 0; sleep 1; done
	tail -n 5 "$log"
	return 1
}
n() { d inspect "trace/host/$1"; }

up log --memory 512M --firmware-log "$log"
check "only its owner reads the file" test "$(stat -c %a "$log")" = 600
check "the kernel's first record, from before the channel" has '"target":"kernel".*Linux version'
check "the worker's" has '"target":"vmm/loader"'
check "each line is JSON with level, target and text" python3 - "$log" <<'END'
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1], encoding="ascii") if l.endswith("\n")]
assert len(lines) > 50
for l in lines:
    assert l["level"] in ("ERROR", "WARN", "NOTICE", "INFO", "DEBUG") and l["target"] and isinstance(l["fields"]["message"], str), l
times = [float(l["timestamp"].rstrip("s")) for l in lines]
assert times == sorted(times)
END
check "nothing was lost" matches "^0$" n lost
say_two() { d run sh -c "echo '<4>demo/x: grave $1' >/dev/kmsg; echo '<6>demo/x: usual $1' >/dev/kmsg"; }
filtered() {
	d inspect trace/host_filter -u warn && say_two 1 && has 'grave 1' && d inspect trace/host_filter -u info && say_two 2 &&
		has 'usual 2' && ! grep 'usual 1' "$log"
}
check "the filter changes at run time" filtered
check "a filter that is none is refused" fails_with 1 'Invalid argument' d inspect trace/host_filter -u loud
odd() { d run sh -c 'printf "<4>demo/x: \"q\" \\\\ \033[1m \377 \303\244\n" >/dev/kmsg' && has '\\"q\\" \\\\ \\u001B\[1m \\uFFFD \\u00E4'; }
check "odd bytes" odd

flood() {
	d run sh -c 'i=0; while [ $i -lt 12000 ]; do echo "<6>flood/x: number $i, of which there are very many"; i=$((i+1)); done >/dev/kmsg' &
	local pid=$! ok=0
	# the guest and diagnostics go on meanwhile
	g true && d inspect vm >/dev/null || ok=1
	wait $pid || ok=1
	return $ok
}
before=$(n sent)
check "a flood stalls neither the guest nor diagnostics" flood
# a record's loss is known when a later one is read: so one more, and all before it was sent or is counted
marked() {
	for _ in $(seq 20); do
		d run sh -c 'echo "<4>demo/x: after the flood" >/dev/kmsg'
		sleep 1
		# the first may be among those that the host left out
		! grep -q 'after the flood' "$log" || return 0
	done
	return 1
}
check "records come after it" marked
counted() {
	local sent lost
	sent=$(n sent) lost=$(n lost)
	echo "before $before sent $sent lost $lost"
	[ $((sent - before + lost)) -ge 12000 ]
}
check "what was not sent is counted" counted
told() {
	sleep 3
	local records out
	read -r records out < <(vm -n log monitor 'info devices' | sed -n 's/^firmware log: records \([0-9]*\) left out \([0-9]*\)/\1 \2/p')
	echo "records $records left out $out, lines $(wc -l <"$log")"
	[ "$records" -ge "$(n sent)" ] && { [ "$out" = 0 ] || grep -q '"target":"pvhost".*suppressed' "$log"; }
}
check "and what the host left out is told" told
check "what a guest repeats is counted in each process" matches '^[0-9]+$' d inspect vm/trace/suppressed
finish
