SRCS := pb.c ttrpc.c server.c client.c
DEPS := lib/task lib/log lib/os lib/core
FLAVOURS := target native host tsan fuzz
