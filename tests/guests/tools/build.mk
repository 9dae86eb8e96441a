DEPS :=
PROG := ports fsx
PROG_ports := ports.c
PROG_fsx := fsx.c
PROGFLAVOUR_ports := target
PROGFLAVOUR_fsx := target
