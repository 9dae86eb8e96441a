SRCS := init.c setup.c environment.c supervise.c
DEPS := diag/server diag/crash diag/dump diag/perf vmm/worker lib/core lib/log lib/os
FLAVOURS := target host
PROG := paravane
PROG_paravane := main.c
PROGFLAVOUR_paravane := target
