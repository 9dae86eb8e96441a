/* pvhost's command line. */
#pragma once

#include "host/nvme/nvme.h"
#include "host/vtl/partition.h"

#define NVME_MAX 16u
#define NUMA_MAX 8u

/* where the firmware's memory is: behind the guest's; below 4 GiB; above; or where the firmware wants, out of the guest's */
enum vtl2_place { VTL2_BEHIND, VTL2_LOW, VTL2_HIGH, VTL2_SELF };

struct options {
	const char *igvm, *name, *vsock, *monitor, *serial[2], *vtl2_console, *vtl2_append, *vtl2_settings, *log, *firmware_log;
	u32 cpus, sockets, threads; /* threads of a core */
	u32 apic_ids[PARTITION_MAX_VPS], apic_id_count; /* count 0: as sockets and threads say */
	u32 numa_nodes;
	u64 memory, vtl2_memory; /* bytes; vtl2_memory 0: what the image asks for */
	enum vtl2_place vtl2_place;
	const char *gdb;         /* where a debugger of VTL2 may come, or NULL */
	bool gdb_wait;           /* the first instruction waits for it */
	bool no_reboot;
	bool no_apic;            /* VTL0 has no local APIC of the hypervisor's */
	bool watchdog;           /* the guest has one */
	bool tpm;                /* the settings give the guest a TPM */
	const char *vmgs;        /* the guest-state file, or NULL: nothing is kept */
	u64 vmgs_size;           /* of one that is to be made; 0: not said */
	bool reset_on_crash;     /* of the firmware; else the machine ends */
	const char *crash_dumps; /* folder for cores, or NULL */
	u64 crash_max_size;
	u32 crash_max_count;
	struct nvme_target_config nvme[NVME_MAX];
	u32 nvme_count;
};

/* 0: go on; 1: --help or --version was answered; -EINVAL: said what is wrong */
int options_parse(int argc, char **argv, struct options *ret) __must_check;
