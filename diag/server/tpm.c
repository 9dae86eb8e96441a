#include "diag/server/tpm.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/os/cleanup.h"
#include "spec/vmgs.h"
#include "vmm/worker/link.h"

LOG_DOMAIN("tpm");

struct tpm_process {
	struct tpm_process_config config;
	struct device_process process;
	struct keeper *keeper;
	struct device_ends ends;  /* of a process that is not ready yet; parent is the keeper's */
	bool ready, served;       /* served: there was one that was ready */
	bool ending, listening;
	int worker_fd;            /* our end of LINK_FD_DEVICES */
	struct op worker_op;
	u64 handed_over, lost;
	int refused;              /* why there is none */
};

static const u32 files[] = { VMGS_TPM_PPI, VMGS_TPM_NVRAM };

/* ---- the worker */
static void tell_worker(struct tpm_process *t, int error)
{
	struct link_device m = { .device = LINK_DEVICE_TPM, .error = error };
	union { struct cmsghdr head; u8 room[CMSG_SPACE(2 * sizeof(int))]; } control = { .room = { 0 } };
	struct iovec iov = { &m, sizeof(m) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (!error) {
		const int fds[2] = { t->ends.events, t->ends.commands };

		control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(fds)), .cmsg_level = SOL_SOCKET,
						 .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.head), fds, sizeof(fds));
		h.msg_control = &control;
		h.msg_controllen = sizeof(control);
	}
	if (sendmsg(t->worker_fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_err(-errno, "the worker is not told of the TPM's process");
	t->handed_over += !error;
}

static void close_ends(struct tpm_process *t)
{
	fd_close(&t->ends.events);
	fd_close(&t->ends.commands);
}

/* it does not answer the worker, or talks nonsense to it */
static void worker_says(struct op *op, int result)
{
	struct tpm_process *t = container_of(op, struct tpm_process, worker_op);
	struct link_device m;
	ssize_t n = result < 0 ? 0 : recv(t->worker_fd, &m, sizeof(m), MSG_DONTWAIT);

	if (n == sizeof(m) && m.device == LINK_DEVICE_TPM) {
		t->lost++;
		device_process_kill(&t->process);
	}
	t->listening = n > 0 || (n < 0 && errno == EAGAIN);
	if (t->listening)
		op_poll(t->config.exec, &t->worker_op, t->worker_fd, POLLIN);
}

/* ---- its process */
static void is_ready(void *context)
{
	struct tpm_process *t = context;

	if (t->ready)
		return; /* once a life */
	t->ready = t->served = true;
	tell_worker(t, 0);
	close_ends(t);
}

static void talks_nonsense(void *context, int error)
{
	device_process_kill(&((struct tpm_process *)context)->process);
}

static int is_started(void *context, const struct device_ends *ends)
{
	struct tpm_process *t = context;

	t->ready = false;
	t->ends = (struct device_ends){ ends->events, ends->commands, -1 };
	return keeper_attach(t->keeper, ends->parent);
}

/* one that never came to be ready would not the next time; VTL0 waits for it */
static void has_ended(void *context)
{
	struct tpm_process *t = context;

	close_ends(t);
	if (t->served || t->ending)
		return;
	t->refused = -ENODEV;
	log_at(LOG_ERROR, "the TPM could not be started: VTL0 goes without. What it said is above");
	device_process_end(&t->process);
	tell_worker(t, -ENODEV);
}

static void given_up(void *context)
{
	struct tpm_process *t = context;

	t->refused = -ENODEV;
	tell_worker(t, -ENODEV);
}

static int start(struct tpm_process *t, int worker_fd)
{
	const struct keeper_config keeper = { .name = "tpm", .exec = t->config.exec, .store = t->config.store, .files = files,
					      .file_count = ARRAY_SIZE(files), .ready = is_ready, .nonsense = talks_nonsense,
					      .context = t };
	const struct device_process_config process = { .program = t->config.program, .name = "tpm", .exec = t->config.exec,
						       .started = is_started, .ended = has_ended, .given_up = given_up,
						       .context = t };

	t->worker_fd = worker_fd;
	t->ends = (struct device_ends){ -1, -1, -1 };
	t->keeper = keeper_create(&keeper);
	if (!t->keeper)
		return -ENOMEM;
	device_process_init(&t->process, &process);
	int r = device_process_start(&t->process);

	if (r)
		return r;
	t->listening = true;
	t->worker_op.done = worker_says;
	op_poll(t->config.exec, &t->worker_op, t->worker_fd, POLLIN);
	return 0;
}

int tpm_process_start(const struct tpm_process_config *config, struct tpm_process **ret, int *ret_worker_fd)
{
	struct tpm_process *t = calloc(1, sizeof(*t));
	int pair[2];

	if (!t || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		free(t);
		return log_err(-ENOMEM, "the TPM's process");
	}
	t->config = *config;
	int r = start(t, pair[0]);

	if (r) {
		keeper_destroy(t->keeper);
		close(pair[0]);
		close(pair[1]);
		free(t);
		return log_err(r, "the TPM's process cannot be started");
	}
	*ret = t;
	*ret_worker_fd = pair[1];
	return 0;
}

void tpm_process_stay_dead(struct tpm_process *t)
{
	t->ending = true;
	t->process.wanted = false;
}

void tpm_process_end(struct tpm_process *t)
{
	t->ending = true;
	device_process_end(&t->process);
}

bool tpm_process_over(const struct tpm_process *t)
{
	return !t->process.pid && keeper_idle(t->keeper) && !t->listening;
}

void tpm_process_destroy(struct tpm_process *t)
{
	keeper_destroy(t->keeper);
	fd_close(&t->worker_fd);
	free(t);
}

pid_t tpm_process_pid(const struct tpm_process *t)
{
	return t ? t->process.pid : 0;
}

void tpm_process_inspect(void *object, struct inspect *in)
{
	struct tpm_process *t = object;

	inspect_str(in, "state", t->refused ? "refused" : t->ready ? "ready" : "starting");
	inspect_count(in, "handed_over", t->handed_over);
	inspect_count(in, "lost_by_worker", t->lost);
	inspect_child(in, "process", device_process_inspect, &t->process);
	inspect_child(in, "kept", keeper_inspect, t->keeper);
}
