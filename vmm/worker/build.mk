SRCS := assemble.c disks.c storage.c ide.c generation.c link.c worker.c nvme.c pause.c gdb_server.c gdb_memory.c gdb_monitor.c tpm.c
DEPS := lib/core lib/log lib/os lib/inspect lib/state lib/task lib/rpc vmm/hcl vmm/mem vmm/bus vmm/device_worker vmm/chipset vmm/apic lib/gdb vmm/vp vmm/board vmm/loader \
	vmm/uio vmm/serial vmm/vfio vmm/nvme vmm/vmbus vmm/disk vmm/chipset/ide vmm/nvme_disk vmm/storvsp vmm/settings
FLAVOURS := target host fuzz
PROG := paravane-worker
PROG_paravane-worker := main.c
PROGFLAVOUR_paravane-worker := target
