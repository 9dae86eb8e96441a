DEPS := lib/vmgs lib/vhd lib/os lib/core
PROG := pvvmgs
PROG_pvvmgs := main.c
PROGFLAVOUR_pvvmgs := native
SRCS := file.c show.c commands.c
FLAVOURS := native host
