SRCS := uart.c
DEPS := lib/core lib/inspect lib/state
FLAVOURS := target native host fuzz
