SRCS := format.c allocate.c operation.c sync.c names.c
DEPS := lib/core
FLAVOURS := target native host fuzz
