SRCS := pb.c
DEPS := lib/core
FLAVOURS := target native host tsan fuzz
