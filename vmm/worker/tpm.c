#include "vmm/worker/tpm.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/core/check.h"
#include "lib/log/log.h"
#include "lib/os/cleanup.h"
#include "spec/tpm.h"
#include "spec/tpm_crb.h"
#include "vmm/device_worker/process.h"
#include "vmm/device_worker/proxy.h"
#include "vmm/device_worker/tpm.h"
#include "vmm/mem/places.h"
#include "vmm/mem/protect.h"

LOG_DOMAIN("tpm");

/* making the keys of a new TPM takes seconds, on an emulated processor minutes. Its failure is told, so this is for a hang. */
#define WAIT_NS 600000000000ull
#define PARTS 3u

enum tpm_state { TPM_WAITING, TPM_MEASURING, TPM_READY, TPM_GONE };

/* what is measured, in this order */
struct part {
	const char *event;      /* the event's data, and its length without a NUL */
	struct tpm_measure what;
	u64 gpa, len;           /* in VTL0's memory, or */
	const char *text;       /* here */
};

struct tpm {
	struct worker *w;
	struct device_proxy *proxy;
	struct exec *home;              /* serves the process's wishes on a thread of its own: main waits for the process */
	pthread_t thread;
	/* main's */
	enum tpm_state state;
	int fd, error;
	struct op poll_op, attached_op;
	struct task measure;
	struct loader_parts parts;
	struct part all[PARTS];
	char command_line_event[BOOT_COMMAND_LINE_SIZE + 20];
	unsigned part;
	u64 at;
	u64 measured, attached_times;
	u8 piece[TPM_MEASURE_PIECE];
	/* home's */
	struct op attach_op;
	int ends[2], attach_error;
	/* under the device's lock */
	u32 port_command;
	struct region regions[TPM_REGIONS];
};

static void release(struct tpm *t)
{
	worker_release(t->w, WORKER_WAIT_TPM);
}

/* VTL0 runs without it, or goes on without it */
static void give_up(struct tpm *t, int error)
{
	log_at(LOG_ERROR, "the guest has no TPM%s: %s", t->state == TPM_READY ? " any more" : "", strerror(-error));
	t->state = TPM_GONE;
	t->error = error;
	release(t);
}

/* ---- what its process asks for; home's thread */
static int memory(void *context, u64 gpa, void *data, size_t len, bool write)
{
	struct guest *guest = ((struct tpm *)context)->w->board.machine.guest;

	return write ? guest_write(guest, gpa, data, len) : guest_read(guest, gpa, data, len);
}

static void line(void *context, unsigned number, bool level)
{
	/* a CRB has no interrupt here */
}

static void lost(void *context, int error)
{
	struct tpm *t = context;
	struct link_device m = { .device = LINK_DEVICE_TPM, .error = error };

	if (send(t->fd, &m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_err(-errno, "control is not told that the TPM's process is lost");
}

/* a guest's firmware says where it has made room: nothing else of its memory may the process have. VP's thread. */
static void seen(void *context, unsigned region, const struct io_access *a)
{
	struct tpm *t = context;

	if (region != TPM_REGION_PORTS || !a->write || a->size != 4)
		return;
	if (a->offset == TPM_PORT_CONTROL)
		t->port_command = (u32)a->value;
	else if (a->offset == TPM_PORT_DATA && t->port_command == TPM_PORT_MAP_SHARED_MEMORY)
		device_proxy_set_window(t->proxy, TPM_WINDOW_SHARED,
					&(struct device_window){ (u32)a->value, 2 * TPM_BUFFER_LEN, true });
}

/* ---- measuring: a piece a turn, so that whoever asks main meanwhile is answered */
static int call(struct tpm *t, enum tpm_call operation, const void *data, size_t len)
{
	size_t none;

	return device_proxy_call(t->proxy, operation, bytes_of(data, len), NULL, 0, &none);
}

static int place_log(struct tpm *t)
{
	const struct place *p = &places[PLACE_EVENT_LOG];
	size_t len = 0;
	int r = guest_zero(t->w->board.machine.guest, p->base, p->len);

	if (!r)
		r = device_proxy_call(t->proxy, TPM_CALL_LOG, bytes_of(NULL, 0), t->piece, MIN(sizeof(t->piece), (size_t)p->len),
				      &len);
	return r ? r : guest_write(t->w->board.machine.guest, p->base, t->piece, len);
}

static int measure_end(struct tpm *t)
{
	const struct part *p = &t->all[t->part];

	t->part++;
	t->at = 0;
	return call(t, TPM_CALL_MEASURE_END, p->event, strlen(p->event));
}

/* the next piece of the part at hand */
static int measure_piece(struct tpm *t)
{
	const struct part *p = &t->all[t->part];
	u64 n = MIN(p->len - t->at, (u64)sizeof(t->piece));
	int r = t->at ? 0 : call(t, TPM_CALL_MEASURE_BEGIN, &p->what, sizeof(p->what));

	if (r || !n)
		return r ? r : measure_end(t);
	if (p->text)
		memcpy(t->piece, p->text + t->at, n);
	else
		r = guest_read(t->w->board.machine.guest, p->gpa + t->at, t->piece, n);
	if (!r)
		r = call(t, TPM_CALL_MEASURE_DATA, t->piece, n);
	t->at += n;
	t->measured += n;
	return r || t->at < p->len ? r : measure_end(t);
}

static void measure_runs(struct task *task)
{
	struct tpm *t = container_of(task, struct tpm, measure);
	int r = 0;

	if (t->state != TPM_MEASURING)
		return;
	if (t->part < PARTS) {
		r = measure_piece(t);
		if (!r)
			task_wake(task);
	} else {
		r = call(t, TPM_CALL_MEASURE_LAST, NULL, 0);
		if (!r)
			r = place_log(t);
		if (!r) {
			t->state = TPM_READY;
			log_at(LOG_INFO, "%llu bytes of what VTL0 is made of are measured", (unsigned long long)t->measured);
			release(t);
		}
	}
	if (r)
		give_up(t, log_err(r, "what VTL0 is made of cannot be measured"));
}

/* as GRUB has them: https://www.gnu.org/software/grub/manual, "Measured Boot" */
static int parts(struct tpm *t)
{
	const struct tpm_measure file = { TPM_MEASURE_PCR_FILES, TPM_MEASURE_EV_IPL };
	const struct tpm_measure words = { TPM_MEASURE_PCR_COMMAND_LINE, TPM_MEASURE_EV_IPL };
	const struct loader_part *kernel = &t->parts.kernel, *initrd = &t->parts.initrd;
	const char *text = t->parts.command_line;
	int r = loader_parts(t->w->board.machine.guest, &t->parts);

	if (r)
		return r;
	snprintf(t->command_line_event, sizeof(t->command_line_event), "kernel_cmdline: %s", text);
	t->all[0] = (struct part){ .event = "kernel", .what = file, .gpa = kernel->gpa, .len = kernel->len };
	t->all[1] = (struct part){ .event = "initrd", .what = file, .gpa = initrd->gpa, .len = initrd->len };
	t->all[2] = (struct part){ .event = t->command_line_event, .what = words, .len = strlen(text), .text = text };
	return 0;
}

/* ---- its process comes, and comes again. Main. */
static void attached(struct op *op, int error)
{
	struct tpm *t = container_of(op, struct tpm, attached_op);
	const struct tpm_place place = { places[PLACE_TPM_REGISTERS].base, places[PLACE_TPM_BUFFERS].base };

	if (!error)
		error = call(t, TPM_CALL_PLACE, &place, sizeof(place));
	if (!error && t->state == TPM_WAITING)
		error = parts(t);
	if (error) {
		give_up(t, log_err(error, "the TPM's process cannot be had"));
		return;
	}
	t->attached_times++;
	if (t->state == TPM_WAITING) {
		t->state = TPM_MEASURING;
		task_wake(&t->measure);
	}
}

/* home */
static void attach(struct op *op, int ignored)
{
	struct tpm *t = container_of(op, struct tpm, attach_op);
	int r = device_proxy_attach(t->proxy, t->ends[0], t->ends[1]);

	if (r) {
		fd_close(&t->ends[0]);
		fd_close(&t->ends[1]);
	}
	exec_post(t->w->main, &t->attached_op, attached, r);
}

static void listen_more(struct tpm *t)
{
	op_poll(t->w->main, &t->poll_op, t->fd, POLLIN);
}

/* a message and its descriptors; -EAGAIN: none */
static int receive(int fd, struct link_device *m, int ends[2])
{
	union { struct cmsghdr head; u8 room[CMSG_SPACE(2 * sizeof(int))]; } control;
	struct iovec iov = { m, sizeof(*m) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n <= 0)
		return n ? -errno : -EPIPE;
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);

	ends[0] = ends[1] = -1;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(2 * sizeof(int)))
		memcpy(ends, CMSG_DATA(c), 2 * sizeof(int));
	return (size_t)n == sizeof(*m) && m->device == LINK_DEVICE_TPM && (m->error < 0 || ends[0] >= 0) ? 0 : -EPROTO;
}

static void control_says(struct op *op, int result)
{
	struct tpm *t = container_of(op, struct tpm, poll_op);
	struct link_device m;
	int r = result < 0 ? result : receive(t->fd, &m, t->ends);

	if (r == -EPIPE)
		return; /* control is gone, and this process will be */
	if (r && r != -EAGAIN) {
		give_up(t, r);
		return;
	}
	if (!r && m.error)
		give_up(t, m.error);
	else if (!r)
		exec_post(t->home, &t->attach_op, attach, 0);
	listen_more(t);
}

/* ---- */
static void *home_thread(void *arg)
{
	struct tpm *t = arg;

	device_answers_soon();
	int r = exec_run(t->home);

	if (r)
		log_err(r, "the TPM's executor ended");
	return NULL;
}

static int create_proxy(struct tpm *t)
{
	const struct region regions[TPM_REGIONS] = {
		[TPM_REGION_MMIO] = { "CRB", SPACE_MMIO, TPM_CRB_BASE, TPM_CRB_LEN },
		[TPM_REGION_PAGE] = { "CRB page", SPACE_MMIO, places[PLACE_TPM_REGISTERS].base, PAGE_SIZE },
		[TPM_REGION_PORTS] = { "ports", SPACE_PIO, TPM_PORT_BASE, TPM_PORT_LEN },
	};
	const struct device_window windows[] = {
		[TPM_WINDOW_REGISTERS] = { places[PLACE_TPM_REGISTERS].base, TPM_CRB_LEN, true },
		[TPM_WINDOW_BUFFERS] = { places[PLACE_TPM_BUFFERS].base, 2 * TPM_BUFFER_LEN, true },
	};
	const struct device_proxy_config config = {
		.name = "tpm", .tag = STATE_TAG('T', 'P', 'M', '2'), .regions = t->regions, .region_count = TPM_REGIONS,
		.home = t->home, .windows = windows, .window_count = ARRAY_SIZE(windows), .seen = seen, .memory = memory,
		.line = line, .lost = lost, .context = t,
	};

	memcpy(t->regions, regions, sizeof(regions));
	t->proxy = device_proxy_create(&config);
	return t->proxy ? 0 : -ENOMEM;
}

int tpm_create(struct worker *w, int fd, struct tpm **ret)
{
	int type;

	*ret = NULL;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &(socklen_t){ sizeof(type) }))
		return 0;
	struct tpm *t = calloc(1, sizeof(*t));

	if (!t)
		return log_err(-ENOMEM, "a TPM");
	t->w = w;
	t->fd = fd;
	t->poll_op.done = control_says;
	t->home = exec_create("tpm", -1);
	task_init(&t->measure, w->main, "measure", measure_runs);
	int r = t->home ? create_proxy(t) : -ENOMEM;

	if (!r)
		r = bus_attach(&w->board.bus, device_proxy_device(t->proxy));
	/* VTL0 reads the registers there by itself; its writes come to the bus */
	if (!r)
		r = guest_zero(w->board.machine.guest, places[PLACE_TPM_REGISTERS].base, places[PLACE_TPM_REGISTERS].len);
	if (!r)
		r = protect_read_only(w->board.machine.hcl, places[PLACE_TPM_REGISTERS].base);
	if (!r)
		r = -pthread_create(&t->thread, NULL, home_thread, t);
	if (r)
		return log_err(r, "a TPM"); /* the process ends with it */
	worker_hold(w, WORKER_WAIT_TPM, WAIT_NS);
	*ret = t;
	return 0;
}

void tpm_begin(struct tpm *t)
{
	if (t)
		listen_more(t);
}

void tpm_inspect(void *object, struct inspect *in)
{
	static const char *const states[] = { "waiting", "measuring", "ready", "gone" };
	struct tpm *t = object;

	inspect_str(in, "state", states[t->state]);
	if (t->error)
		inspect_str(in, "error", strerror(-t->error));
	inspect_count(in, "measured_bytes", t->measured);
	inspect_count(in, "attached", t->attached_times);
}
