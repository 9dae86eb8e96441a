/* Every device of VTL0 and how it is wired; and the tree that inspect shows. Nothing registers itself. */
#include <errno.h>
#include <stdio.h>

#include "lib/log/log.h"
#include "vmm/worker/nvme.h"
#include "vmm/worker/worker.h"

LOG_DOMAIN("assemble");

static void deliver(struct ioapic *a, const struct ioapic_message *m)
{
	struct worker *w = container_of(a, struct worker, ioapic);

	if (vp_assert_interrupt(w->machine.hcl, m))
		return; /* said there; the guest named a destination or vector that is none */
}

/*
 * The 8259s' output goes nowhere: every guest with our ACPI tables uses the IO-APIC and only masks and probes the pair, and
 * the hypervisor has no interrupt acknowledge cycle to ask us for a vector.
 */
static void pic_output(struct pic *p, bool level)
{
}

static void power_event(struct power *power, enum power_event event, const char *how)
{
	struct worker *w = container_of(power, struct worker, power);

	log_at(LOG_NOTICE, "VTL0 asks for %s: %s", event == POWER_EVENT_OFF ? "power off" : "a reset", how);
	worker_stop_vps(w);
	worker_notify(w, event == POWER_EVENT_OFF ? LINK_POWER_OFF : LINK_RESET, 0, how);
}

int assemble(struct worker *w)
{
	struct device *const devices[] = { &w->ioapic.dev, &w->pic.dev, &w->pit.dev, &w->rtc.dev, &w->pm.dev, &w->legacy.dev,
					   &w->com[0].dev, &w->com[1].dev };
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
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		int r = bus_attach(&w->bus, devices[i]);

		if (r)
			return r;
	}
	for (unsigned i = 0; i < 2; i++) {
		serial_init(&w->serial[i], &w->com[i], w->main);
		int r = serial_open(&w->serial[i], &instances[i]);

		if (r == -ENOENT)
			log_at(LOG_INFO, "%s: the host offers no channel, output is dropped", w->com[i].dev.name);
		else if (r)
			log_at(LOG_WARN, "%s: no channel (%d), output is dropped", w->com[i].dev.name, r);
	}
	bus_start(&w->bus);
	return 0;
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
	inspect_child(in, "serial", all_serial_inspect, w);
	inspect_child(in, "nvme", nvme_devices_inspect, w->nvme);
	inspect_child(in, "executors", executors_inspect, w);
}

static void build_inspect(void *object, struct inspect *in)
{
	inspect_str(in, "program", "paravane-vmm");
	inspect_str(in, "compiler", __VERSION__);
}

void worker_inspect(void *object, struct inspect *in)
{
	inspect_child(in, "vm", vm_inspect, object);
	inspect_child(in, "trace", trace_inspect, object);
	inspect_child(in, "build_info", build_inspect, object);
}
