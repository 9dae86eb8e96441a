SRCS := queue.c bringup.c controller.c
DEPS := lib/core lib/log lib/task lib/inspect
FLAVOURS := target host fuzz
