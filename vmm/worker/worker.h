/* The VMM worker: VTL0's VPs, memory and devices. One process, one VTL0. */
#pragma once

#include "lib/rpc/pb.h"
#include "vmm/serial/serial.h"
#include "vmm/vp/vp.h"
#include "vmm/loader/loader.h"
#include "vmm/worker/link.h"
#include "vmm/chipset/ide/ide.h"
#include "vmm/worker/disks.h"

struct worker;

struct link_client {
	int fd;
	struct exec *exec;
	inspect_fn root;
	void *object;
	void (*stop)(struct link_client *); /* LINK_STOP or end of file; on exec */
	/* LINK_SETTINGS: reads LINK_FD_SETTINGS; the reply's body goes to answer. NULL: not served. */
	void (*settings)(struct link_client *, struct pb_writer *answer);
	/* LINK_PAUSE, LINK_RESUME, LINK_SAVE: answered by link_reply(), now or later. NULL: not served. */
	void (*command)(struct link_client *, enum link_op op, u32 id);
	struct op read_op, write_op;
	struct iovec read_iov, write_iov;
	u8 in[sizeof(struct link_request) + LINK_BODY_MAX];
	size_t in_len;
	struct pb_writer out, sending;      /* next replies; those in flight */
	size_t sent;
	bool writing, dead;
	struct link_slot {
		struct inspect_request request;
		struct link_client *link;
		char text[LINK_BODY_MAX + 2];
		u32 id;
		u8 op;
		bool busy;
	} slots[LINK_REQUESTS_MAX];
	u64 requests, refused;
};

/* starts reading; belongs to exec from then on */
void link_start(struct link_client *link, int fd, struct exec *exec, inspect_fn root, void *object);
/* error -errno, or 0 with a body (may be NULL) */
void link_reply(struct link_client *link, u32 id, int error, const struct bytes *body);

struct worker_vp {
	struct vp vp;
	struct worker *worker;
	struct op boot, stop, run, pause;
	struct saver state;      /* its VP's records, between its thread and main */
	pthread_t thread;
};

struct nvme_devices;
struct gdb_server;

/* VTL0's VPs made to wait by the operator; main's */
struct pause {
	bool started;            /* VTL0 was let go: before that there is nothing to pause */
	bool paused, busy;       /* busy: a command's end is awaited */
	enum link_op op;
	u32 id;
	atomic_uint left;        /* VPs that have not done it yet */
	void (*then)(struct op *, int);
	struct op then_op;
	u64 pauses;
};

struct worker {
	struct partition_layout layout;
	struct machine machine;
	struct bus bus;
	struct ioapic ioapic;
	struct pic pic;
	struct pit pit;
	struct rtc rtc;
	struct pm pm;
	struct legacy legacy;
	struct com com[2];
	struct serial serial[2];
	struct vmbus *vmbus;
	struct disks disks;
	struct bytes settings;          /* the host's, while devices are assembled */
	struct ide *ide;                /* NULL: the guest has no IDE disk, and no PCI */
	struct pci_bus pci;
	struct pci_bridges bridges;
	struct isa isa;
	struct power power;
	struct exec *main;              /* control requests, device timers, serial */
	struct worker_vp *vps;          /* layout.vp_count */
	struct nvme_devices *nvme;      /* what the host assigned to VTL2 */
	struct gdb_server *gdb;         /* NULL: nobody is to debug */
	struct link_client link;
	struct loader_entry entry;
	struct op ended, devices_ended;
	u64 protected_pages, notifications;
	atomic_uint opened;
	bool holds;                     /* VTL0 waits for something: set before VP threads run */
	bool opened_all, released;      /* main's */
	struct op opened_op;
	struct timer hold_timer;
	atomic_bool stopping;
	struct pause pause;
	int notify_fd, result;
};

/* every device of VTL0, in order, in the open. -errno, said. */
int assemble(struct worker *w) __must_check;

/* ---- ide.c */
/* before the bus gets its devices, the disks being configured: the controller with the bridges, if there are IDE disks. -errno */
int assemble_ide(struct worker *w) __must_check;
/* a disk for a configured place, which becomes the controller's; -errno, said: also when VTL0 runs already */
int assemble_ide_add(struct worker *w, struct storage_disk *d, struct disk *disk) __must_check;
/* after all that is there at once is: VTL0 waits for the rest, if any */
void assemble_ide_wait(struct worker *w);

/* ---- pause.c; main's */
void pause_command(struct link_client *link, enum link_op op, u32 id);
/* VTL0's VPs begin to run */
void pause_started(struct worker *w);
void pause_inspect(void *worker, struct inspect *in);

void worker_inspect(void *worker, struct inspect *in);
/* any thread; never blocks */
void worker_notify(struct worker *w, enum link_notification type, unsigned vp, const char *text);
/* any thread, once: no VP enters VTL0 again */
void worker_stop_vps(struct worker *w);
/*
 * Before VP threads run: VTL0's first instruction waits until worker_release(), which is main's, or for at most limit_ns; the
 * log then says that it goes without what. Its executors run meanwhile.
 */
void worker_hold(struct worker *w, u64 limit_ns);
void worker_release(struct worker *w);

/*
 * The program. Expects the descriptors of link.h and 0-2 open. Returns an exit status: 0 after LINK_STOP or end of file on
 * fd 3, 1 on failure, told on fd 7 before.
 */
int worker_main(int argc, char **argv);
