SRCS := packet.c registers.c gdb.c
DEPS := lib/core
FLAVOURS := target host fuzz
