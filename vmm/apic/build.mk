SRCS := vapic.c
DEPS := lib/core lib/log lib/inspect lib/task lib/apic lib/synic vmm/mem vmm/chipset
FLAVOURS := target host fuzz
