SRCS := message.c proxy.c server.c process.c restart.c sandbox.c keep.c
DEPS := lib/core lib/log lib/os lib/task lib/inspect lib/state lib/rpc vmm/bus
FLAVOURS := target host fuzz
