SRCS := packet.c registers.c gdb.c access.c memory.c
DEPS := lib/core
FLAVOURS := target native host fuzz
