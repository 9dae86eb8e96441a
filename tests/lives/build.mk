# devices' real processes, killed and without power, natively
DEPS := lib/core lib/log lib/os lib/task lib/inspect lib/vmgs vmm/get vmm/vmgs vmm/bus vmm/device_worker diag/server vmm/worker
PROG := tpm_lives
PROG_tpm_lives := tpm_lives.c
PROGFLAVOUR_tpm_lives := native
