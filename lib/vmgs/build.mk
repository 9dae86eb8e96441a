SRCS := format.c allocate.c operation.c sync.c blank.c names.c
DEPS := lib/core lib/log
FLAVOURS := target native host fuzz
