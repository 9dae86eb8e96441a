SRCS := store.c
DEPS := lib/core lib/log lib/task lib/inspect lib/vmgs vmm/get
FLAVOURS := target host fuzz
