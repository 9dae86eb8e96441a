SRCS := get.c vmgs.c log_record.c
DEPS := lib/core lib/log lib/task lib/inspect
FLAVOURS := target host fuzz
