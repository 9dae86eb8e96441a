SRCS := lapic.c msr.c
DEPS := lib/core
FLAVOURS := target native host fuzz
