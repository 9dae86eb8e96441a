SRCS := vfio.c group.c sysfs.c dma.c
DEPS := lib/core lib/log lib/os lib/task lib/inspect
FLAVOURS := target host fuzz
