# what a host and its tools read, changed at random: a native program with a seed and a count, under sanitizers
DEPS := lib/core lib/log lib/dtb lib/igvm igvmgen boot host/load vmm/mem
PROG := mutate_boot
PROG_mutate_boot := boot.c
PROGFLAVOUR_mutate_boot := host
