/* The VMM worker: VTL0's VPs, memory and devices. One process, one VTL0. */
#pragma once

#include "lib/rpc/pb.h"
#include "vmm/serial/serial.h"
#include "vmm/board/board.h"
#include "vmm/vp/vp.h"
#include "vmm/loader/loader.h"
#include "vmm/worker/link.h"
#include "vmm/chipset/testdev.h"
#include "vmm/chipset/watchdog.h"
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
	struct timer hold_timer; /* VMBus's channels are to stop */
	u64 pauses;
	/* state taken and put back within this worker: what servicing will do between two */
	bool round_trip;         /* one is under way */
	bool spoilt;             /* one failed half-way: VTL0 does not run again before a reset */
	int round_trip_error;    /* of the last one */
	atomic_int restore_error;
	struct saver state;      /* all records, until each VP has its own back */
	u64 round_trips, round_trip_bytes;
};

struct worker {
	struct partition_layout layout;
	struct board board;             /* its home is main */
	struct cpuid_changes cpuid;     /* what VTL0 sees otherwise than the hypervisor shows */
	struct watchdog watchdog;
	bool has_watchdog;
	struct testdev *testdev;        /* NULL: no default machine has it */
	struct {
		u8 id[16];
		u64 changes;
	} generation;                   /* main's */
	struct serial serial[2];
	struct disks disks;
	struct bytes settings;          /* the host's, while devices are assembled */
	struct exec *main;              /* control requests, device timers, serial */
	struct worker_vp *vps;          /* layout.vp_count */
	struct nvme_devices *nvme;      /* what the host assigned to VTL2 */
	struct gdb_server *gdb;         /* NULL: nobody is to debug */
	struct tpm *tpm;                /* NULL: the guest has none */
	struct link_client link;
	struct loader_entry entry;
	struct op ended, devices_ended;
	u64 protected_pages, notifications;
	atomic_uint opened;
	bool holds;                     /* VTL0 waits for something: set before VP threads run */
	bool opened_all, let_go;        /* main's, as the next two; let_go: VTL0 runs, or is about to */
	unsigned waits_for, came;       /* enum worker_wait */
	struct op opened_op;
	struct timer hold_timer;
	u64 hold_until_ns;
	atomic_bool stopping;
	struct pause pause;
	int notify_fd, result;
	char why[200];                  /* it cannot start: a mistake in its configuration, in a line */
};

/* board.h's devices, and what this machine has by configuration, in order. -errno, said. */
int assemble(struct worker *w) __must_check;

/* ---- ide.c */
/* a disk for a configured place, which becomes the controller's; -errno, said: also when VTL0 runs already */
int assemble_ide_add(struct worker *w, struct storage_disk *d, struct disk *disk) __must_check;
/* after all that is there at once is: VTL0 waits for the rest, if any */
void assemble_ide_wait(struct worker *w);

/* ---- generation.c; main's */
/* the VM's generation ID into VTL0's memory, before it runs. -errno, said. An update of "id" in inspect changes it. */
int generation_start(struct worker *w) __must_check;
void generation_inspect(void *worker, struct inspect *in);

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
enum worker_wait { WORKER_WAIT_DISKS = 1, WORKER_WAIT_TPM = 2 };
void worker_hold(struct worker *w, enum worker_wait what, u64 limit_ns);
void worker_release(struct worker *w, enum worker_wait what);

/*
 * The program. Expects the descriptors of link.h and 0-2 open. Returns an exit status: 0 after LINK_STOP or end of file on
 * fd 3, 1 on failure, told on fd 7 before.
 */
int worker_main(int argc, char **argv);
