SRCS := ring.c uio.c
DEPS := lib/core lib/log lib/os lib/task lib/inspect
FLAVOURS := target host fuzz
