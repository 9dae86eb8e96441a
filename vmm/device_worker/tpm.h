/*
 * The TPM as a device that another process plays: what its process (vmm/tpm) and its proxy (vmm/worker/tpm.c) must both know.
 * Here, because the process is linked with what the worker must not be.
 */
#pragma once

#include "lib/core/types.h"

/* regions of the proxy, in this order */
enum tpm_region {
	TPM_REGION_MMIO,  /* where Hyper-V has it: each access comes here */
	TPM_REGION_PAGE,  /* the same registers in a page of RAM that VTL0 reads by itself: writes come here */
	TPM_REGION_PORTS,
	TPM_REGIONS,
};

/* device_proxy_call(). Structs are little endian. */
enum tpm_call {
	TPM_CALL_PLACE = 1,     /* struct tpm_place */
	TPM_CALL_MEASURE_BEGIN, /* struct tpm_measure; then DATA, as often as needed, then END */
	TPM_CALL_MEASURE_DATA,
	TPM_CALL_MEASURE_END,   /* payload: the event's data */
	TPM_CALL_MEASURE_LAST,  /* no payload: separators of the firmware's PCRs; nothing is measured from here after that */
	TPM_CALL_LOG,           /* the answer: the event log up to now */
};

/* where the proxy has made room in the guest's memory; 0: nowhere */
struct tpm_place {
	u64 registers, buffers; /* two pages: commands, responses */
};

struct tpm_measure {
	u32 pcr, event;
};
/*
 * Which PCR has what of VTL0: as GRUB 2 has it (its manual, "Measured Boot"), so that those who judge its logs understand this
 * one. PCRs 8 and 9 are the operating system's (TCG PC Client Platform Firmware Profile 1.05, 3.3.4); event types: 10.4.1.
 */
#define TPM_MEASURE_PCRS 16u /* those that only a start of the machine resets */
#define TPM_MEASURE_PCR_COMMAND_LINE 8u
#define TPM_MEASURE_PCR_FILES 9u
#define TPM_MEASURE_EV_IPL 0x0du

#define TPM_MEASURE_PIECE 65536u
/* windows of the proxy, in this order */
enum tpm_window { TPM_WINDOW_REGISTERS, TPM_WINDOW_BUFFERS, TPM_WINDOW_SHARED };
