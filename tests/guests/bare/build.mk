DEPS := lib/core
PROG := bare-guest
PROG_bare-guest := header.S main.c cpu.c traps.S modes.S protect.c vectors.c sweep.c
PROGFLAVOUR_bare-guest := bare
PROGSCRIPT_bare-guest := tests/guests/bare/bare.lds
PROGLIBS_bare-guest := -no-pie -Wl,--no-warn-rwx-segments
