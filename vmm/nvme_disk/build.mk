SRCS := nvme_disk.c
DEPS := lib/core lib/log lib/inspect lib/task vmm/disk vmm/nvme
FLAVOURS := target host fuzz
