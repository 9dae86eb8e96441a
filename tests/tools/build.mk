DEPS := lib/core lib/log lib/os lib/task lib/inspect vmm/vfio vmm/nvme vmm/disk vmm/nvme_disk
PROG := nvme_drive steps_kvm
PROG_steps_kvm := steps_kvm.c
PROGFLAVOUR_steps_kvm := target
PROG_nvme_drive := nvme_drive.c commands.c load.c
PROGFLAVOUR_nvme_drive := target
PROGLIBS_nvme_drive := -lpthread
