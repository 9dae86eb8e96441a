#include "vmm/worker/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log/kmsg.h"
#include "lib/log/log.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"
#include "vmm/mem/protect.h"
#include "vmm/worker/gdb.h"
#include "vmm/worker/nvme.h"
#include "vmm/worker/tpm.h"

LOG_DOMAIN("worker");

static void notify(struct worker *w, enum link_notification type, unsigned vp, const char *text,
		   const struct vp_registers *registers)
{
	struct link_notify n = { .type = type, .vp = vp, .now_ns = now_ns() };

	if (registers) {
		n.register_count = registers->count;
		memcpy(n.registers, registers->all, registers->count * sizeof(n.registers[0]));
	}
	snprintf(n.text, sizeof(n.text), "%s", text);
	w->notifications++;
	if (send(w->notify_fd, &n, sizeof(n), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_err(-errno, "notification %u is lost: %s", type, text);
}

void worker_notify(struct worker *w, enum link_notification type, unsigned vp, const char *text)
{
	notify(w, type, vp, text, NULL);
}

static void stop_vp(struct op *op, int ignored)
{
	vp_stop(&container_of(op, struct worker_vp, stop)->vp);
}

void worker_stop_vps(struct worker *w)
{
	if (atomic_exchange(&w->stopping, true))
		return;
	for (unsigned i = 0; w->vps && i < w->layout.vp_count; i++)
		exec_post(w->vps[i].vp.exec, &w->vps[i].stop, stop_vp, 0);
}

_Static_assert(LINK_REGISTERS_MAX == VP_REGISTERS_MAX, "all that is told of a VP");
static void machine_event(struct machine *m, enum vp_event event, unsigned vp, const char *text,
			  const struct vp_registers *registers)
{
	struct worker *w = container_of(m, struct worker, board.machine);
	static const enum link_notification types[] = {
		[VP_TRIPLE_FAULT] = LINK_TRIPLE_FAULT, [VP_GUEST_CRASH] = LINK_GUEST_CRASH, [VP_FAILED] = LINK_FAILED,
	};

	if (event != VP_GUEST_CRASH)
		worker_stop_vps(w);
	notify(w, types[event], vp, text, registers);
}

static void devices_ended(struct op *op, int result)
{
	struct worker *w = container_of(op, struct worker, devices_ended);

	exec_stop(w->main);
}

static void end_main(struct op *op, int result)
{
	struct worker *w = container_of(op, struct worker, ended);

	w->devices_ended.done = devices_ended;
	nvme_devices_shutdown(w->nvme, w->main, &w->devices_ended);
}

static void link_ended(struct link_client *link)
{
	struct worker *w = container_of(link, struct worker, link);

	worker_stop_vps(w);
	exec_post(w->main, &w->ended, end_main, 0);
}

/* ---- VTL0 waits for what it cannot get later: main lets its VPs go when all are open and nothing is missing any more */
/* on the VP's thread */
static void start_vp(struct worker_vp *v)
{
	struct worker *w = v->worker;

	if (atomic_load(&w->stopping))
		return;
	if (v->vp.index == 0 && loader_set_registers(&v->vp.hcl, &w->entry))
		machine_event(&w->board.machine, VP_FAILED, 0, "VP cannot be set up", NULL);
	else
		vp_start(&v->vp);
}

static void run_vp(struct op *op, int ignored)
{
	start_vp(container_of(op, struct worker_vp, run));
}

static void started(struct worker *w)
{
	pause_started(w);
	worker_notify(w, LINK_STARTED, 0, "VTL0 runs");
}

/* what is to run is put into VTL0's memory last: what measures it needs it as it came */
static int load(struct worker *w)
{
	const struct loader_machine machine = { .pci = w->board.ide, .tpm = w->tpm, .watchdog = w->has_watchdog };
	int r = loader_load(w->board.machine.guest, &w->layout, &machine, &w->entry);

	return r ? r : generation_start(w);
}

static void let_go(struct worker *w)
{
	if (!w->opened_all || w->waits_for || w->let_go)
		return;
	w->let_go = true;
	timer_disarm(w->main, &w->hold_timer);
	if (load(w)) {
		machine_event(&w->board.machine, VP_FAILED, 0, "VTL0 cannot be loaded", NULL);
		return;
	}
	for (unsigned i = 0; i < w->layout.vp_count; i++)
		exec_post(w->vps[i].vp.exec, &w->vps[i].run, run_vp, 0);
	started(w);
}

static void opened_all(struct op *op, int ignored)
{
	struct worker *w = container_of(op, struct worker, opened_op);

	w->opened_all = true;
	gdb_server_start(w->gdb);
	if (w->holds)
		let_go(w);
	else
		started(w);
}

void worker_release(struct worker *w, enum worker_wait what)
{
	w->came |= what;
	w->waits_for &= ~(unsigned)what;
	if (w->holds)
		let_go(w);
}

static void held_too_long(struct timer *timer)
{
	struct worker *w = container_of(timer, struct worker, hold_timer);

	if (!w->waits_for)
		return;
	log_at(LOG_NOTICE, "VTL0 starts without what it was to wait for:%s%s", w->waits_for & WORKER_WAIT_DISKS ? " a disk" : "",
	       w->waits_for & WORKER_WAIT_TPM ? " the TPM" : "");
	worker_release(w, w->waits_for);
}

void worker_hold(struct worker *w, enum worker_wait what, u64 limit_ns)
{
	w->holds = true;
	w->waits_for |= what;
	w->hold_until_ns = MAX(w->hold_until_ns, exec_now_ns(w->main) + limit_ns);
	w->hold_timer.fire = held_too_long;
	timer_disarm(w->main, &w->hold_timer);
	timer_arm(w->main, &w->hold_timer, w->hold_until_ns);
}

/* first thing on the VP's thread, pinned: pages, registers, go */
static void boot_vp(struct op *op, int ignored)
{
	struct worker_vp *v = container_of(op, struct worker_vp, boot);
	struct worker *w = v->worker;
	int r = vp_open(&v->vp);

	if (!r && layout_needs_x2apic(&w->layout))
		r = vp_enable_x2apic(&v->vp);
	if (!r)
		r = watch_open(&v->vp);
	if (r) {
		machine_event(&w->board.machine, VP_FAILED, v->vp.index, "VP cannot be set up", NULL);
		return;
	}
	if (!w->holds)
		start_vp(v);
	if (atomic_fetch_add(&w->opened, 1) + 1 == w->layout.vp_count)
		exec_post(w->main, &w->opened_op, opened_all, 0);
}

static void *vp_thread(void *arg)
{
	struct worker_vp *v = arg;
	int r = exec_run(v->vp.exec);

	if (r)
		machine_event(&v->worker->board.machine, VP_FAILED, v->vp.index, "executor ended", NULL);
	return NULL;
}

/* all executors first: devices and other VPs may post to any of them */
static int create_vps(struct worker *w)
{
	w->vps = calloc(w->layout.vp_count, sizeof(*w->vps));
	if (!w->vps)
		return log_err(-ENOMEM, "%u VPs", w->layout.vp_count);
	for (unsigned i = 0; i < w->layout.vp_count; i++) {
		char name[16];

		snprintf(name, sizeof(name), "vp%u", i);
		struct exec *exec = exec_create(name, (int)i);

		if (!exec)
			return -errno;
		w->vps[i].worker = w;
		vp_init(&w->vps[i].vp, &w->board.machine, i, exec);
		exec_post(exec, &w->vps[i].boot, boot_vp, 0);
	}
	return 0;
}

/* the controllers' queues live on the VPs' executors */
static int open_nvme(struct worker *w)
{
	struct exec *execs[NVME_QUEUES_MAX];
	unsigned count = MIN(w->layout.vp_count, (unsigned)NVME_QUEUES_MAX);

	for (unsigned i = 0; i < count; i++)
		execs[i] = w->vps[i].vp.exec;
	return nvme_devices_open(w->main, execs, count, &w->nvme);
}

static int start_vps(struct worker *w)
{
	/* AP threads first: their VPs wait for VTL0's INIT-SIPI in the hypervisor */
	for (unsigned i = w->layout.vp_count; i-- > 0;) {
		int r = pthread_create(&w->vps[i].thread, NULL, vp_thread, &w->vps[i]);

		if (r)
			return log_err(-r, "thread of VP %u", i);
	}
	return 0;
}

/* the host's document as control left it */
static int read_settings(char **ret, size_t *ret_len)
{
	struct stat s;

	if (fstat(LINK_FD_SETTINGS, &s) || s.st_size > SETTINGS_MAX_BYTES)
		return log_err(-EINVAL, "settings' file");
	*ret = malloc((size_t)s.st_size + 1);
	if (!*ret)
		return log_err(-ENOMEM, "settings");
	if (pread(LINK_FD_SETTINGS, *ret, (size_t)s.st_size, 0) != s.st_size)
		return log_err(-EIO, "settings' file");
	*ret_len = (size_t)s.st_size;
	return 0;
}

static void change_settings(struct link_client *link, struct pb_writer *answer)
{
	struct worker *w = container_of(link, struct worker, link);
	_cleanup_free_ char *text = NULL;
	struct settings_error error = { "Underhill.InternalFailure", "the settings cannot be read" };
	size_t len;

	if (read_settings(&text, &len) || disks_change(&w->disks, text, len, &error))
		settings_error_json(&error, answer);
}

/* who plays VTL0's local APICs: the hypervisor, or on hosts where it does not, this process */
static int choose_apic(struct worker *w, bool *ret_vmm)
{
	const char *word = getenv("PARAVANE_APIC");

	*ret_vmm = word && !strcmp(word, "vmm");
	if (!word || *ret_vmm || !strcmp(word, "hypervisor"))
		return 0;
	snprintf(w->why, sizeof(w->why), "PARAVANE_APIC=%s on the kernel's command line is neither hypervisor nor vmm", word);
	return -EINVAL;
}

/* what the guest is to see, by the command line's policy: a word that is not understood hides nothing, so it ends the start */
static int choose_cpuid(struct worker *w, bool apic)
{
	char why[140] = "";
	int r = vp_configure_cpuid(apic, getenv("PARAVANE_CPUID"), &w->cpuid, why, sizeof(why));

	if (r)
		snprintf(w->why, sizeof(w->why), "PARAVANE_CPUID on the kernel's command line: %s", why);
	return r ? r : vp_register_cpuid(w->board.machine.hcl, &w->cpuid);
}

static struct vp *vp_of(struct machine *m, unsigned index)
{
	return &container_of(m, struct worker, board.machine)->vps[index].vp;
}

/* MSRs of the guest whose writes somebody wants to see */
static int choose_watch(struct worker *w)
{
	const char *names = getenv("PARAVANE_WATCH");
	char why[150] = "";
	int r = names ? watch_parse(names, &w->board.machine.watch, why, sizeof(why)) : 0;

	if (r)
		snprintf(w->why, sizeof(w->why), "PARAVANE_WATCH on the kernel's command line: %s", why);
	return r;
}

/* everything before VTL0's first instruction; its memory is protected before anything of it is believed */
static int prepare(struct worker *w)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	bool apic = false;
	int r = layout_load(&w->layout);

	if (!r)
		r = hcl_open(LINK_FD_VTL, LINK_FD_HVCALL, &w->board.machine.hcl);
	if (!r)
		r = guest_create(&w->layout, LINK_FD_LOW, &w->board.machine.guest);
	if (!r)
		r = protect_vtl2(w->board.machine.hcl, &w->layout, &w->protected_pages);
	if (!r)
		r = choose_apic(w, &apic);
	if (!r)
		r = vp_install_intercepts(w->board.machine.hcl, apic);
	if (!r)
		r = choose_cpuid(w, apic);
	if (!r)
		r = choose_watch(w);
	if (r)
		return r;
	w->main = exec_create("main", -1);
	if (!w->main)
		return -errno;
	w->board.machine.vp = vp_of;
	w->board.machine.cpuid = &w->cpuid;
	r = apic ? vp_create_apics(&w->board.machine, w->layout.vp_count, w->layout.apic_ids) : 0;
	if (r)
		return r;
	w->board.machine.event = machine_event;
	r = read_settings(&text, &len);
	if (r)
		return r;
	w->settings = bytes_of(text, len);
	r = assemble(w);
	w->settings = bytes_of(NULL, 0);
	if (!r)
		r = create_vps(w);
	if (!r)
		r = gdb_server_create(w, LINK_FD_GDB, &w->gdb);
	if (!r)
		r = open_nvme(w);
	if (!r)
		disks_watch(&w->disks);
	if (!r)
		tpm_begin(w->tpm);
	if (!r && !w->holds)
		r = load(w);
	return r;
}

int worker_main(int argc, char **argv)
{
	struct worker *w = calloc(1, sizeof(*w));
	int r;

	kmsg_install("vmm");
	signal(SIGPIPE, SIG_IGN);
	if (!w)
		return 1;
	w->notify_fd = LINK_FD_NOTIFY;
	r = prepare(w);
	if (!r) {
		w->link.stop = link_ended;
		w->link.settings = change_settings;
		w->link.command = pause_command;
		link_start(&w->link, LINK_FD_REQUESTS, w->main, worker_inspect, w);
		r = start_vps(w);
	}
	if (!r)
		r = exec_run(w->main);
	if (r) {
		char text[LINK_TEXT_MAX];

		worker_stop_vps(w);
		snprintf(text, sizeof(text), "the worker cannot go on: %s", *w->why ? w->why : strerror(-r));
		worker_notify(w, LINK_FAILED, 0, text);
	}
	/* the process ends here, and with it rings, mappings and threads */
	return r ? 1 : 0;
}
