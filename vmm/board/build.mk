SRCS := board.c
DEPS := lib/core lib/log lib/inspect lib/state lib/task vmm/hcl vmm/mem vmm/bus vmm/chipset vmm/disk vmm/chipset/ide vmm/apic vmm/emul vmm/vp vmm/vmbus
FLAVOURS := target host fuzz
