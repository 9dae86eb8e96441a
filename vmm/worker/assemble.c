/* What a machine has around its board, in order; and the tree that inspect shows. Nothing registers itself. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/log/log.h"
#include "lib/os/env.h"
#include "vmm/worker/nvme.h"
#include "vmm/worker/gdb.h"
#include "vmm/worker/tpm.h"
#include "vmm/worker/worker.h"

LOG_DOMAIN("assemble");

static void power_event(struct power *power, enum power_event event, const char *how)
{
	struct worker *w = container_of(power, struct worker, board.power);

	static const struct { const char *what; enum link_notification tell; } ends[] = {
		[POWER_EVENT_OFF] = { "VTL0 asks for power off", LINK_POWER_OFF },
		[POWER_EVENT_RESET] = { "VTL0 asks for a reset", LINK_RESET },
		[POWER_EVENT_WATCHDOG] = { "VTL0 is reset", LINK_WATCHDOG },
	};

	log_at(LOG_NOTICE, "%s: %s", ends[event].what, how);
	worker_stop_vps(w);
	worker_notify(w, ends[event].tell, 0, how);
}

/* the host hears of a suite that failed as of a guest that crashed, with the value as first parameter: power-off has no words */
static void suite_failed(struct testdev *t, u32 value, const char *text)
{
	struct worker *w = container_of(t->power, struct worker, board.power);
	struct vp_registers registers = { .count = 1, .all[0] = { HV_REGISTER_GUEST_CRASH_P0, { value } } };

	w->board.machine.event(&w->board.machine, VP_GUEST_CRASH, 0, text, &registers);
}

/* what no machine has unless it is asked for */
static int assemble_options(struct worker *w)
{
	int r = 0;

	watchdog_init(&w->watchdog, w->main, &w->board.power, env_on("PARAVANE_WATCHDOG_EXPIRED"));
	w->has_watchdog = env_on("PARAVANE_WATCHDOG");
	if (w->has_watchdog)
		r = bus_attach(&w->board.bus, &w->watchdog.dev);
	if (r || !env_on("PARAVANE_TESTDEV"))
		return r;
	log_at(LOG_NOTICE, "VTL0 has the devices of test suites (PARAVANE_TESTDEV)");
	w->testdev = malloc(sizeof(*w->testdev));
	if (!w->testdev)
		return log_err(-ENOMEM, "testdev");
	testdev_init(w->testdev, &w->board.power, &w->board.isa);
	w->testdev->failed = suite_failed;
	return bus_attach(&w->board.bus, &w->testdev->dev);
}

int assemble(struct worker *w)
{
	const struct guid instances[] = { UART_COM1, UART_COM2 };

	board_init(&w->board, w->main);
	w->board.power.event = power_event;
	disks_configure(&w->disks, w, w->settings.at, w->settings.left);
	int r = storage_ide(&w->disks.config) ? board_add_ide(&w->board) : 0;

	if (!r)
		r = board_attach(&w->board);
	if (!r)
		r = assemble_options(w);
	if (!r)
		r = tpm_create(w, LINK_FD_DEVICES, &w->tpm);
	if (r)
		return r;
	for (unsigned i = 0; i < 2; i++) {
		serial_init(&w->serial[i], &w->board.com[i], w->main);
		r = serial_open(&w->serial[i], &instances[i]);

		if (r == -ENOENT)
			log_at(LOG_INFO, "%s: the host offers no channel, output is dropped", w->board.com[i].dev.name);
		else if (r)
			log_at(LOG_WARN, "%s: no channel (%d), output is dropped", w->board.com[i].dev.name, r);
	}
	r = board_create_vmbus(&w->board, w->layout.vp_count);
	if (!r)
		r = disks_create(&w->disks);
	if (!r)
		bus_start(&w->board.bus);
	return r;
}

static void vps_inspect(void *object, struct inspect *in)
{
	struct worker *w = object;
	char name[12];

	for (unsigned i = 0; i < w->layout.vp_count; i++) {
		snprintf(name, sizeof(name), "%u", i);
		inspect_defer(in, name, w->vps[i].vp.exec, vp_inspect, &w->vps[i].vp);
	}
}

static void partition_inspect(void *object, struct inspect *in)
{
	struct worker *w = object;

	inspect_u64(in, "vp_count", w->layout.vp_count);
	inspect_bool(in, "isolated", w->layout.isolated);
	inspect_bool(in, "stopping", atomic_load(&w->stopping));
	inspect_count(in, "notifications", w->notifications);
	pause_inspect(w, in);
	inspect_child(in, "cpuid", cpuid_inspect, &w->cpuid);
	inspect_child(in, "vps", vps_inspect, w);
}

static void memory_inspect(void *object, struct inspect *in)
{
	struct worker *w = object;
	char text[64], name[12];

	inspect_hex(in, "vtl0_ram_top", w->layout.vtl0_ram_top);
	inspect_u64(in, "protected_pages", w->protected_pages);
	for (unsigned i = 0; i < w->layout.range_count; i++) {
		const struct layout_range *r = &w->layout.ranges[i];

		snprintf(name, sizeof(name), "%u", i);
		snprintf(text, sizeof(text), "%#llx-%#llx type %u", (unsigned long long)r->base,
			 (unsigned long long)(r->base + r->len), r->type);
		inspect_str(in, name, text);
	}
}

static void all_serial_inspect(void *object, struct inspect *in)
{
	struct worker *w = object;

	inspect_child(in, "com1", serial_inspect, &w->serial[0]);
	inspect_child(in, "com2", serial_inspect, &w->serial[1]);
}

static void main_exec_inspect(void *object, struct inspect *in)
{
	struct worker *w = object;
	struct exec_stats s;

	exec_get_stats(w->main, &s);
	inspect_count(in, "turns", s.turns);
	inspect_count(in, "tasks", s.tasks_run);
	inspect_count(in, "ops", s.ops_done);
	inspect_count(in, "kicks", s.kicks);
	inspect_count(in, "link_requests", w->link.requests);
	inspect_count(in, "link_refused", w->link.refused);
}

static void executors_inspect(void *object, struct inspect *in)
{
	inspect_child(in, "main", main_exec_inspect, object);
}

static void vm_inspect(void *object, struct inspect *in)
{
	struct worker *w = object;

	inspect_child(in, "partition", partition_inspect, w);
	inspect_child(in, "chipset", bus_inspect, &w->board.bus);
	inspect_child(in, "memory", memory_inspect, w);
	inspect_child(in, "generation_id", generation_inspect, w);
	inspect_child(in, "serial", all_serial_inspect, w);
	inspect_child(in, "nvme", nvme_devices_inspect, w->nvme);
	inspect_child(in, "vmbus", vmbus_inspect, w->board.vmbus);
	inspect_child(in, "storage", disks_inspect, &w->disks);
	inspect_child(in, "executors", executors_inspect, w);
	if (w->tpm)
		inspect_child(in, "tpm", tpm_inspect, w->tpm);
	if (w->gdb)
		inspect_child(in, "gdb", gdb_server_inspect, w->gdb);
	inspect_child(in, "trace", inspect_log, w);
}

static void build_inspect(void *object, struct inspect *in)
{
	inspect_str(in, "program", "paravane-vmm");
	inspect_str(in, "compiler", __VERSION__);
}

void worker_inspect(void *object, struct inspect *in)
{
	inspect_child(in, "vm", vm_inspect, object);
	inspect_child(in, "trace", inspect_log, object);
	inspect_child(in, "build_info", build_inspect, object);
}
