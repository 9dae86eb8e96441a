#!/usr/bin/env bash
# What pvdiag can do to a running machine, from one whose VTL0 waits to be started on; and what it may not under the production
# policy.
. "$(dirname "$0")/lib.sh"
d() { vm -n diag diag --timeout 60 "$@"; }
g() { vm -n diag exec --timeout 120 "$@"; }
pvdiag=$O/native/bin/pvdiag sock=$PARAVANE_VMS/diag/vsock
work=$(mktemp -d)
trap 'vm list | while read -r n _; do vm -n "$n" down; done; rm -rf "$work"' EXIT

up diag --cpus 2 --memory 512M --vtl2-append PARAVANE_WAIT_FOR_START=1 --vmgs "$work/vm.vmgs" --no-wait
answers() { for _ in $(seq 120); do d ping && return; sleep 1; done; }
waits() { for _ in $(seq 60); do d inspect control_state | grep -qx waiting_for_start && return; sleep 1; done; d inspect; false; }
check "the firmware is up" answers
check "VTL0 waits to be started" waits
check "the guest state is made at the host" matches '^ *formatted: true' d inspect -r vmgs
check "the guest state can be written" matches '^ *state: ready' d inspect -r vmgs
check "there is no worker yet" fails_with 1 'no worker runs' d inspect vm
check "nothing to pause yet" fails_with 1 'no worker runs' d pause
check "nothing to restart yet" fails_with 1 'no worker was started' d restart
check "start" d start -e PARAVANE_LOG=info
check "the guest comes up" python3 scripts/vm-agent.py "$PARAVANE_VMS/diag/com2" wait 300
check "started once is enough" fails_with 1 'started already' d start

check "run: output" matches '^Linux .* x86_64' d run uname -a
check "run: status" fails_with 7 . d run sh -c 'echo said; exit 7'
check "run: of a signal" fails_with 143 . d run sh -c 'echo said; kill -TERM $$'
check "run: no such program" fails_with 1 'nosuch: No such file' d run nosuch
head -c 300000 /dev/urandom >"$work/in"
check "run: 300 kB there and back" bash -c "'$pvdiag' '$sock' --timeout 60 run cat <'$work/in' | cmp - '$work/in'"
check "run: stderr is apart" bash -c "[ \"\$('$pvdiag' '$sock' --timeout 60 run sh -c 'echo a; echo b >&2' 2>/dev/null)\" = a ]"
check "run: environment" matches '^X=1 2$' d run -e 'X=1 2' env
check "run: Ctrl-C reaches the program" bash -c "timeout -s INT 5 '$pvdiag' '$sock' --timeout 60 run sleep 300; [ \$? = 124 ] && sleep 3 &&
	! '$pvdiag' '$sock' --timeout 60 run ps | grep -q 'sleep 300'"
check "shell: terminal, size, Ctrl-C, status" timeout 200 python3 tests/e2e/diag_shell.py "$pvdiag" "$sock" --timeout 60 shell
check "no process is left" bash -c "! '$pvdiag' '$sock' --timeout 60 inspect -r uhdiag/processes/running | grep command"
check "file" matches 'Linux version' d file /proc/version
check "file: none" fails_with 1 'No such file' d file /nowhere
follow_file() {
	d run sh -c 'echo one >/tmp/f'
	timeout 20 "$pvdiag" "$sock" --timeout 60 file -f /tmp/f >"$work/f" &
	sleep 3
	d run sh -c 'echo two >>/tmp/f'
	sleep 4
	kill $!
	[ "$(cat "$work/f")" = "$(printf 'one\ntwo')" ]
}
check "file -f: what is added comes" follow_file

paused() {
	d pause && [ "$(d inspect vm/partition/paused)" = true ] || return 1
	# the guest's agent cannot answer; the firmware does
	! timeout 6 scripts/vm -n diag exec true || return 1
	matches 'paused already|is so already' d pause
	d inspect -r vm >/dev/null && d resume && [ "$(d inspect vm/partition/paused)" = false ] && g true
}
check "pause holds the guest, resume lets it go" paused
check "resume of what runs" fails_with 1 'is so already' d resume
check "dump-saved-state has the records of VPs and devices" bash -c "'$pvdiag' '$sock' --timeout 60 dump-saved-state >\$PARAVANE_VMS/state
	head -c 4 \$PARAVANE_VMS/state | grep -q PVST && grep -qa PRIV \$PARAVANE_VMS/state && grep -qa 'RTC ' \$PARAVANE_VMS/state"
check "the guest runs on after it" g true
check "restart is refused under a live guest" fails_with 1 'saved state' d restart
check "packet-capture: no network device yet" fails_with 1 'no network device' d packet-capture
check "events: JSON that parses" bash -c "'$pvdiag' '$sock' --timeout 60 events -j | python3 -c 'import json, sys; n = [json.loads(l) for l in sys.stdin]; assert any(r[\"process\"] == \"vmm\" for r in n)'"
check "events: one process, one level" bash -c "'$pvdiag' '$sock' --timeout 60 events --process vmm --level notice | grep paused"
check "top: a table" matches '^ +1 +[0-9.]+ ' d top -n 1 --watch=2
check "inspect: patterns" matches '^vm/partition/vps/1/exits/io:' d inspect 'vm/partition/vps/*/exits/io'
check "inspect: rates" matches '^ *turns: [0-9.]+/s' d inspect -r vm/executors --watch=2 -n 1
bundle() { d bundle "$work/b.tar" && tar tf "$work/b.tar" | grep -q processes.txt && tar xOf "$work/b.tar" paravane/kmsg.txt | grep -q 'vmm/' &&
	tar xOf "$work/b.tar" paravane/inspect.json | python3 -m json.tool >/dev/null; }
check "bundle" bundle
relayed() {
	"$pvdiag" "$sock" --timeout 60 vsock-tcp-relay 1 0 -n 1 >"$work/port" &
	for _ in $(seq 50); do [ ! -s "$work/port" ] || break; sleep 0.1; done
	# diag.OpenhclDiag/Ping by hand: the answer has an empty payload
	python3 - "$(grep -oE '[0-9]+' "$work/port" | head -n 1)" <<'END'
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
body = b"\x0a\x10diag.OpenhclDiag\x12\x04Ping"
s.sendall(len(body).to_bytes(4, "big") + b"\0\0\0\1\1\0" + body)
assert s.recv(12) == b"\0\0\0\2\0\0\0\1\2\0\x12\0"
END
}
# the guest works, so the VP's thread is seen in its run ioctl, by name and from the thread's start on
traced() {
	g 'ports 0x71 3000000 >/dev/null 2>&1 & echo $! >/tmp/ports'
	d perf-trace -s 4 --symbols "$O/target/bin/paravane" -o "$work/folded"
	g 'kill $(cat /tmp/ports)'
	tail -n 3 "$work/folded"
	grep -qE '^worker;.*;vp_thread;exec_run;wait_in_guest;.* [0-9]+$' "$work/folded"
}
check "perf-trace: folded stacks with names" traced
boot_line() {
	d inspect -j -r boot | python3 -c '
import json, sys
b = json.load(sys.stdin)
at = [b[s]["at_us"] for s in ("shim", "kernel", "init", "control", "host", "worker", "vtl0")]
print(b)
assert at[0] == 0 and at == sorted(at) and "shim" in b["zero"]
assert b["shim"]["took_us"] > 0 and b["kernel"]["took_us"] > 0'
}
check "inspect boot: from the shim to VTL0, in order" boot_line
check "core-dump: a core of the worker, which lives on" bash -c "'$pvdiag' '$sock' --timeout 60 core-dump worker -o '$work/core' &&
	scripts/symbolize '$work/core' | tee '$work/bt' | grep -q worker_main && grep -q vp_thread '$work/bt'"
check "the guest runs on after it, too" g true
check "mesh/hosts names the processes" matches 'name: worker' d inspect -r mesh/hosts
check "vsock-tcp-relay" relayed
check "bash, zsh and fish complete commands, options and this machine's nodes" python3 tests/e2e/completions.py "$pvdiag" "$sock"

# ---- many clients, and what they cost the guest
counters() {
	{ vm -n diag monitor 'info exits'; d inspect -r vm/partition/vps/1; } >"$1"
}
# of VP 1, where the program runs: exits of its port accesses cost what they cost without clients. CLIENTS_SECONDS: for so long
# (make long TEST=clients: a minute)
many() {
	local clients
	counters "$work/before"
	python3 tests/e2e/diag_clients.py "$sock" 50 "${CLIENTS_SECONDS:-20}" >"$work/clients" 2>&1 &
	clients=$!
	g "taskset 2 ports 0x71 $((${CLIENTS_SECONDS:-20} * 250))"
	counters "$work/after"
	wait $clients
	local r=$?
	cat "$work/clients"
	return $r
}
check "50 clients inspect at once while the guest works" many
sed 's/^/     # /' "$work/clients"
check "an exit costs two switches and one call, with them too" python3 tests/e2e/per_exit.py "$work/before" "$work/after"
check "no client was dropped" matches '^dropped_clients: 0' d inspect uhdiag/rpc
check "no warning or oops in the guest" g '! dmesg | grep -E "'"$warnings"'|Call Trace"'
vm -n diag down
check "the guest-state file is good" matches '^good$' "$O/native/bin/pvvmgs" check "$work/vm.vmgs"

up locked --cpus 1 --vtl2-append PARAVANE_DIAGNOSTICS=restricted --vmgs "$work/vm.vmgs"
l() { vm -n locked diag --timeout 60 "$@"; }
check "the guest state of the machine before is there" matches '^ *formatted: false' l inspect -r vmgs
for c in "run ls" "shell" "file /proc/version" "pause" "resume" "dump-saved-state" "packet-capture" "start" "restart" \
	"crash worker" \
	"inspect trace/filter -u debug"; do
	check "restricted: $c" fails_with 1 'is disabled here|Exec|no text for a terminal' l $c
done
check "restricted: inspect works" matches 'vp_count: 1' l inspect -r vm
check "restricted: kmsg works" matches 'restricted' l kmsg
check "restricted: what is sensitive is not shown" bash -c 'scripts/vm -n locked diag --timeout 60 inspect -r get >"$0/get" && ! grep -q settings "$0/get"' "$work"
finish
