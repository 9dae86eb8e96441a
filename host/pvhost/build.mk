DEPS := host/load host/vtl host/gdb host/vmbus host/vpci host/nvme lib/core lib/log lib/os lib/igvm
PROG := pvhost
PROG_pvhost := main.c options.c settings.c machine.c plan.c monitor.c process.c
PROGFLAVOUR_pvhost := native
PROGLIBS_pvhost := -lpthread
