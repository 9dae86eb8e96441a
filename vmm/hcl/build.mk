SRCS := hcl.c mshv.c fake.c
DEPS := lib/core lib/log lib/os
FLAVOURS := target host fuzz
