# programs that run a part of the firmware in virtual time, many seeds long
DEPS := lib/core lib/log lib/inspect lib/task lib/vmbus vmm/hcl vmm/mem vmm/vmbus vmm/disk vmm/nvme vmm/nvme_disk vmm/storvsp
PROG := sim_storage
PROG_sim_storage := storage.c device.c
PROGFLAVOUR_sim_storage := host
