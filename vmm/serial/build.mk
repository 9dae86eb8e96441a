SRCS := serial.c
DEPS := lib/core lib/log lib/task lib/inspect lib/uart vmm/bus vmm/chipset vmm/uio
FLAVOURS := target host fuzz
