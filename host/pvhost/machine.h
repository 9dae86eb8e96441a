/* The machine: a partition, its devices, and what happens when the guest resets or ends. */
#pragma once

#include "host/pvhost/options.h"
#include "host/vmbus/get.h"
#include "host/vmbus/hvsock.h"
#include "host/vmbus/uart.h"
#include "host/vpci/vpci.h"
#include "host/vtl/partition.h"
#include "lib/igvm/igvm.h"

enum machine_end { MACHINE_RUNNING, MACHINE_POWERED_OFF, MACHINE_RESET, MACHINE_FAILED };

struct machine {
	const struct options *options;
	struct loop *loop;
	struct vmbus *vmbus;
	struct get *get;
	struct hvsock *hvsock;
	struct uart *uart[2];
	struct nvme_target *nvme[NVME_MAX];
	struct vpci *vpci[NVME_MAX]; /* each with the controller of its number */
	struct partition *partition;
	struct monitor *monitor;
	u8 *image;
	size_t image_len;
	struct igvm_file igvm;
	struct partition_config config;
	struct partition_ram ram[PARTITION_MAX_RAM];
	u64 vtl2_base, vtl2_size;
	int debug_fd;
	u64 resets;
	bool vtl0_started;
	_Atomic int pending_end; /* enum machine_end, from any thread */
	struct loop_work end_work;
	enum machine_end result;
};

/* Builds everything and starts VP 0. Errors are said where they happen. Main thread, once. */
int machine_create(const struct options *options, struct machine **ret) __must_check;
void machine_destroy(struct machine *m);
/* runs the loop until the machine ends; MACHINE_POWERED_OFF, MACHINE_RESET (with --no-reboot) or MACHINE_FAILED */
enum machine_end machine_run(struct machine *m);
/* any thread: act on it soon, on the loop's thread */
void machine_request(struct machine *m, enum machine_end end);
