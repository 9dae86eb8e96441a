SRCS := server.c message.c channel.c gpadl.c
DEPS := lib/core lib/log lib/inspect lib/task lib/vmbus vmm/hcl vmm/mem
FLAVOURS := target host fuzz
