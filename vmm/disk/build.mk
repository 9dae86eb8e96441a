SRCS := disk.c ram.c file.c view.c stripe.c fault.c delay.c trace.c stats.c
DEPS := lib/core lib/log lib/inspect lib/task
FLAVOURS := target host fuzz
