SRCS := vapic.c state.c
DEPS := lib/core lib/log lib/inspect lib/state lib/task lib/apic lib/synic vmm/mem vmm/chipset
FLAVOURS := target host fuzz
