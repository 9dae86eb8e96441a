#include "diag/server/control.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "diag/server/policy.h"
#include "lib/log/kmsg.h"
#include "lib/os/cleanup.h"
#include "lib/os/env.h"
#include "spec/hv.h"
#include "spec/hv_msr.h"
#include "vmm/settings/settings.h"

LOG_DOMAIN("control");

#define UNCLAIMED_NS 30000000000ull
#define CRASH_MAGIC 0x50565457ull /* parameter 0 of our own crash reports: "PVTW", the worker ended */
#define LAST_VTL_OURS 2

/* ---- what the host is told */
static void tell_crash(struct control *c, unsigned vp, unsigned vtl, u64 control, const u64 parameters[5])
{
	if (c->get)
		get_notify_crash(c->get, vp, vtl, control, parameters);
}

/* the worker is of no use any more: by policy a new life for the VM, or a report and an operator's look */
static void worker_failed(struct control *c, const char *why)
{
	static const char *const policies[] = { "reporting a crash to the host", "asking the host for a reset" };
	u64 parameters[5] = { CRASH_MAGIC, (u64)c->worker.status };

	if (c->state >= CONTROL_FAILED)
		return;
	log_at(LOG_ERROR, "the worker failed: %s; %s", why, policies[c->on_worker_death]);
	if (c->state != CONTROL_RUNNING && c->get)
		get_notify_started(c->get, -EIO, why);
	if (c->on_worker_death == WORKER_DEATH_RESET) {
		c->state = CONTROL_RESETTING;
		if (c->get)
			get_notify_reset(c->get);
	} else {
		c->state = CONTROL_CRASHED;
		tell_crash(c, 0, LAST_VTL_OURS, HV_CRASH_CTL_NOTIFY, parameters);
	}
}

/* control goes as the guest wrote it: with the bit for a text, the host may read that from the guest's memory itself */
static void guest_crashed(struct control *c, const struct link_notify *n)
{
	u64 values[6] = { 0 }; /* P0 to P4, control */

	for (u32 i = 0; i < n->register_count; i++)
		if (n->registers[i].name >= HV_REGISTER_GUEST_CRASH_P0 && n->registers[i].name <= HV_REGISTER_GUEST_CRASH_CTL)
			values[n->registers[i].name - HV_REGISTER_GUEST_CRASH_P0] = n->registers[i].value[0];
	tell_crash(c, n->vp, 0, values[5], values);
}

static void watchdog_resets(void *context)
{
	struct control *c = context;

	if (!c->get)
		return;
	get_notify_event(c->get, GET_EVENT_WATCHDOG_TIMEOUT_RESET);
	get_notify_reset(c->get);
}

static void worker_notified(struct child *child, const struct link_notify *n)
{
	struct control *c = container_of(child, struct control, worker);

	log_at(n->type == LINK_STARTED ? LOG_INFO : LOG_NOTICE, "worker: %s (VP %u)", n->text, n->vp);
	switch (n->type) {
	case LINK_STARTED:
		c->state = CONTROL_RUNNING;
		c->vtl0_started_ns = n->now_ns;
		boot_begins(&c->boot, BOOT_VTL0, n->now_ns);
		if (c->get)
			get_notify_started(c->get, 0, "");
		return;
	case LINK_POWER_OFF:
		c->state = CONTROL_POWERED_OFF;
		if (c->get)
			get_notify_power_off(c->get);
		return;
	case LINK_WATCHDOG:
		c->state = CONTROL_RESETTING;
		boot_status_keep(&c->boot_status, c->store, watchdog_resets, c);
		return;
	case LINK_RESET:
		c->state = CONTROL_RESETTING;
		if (c->get)
			get_notify_reset(c->get);
		return;
	case LINK_TRIPLE_FAULT:
		c->state = CONTROL_CRASHED;
		if (c->get)
			get_notify_triple_fault(c->get, n->vp, n->registers, n->register_count);
		return;
	case LINK_GUEST_CRASH: guest_crashed(c, n); return;
	case LINK_FAILED: worker_failed(c, n->text); return;
	}
	log_at(LOG_WARN, "unknown notification %u", n->type);
}

static void worker_ended(struct child *child)
{
	struct control *c = container_of(child, struct control, worker);
	char text[80];

	child_status_text(child->status, text, sizeof(text));
	log_at(LOG_NOTICE, "the worker ended: %s", text);
	worker_failed(c, text);
}

/* ---- start, step by step: diagnostics first, so that a failure of the rest can be looked at */
int control_start_worker(struct control *c)
{
	if (c->worker.pid || c->worker.link)
		return -EBUSY;
	c->worker.notified = worker_notified;
	c->worker.ended = worker_ended;
	c->state = CONTROL_STARTING_VTL0;
	return child_start(&c->worker, &c->fds);
}

/* its program is most of the initramfs, so it is packed; where nobody needs it, its memory is given back */
static int start_tpm(struct control *c)
{
	const struct tpm_process_config config = { .exec = c->exec, .store = c->store, .program = TPM_PROGRAM };

	if (!c->get || !settings_platform_tpm(get_settings(c->get))) {
		if (unlink(TPM_PACKED) && errno != ENOENT)
			log_err(-errno, "%s cannot be given back", TPM_PACKED);
		return 0;
	}
	int r = unpack_program(TPM_PACKED, TPM_PROGRAM);

	return r ? r : tpm_process_start(&config, &c->tpm, &c->fds.devices);
}

int control_start_vtl0(struct control *c)
{
	c->state = CONTROL_STARTING_VTL0;
	boot_begins(&c->boot, BOOT_WORKER, exec_now_ns(c->exec));
	int r = machine_open(&c->fds);

	if (!r)
		r = settings_start(c);
	if (!r)
		r = start_tpm(c);
	if (!r)
		r = control_start_worker(c);
	if (!r)
		return 0;
	c->state = CONTROL_FAILED;
	log_err(r, "VTL0 cannot be started; diagnostics stay up");
	if (c->get)
		get_notify_started(c->get, r, "VTL0 cannot be started: see the firmware's log");
	return r;
}

void host_ready(struct control *c)
{
	if (c->wait_for_start) {
		c->state = CONTROL_WAITING;
		log_at(LOG_NOTICE, "VTL0 waits to be started: pvdiag start");
	} else if (control_start_vtl0(c)) {
		return; /* said; diagnostics show the rest */
	}
}

static int vsock_listen(unsigned port, int *ret)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_port = port, .svm_cid = VMADDR_CID_ANY };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return log_err(-errno, "vsock");
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 64)) {
		int r = log_err(-errno, "vsock port %u", port);

		cleanup_closep(&fd);
		return r;
	}
	*ret = fd;
	return 0;
}

static int serve(struct control *c)
{
	struct ttrpc_config config = { .methods = control_methods, .method_count = control_method_count, .context = c };
	int control_fd, data_fd;

	c->fds.gdb = c->fds.devices = -1;
	streams_init(&c->streams, c->exec);
	c->kmsg_path = "/dev/kmsg";
	c->server = ttrpc_server_create(c->exec, &config);
	c->data = data_create(c->exec, UNCLAIMED_NS);
	if (!c->server || !c->data)
		return log_err(-ENOMEM, "diagnostics server");
	processes_init(&c->processes, c->exec, c->data);
	if (vsock_listen(DIAG_PORT_CONTROL, &control_fd))
		return 0; /* said; a VM without diagnostics is better than none */
	if (ttrpc_server_listen(c->server, control_fd))
		return -EBUSY;
	if (!vsock_listen(DIAG_PORT_DATA, &data_fd))
		data_listen(c->data, data_fd);
	/* the worker accepts there */
	if (!c->restricted && vsock_listen(DIAG_PORT_GDB, &c->fds.gdb))
		log_at(LOG_WARN, "nobody can debug VTL0");
	log_at(LOG_INFO, "diagnostics on vsock ports %u and %u", DIAG_PORT_CONTROL, DIAG_PORT_DATA);
	return 0;
}

static void read_environment(struct control *c)
{
	const char *filter = getenv("PARAVANE_LOG"), *death = getenv("PARAVANE_ON_WORKER_DEATH");
	const char *diagnostics = getenv("PARAVANE_DIAGNOSTICS");

	if (filter && log_set_filter(filter))
		log_at(LOG_WARN, "PARAVANE_LOG=%s is not a log filter", filter);
	if (death && !strcmp(death, "reset"))
		c->on_worker_death = WORKER_DEATH_RESET;
	else if (death && strcmp(death, "crash"))
		log_at(LOG_WARN, "PARAVANE_ON_WORKER_DEATH=%s: neither crash nor reset; crash it is", death);
	c->restricted = policy_restricted();
	if (c->restricted)
		log_at(LOG_NOTICE, "diagnostics are restricted: no programs, no files, no changes%s",
		       strcmp(diagnostics, "restricted") ? " (PARAVANE_DIAGNOSTICS is neither full nor restricted)" : "");
	c->wait_for_start = env_on(getenv("PARAVANE_WAIT_FOR_START") ? "PARAVANE_WAIT_FOR_START" : "OPENHCL_WAIT_FOR_START");
}

int control_main(int argc, char **argv)
{
	static struct control control;
	struct control *c = &control;

	kmsg_install("control");
	signal(SIGPIPE, SIG_IGN);
	read_environment(c);
	c->exec = exec_create("control", -1);
	if (!c->exec)
		return 1;
	c->worker.exec = c->exec;
	c->started_ns = exec_now_ns(c->exec);
	boot_init(&c->boot);
	boot_begins(&c->boot, BOOT_CONTROL, c->started_ns);
	if (serve(c))
		return 1;
	c->host_log = host_log_start(c->exec, c->kmsg_path);
	host_start(c);
	return exec_run(c->exec) ? 1 : 0;
}
