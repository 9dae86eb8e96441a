SRCS := vp.c exits.c io.c mmio.c msr.c registers.c setup.c synic.c
DEPS := lib/core lib/log lib/inspect lib/task vmm/hcl vmm/mem vmm/emul vmm/bus vmm/chipset
FLAVOURS := target host fuzz
