SRCS := scsi.c scsi_block.c scsi_inquiry.c scsi_mode.c scsi_reserve.c storvsp.c channel.c packet.c state.c
DEPS := lib/core lib/log lib/inspect lib/state lib/task lib/vmbus vmm/hcl vmm/mem vmm/vmbus vmm/disk
FLAVOURS := target host fuzz
