SRCS := server.c message.c channel.c channel_state.c gpadl.c state.c
DEPS := lib/core lib/log lib/inspect lib/state lib/task lib/vmbus vmm/hcl vmm/mem
FLAVOURS := target host fuzz
