SRCS := testdev.c watchdog.c ioapic.c pic.c pit.c rtc.c pm.c legacy.c com.c pci.c
DEPS := lib/core lib/log lib/inspect lib/state lib/task lib/uart vmm/bus
FLAVOURS := target host fuzz
