SRCS := file.c fortify.c
DEPS := lib/core
FLAVOURS := target native host tsan fuzz
