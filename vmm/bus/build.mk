SRCS := bus.c
DEPS := lib/core lib/log lib/inspect lib/state lib/task
FLAVOURS := target host fuzz
