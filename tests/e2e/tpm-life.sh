#!/usr/bin/env bash
# What a guest's TPM keeps over resets, ends of the machine and kills of its process while the guest counts with it; physical
# presence; no file, and a file whose TPM is none. KILLS: how many of those (6; 20 in `make long TEST=tpm`, with resets between them,
# as control starts a process that dies again and again ever later). PARTS: which of the five, in this order.
# needs: root.ext4
# limit: 3600
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tpm_lib.sh"
KILLS=${KILLS:-6} SEED=${SEED:-$RANDOM} PARTS=${PARTS:-keep presence kills ephemeral damaged}
RANDOM=$SEED
part() { [[ " $PARTS " == *" $1 "* ]]; }

start --vmgs "$vmgs"
if part keep || part presence; then
	check "a primary key" t primary_ecc
	check "NV, a counter and a wrong password" t nv
	check "a key is kept" t keep_key
fi
if part keep; then
	check "systemd opens a disk with it" t cryptenroll
	check "what PCRs 0 to 9 have is remembered" t pcrs_keep
	check "a secret is sealed to this boot" t boot_seal

	# ---- a reset by the guest
	check "the guest resets the machine" reboot
	check "PCRs 0 to 9 are what they were" t pcrs_are
	check "what was sealed to that boot opens" t boot_unseal
	check "NV, its counter and a kept key are there" t nv_is_there
	check "wrong passwords are still counted" t lockout_counts_on
	check "systemd opens the disk again" t cryptopen

	# ---- another machine with the same file
	again --vmgs "$vmgs"
	check "the guest state file is the same" matches 'formatted: false' d inspect -r vmgs
	check "it is the same TPM" matches 'made: false' d inspect -r vm/chipset/tpm
	check "NV, its counter and a kept key are there, too" t nv_is_there
	check "what was sealed opens again" t boot_unseal
	check "the endorsement keys are the same" t ek
fi

if part presence; then
	# ---- clear, and physical presence
	check "clear, with the lockout's password only" t clear
	check "physical presence is there" t ppi
	check "clear is asked for" t ppi_clear
	check "the guest resets the machine, for it" reboot
	check "it was done, and the endorsement keys are back" t ppi_cleared
	check "a bank is to be switched off" t ppi_banks 2
	check "the guest resets the machine, for that" reboot
	check "only SHA-256 is on" t ppi_banks_are "'sha256 24'"
fi

if part kills; then
	# ---- kills. The guest must not hang, what was acknowledged must be there, and what PCRs guard stays shut until a reset
	check "a secret is sealed to this boot, too" t boot_seal
	kill_it() {
		local pid deaths
		pid=$(value tpm/process/pid) deaths=$(value tpm/process/deaths)
		[ "$pid" != 0 ] && d run busybox kill -9 "$pid" || return 1
		for _ in $(seq 50); do [ "$(value tpm/process/deaths)" = "$deaths" ] || break; sleep 0.2; done
		[ "$(value tpm/process/deaths)" = $((deaths + 1)) ]
	}
	# some in one life of the machine; up to 16 s pass before the sixth process
	kills() {
		local i
		t "$1" || return 1
		for i in $(seq "$2"); do
			sleep $((RANDOM % 5)).$((RANDOM % 10))
			kill_it || { echo "kill $i of $2, seed $SEED"; return 1; }
			t works 300 || return 1
		done
		t count_end
	}
	check "the counter begins, and the process is killed while the guest counts, seed $SEED" kills count_begin $((KILLS < 6 ? KILLS : 6))
	check "what was sealed to this boot does not open" t boot_refused
	check "the guest resets the machine, after them" reboot
	check "now it opens" t boot_unseal
	for ((left = KILLS - 6, n = 2; left > 0; left -= 6, n++)); do
		check "more kills, part $n" kills count_on $((left < 6 ? left : 6))
		check "the guest resets the machine, after part $n" reboot
	done
	check "the counter is what was acknowledged, or more" t "count_on && sleep 20 && bash /root/tpm.sh count_end"
	check "no warning or oops in the guest" quiet
fi
vm -n tpm down
check "the guest state file is good" matches '^good$' "$O/native/bin/pvvmgs" check "$vmgs"

if part ephemeral; then
	# ---- without a file
	start --crash-dumps "$work/cores"
	check "without a file it is ephemeral, and says so" matches 'persists: false' d inspect -r tpm
	check "it works all the same" t random

	# ---- a core of it: the way by name, and nothing of what it keeps
	check "a secret is put into its memory" g 'cd /tmp && printf "a planted secret, nobody else.s." >s && tpm2_nvdefine -Q 0x1800099 -C o -s 32 &&
		tpm2_nvwrite -Q 0x1800099 -C o -i s && [ "$(tpm2_nvread 0x1800099 -C o)" = "$(cat s)" ]'
	check "no core is made while it lives" bash -c '! scripts/vm -n tpm diag core-dump -o "$0" "$1" && [ ! -s "$0" ]' "$work/live.core" \
		"$(value tpm/process/pid)"
	check "it is made to crash" d crash "$(value tpm/process/pid)"
	core=$work/cores/tpm-1.core
	check "its core comes" bash -c 'for i in $(seq 150); do [ ! -e "$0" ] || exit 0; sleep 0.2; done; exit 1' "$core"
	check "gdb reads it by name" matches ' tpm_main \(' scripts/symbolize "$core"
	check "the secret is not in it" bash -c '[ -s "$0" ] && ! grep -qaE "planted secret|nobody else" "$0"' "$core"
	vm -n tpm down
fi

if part damaged; then
	# ---- a file whose TPM is none
	damage() {
		python3 - "$vmgs" "$1" <<'EOP'
import subprocess, sys, os
path, file = sys.argv[1:]
tool = os.environ.get("O", "build") + "/native/bin/pvvmgs"
content = subprocess.run([tool, "dump", "-o", "/dev/stdout", path, file], check=True, stdout=subprocess.PIPE).stdout
whole = open(path, "rb").read()
at = whole.find(content[:512])
assert at >= 0 and len(content) > 512, "its content is not found"
with open(path, "r+b") as f:
    f.seek(at)
    f.write(b"\x55" * 512)
EOP
	}
	check "the TPM's memory is damaged" damage tpm-nvram
	: >"$log"
	start --vmgs "$vmgs"
	check "the guest runs without a TPM" g '[ ! -e /dev/tpm0 ]'
	check "the firmware says why" matches 'libtpms does not take this state|memory of the TPM|cannot be read' cat "$log"
	check "and that it goes without" matches 'VTL0 goes without' cat "$log"
	check "inspect says it" matches 'state: (refused|gone)' d inspect -r tpm
fi
finish
