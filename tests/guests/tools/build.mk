DEPS :=
PROG := ports fsx churn
PROG_ports := ports.c
PROG_fsx := fsx.c
PROG_churn := churn.c
PROGFLAVOUR_ports := target
PROGFLAVOUR_fsx := target
PROGFLAVOUR_churn := target
