SRCS := config.c backing.c queue.c prp.c sgl.c identify.c admin.c io.c fault.c controller.c
DEPS := lib/core lib/log lib/os host/vpci
LIBS := -lpthread
FLAVOURS := native host fuzz
