SRCS := loop.c channel.c hvsock.c get.c uart.c crash.c crash_receiver.c
DEPS := lib/core lib/log lib/os lib/vmbus
FLAVOURS := native host fuzz
