SRCS := core.c scrub.c sender.c crash.c
DEPS := lib/core lib/log lib/os lib/task lib/inspect vmm/uio
FLAVOURS := target host fuzz
