# VTL0's exits at random, natively: a VP of the worker with the whole chipset over the fake hypervisor, in virtual time, under sanitizers
DEPS := lib/core lib/log lib/inspect lib/state lib/task lib/vmbus vmm/hcl vmm/mem vmm/bus vmm/chipset vmm/chipset/ide vmm/disk vmm/apic vmm/emul vmm/vp vmm/vmbus vmm/board
PROG := sweep_exits
PROG_sweep_exits := main.c machine.c exits.c
PROGFLAVOUR_sweep_exits := host
