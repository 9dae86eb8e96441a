/*
 * An NVMe controller (base 2.0, NVM command set 1.0, PCIe transport) with one namespace over a file or RAM, as a PCI
 * function. Registers are served on the threads that touch them; commands run on one thread of the controller's own, so
 * that no VP waits for a disk. Whatever a driver does wrong gets a status and a counter.
 */
#pragma once

#include <stdio.h>

#include "host/vpci/pci.h"
#include "lib/core/guid.h"

struct nvme_target;

#define NVME_IO_QUEUES_MAX 64u
#define NVME_FAULTS_MAX 8u

/*
 * Something that goes wrong on purpose, to I/O commands; host/nvme/fault.c has the table. Those of the last group are states
 * of the controller for as long as they are in force.
 */
enum nvme_fault_kind {
	/* the completion of a command that was carried out */
	NVME_FAULT_DELAY,      /* argument: milliseconds until it comes */
	NVME_FAULT_DROP,       /* does not come; Abort finds the command */
	NVME_FAULT_LOSE,       /* does not come; Abort does not find it */
	NVME_FAULT_CORRUPT,    /* names a command identifier that is not in use */
	NVME_FAULT_DUPLICATE,  /* comes twice */
	NVME_FAULT_SILENT,     /* comes without its interrupt */
	/* instead of carrying it out */
	NVME_FAULT_STATUS,     /* argument: the status, type << 8 | code */
	NVME_FAULT_FATAL,      /* the controller reports a fatal status and stops */
	NVME_FAULT_MEDIA,      /* argument: blocks, FIRST+COUNT: errors of the medium where a command touches one */
	NVME_FAULT_FLUSHFAIL,  /* of flushes */
	/* the device lies: a checker must find these */
	NVME_FAULT_LOSEFLUSH,  /* a flush succeeds without having been done */
	NVME_FAULT_LOSEWRITE,  /* so does a write */
	NVME_FAULT_MISDIRECT,  /* a write goes to other blocks */
	NVME_FAULT_FLIP,       /* a bit of what was read is another */
	/* states */
	NVME_FAULT_STALL,      /* argument: a queue, whose commands are not fetched any more */
	NVME_FAULT_PROTECT,    /* the namespace is write protected, and says so */
	NVME_FAULT_CAPACITY,   /* argument: blocks, fewer than there are: the namespace shrinks */
	NVME_FAULT_NOTREADY,   /* the controller does not get ready when enabled */
	NVME_FAULT_KINDS,
};

struct nvme_fault {
	enum nvme_fault_kind kind;
	u64 argument;
	u32 every; /* each every-th command of those it is about */
	u64 count; /* of blocks */
};

struct nvme_target_config {
	char path[256];      /* or "ram:SIZE" */
	u64 ram_size;        /* bytes, 0: a file */
	bool readonly, buffered;
	u32 block_size;      /* 512 or 4096 */
	u32 io_queues;       /* at most, 1 to NVME_IO_QUEUES_MAX */
	char serial[21];
	bool has_instance;
	struct guid instance;
	struct nvme_fault faults[NVME_FAULTS_MAX];
	u32 fault_count;
};

struct nvme_memory { /* the guest's, for DMA; any thread. NULL: not RAM, or not all in one piece */
	void *(*map)(void *ctx, u64 address, u64 len);
	void *ctx;
};

/* FILE[,option=value...] as in the manual; -EINVAL with the reason in why */
int nvme_target_parse(const char *text, struct nvme_target_config *ret, char *why, size_t why_size) __must_check;
/* KIND[:ARGUMENT][/EVERY] */
const char *nvme_fault_name(enum nvme_fault_kind kind);
int nvme_fault_parse(const char *text, struct nvme_fault *ret, char *why, size_t why_size) __must_check;

/* Opens the file and starts the thread. name must outlive the controller. Errors are said. */
int nvme_target_create(const char *name, const struct nvme_target_config *config, const struct nvme_memory *memory,
		struct nvme_target **ret) __must_check;
/* nobody touches the function any more; NULL is fine */
void nvme_target_destroy(struct nvme_target *n);
struct pci_function *nvme_target_function(struct nvme_target *n);

/* replaces the faults in force, any thread; states end that are none any more, and the driver is told of changes by an event */
void nvme_target_set_faults(struct nvme_target *n, const struct nvme_fault *faults, u32 count);
/* the state of controller and queues as lines of text, any thread */
void nvme_target_print(struct nvme_target *n, FILE *out);
