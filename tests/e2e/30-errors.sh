#!/usr/bin/env bash
# What can be wrong from outside ends in one clear line that says what to do.
. "$(dirname "$0")/lib.sh"
work=$(mktemp -d)
pvhost=$O/native/bin/pvhost igvmgen=$O/native/bin/igvmgen image=$O/paravane.igvm
check "pvhost --help" matches 'Usage: pvhost' "$pvhost" --help
cp "$pvhost" "$work/pvhost"
check "pvhost without an image" fails_with 2 '--igvm' "$work/pvhost"
check "pvhost: a wrong number" fails_with 2 'cpus' "$pvhost" --igvm "$image" --cpus 100
check "pvhost: a wrong size" fails_with 2 'memory' "$pvhost" --igvm "$image" --memory lots
check "pvhost: an unknown option" fails_with 2 'help' "$pvhost" --frobnicate
check "pvhost: no such image" fails_with 1 'make image' "$pvhost" --igvm "$work/none" --vsock "$work/v" --monitor "$work/m" --serial null
head -c 5000 "$image" >"$work/cut.igvm"
check "pvhost: a truncated image" fails_with 1 'igvm' "$pvhost" --igvm "$work/cut.igvm" --vsock "$work/v" --monitor "$work/m" --serial null
python3 - "$image" "$work/flip.igvm" <<'END'
import sys
b = bytearray(open(sys.argv[1], "rb").read())
b[40] ^= 4
open(sys.argv[2], "wb").write(b)
END
check "pvhost: a flipped bit" fails_with 1 'igvm.*(checksum|CRC)' "$pvhost" --igvm "$work/flip.igvm" --vsock "$work/v" --monitor "$work/m" --serial null
check "pvhost: a wrong word about cores" fails_with 2 'max=SIZE' "$pvhost" --igvm "$image" --crash-dumps "$work,size=3"
check "pvhost: no folder for cores" fails_with 1 'crash-dumps' "$pvhost" --igvm "$image" --crash-dumps "$work/none" --vsock "$work/v" --monitor "$work/m" --serial null
check "symbolize: no core" fails_with 1 'no 64-bit ELF' scripts/symbolize README.md
check "symbolize: a program, not its core" fails_with 1 'no core' scripts/symbolize "$pvhost"
check "igvmgen show: a truncated image" fails_with 1 . "$igvmgen" show "$work/cut.igvm"
check "igvmgen show: a flipped bit" fails_with 1 . "$igvmgen" show "$work/flip.igvm"
check "igvmgen: unknown words" fails_with 2 . "$igvmgen" frobnicate
if ! grep -qwE '^flags.*(vmx|svm)' /proc/cpuinfo; then
	check "pvhost: no virtualization" fails_with 1 '/dev/kvm' "$pvhost" --igvm "$image" --vsock "$work/v" --monitor "$work/m" --serial null
fi
check "pvdiag: nobody there" fails_with 3 'pvhost' "$O/native/bin/pvdiag" "$work/nowhere" inspect
check "pvdiag --help" matches 'inspect' "$O/native/bin/pvdiag" --help
check "scripts/vm: no such machine" fails_with 1 'not up' scripts/vm -n nobody exec true
echo 'CONFIG_NO_SUCH_OPTION_AT_ALL=y' >"$work/bad.config"
check "a kernel option that does not survive" matches 'NO_SUCH_OPTION_AT_ALL is n, wanted y' kernel/build "$work/k" "$work/bad.config"
# a host that gives no device tree (missing nodes and properties: tests/unit/boot, on the same code)
python3 tests/e2e/without_header.py "$image" 312 "$work/no-tree.igvm"
vm -n tree up --no-wait --igvm "$work/no-tree.igvm"
check "the shim: no device tree" bash -c 'scripts/vm -n tree wait 60; [ $? = 3 ]'
check "the shim says what is wrong" matches 'shim: cannot start VTL2: device tree from the host: there is no device tree' vm -n tree logs
rm -rf "$work"
finish
