# Sourced after lib.sh by files whose machine is a row of the pairwise table of shapes (44-shapes.sh has the rows that nobody else boots).
declare -A kernels=([cloud]=$O/deps/guest/vmlinuz [generic]=$O/deps/guest-generic/vmlinuz [newer]=$O/deps/guest-newer/vmlinuz
	[debug]=$O/deps/kernel-guest/bzImage)
declare -A initrds=([cloud]=$O/guest.initrd [generic]=$O/guest-generic.initrd [newer]=$O/guest-newer.initrd [debug]=$O/guest.initrd)
mib() { case $1 in *G*) echo $((${1%%G*} * 1024)) ;; *) echo "${1%%M*}" ;; esac; }
# shape CPUS MEMORY VTL2 APIC GUEST: the options of up for such a machine, in $shape
shape() {
	shape=(--cpus "$1" --memory "$2" --vtl2-memory "$3" --apic "$4" --kernel "${kernels[$5]}" --initrd "${initrds[$5]}")
}
# what the guest counts as its memory is what it was given, but for its kernel's own (an eighth at most, and 64 MiB) and VTL2's
enough() {
	local have
	have=$(($(vm -n "$1" exec --timeout 240 "sed -n 's/^MemTotal: *//p' /proc/meminfo" | tr -dc 0-9) / 1024))
	[ $have -le "$2" ] && [ $((have + have / 8 + 64 + $3)) -ge "$2" ] || { echo "$have MiB of $2, $3 of it VTL2's"; return 1; }
}
vtl2_has() {
	vm -n "$1" diag run sh -c "m=\$(sed -n 's/^MemTotal: *//p' /proc/meminfo | tr -dc 0-9); [ \$m -lt $(($2 * 1024)) ] && [ \$m -gt $(($2 * 512)) ] ||
		{ echo \$m; false; }"
}
# has_shape NAME CPUS MEMORY VTL2 APIC GUEST: the machine is of that shape, as its guest and its firmware see it
has_shape() {
	local own=0
	[ "${4%self}" = "$4" ] || own=$(mib "$4")
	check "$2 VPs, $3, VTL2 $4, apic $5, guest $6" matches "^[0-9]+[.]" vm -n "$1" exec --timeout 240 'uname -r' </dev/null
	check "its processors" matches "^$2$" vm -n "$1" exec --timeout 240 nproc </dev/null
	check "its memory" enough "$1" "$(mib "$3")" "$own" </dev/null
	check "VTL2's memory is what it was given" vtl2_has "$1" "$(mib "$4")" </dev/null
}
