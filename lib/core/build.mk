SRCS := crc32.c guid.c
FLAVOURS := target native host fuzz bare
