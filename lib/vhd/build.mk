SRCS := vhd.c
DEPS := lib/core
FLAVOURS := native host fuzz
