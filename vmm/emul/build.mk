SRCS := decode.c emul.c
DEPS := lib/core
FLAVOURS := target host fuzz
