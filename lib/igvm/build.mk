SRCS := reader.c body.c names.c writer.c
DEPS := lib/core
FLAVOURS := native host fuzz
