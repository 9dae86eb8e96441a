/*
 * An NVMe controller in virtual time with a volatile write cache and many ways to go wrong, as outside of our code as a model
 * can be: written from the specification, shares nothing with host/nvme or tests/lib/model_nvme.h. Its registers, queues and
 * memory are what the driver under test sees; the rest is for the judge.
 */
#pragma once

#include "lib/task/exec_sim.h"
#include "vmm/mem/guest.h"
#include "vmm/nvme/nvme.h"

#define DEVICE_SECTORS 2048u
#define DEVICE_ARENA (6 * MiB)
#define DEVICE_ARENA_ADDRESS 0x100000000ull
#define DEVICE_QUEUES 4u
#define DEVICE_PENDING 512u

/* one in so many commands meets it; 0: none does */
enum device_fault {
	FAULT_SLOW,             /* answered after up to 3 s */
	FAULT_NO_ANSWER,        /* not done, never answered; Abort finds it */
	FAULT_ANSWER_LOST,      /* done, never answered; Abort does not find it */
	FAULT_FORGOTTEN,        /* not done, never answered; Abort does not find it */
	FAULT_INTERNAL_ERROR,   /* status, not done */
	FAULT_MEDIUM,           /* read: unrecovered; write: write fault, perhaps half of it done */
	FAULT_NOT_READY,        /* status that asks for another try */
	FAULT_WRONG_ID,         /* an identifier nobody uses completes first */
	FAULT_TWICE,            /* completes twice */
	FAULT_NO_INTERRUPT,     /* completes, no interrupt */
	FAULT_SPURIOUS,         /* an interrupt, nothing completed */
	FAULT_FATAL,            /* CSTS.CFS: nothing more until a reset */
	FAULT_STALLED_QUEUE,    /* this queue's commands are not fetched until a reset */
	FAULT_SLOW_RESET,       /* CSTS.RDY takes a second more */
	FAULT_FAILED_RESET,     /* CSTS.RDY does not come once */
	FAULT_EVENT,            /* asynchronous event: namespaces changed */
	FAULT_GONE,             /* the whole device is taken away */
	FAULTS,
};

/* what a broken translation would do, for testing the judge: done inside the device's own model of the path */
enum device_plant { PLANT_NONE, PLANT_LOST_FLUSH, PLANT_MISDIRECTED_WRITE, PLANT_LOST_WRITE, PLANT_STALE_READ, PLANT_FALSE_GOOD,
		    PLANT_OLD_STATE /* not the device's: storage.c */ };

struct device {
	struct nvme_transport transport;
	struct sim *sim;
	struct exec *exec;
	struct guest *guest;
	struct task task;
	struct timer timer;
	u8 *arena;
	u64 used;
	u8 (*cache)[512], (*medium)[512]; /* what a read finds; what is left after a power cut */
	bool dirty[DEVICE_SECTORS];
	u32 cc, csts, aqa, reads_until_ready;
	u64 asq, acq;
	struct { u64 base; u32 size, head, tail, cq; bool stalled; } sq[DEVICE_QUEUES];
	struct { u64 base; u32 size, tail; u16 phase; bool live; } cq[DEVICE_QUEUES];
	struct task *vectors[DEVICE_QUEUES];
	struct device_command {
		bool used;
		u32 sq;
		struct nvme_command c;
		u64 due;
		enum device_fault fault; /* FAULTS: none */
	} pending[DEVICE_PENDING];
	u16 event_cid;
	bool has_event, gone;
	u32 one_in[FAULTS], met[FAULTS];
	u32 grant;              /* I/O queues given, less one */
	enum device_plant plant;
	u32 plant_at, planted;  /* the plant_at-th chance is taken */
	void (*went)(struct device *d); /* FAULT_GONE struck: time to take it from the driver */
	u64 commands, resets;
};

struct device *device_create(struct sim *sim, struct guest *guest);
void device_destroy(struct device *d);
/* the lights go out: what was not flushed is kept or not, sector by sector */
void device_power_cut(struct device *d);
const char *device_fault_name(enum device_fault f);
