DEPS := lib/igvm lib/os lib/core
PROG := igvmgen
PROG_igvmgen := main.c
PROGFLAVOUR_igvmgen := native
SRCS := build.c show.c layout.c vtl0.c page_table.c elf.c
FLAVOURS := native host fuzz
