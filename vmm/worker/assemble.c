/* Every device of VTL0 and how it is wired; and the tree that inspect shows. Nothing registers itself. */
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

static void deliver(struct ioapic *a, const struct ioapic_message *m)
{
	struct worker *w = container_of(a, struct worker, ioapic);

	vp_assert_interrupt(&w->machine, m);
}

/*
 * With the hypervisor's local APICs the 8259s' output goes nowhere: every guest with our ACPI tables uses the IO-APIC and only
 * masks and probes the pair.
 */
static void pic_output(struct pic *p, bool level)
{
	struct worker *w = container_of(p, struct worker, pic);

	if (w->machine.apics)
		vapics_set_intr(w->machine.apics, level);
}

static void power_event(struct power *power, enum power_event event, const char *how)
{
	struct worker *w = container_of(power, struct worker, power);

	static const struct { const char *what; enum link_notification tell; } ends[] = {
		[POWER_EVENT_OFF] = { "VTL0 asks for power off", LINK_POWER_OFF },
		[POWER_EVENT_RESET] = { "VTL0 asks for a reset", LINK_RESET },
		[POWER_EVENT_WATCHDOG] = { "VTL0 is reset", LINK_WATCHDOG },
	};

	log_at(LOG_NOTICE, "%s: %s", ends[event].what, how);
	worker_stop_vps(w);
	worker_notify(w, ends[event].tell, 0, how);
}

/* ---- VMBus: the hypervisor on one side, the executors of the VPs on the other */
static u16 vmbus_io_post(void *ctx, u32 vp, u8 sint, const struct hv_message *message)
{
	return vp_post_message(&((struct worker *)ctx)->machine, vp, sint, message);
}

static void vmbus_io_want_slot(void *ctx, u32 vp, u8 sint)
{
	vp_want_sint(&((struct worker *)ctx)->vps[vp].vp, sint);
}

static void vmbus_io_signal(void *ctx, u32 vp, u8 sint, u16 flag)
{
	vp_signal_event(&((struct worker *)ctx)->machine, vp, sint, flag);
}

static struct exec *vmbus_io_exec(void *ctx, u32 vp)
{
	return ((struct worker *)ctx)->vps[vp].vp.exec;
}

static u16 post_message(struct machine *m, const struct hv_post_message *message)
{
	return vmbus_post(container_of(m, struct worker, machine)->vmbus, message->connection_id, message->message_type,
			  message->payload, message->payload_size);
}

static u16 signal_event(struct machine *m, u32 connection, u16 flag)
{
	return vmbus_signal(container_of(m, struct worker, machine)->vmbus, connection, flag);
}

static void sint_deliverable(struct machine *m, unsigned vp, u16 sints)
{
	vmbus_slot_free(container_of(m, struct worker, machine)->vmbus);
}

static int assemble_vmbus(struct worker *w)
{
	const struct vmbus_io io = { .post = vmbus_io_post, .want_slot = vmbus_io_want_slot, .signal = vmbus_io_signal,
				     .exec = vmbus_io_exec, .ctx = w, .vp_count = w->layout.vp_count };

	w->vmbus = vmbus_server_create(&io, w->machine.guest, w->main);
	if (!w->vmbus)
		return -ENOMEM;
	w->machine.post_message = post_message;
	w->machine.signal_event = signal_event;
	w->machine.sint_deliverable = sint_deliverable;
	return 0;
}

/* the host hears of a suite that failed as of a guest that crashed, with the value as first parameter: power-off has no words */
static void suite_failed(struct testdev *t, u32 value, const char *text)
{
	struct worker *w = container_of(t->power, struct worker, power);
	struct vp_registers registers = { .count = 1, .all[0] = { HV_REGISTER_GUEST_CRASH_P0, { value } } };

	w->machine.event(&w->machine, VP_GUEST_CRASH, 0, text, &registers);
}

/* what no machine has unless it is asked for */
static int assemble_options(struct worker *w)
{
	int r = 0;

	watchdog_init(&w->watchdog, w->main, &w->power, env_on("PARAVANE_WATCHDOG_EXPIRED"));
	w->has_watchdog = env_on("PARAVANE_WATCHDOG");
	if (w->has_watchdog)
		r = bus_attach(&w->bus, &w->watchdog.dev);
	if (r || !env_on("PARAVANE_TESTDEV"))
		return r;
	log_at(LOG_NOTICE, "VTL0 has the devices of test suites (PARAVANE_TESTDEV)");
	w->testdev = malloc(sizeof(*w->testdev));
	if (!w->testdev)
		return log_err(-ENOMEM, "testdev");
	testdev_init(w->testdev, &w->power, &w->isa);
	w->testdev->failed = suite_failed;
	return bus_attach(&w->bus, &w->testdev->dev);
}

int assemble(struct worker *w)
{
	struct device *const devices[] = { &w->ioapic.dev, &w->pic.dev, &w->pit.dev, &w->rtc.dev, &w->pm.dev, &w->legacy.dev,
					   &w->com[0].dev, &w->com[1].dev, &w->pci.dev };
	const struct guid instances[] = { UART_COM1, UART_COM2 };

	w->isa = (struct isa){ &w->ioapic, &w->pic };
	w->power.event = power_event;
	bus_init(&w->bus);
	ioapic_init(&w->ioapic);
	w->ioapic.deliver = deliver;
	pic_init(&w->pic);
	w->pic.set_output = pic_output;
	/* the bus makes the locks; nothing below raises a line before that */
	pit_init(&w->pit, w->main, &w->isa);
	rtc_init(&w->rtc, w->main, &w->isa);
	pm_init(&w->pm, w->main, &w->isa, &w->power);
	legacy_init(&w->legacy, &w->power);
	for (unsigned i = 0; i < 2; i++)
		com_init(&w->com[i], i, &w->isa);
	pci_bus_init(&w->pci, &w->power);
	disks_configure(&w->disks, w, w->settings.at, w->settings.left);
	int r = assemble_ide(w);

	for (size_t i = 0; !r && i < ARRAY_SIZE(devices); i++)
		r = bus_attach(&w->bus, devices[i]);
	if (!r && w->ide)
		r = bus_attach(&w->bus, ide_device(w->ide));
	if (!r)
		r = assemble_options(w);
	if (!r)
		r = tpm_create(w, LINK_FD_DEVICES, &w->tpm);
	if (r)
		return r;
	for (unsigned i = 0; i < 2; i++) {
		serial_init(&w->serial[i], &w->com[i], w->main);
		r = serial_open(&w->serial[i], &instances[i]);

		if (r == -ENOENT)
			log_at(LOG_INFO, "%s: the host offers no channel, output is dropped", w->com[i].dev.name);
		else if (r)
			log_at(LOG_WARN, "%s: no channel (%d), output is dropped", w->com[i].dev.name, r);
	}
	r = assemble_vmbus(w);

	if (!r)
		r = disks_create(&w->disks);
	if (!r)
		bus_start(&w->bus);
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
	inspect_child(in, "chipset", bus_inspect, &w->bus);
	inspect_child(in, "memory", memory_inspect, w);
	inspect_child(in, "generation_id", generation_inspect, w);
	inspect_child(in, "serial", all_serial_inspect, w);
	inspect_child(in, "nvme", nvme_devices_inspect, w->nvme);
	inspect_child(in, "vmbus", vmbus_inspect, w->vmbus);
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
