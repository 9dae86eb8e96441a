SRCS := vp.c cpuid.c exits.c io.c interrupt.c mmio.c msr.c registers.c state.c setup.c watch.c synic.c debug.c debug_registers.c
DEPS := lib/core lib/log lib/inspect lib/state lib/task vmm/hcl vmm/mem vmm/emul vmm/bus vmm/chipset vmm/apic lib/gdb lib/apic lib/synic
FLAVOURS := target host fuzz
