SRCS := synic.c
DEPS := lib/core
FLAVOURS := target native host fuzz
