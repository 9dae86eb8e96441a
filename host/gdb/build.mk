SRCS := server.c target.c
DEPS := lib/core lib/log lib/os lib/gdb host/vtl host/vmbus
FLAVOURS := native host
