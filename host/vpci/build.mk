SRCS := pci.c vpci.c
DEPS := lib/core lib/log lib/vmbus host/vmbus
LIBS := -lpthread
FLAVOURS := native host fuzz
