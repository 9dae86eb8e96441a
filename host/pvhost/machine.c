#include "host/pvhost/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/load/igvm_load.h"
#include "host/pvhost/monitor.h"
#include "host/pvhost/plan.h"
#include "host/pvhost/settings.h"
#include "lib/log/log.h"
#include "lib/os/file.h"
#include "spec/igvm.h"
#include "spec/vmbus.h"

LOG_DOMAIN("machine");

#define IMAGE_MAX (512 * MiB)
#define REGISTERS_MAX 64
#define CRASHES_IN_A_ROW 50u /* without a guest that ran: more is no bad luck */

/* ---- what the partition asks of the machine; VP threads */

static u16 on_post(void *ctx, u32 vp, enum vtl vtl, const struct hv_post_message *message)
{
	struct machine *m = ctx;

	return vtl == VTL2 ? vmbus_post_message(m->vmbus, message) : HV_STATUS_INVALID_CONNECTION_ID;
}

static u16 on_signal(void *ctx, u32 vp, enum vtl vtl, u32 connection, u16 flag)
{
	struct machine *m = ctx;

	return vtl == VTL2 ? vmbus_signal_event(m->vmbus, connection) : HV_STATUS_INVALID_CONNECTION_ID;
}

static u16 on_retarget(void *ctx, u32 vp, enum vtl vtl, const void *input, u32 len)
{
	struct machine *m = ctx;
	u16 status = HV_STATUS_INVALID_PARAMETER;

	for (u32 i = 0; i < m->options->nvme_count && status == HV_STATUS_INVALID_PARAMETER; i++)
		status = vpci_retarget(m->vpci[i], input, len);
	return status;
}

static bool on_mmio(void *ctx, u64 gpa, void *data, u32 len, bool write)
{
	struct machine *m = ctx;

	for (u32 i = 0; i < m->options->nvme_count; i++)
		if (vpci_mmio(m->vpci[i], gpa, data, len, write))
			return true;
	return false;
}

static void on_debug_output(void *ctx, u8 byte)
{
	struct machine *m = ctx;

	if (m->debug_fd >= 0 && write(m->debug_fd, &byte, 1) < 0)
		log_guest("--vtl2-console: %s", strerror(errno));
}

static void on_event(void *ctx, enum partition_event event, enum vtl vtl, u32 vp, const char *text)
{
	struct machine *m = ctx;

	if (event == PARTITION_CRASH && vtl == VTL0) {
		log_at(LOG_NOTICE, "%s", text);
		return;
	}
	log_at(LOG_ERROR, "%s", text);
	/* what KVM or pvhost cannot do does not get better by a reset */
	machine_request(m, event == PARTITION_FATAL ? MACHINE_FAILED : MACHINE_CRASHED);
}

static const struct partition_ops partition_callbacks = {
	.post_message = on_post, .signal_event = on_signal, .retarget = on_retarget, .mmio = on_mmio,
	.debug_output = on_debug_output, .event = on_event,
};

/* ---- what VMBus and GET ask; loop thread */

static void *io_memory(void *ctx, u64 gpa, u64 len)
{
	struct machine *m = ctx;

	return partition_memory(m->partition, gpa, len, true);
}

static bool io_post(void *ctx, u32 vp, u8 sint, const void *message, u32 len)
{
	struct machine *m = ctx;

	return partition_post(m->partition, vp, VTL2, sint, HVMSG_VMBUS, message, len);
}

static void io_signal(void *ctx, u32 vp, u8 sint, u16 flag)
{
	struct machine *m = ctx;

	partition_signal(m->partition, vp, VTL2, sint, flag);
}

/* threads of devices: the partition is there as long as any of them is not reset */
static void device_interrupt(void *ctx, u32 vp, u8 vector)
{
	struct machine *m = ctx;

	partition_interrupt(m->partition, vp, VTL2, vector);
}

static u64 get_reference_time(void *ctx)
{
	struct machine *m = ctx;

	return partition_reference_time(m->partition);
}

static const void *guest_memory(void *ctx, u64 gpa, u64 len)
{
	struct machine *m = ctx;

	return partition_memory(m->partition, gpa, len, false);
}

/* a text of several lines; the terminal may be in raw mode, and each line says whose it is */
static void log_lines(enum log_level level, const char *what, const char *text)
{
	size_t len = strcspn(text, "\n");

	log_at(level, "%s: %.*s", what, (int)len, text);
	for (text += len; *text; text += len) {
		text++;
		len = strcspn(text, "\n");
		if (len)
			log_at(level, "| %.*s", (int)len, text);
	}
}

static void on_get_event(void *ctx, enum get_event event, const char *text)
{
	struct machine *m = ctx;

	switch (event) {
	case GET_EVENT_POWER_OFF: machine_request(m, MACHINE_POWERED_OFF); return;
	case GET_EVENT_RESET: machine_request(m, MACHINE_RESET); return;
	case GET_EVENT_VTL0_STARTED:
		m->vtl0_started = true;
		m->crashes = 0;
		log_at(LOG_INFO, "the guest runs");
		return;
	case GET_EVENT_START_FAILED:
		log_at(LOG_ERROR, "the firmware could not start the guest: %s", text);
		machine_request(m, MACHINE_CRASHED);
		return;
	case GET_EVENT_CRASH:
		log_at(LOG_ERROR, "the firmware reports a crash: %s", text);
		machine_request(m, MACHINE_CRASHED);
		return;
	case GET_EVENT_GUEST_CRASH: log_lines(LOG_NOTICE, "the guest reports a crash", text); return;
	case GET_EVENT_TRIPLE_FAULT:
		log_lines(LOG_NOTICE, "the guest ended in a triple fault", text);
		machine_request(m, MACHINE_RESET);
		return;
	}
}

static int load_image(struct machine *m)
{
	struct load_cpu cpus[PARTITION_MAX_VPS] = { 0 };
	struct load_range ram[PARTITION_MAX_RAM + NUMA_MAX];
	struct load_register registers[REGISTERS_MAX];
	u8 entropy[64];
	char why[256];
	u32 count;
	u64 high = m->config.mmio_high_base;
	bool self = m->options->vtl2_place == VTL2_SELF;

	for (u32 i = 0; i < m->options->cpus; i++)
		cpus[i] = (struct load_cpu){ m->config.apic_ids[i], i * m->options->numa_nodes / m->options->cpus };
	if (getrandom(entropy, sizeof(entropy), 0) != sizeof(entropy))
		return log_err(-errno, "entropy for the firmware");
	struct load_request request = {
		.memory = { io_memory, m },
		.cpus = cpus, .cpu_count = m->options->cpus,
		.ram = ram, .ram_count = plan_list_ram(m, ram),
		.vtl2 = { .base = m->vtl2_base, .size = m->vtl2_size }, .vtl2_allocates = self,
		.vtl0_mmio = { { .base = LOW_MMIO_VTL0_BASE, .size = LOW_MMIO_VTL0_SIZE },
			       { .base = high, .size = self ? 2 * HIGH_MMIO_ROOM : HIGH_MMIO_SIZE } },
		.vtl2_mmio_size = HIGH_MMIO_ROOM,
		.vtl0_connection_id = VMBUS_CONNECTION_LEGACY, .vtl2_connection_id = VMBUS_CONNECTION_REDIRECT_VTL2,
		.bootargs = m->options->vtl2_append, .com3 = m->options->vtl2_console != NULL,
		.entropy = entropy, .entropy_len = sizeof(entropy),
	};

	if (!self) {
		request.vtl2_mmio[0] = (struct load_range){ .base = LOW_MMIO_BASE, .size = LOW_MMIO_VTL2_SIZE };
		request.vtl2_mmio[1] = (struct load_range){ .base = high + HIGH_MMIO_ROOM, .size = HIGH_MMIO_SIZE };
	}
	if (igvm_load(&m->igvm, &request, registers, REGISTERS_MAX, &count, why, sizeof(why)))
		return log_err(-EINVAL, "%s cannot be loaded: %s", m->options->igvm, why);
	for (u32 i = 0; i < count; i++)
		if (registers[i].vtl == 2 &&
		    partition_set_register(m->partition, 0, VTL2, registers[i].name, registers[i].value))
			return log_err(-EINVAL, "%s sets register %#x, which this host does not have",
				       m->options->igvm, registers[i].name);
	return 0;
}

static int start_partition(struct machine *m)
{
	int r = partition_create(&m->config, &m->partition);

	if (!r)
		r = load_image(m);
	if (!r) {
		gdb_host_begin(m->gdb, m->partition);
		r = partition_start(m->partition);
	}
	return r;
}

/* ---- ends */

void machine_request(struct machine *m, enum machine_end end)
{
	int none = MACHINE_RUNNING;

	/* a failure outranks what was asked before it */
	if (end == MACHINE_CRASHED && !m->options->reset_on_crash)
		end = MACHINE_FAILED;
	if (end == MACHINE_FAILED)
		atomic_store(&m->pending_end, end);
	else
		atomic_compare_exchange_strong(&m->pending_end, &none, end);
	loop_post(m->loop, &m->end_work);
}

static void reset(struct machine *m)
{
	m->resets++;
	m->vtl0_started = m->paused = false;
	gdb_host_end(m->gdb);
	partition_stop(m->partition); /* or a VP starts a device again that the next line resets */
	vmbus_reset(m->vmbus);
	partition_destroy(m->partition);
	m->partition = NULL;
	if (start_partition(m)) {
		m->result = MACHINE_FAILED;
		loop_stop(m->loop);
	}
}

static void handle_end(struct loop_work *work)
{
	struct machine *m = container_of(work, struct machine, end_work);
	enum machine_end end = atomic_exchange(&m->pending_end, MACHINE_RUNNING);

	if (end == MACHINE_RUNNING)
		return;
	if (end == MACHINE_CRASHED) {
		end = !m->options->no_reboot && ++m->crashes <= CRASHES_IN_A_ROW ? MACHINE_RESET : MACHINE_FAILED;
		log_at(LOG_NOTICE, "the firmware crashed; %s", end == MACHINE_RESET ? "reset" : "the machine ends");
	}
	if (end == MACHINE_RESET && !m->options->no_reboot) {
		log_at(LOG_INFO, "reset");
		reset(m);
		return;
	}
	m->result = end;
	loop_stop(m->loop);
}

static void on_console_escape(void *ctx, char key)
{
	struct machine *m = ctx;

	if (key == 'x')
		machine_request(m, MACHINE_POWERED_OFF);
	else if (key == 'r')
		machine_request(m, MACHINE_RESET);
	else
		fprintf(stderr, "\r\n[Ctrl-A x: end, Ctrl-A r: reset, Ctrl-A Ctrl-A: Ctrl-A]\r\n");
}

/* ---- building */

static int read_image(struct machine *m)
{
	char why[256];
	int r = file_read(m->options->igvm, IMAGE_MAX, &m->image, &m->image_len);
	u64 base, size, align;

	if (r)
		return log_err(r, "--igvm %s cannot be read; 'make image' builds one", m->options->igvm);
	if (igvm_open(m->image, m->image_len, &m->igvm, why, sizeof(why)))
		return log_err(-EINVAL, "--igvm %s: %s", m->options->igvm, why);
	if (igvm_vtl2_needs(&m->igvm, &base, &size, &align, why, sizeof(why)))
		return log_err(-EINVAL, "--igvm %s: %s", m->options->igvm, why);
	if (m->options->vtl2_memory && m->options->vtl2_memory < size)
		log_at(LOG_WARN, "--vtl2-memory %luM is less than the %luM this image asks for",
		       m->options->vtl2_memory / MiB, size / MiB);
	m->config.mmio_hole_base = LOW_MMIO_BASE;
	m->config.no_apic = m->options->no_apic;
	plan_cpus(m);
	plan_memory(m, m->options->vtl2_memory ? m->options->vtl2_memory : ALIGN_UP(size, 2 * MiB), base);
	return 0;
}

static int make_nvme(struct machine *m, u32 i)
{
	static const char *const names[NVME_MAX] = { "nvme0", "nvme1", "nvme2", "nvme3", "nvme4", "nvme5", "nvme6",
		"nvme7", "nvme8",
						     "nvme9", "nvme10", "nvme11", "nvme12", "nvme13", "nvme14", "nvme15" };
	const struct nvme_target_config *config = &m->options->nvme[i];
	struct nvme_memory memory = { io_memory, m };
	int r = nvme_target_create(names[i], config, &memory, &m->nvme[i]);

	if (r)
		return r;
	struct vpci_config bus = { config->instance, nvme_target_function(m->nvme[i]), i + 1, m->options->cpus,
		device_interrupt, m };

	return vpci_create(m->vmbus, &bus, &m->vpci[i]);
}

/* takes the document over */
static int keep_settings(struct machine *m, char *document, size_t len)
{
	char *platform = settings_platform(m->options, m->generation, document, len);

	if (!platform) {
		free(document);
		return log_err(-ENOMEM, "settings");
	}
	free(m->settings);
	free(m->platform);
	m->settings = document;
	m->settings_len = len;
	m->platform = platform;
	return 0;
}

int machine_new_generation(struct machine *m)
{
	if (getrandom(m->generation, sizeof(m->generation), 0) != sizeof(m->generation))
		return log_err(-EIO, "no random generation ID");
	char *platform = settings_platform(m->options, m->generation, m->settings, m->settings_len);

	if (!platform)
		return log_err(-ENOMEM, "settings");
	free(m->platform);
	m->platform = platform;
	get_set_settings(m->get, platform);
	return get_update_generation_id(m->get, m->generation);
}

/* what was accepted is what the next life begins with */
static void settings_done(void *ctx, int result, const char *text)
{
	struct machine *m = ctx;
	char *document = m->asked_settings;

	m->asked_settings = NULL;
	if (result)
		free(document);
	else if (!keep_settings(m, document, m->asked_len))
		get_set_settings(m->get, m->platform);
	m->settings_answered(m->settings_ctx, result, text);
}

int machine_change_settings(struct machine *m, char *document, size_t len,
			    void (*answered)(void *ctx, int result, const char *text), void *ctx)
{
	int r = m->asked_settings ? -EBUSY : get_modify_settings(m->get, document, len, settings_done, m);

	if (r) {
		free(document);
		return r;
	}
	m->asked_settings = document;
	m->asked_len = len;
	m->settings_answered = answered;
	m->settings_ctx = ctx;
	return 0;
}

static int make_devices(struct machine *m, const char *vsock)
{
	struct vmbus_io io = { io_memory, io_post, io_signal, m->options->cpus, m };
	struct get_config get = { m->platform, get_reference_time, on_get_event, guest_memory, m, m->guest_state };

	m->vmbus = vmbus_create(m->loop, &io);
	if (!m->vmbus)
		return log_err(-ENOMEM, "VMBus");
	int r = get_server_create(m->vmbus, &get, &m->get);

	for (u32 i = 0; !r && i < 2; i++)
		r = uart_create(m->loop, m->vmbus, i + 1, m->options->serial[i], &m->uart[i]);
	if (!r)
		uart_on_escape(m->uart[0], on_console_escape, m);
	if (!r)
		r = hvsock_create(m->loop, m->vmbus, vsock, &m->hvsock);
	if (!r && m->options->firmware_log)
		r = guest_log_create(m->loop, m->vmbus, m->options->firmware_log, &m->firmware_log);
	struct crash_config crash = { m->options->crash_dumps, m->options->name, m->options->crash_max_size,
				      m->options->crash_max_count };

	if (!r && crash.folder)
		r = crash_create(m->vmbus, &crash, &m->crash);
	for (u32 i = 0; !r && i < m->options->nvme_count; i++)
		r = make_nvme(m, i);
	return r;
}

static void gdb_monitor(void *ctx, const char *words, FILE *out)
{
	monitor_command(ctx, words, out);
}

static void gdb_kill(void *ctx)
{
	machine_request(ctx, MACHINE_POWERED_OFF);
}

static int make_gdb(struct machine *m)
{
	struct gdb_host_config config = { m->options->gdb, m->options->gdb_wait, gdb_monitor, gdb_kill, m };

	return m->options->gdb ? gdb_host_create(m->loop, &config, &m->gdb) : 0;
}

static void socket_path(const struct options *o, const char *given, const char *suffix, char *out, size_t size)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	char parent[96];

	if (given) {
		snprintf(out, size, "%s", given);
		return;
	}
	snprintf(parent, sizeof(parent), "%s/paravane", dir && *dir ? dir : "/run");
	mkdir(parent, 0755);
	snprintf(out, size, "%s/%s.%s", parent, o->name, suffix);
}

int machine_create(const struct options *options, struct machine **ret)
{
	struct machine *m = calloc(1, sizeof(*m));
	char vsock[108], monitor[108];
	int r;

	if (!m)
		return log_err(-ENOMEM, "machine");
	m->options = options;
	m->debug_fd = -1;
	m->end_work.run = handle_end;
	m->config.ops = &partition_callbacks;
	m->config.ctx = m;
	m->loop = loop_create();
	r = m->loop ? read_image(m) : log_err(-ENOMEM, "event loop");
	socket_path(options, options->vsock, "vsock", vsock, sizeof(vsock));
	socket_path(options, options->monitor, "monitor", monitor, sizeof(monitor));
	if (!r && options->vtl2_console) {
		m->debug_fd = open(options->vtl2_console, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (m->debug_fd < 0)
			r = log_err(-errno, "--vtl2-console %s", options->vtl2_console);
	}
	char *document = NULL;
	size_t document_len = 0;

	if (!r && getrandom(m->generation, sizeof(m->generation), 0) != sizeof(m->generation))
		r = log_err(-EIO, "no random generation ID");
	if (!r)
		r = settings_load(options, &document, &document_len);
	if (!r)
		r = keep_settings(m, document, document_len);
	if (!r && options->vmgs)
		r = guest_state_open(options->vmgs, options->vmgs_size, &m->guest_state);
	if (!r)
		r = make_devices(m, vsock);
	if (!r)
		r = make_gdb(m);
	if (!r)
		r = monitor_create(m, monitor, &m->monitor); /* the last of the sockets: who finds it finds all */
	if (!r)
		r = start_partition(m);
	if (r) {
		machine_destroy(m);
		return r;
	}
	*ret = m;
	return 0;
}

void machine_destroy(struct machine *m)
{
	if (!m)
		return;
	if (m->partition)
		partition_stop(m->partition);
	gdb_host_destroy(m->gdb);
	monitor_destroy(m->monitor);
	vmbus_destroy(m->vmbus); /* closes every channel; devices do not touch it after that */
	hvsock_destroy(m->hvsock);
	guest_log_destroy(m->firmware_log);
	for (u32 i = 0; i < 2; i++)
		uart_destroy(m->uart[i]);
	for (u32 i = 0; i < NVME_MAX; i++) {
		vpci_destroy(m->vpci[i]);
		nvme_target_destroy(m->nvme[i]);
	}
	crash_destroy(m->crash);
	get_server_destroy(m->get);
	guest_state_close(m->guest_state);
	partition_destroy(m->partition);
	loop_destroy(m->loop);
	if (m->debug_fd >= 0)
		close(m->debug_fd);
	free(m->asked_settings);
	free(m->settings);
	free(m->platform);
	free(m->image);
	free(m);
}

enum machine_end machine_run(struct machine *m)
{
	loop_run(m->loop);
	return m->result;
}
