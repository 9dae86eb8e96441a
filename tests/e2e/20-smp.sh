#!/usr/bin/env bash
# Two VPs, two executors, one guest; two machines at once by name.
. "$(dirname "$0")/lib.sh"
up two --cpus 2 --memory 1G
g() { vm -n two exec --timeout 120 "$@"; }
d() { vm -n two diag "$@"; }
check "the guest has two processors" matches '^2$' g nproc
check "both take timer interrupts" g 'awk "/HVS:|LOC:/ {a += \$2; b += \$3} END {exit !(a > 0 && b > 0)}" /proc/interrupts'
check "both run at once" g 'for c in 0 1; do taskset $((c + 1)) sh -c "i=0; while [ \$i -lt 3000 ]; do i=\$((i + 1)); done" & done; wait'
check "IPIs arrive" g 'grep -E "RES:|CAL:" /proc/interrupts | awk "{n += \$2 + \$3} END {exit !(n > 0)}"'
check "both VPs' executors are seen" matches '^ *io: *[0-9]' d inspect -r vm/partition/vps/1
check "the host sees both in use" matches 'vp 1: started' vm -n two monitor 'info vp'
check "no warning in the guest" g '! dmesg | grep -E "WARNING: CPU|BUG:|Oops|soft lockup"'
check "a second name is a second machine" matches 'is not up' vm -n other exec true
g '(sleep 1; poweroff) &' >/dev/null 2>&1
check "poweroff with two VPs" vm -n two wait 90
finish
