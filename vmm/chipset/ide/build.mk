SRCS := ide.c channel.c transfer.c busmaster.c ata.c identify.c atapi.c mmc.c state.c
DEPS := lib/core lib/log lib/inspect lib/state lib/task vmm/mem vmm/bus vmm/chipset vmm/disk
FLAVOURS := target host fuzz
