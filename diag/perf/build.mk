SRCS := perf.c stacks.c
DEPS := lib/core lib/os
FLAVOURS := target host
