SRCS := decode.c emul.c table.c operand.c arithmetic.c move.c string.c stack.c sse.c
DEPS := lib/core
FLAVOURS := target host fuzz native
