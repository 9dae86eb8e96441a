DEPS :=
PROG := ports
PROG_ports := ports.c
PROGFLAVOUR_ports := target
