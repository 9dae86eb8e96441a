SRCS := packet.c registers.c gdb.c memory.c
DEPS := lib/core
FLAVOURS := target native host fuzz
