SRCS := node.c since.c wire.c print.c inspect.c log.c
DEPS := lib/core lib/log lib/rpc lib/task
FLAVOURS := target native host fuzz
