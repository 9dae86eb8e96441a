SRCS := store.c keeper.c boot_status.c
DEPS := lib/core lib/log lib/os lib/task lib/inspect lib/vmgs vmm/get vmm/device_worker
FLAVOURS := target host fuzz
