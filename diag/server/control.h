/* The control process: owns VTL0's memory and the VTL, talks to the host (GET), keeps the worker, serves diagnostics. */
#pragma once

#include "diag/server/boot.h"
#include "diag/server/data.h"
#include "diag/server/host_log.h"
#include "diag/server/process.h"
#include "diag/server/stream.h"
#include "diag/server/tpm.h"
#include "diag/server/worker.h"
#include "lib/rpc/server.h"
#include "vmm/get/get.h"
#include "vmm/uio/uio.h"
#include "vmm/vmgs/boot_status.h"

#define DIAG_PORT_CONTROL 1 /* openhcl/diag_proto/src/lib.rs */
#define DIAG_PORT_DATA 2
#define DIAG_PORT_GDB 4

enum control_state {
	CONTROL_STARTING, CONTROL_ASKING_HOST, CONTROL_WAITING, CONTROL_STARTING_VTL0, CONTROL_RUNNING, CONTROL_FAILED,
	CONTROL_POWERED_OFF, CONTROL_RESETTING, CONTROL_CRASHED,
};
enum worker_death { WORKER_DEATH_CRASH, WORKER_DEATH_RESET };

/* a change of the settings that the host asks for, piece by piece */
struct settings_change {
	u8 *data;
	size_t len;
	struct link_query query;
	bool busy;                     /* the worker has it */
};

struct control {
	struct exec *exec;
	enum control_state state;
	enum worker_death on_worker_death;
	bool wait_for_start;           /* VTL0 is started by diag.UnderhillDiag.Start */
	bool restricted;               /* the production policy: no programs, no files, no changes */
	struct child worker;
	struct child_fds fds;
	struct get *get;               /* NULL: none */
	struct uio_channel *channel;
	const char *get_missing;       /* why, when NULL */
	struct timer get_retry;
	struct get_question time_question;
	u64 get_deadline_ns;
	struct settings_change change;
	struct {
		struct link_query query;
		bool busy;
	} generation;                  /* the host's new generation ID on its way to VTL0 */
	struct store *store;           /* the machine's own state; NULL without GET */
	struct boot_status boot_status; /* of the guest's watchdog */
	struct tpm_process *tpm;       /* NULL: the host's settings give the guest none */
	struct ttrpc_server *server;   /* NULL in tests of single parts */
	struct data_port *data;
	struct streams streams;
	struct host_log *host_log;     /* NULL in tests of other parts */
	struct processes processes;
	unsigned files_open;
	const char *kmsg_path;
	unsigned inspections;          /* under way */
	u64 inspect_requests, update_requests, ping_requests, kmsg_requests, file_requests, refused_requests;
	u64 started_ns, vtl0_started_ns;
	struct boot_times boot;
};

/* ---- service.c */
/* the methods of the services in service.h; their context is a struct control */
extern const struct ttrpc_method control_methods[];
extern const unsigned control_method_count;

/* ---- tree.c */
/* what an inspect request walks: the control process's own tree, with the worker's answer put in place */
struct tree {
	struct control *control;
	struct bytes vm;       /* Node bytes, when vm_error is 0 */
	int vm_error;          /* 0 without bytes: not asked */
};
void tree_inspect(void *tree, struct inspect *in);
/* does the request need the worker? Then *ret_path and *ret_depth are what to ask it. */
bool tree_needs_worker(const char *path, unsigned depth, char *ret_path, size_t size, unsigned *ret_depth);

/* ---- machine.c */
/* /dev/mshv, the VTL, VTL0's memory: once per life of the kernel, so the fds are kept for every worker. -errno, said. */
int machine_open(struct child_fds *ret) __must_check;

/* ---- host.c */
/* looks for the GET channel; host_ready() follows, with or without it */
void host_start(struct control *c);
void host_ready(struct control *c);

/* ---- settings.c */
/* fills fds.settings with what the host sent at the start. -errno, said. */
int settings_start(struct control *c) __must_check;
/* a guest notification of GET: was it about settings? The host gets its answer later. */
bool settings_notified(struct control *c, u16 id, struct bytes body);

/* ---- machine_settings.c */
/* the host's platform settings, which have come, for the worker that is to be born */
void machine_settings_start(struct control *c);
/* after it: has the guest a watchdog? */
bool machine_settings_watchdog(void);
/* likewise for the worker to come: its watchdog ended the guest's last life */
void machine_settings_boot_status(bool watchdog);
/* a guest notification of GET: was it a generation ID? */
bool machine_settings_notified(struct control *c, u16 id, struct bytes body);

/* ---- control.c */
/* VTL0's memory, its settings, its worker. -errno, said, and the host was told */
int control_start_vtl0(struct control *c) __must_check;
/* the worker, VTL0's memory being there; -EBUSY: one runs. -errno, said. */
int control_start_worker(struct control *c) __must_check;
/* the program: never returns while the machine lives; then an exit status, told in the log */
int control_main(int argc, char **argv);
