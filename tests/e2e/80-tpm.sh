#!/usr/bin/env bash
# A TPM in a Debian guest, as tpm2-tools, systemd and the kernel use it (tests/guests/tpm/tpm.sh runs there): what it can do, what
# was measured, what a command costs, what its process lets others see.
# needs: root.ext4 target/bin/as_worker
# limit: 2400
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tpm_lib.sh"

start --vmgs "$vmgs"
check "the state is kept" matches 'persists: true' d inspect -r tpm
check "it was made, with keys and certificates" matches 'endorsement keys and their certificates were made' cat "$log"
check "the device is there, for programs and for many" g '[ -c /dev/tpm0 ] && [ -c /dev/tpmrm0 ]'

# ---- what it can do
check "properties" t properties
check "algorithms" t algorithms
check "exactly the banks SHA-256 and SHA-384" t banks
check "self-test" t selftest
check "random numbers" t random
check "the clock goes" t clock
check "a primary key, ECC; twice the same" t primary_ecc
check "a primary key, RSA" t primary_rsa
check "create, load, sign, verify: ECC" t sign_ecc
check "create, load, sign, verify: RSA" t sign_rsa
check "RSA decryption, HMAC, hash" t encrypt
check "seal, unseal by PCRs; not with others" t seal
check "NV: define, write, read, increment, bits; not with a wrong password" t nv
check "an attestation key, and a credential for it" t attest
check "quote, checkquote; not with another nonce" t quote
check "certificates are the authority's, of these keys" t certificates
check "createek makes the same keys" t ek
check "both endorsement keys are there" t ek_is_there
check "/dev/tpmrm0: three clients with three objects each" t space
check "systemd opens a disk with it; not with another PCR" t cryptenroll

check "its state and all else is saved and put back, twice" round_trips tpm 2
check "then it seals and unseals, and counts on" t seal
check "and random numbers are not those of before" t random

# ---- what was measured
padded() { python3 -c 'import hashlib, sys; d = open(sys.argv[2], "rb").read(); print(hashlib.new(sys.argv[1], d + bytes(-len(d) % int(sys.argv[3]))).hexdigest())' "$@"; }
measured() { # EVENT FILE PAD
	local bank
	for bank in sha256 sha384; do
		[ "$(t log_digest 9 "$1" $bank)" = "$(padded $bank "$2" "$3")" ] || { echo "$bank of $2 is not what was measured"; return 1; }
	done
}
check "the log comes to PCRs 0 to 9, in both banks" t log
check "the kernel's digest is the file's, padded to pages" measured 1 "$O/deps/guest/vmlinuz" 4096
check "the initrd's digest is the file's" measured 2 "$O/guest.initrd" 1
check "the command line's is /proc/cmdline's" t command_line

# ---- what it costs
cost() {
	local commands writes reads
	commands=$(sum commands) writes=$(sum writes) reads=$(sum reads)
	g 'export TPM2TOOLS_TCTI=device:/dev/tpm0; for i in 1 2 3 4 5 6; do tpm2_getrandom -Q 8; done'
	commands=$(($(sum commands) - commands)) writes=$(($(sum writes) - writes)) reads=$(($(sum reads) - reads))
	echo "$commands commands, $writes writes and $reads reads that were intercepted"
	[ "$commands" -ge 6 ] && [ "$writes" -le $((6 * commands)) ] && [ "$reads" = 0 ]
}
cpu_of() { d file "/proc/$(value tpm/process/pid)/stat" | awk '{print $14 + $15}'; }
idle() {
	local writes later cpu cpu_later
	sleep 2
	writes=$(sum forwarded)
	# to look at the accesses asks the process itself: not while its time is taken
	cpu=$(cpu_of)
	sleep 10
	cpu_later=$(cpu_of)
	later=$(sum forwarded)
	echo "accesses $writes, then $later; ticks of the processor $cpu, then $cpu_later"
	[ "$writes" = "$later" ] && [ "$cpu" = "$cpu_later" ]
}
check "a command costs at most six exits, none of them a read" cost
check "idle: no access, no processor time" idle

# ---- what its process lets others see
hidden() {
	local pid
	pid=$(value tpm/process/pid)
	d run sh -c "grep -E '^(Uid|CapEff|CapPrm|CapInh|Seccomp|NoNewPrivs)' /proc/$pid/status; echo root \$(ls -A /proc/$pid/root/ | wc -l)
		echo environment \$(cat /proc/$pid/environ | wc -c); ls -l /proc/$pid/fd | grep -vE 'total|socket:|/dev/null'" | tr '\t' ' ' >"$work/hidden"
	cat "$work/hidden"
	[ "$(grep -cE '^Cap.*: 0+$|^Seccomp: 2$|^NoNewPrivs: 1$|^Uid: 7001 7001 7001 7001$|^(root|environment) 0$' "$work/hidden")" = 8 ] &&
		[ "$(grep -cvE 'Seccomp_filters' "$work/hidden")" = 8 ]
}
# from a process with what the worker may; and that one with all capabilities would get in
from_worker() {
	local worker pid
	worker=$(d inspect -r proc/worker | sed -n 's/^ *pid: //p') pid=$(value tpm/process/pid)
	d run sh -c 'cat >/tmp/as_worker; chmod 755 /tmp/as_worker' <"$O/target/bin/as_worker"
	d run sh -c "grep CapEff /proc/$worker/status; /tmp/as_worker $worker $pid" || return 1
	! d run /tmp/as_worker 0 "$pid" >"$work/all" && grep -q '^mem: OPEN' "$work/all"
}
check "no capability, system call, file or environment that it needs not" hidden
check "who has what the worker has cannot read its memory, nor become it" from_worker

# ---- lockout
check "wrong passwords count, and lock out" t lockout
check "no warning or oops in the guest" quiet
finish
