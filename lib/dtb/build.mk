SRCS := read.c write.c
DEPS := lib/core
FLAVOURS := target native host fuzz bare
