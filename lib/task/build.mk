SRCS := exec.c timers.c wake.c exec_uring.c exec_sim.c
DEPS := lib/core lib/log lib/os
FLAVOURS := target native host tsan fuzz
LIBS := -luring -lpthread
