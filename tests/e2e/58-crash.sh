#!/usr/bin/env bash
# Processes of the firmware die, and the host gets their cores, which gdb reads by name; the machine ends or begins anew, as its
# policy says. The guest's own ends, reported with what they say of themselves: a panic with its text, a triple fault with registers.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/crash_lib.sh"

# ---- policy: the machine ends
vm -n once up --no-wait --cpus 2 --memory 512M --crash-dumps "$work/once" --vtl2-console
check "it runs a guest" running once
check "the worker is made to crash" bash -c 'scripts/vm -n once diag crash '"$(pid once worker)"
check "its core comes" appears 30 "$work/once/once-1.core"
check "gdb reads it by name" with_vps "$work/once/once-1.core"
check "it carries the kernel's log, with who died" matches 'process [0-9]+ \(worker\) died of signal 11' scripts/symbolize --kmsg "$work/once/once-1.core"
check "the guest's memory is not in it" bash -c '[ "$(stat -c %s "$0")" -lt 33554432 ]' "$work/once/once-1.core"
check "nobody but its owner may read it" bash -c '[ "$(stat -c %a "$0")" = 600 ]' "$work/once/once-1.core"
check "the machine ends, as --on-crash end has it" bash -c 'scripts/vm -n once wait 60; [ $? = 3 ]'
check "the host says so" matches 'the firmware reports a crash: .*VTL2' vm -n once logs
check "and which file it is" matches 'a process of the firmware crashed: .*once-1.core, [0-9]+ bytes' vm -n once logs
vm -n once down

# ---- a host that takes no cores: a clear line, and the same end
vm -n refused up --no-wait --memory 512M --crash-dumps "$work/refused,count=0" --vtl2-console
check "a control process crashes" bash -c 'scripts/vm -n refused diag crash '"$(pid refused control)"
check "VTL2 resets all the same" bash -c 'scripts/vm -n refused wait 60; [ $? = 3 ]'
check "the firmware says that the host did not want the core" matches 'the host says 0x80004005 to a new core' vm -n refused logs vtl2
check "there is none" bash -c '! ls "$0" | grep .' "$work/refused"
vm -n refused down

# ---- policy: the machine begins anew
up again --cpus 2 --memory 512M --crash-dumps "$work/again,count=100000" --on-crash reset --vtl2-append PARAVANE_ON_WORKER_DEATH=reset
g() { vm -n again exec --timeout 60 "$@"; }
before=$(resets again)
g 'insmod /lib/modules/hv_vmbus.ko* 2>/dev/null; (sleep 1; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &' >/dev/null 2>&1
# its text takes the bench machine's serial port a while
said() { soon 30 matches "$1" vm -n again logs; }
check "a guest that panics is reported" said 'the guest reports a crash'
check "with what it says" said '\| .*sysrq triggered crash'
check "the firmware's log has it too" matches 'guest: .*sysrq triggered crash' vm -n again diag kmsg
check "and runs on" matches 'running' vm -n again diag inspect control_state
vm -n again monitor reset >/dev/null
check "a reset" reset_after again "$before"
before=$(resets again)
check "the guest is back" python3 scripts/vm-agent.py "$PARAVANE_VMS/again/com2" wait 120
g '(sleep 1; echo triple >/sys/kernel/reboot/type; reboot -f) >/dev/null 2>&1 &' >/dev/null 2>&1
check "a triple fault resets the machine" reset_after again "$before"
check "its registers are reported by name" said '\| .*rip=0x[0-9a-f]+'
check "also segments and tables" said '\| .*idtr=.* limit 0'
vm -n again down
finish
