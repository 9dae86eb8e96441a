#include "host/pvhost/monitor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/pvhost/machine.h"
#include "host/pvhost/process.h"
#include "lib/log/log.h"
#include "lib/os/file.h"

LOG_DOMAIN("monitor");

#define LINE_MAX_LEN 65536 /* a document of settings is one line */
#define CLIENTS_MAX 8

struct client {
	struct monitor *owner;
	struct loop_source source;
	char line[LINE_MAX_LEN];
	u32 len;
	bool waits;    /* for the firmware's word on settings */
	bool said_all; /* it closed its half; out of the loop, until that word has come */
};

struct monitor {
	struct machine *machine;
	struct loop_source listener;
	struct client clients[CLIENTS_MAX];
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

static const char *const exit_names[40] = {
	[2] = "io", [5] = "hlt", [6] = "mmio", [7] = "irq_window", [8] = "shutdown", [11] = "set_tpr", [17] = "internal_error",
	[29] = "rdmsr", [30] = "wrmsr", [39] = "memory_fault",
};
static const char *const intercept_names[] = {"io_port",       "memory",    "msr",	"cpuid",       "halt",
					      "unrecoverable", "hypercall", "apic_eoi", "deliverable", "preempted",
					      "exception"};

static void print_exits(struct machine *m, FILE *out)
{
	for (u32 i = 0; i < partition_vp_count(m->partition); i++) {
		struct partition_counters c;

		partition_read_counters(m->partition, i, &c);
		fprintf(out, "vp %u: vtl_switches %lu fpu_copies %lu messages %lu events %lu return_actions %lu\n", i,
			c.vtl_switches, c.fpu_copies, c.messages, c.events, c.return_actions);
		for (int vtl = 0; vtl < VTL_COUNT; vtl++) {
			fprintf(out, "  vtl%u: kvm_run %lu interrupted %lu interrupts %lu", vtl_number(vtl), c.kvm_runs[vtl],
				c.interrupted[vtl], c.interrupts[vtl]);
			for (u32 r = 0; r < ARRAY_SIZE(c.exits[0]); r++)
				if (c.exits[vtl][r])
					fprintf(out, " exit_%s %lu", exit_names[r] ? exit_names[r] : "other", c.exits[vtl][r]);
			fputc('\n', out);
			fprintf(out, "  vtl%u hypercalls:", vtl_number(vtl));
			for (u32 h = 0; h < ARRAY_SIZE(c.hypercalls[0]); h++)
				if (c.hypercalls[vtl][h])
					fprintf(out, " %#x %lu", h, c.hypercalls[vtl][h]);
			fputc('\n', out);
		}
		fprintf(out, "  intercepts:");
		for (u32 k = 0; k < ARRAY_SIZE(intercept_names); k++)
			fprintf(out, " %s %lu", intercept_names[k], c.intercepts[k]);
		fputc('\n', out);
	}
}

static void print_vps(struct machine *m, FILE *out)
{
	for (u32 i = 0; i < partition_vp_count(m->partition); i++) {
		struct partition_vp_state s;

		partition_vp_state(m->partition, i, &s);
		fprintf(out, "vp %u: %s vtl%u %s rip %#lx rflags %#lx cr3 %#lx pending vtl0 %d vtl2 %d\n", i,
			s.started ? "started" : "not started", vtl_number(s.vtl), s.waiting ? "waiting" : "running",
			s.rip, s.rflags, s.cr3, s.pending_vector[VTL0], s.pending_vector[VTL2]);
		for (int vtl = 0; vtl < VTL_COUNT; vtl++) {
			const struct partition_interrupts *n = &s.interrupts[vtl];

			fprintf(out, "  vtl%u interrupts: requested %d in service %d%s queued %d\n", vtl_number(vtl),
				n->requested, n->in_service, n->lazy_eoi ? " (lazy EOI)" : "", n->queued);
		}
	}
}

static void print_history(struct machine *m, FILE *out)
{
	char text[200];

	for (u32 i = 0; i < partition_vp_count(m->partition); i++)
		for (u32 k = 0; partition_vp_exit(m->partition, i, k, text, sizeof(text)); k++)
			fprintf(out, "%s\n", text);
}

static void print_channel(struct channel *c, void *ctx)
{
	static const char *const states[] = { "idle", "offered", "open", "rescinded" };

	fprintf(ctx, "channel %u %s: %s vp %u packets in %lu out %lu signals in %lu out %lu\n", c->relid, c->name,
		states[c->state], c->target_vp, c->packets_in, c->packets_out, c->signals_in, c->signals_out);
}

static void print_vtl(struct machine *m, FILE *out)
{
	fprintf(out,
		"vtl2 memory %#lx-%#lx (%lu MiB)\nguest memory %lu MiB\nguest %s%s\nresets %lu\nreference_time %lu\n",
		m->vtl2_base, m->vtl2_base + m->vtl2_size, m->vtl2_size / MiB, m->options->memory / MiB,
		m->vtl0_started ? "started" : "not started",
		m->paused ? ", paused" : "", m->resets, partition_reference_time(m->partition));
}

/* in 100 ns units from the firmware's first instruction; under QEMU's -icount shift=0 one unit is 100 instructions */
static void print_boot(struct machine *m, FILE *out)
{
	struct partition_boot b;
	u64 request = get_first_request(m->get);

	partition_boot_times(m->partition, &b);
	fprintf(out, "shim %lu\nkernel %lu\nuser %lu\ntotal %lu\n", b.vtl2_kernel - b.vtl2_entered, request - b.vtl2_kernel,
		b.vtl0_entered - request, b.vtl0_entered - b.vtl2_entered);
}

static void print_nvme(struct machine *m, FILE *out)
{
	for (u32 i = 0; i < m->options->nvme_count; i++) {
		char instance[GUID_STRLEN + 1];
		struct vpci_counters c;

		guid_format(vpci_instance(m->vpci[i]), instance);
		vpci_read_counters(m->vpci[i], &c);
		fprintf(out, "nvme%u: vpci %s version %u.%u %s%s messages %lu refused %lu interrupts %lu lost %lu vectors %u "
			"retargets %lu config %lu\n", i, instance, c.version >> 16, c.version & 0xffff,
			c.offered ? "offered" : "unplugged", c.in_d0 ? " d0" : "", c.messages, c.refused, c.interrupts,
			c.interrupts_lost, c.interrupts_used, c.retargets, c.window_accesses);
		nvme_target_print(m->nvme[i], out);
	}
}

static void print_guest_state(struct machine *m, FILE *out)
{
	struct guest_state_counts c;

	if (!m->guest_state) {
		fputs("guest state: none (--vmgs)\n", out);
		return;
	}
	guest_state_read_counts(m->guest_state, &c);
	fprintf(out, "guest state: %s %lu KiB reads %lu writes %lu flushes %lu refused %lu failed %lu%s\n", m->options->vmgs,
		c.size / KiB, c.reads, c.writes, c.flushes, c.refused, c.failed, c.broken ? " broken" : "");
}

static void print_devices(struct machine *m, FILE *out)
{
	u64 a, b, c;

	fprintf(out, "vmbus version %u.%u %s\n", vmbus_version(m->vmbus) >> 16, vmbus_version(m->vmbus) & 0xffff,
		vmbus_connected(m->vmbus) ? "connected" : "not connected");
	vmbus_for_each(m->vmbus, print_channel, out);
	get_counts(m->get, &a, &b);
	fprintf(out, "get: requests %lu notifications %lu\n", a, b);
	print_guest_state(m, out);
	hvsock_counts(m->hvsock, &a, &b, &c);
	fprintf(out, "hvsock: connections %lu since start %lu failed %lu\n", a, b, c);
	for (u32 i = 0; i < 2; i++) {
		uart_counts(m->uart[i], &a, &b, &c);
		fprintf(out, "com%u: out %lu in %lu dropped %lu\n", i + 1, a, b, c);
	}
	if (m->firmware_log) {
		guest_log_counts(m->firmware_log, &a, &b);
		fprintf(out, "firmware log: records %lu left out %lu\n", a, b);
	}
	print_nvme(m, out);
}

static void set_faults(struct nvme_target *n, char *text, FILE *out)
{
	struct nvme_fault faults[NVME_FAULTS_MAX];
	char why[320], *next;
	u32 count = 0;

	for (; text && strcmp(text, "off") && count < NVME_FAULTS_MAX; text = next) {
		next = strchr(text, ' ');
		if (next)
			*next++ = 0;
		if (nvme_fault_parse(text, &faults[count++], why, sizeof(why))) {
			fprintf(out, "%s\n", why);
			return;
		}
	}
	nvme_target_set_faults(n, faults, count);
	fprintf(out, "%u faults in force\n", count);
}

/* "nvme N eject", "nvme N fault delay:20/10 drop/100" */
static void nvme_command(struct machine *m, const char *line, FILE *out)
{
	char verb[16] = "", rest[256] = "";
	u32 i = ~0u;
	int r;

	if (sscanf(line, "nvme %u %15s %255[^\n]", &i, verb, rest) < 2 || i >= m->options->nvme_count) {
		fprintf(out, "nvme N eject|unplug|plug, nvme N fault KIND...|off; N below %u\n", m->options->nvme_count);
		return;
	}
	if (!strcmp(verb, "fault") && rest[0]) {
		set_faults(m->nvme[i], rest, out);
		return;
	}
	if (!strcmp(verb, "eject"))
		r = vpci_eject(m->vpci[i]);
	else if (!strcmp(verb, "unplug"))
		r = vpci_unplug(m->vpci[i]);
	else if (!strcmp(verb, "plug"))
		r = vpci_plug(m->vpci[i]);
	else
		r = -EINVAL;
	fprintf(out, "%s\n", r == -EALREADY ? "not in a state for that: see info devices" : r ? strerror(-r) : "asked");
}

static void drop(struct client *c)
{
	if (!c->said_all)
		loop_remove(c->owner->machine->loop, &c->source);
	close(c->source.fd);
	c->source.fd = -1;
	c->waits = c->said_all = false;
}

/* ---- settings: the answer comes later, to whoever still listens */
static void settings_answered(void *ctx, int result, const char *text)
{
	struct client *c = ctx;
	char line[1200];
	int len = snprintf(line, sizeof(line), !result ? "accepted\n\n" : result == -EINVAL ? "refused: %s\n\n" :
			   "the firmware ended before it answered\n\n", text);

	if (c->waits && c->source.fd >= 0 && send(c->source.fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len)
		log_at(LOG_DEBUG, "a monitor client did not take its answer");
	c->waits = false;
	if (c->said_all)
		drop(c);
}

static void print_settings(struct machine *m, FILE *out)
{
	if (!m->settings_len)
		fputs("none\n", out);
	else if (*m->settings != '{')
		fprintf(out, "%zu bytes that are not JSON\n", m->settings_len);
	else
		fprintf(out, "%.*s\n", (int)m->settings_len, m->settings);
}

/* "settings {...}" or "settings FILE" */
static void change_settings(struct client *c, const char *text, FILE *out)
{
	size_t len = strlen(text);
	u8 *document = NULL;
	int r = 0;

	if (*text != '{')
		r = file_read(text, 1 << 20, &document, &len);
	else if (!(document = (u8 *)strdup(text)))
		r = -ENOMEM;
	if (r) {
		fprintf(out, "%.200s: %s\n", text, strerror(-r));
		return;
	}
	r = machine_change_settings(c->owner->machine, (char *)document, len, settings_answered, c);
	if (r)
		fprintf(out, "%s\n", r == -EBUSY ? "another change is under way" : r == -ENOTCONN ? "the firmware is not up yet" :
			"the firmware does not read");
	else
		c->waits = true;
}

static void print_generation(struct machine *m, FILE *out)
{
	const u8 *id = (const u8 *)m->generation;

	for (size_t i = 0; i < sizeof(m->generation); i++)
		fprintf(out, "%02x", id[i]);
	fputc('\n', out);
}

static void new_generation(struct machine *m, FILE *out)
{
	int r = machine_new_generation(m);

	if (r)
		fprintf(out, "the firmware was not told: %s\n", strerror(-r));
	else
		print_generation(m, out);
}

static void pause_machine(struct machine *m, bool on, FILE *out)
{
	if (m->paused == on) {
		fprintf(out, "it is %s\n", on ? "paused already" : "not paused");
		return;
	}
	m->paused = on;
	(on ? partition_pause : partition_resume)(m->partition);
}

void monitor_command(struct machine *m, const char *line, FILE *out)
{
	if (!strcmp(line, "info vtl"))
		print_vtl(m, out);
	else if (!strcmp(line, "info exits"))
		print_exits(m, out);
	else if (!strcmp(line, "info vp"))
		print_vps(m, out);
	else if (!strcmp(line, "info history"))
		print_history(m, out);
	else if (!strcmp(line, "info devices"))
		print_devices(m, out);
	else if (!strcmp(line, "info boot"))
		print_boot(m, out);
	else if (!strcmp(line, "info process"))
		process_print(out);
	else if (!strncmp(line, "nvme ", 5))
		nvme_command(m, line, out);
	else if (!strcmp(line, "generation"))
		print_generation(m, out);
	else if (!strcmp(line, "generation new"))
		new_generation(m, out);
	else if (!strcmp(line, "settings"))
		print_settings(m, out);
	else if (!strcmp(line, "pause") || !strcmp(line, "resume"))
		pause_machine(m, line[0] == 'p', out);
	else if (!strcmp(line, "reset"))
		machine_request(m, MACHINE_RESET);
	else if (!strcmp(line, "quit"))
		machine_request(m, MACHINE_POWERED_OFF);
	else if (!strcmp(line, "help"))
		fputs("info vtl | info exits | info vp | info history | info devices | info boot | info process |\n"
		      "nvme N eject|unplug|plug | nvme N fault KIND...|off | settings [FILE|{JSON}] | pause | resume |\n"
		      "generation [new] | reset | quit\n", out);
	else
		fprintf(out, "'%.60s' is not a command; try help\n", line);
}

/* answers end with an empty line, so that a client knows when it has all */
static void answer(struct client *c, const char *line)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return;
	if (!strncmp(line, "settings ", 9))
		change_settings(c, line + 9, out);
	else
		monitor_command(c->owner->machine, line, out);
	if (!c->waits)
		fputc('\n', out);
	fclose(out);
	if (len && send(c->source.fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
		log_at(LOG_DEBUG, "a monitor client did not take its answer");
	free(text);
}

static void client_ready(struct loop_source *source, u32 events)
{
	struct client *c = container_of(source, struct client, source);
	ssize_t n = recv(source->fd, c->line + c->len, LINE_MAX_LEN - 1 - c->len, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (!n && c->waits) {
		loop_remove(c->owner->machine->loop, &c->source);
		c->said_all = true;
		return;
	}
	if (n <= 0) {
		drop(c);
		return;
	}
	c->len += (u32)n;
	c->line[c->len] = 0;
	for (char *end; (end = strchr(c->line, '\n'));) {
		*end = 0;
		answer(c, c->line);
		c->len -= (u32)(end + 1 - c->line);
		memmove(c->line, end + 1, c->len + 1);
	}
	if (c->len == LINE_MAX_LEN - 1)
		drop(c);
}

static void accept_client(struct loop_source *source, u32 events)
{
	struct monitor *o = container_of(source, struct monitor, listener);
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	for (u32 i = 0; fd >= 0 && i < CLIENTS_MAX; i++) {
		struct client *c = &o->clients[i];

		if (c->source.fd >= 0)
			continue;
		*c = (struct client){ .owner = o, .source = { .fd = fd, .events = EPOLLIN, .ready = client_ready } };
		if (loop_add(o->machine->loop, &c->source)) {
			c->source.fd = -1;
			break;
		}
		return;
	}
	if (fd >= 0)
		close(fd);
}

int monitor_create(struct machine *m, const char *path, struct monitor **ret)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct monitor *o = calloc(1, sizeof(*o));

	if (!o)
		return log_err(-ENOMEM, "monitor");
	o->machine = m;
	for (u32 i = 0; i < CLIENTS_MAX; i++)
		o->clients[i].source.fd = -1;
	o->listener = (struct loop_source){ .fd = -1, .events = EPOLLIN, .ready = accept_client };
	int r = 0;

	if (snprintf(at.sun_path, sizeof(at.sun_path), "%s", path) >= (int)sizeof(at.sun_path))
		r = log_err(-ENAMETOOLONG, "--monitor %s", path);
	unlink(path);
	memcpy(o->path, at.sun_path, sizeof(o->path));
	if (!r) {
		o->listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (o->listener.fd < 0 || bind(o->listener.fd, (struct sockaddr *)&at, sizeof(at)) || listen(o->listener.fd, 4))
			r = log_err(-errno, "--monitor %s", path);
	}
	if (!r)
		r = loop_add(m->loop, &o->listener);
	if (r) {
		monitor_destroy(o);
		return r;
	}
	*ret = o;
	return 0;
}

void monitor_destroy(struct monitor *o)
{
	if (!o)
		return;
	for (u32 i = 0; i < CLIENTS_MAX; i++)
		if (o->clients[i].source.fd >= 0)
			drop(&o->clients[i]);
	if (o->listener.fd >= 0) {
		close(o->listener.fd);
		unlink(o->path);
	}
	free(o);
}
