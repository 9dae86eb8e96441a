/* The machine: a partition, its devices, and what happens when the guest resets or ends. */
#pragma once

#include "host/gdb/server.h"
#include "host/pvhost/options.h"
#include "host/vmbus/crash.h"
#include "host/vmbus/get.h"
#include "host/vmbus/guest_log.h"
#include "host/vmbus/hvsock.h"
#include "host/vmbus/uart.h"
#include "host/vpci/vpci.h"
#include "host/vtl/partition.h"
#include "lib/igvm/igvm.h"

enum machine_end { MACHINE_RUNNING, MACHINE_POWERED_OFF, MACHINE_RESET, MACHINE_CRASHED, MACHINE_FAILED };

struct machine {
	const struct options *options;
	struct loop *loop;
	struct vmbus *vmbus;
	struct get *get;
	struct guest_state *guest_state; /* NULL without --vmgs */
	struct hvsock *hvsock;
	struct crash *crash;         /* NULL without --crash-dumps */
	struct uart *uart[2];
	struct guest_log *firmware_log; /* NULL: not offered */
	struct nvme_target *nvme[NVME_MAX];
	struct vpci *vpci[NVME_MAX]; /* each with the controller of its number */
	struct partition *partition;
	struct monitor *monitor;
	struct gdb_host *gdb;        /* NULL without --gdb */
	u8 *image;
	size_t image_len;
	struct igvm_file igvm;
	struct partition_config config;
	struct partition_ram ram[PARTITION_MAX_RAM];
	u64 vtl2_base, vtl2_size;
	int debug_fd;
	char *settings, *platform;   /* the VTL2 settings' document in force, and it inside the platform settings */
	char *asked_settings;        /* what the firmware was asked to change to */
	size_t settings_len, asked_len;
	void (*settings_answered)(void *ctx, int result, const char *text);
	void *settings_ctx;
	u64 generation[2];           /* the machine's generation ID: the same over resets, until machine_new_generation() */
	u64 resets;
	u32 crashes;                 /* of the firmware, since its guest ran last */
	bool vtl0_started;
	bool paused;                 /* by the monitor */
	_Atomic int pending_end; /* enum machine_end, from any thread */
	struct loop_work end_work;
	enum machine_end result;
};

/* Builds everything and starts VP 0. Errors are said where they happen. Main thread, once. */
int machine_create(const struct options *options, struct machine **ret) __must_check;
void machine_destroy(struct machine *m);
/* runs the loop until the machine ends; MACHINE_POWERED_OFF, MACHINE_RESET (with --no-reboot) or MACHINE_FAILED */
enum machine_end machine_run(struct machine *m);
/*
 * Asks the firmware for other VTL2 settings; document is malloc()ed and taken over. 0: answered() comes once, with 0, or
 * -EINVAL and the firmware's result document, or -ECONNRESET when the firmware is gone. -EBUSY: one is under way. -ENOTCONN,
 * -ENOBUFS: it cannot be asked. Loop thread.
 */
int machine_change_settings(struct machine *m, char *document, size_t len,
			    void (*answered)(void *ctx, int result, const char *text), void *ctx) __must_check;
/* another generation ID, for the guest that runs and for lives to come. -ENOTCONN, -ENOBUFS: the firmware is not told now. */
int machine_new_generation(struct machine *m) __must_check;
/* any thread: act on it soon, on the loop's thread */
void machine_request(struct machine *m, enum machine_end end);
