SRCS := layout.c guest.c protect.c places.c walk.c
DEPS := lib/core lib/log lib/os vmm/hcl
FLAVOURS := target host fuzz
LIBS := -lfdt
