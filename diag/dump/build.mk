SRCS := threads.c maps.c dump.c
DEPS := lib/core lib/log lib/os
FLAVOURS := target host
