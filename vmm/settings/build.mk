SRCS := settings.c schema.c decode.c
DEPS := lib/core lib/os lib/rpc
LIBS := -ljansson
FLAVOURS := target host fuzz
