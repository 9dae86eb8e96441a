SRCS := log.c kmsg.c
DEPS := lib/core
FLAVOURS := target native host tsan fuzz
