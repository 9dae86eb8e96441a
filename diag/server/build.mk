SRCS := control.c host.c host_log.c settings.c machine_settings.c machine.c service.c inspect_service.c file_service.c vm_service.c crash_service.c \
	tree.c tpm.c unpack.c boot.c link.c worker.c data.c stream.c relay.c process.c launch.c exec_request.c inspect_request.c
DEPS := lib/core lib/log lib/os lib/task lib/inspect lib/rpc vmm/hcl vmm/mem vmm/uio vmm/get vmm/device_worker vmm/vmgs vmm/settings vmm/worker
LIBS := -lz
FLAVOURS := target host fuzz
CFLAGS_diag/server/tree.c := -DPARAVANE_COMMIT='"$(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)"'
