/* The machine, its way through exits, and what is judged of each. */
#include "tests/sweep/sweep.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/check.h"
#include "lib/state/state.h"

#define LONGEST_WAIT_NS 60000000000ull /* for a device's answer */

void sweep_wrong(struct sweep *s, const char *format, ...)
{
	va_list args;

	if (s->wrong[0])
		return;
	va_start(args, format);
	vsnprintf(s->wrong, sizeof(s->wrong), format, args);
	va_end(args);
}

/* ---- what the devices and VPs tell */
/* a real machine would end here or begin anew */
static void power_event(struct power *p, enum power_event e, const char *how)
{
	container_of(p, struct sweep, board.power)->power_events++;
}

static void vp_told(struct machine *m, enum vp_event e, unsigned vp, const char *text, const struct vp_registers *registers)
{
	struct sweep *s = container_of(m, struct sweep, board.machine);

	s->crashes += e == VP_GUEST_CRASH;
	if (e != VP_GUEST_CRASH)
		sweep_wrong(s, "VP %u does not run any more: %s", vp, text);
}

static void suite_failed(struct testdev *t, u32 value, const char *text)
{
	container_of(t, struct sweep, testdev)->failures++;
}

static struct vp *vp_of(struct machine *m, unsigned index)
{
	return &container_of(m, struct sweep, board.machine)->cpus[index].vp;
}

/* ---- a device with a mistake */
static enum io_status planted_access(struct device *dev, unsigned region, struct io_access *io)
{
	struct sweep *s = container_of(dev, struct sweep, planted);

	return s->plant == PLANT_MUTE ? IO_PENDING : IO_OK;
}

static void planted_save(struct device *dev, struct saver *saver)
{
	struct sweep *s = container_of(dev, struct sweep, planted);

	saver_u64(saver, s->plant == PLANT_KEEP ? s->saves++ : 0);
}

static int planted_restore(struct device *dev, struct bytes b)
{
	return 0;
}

static const struct device_ops planted_ops = { .access = planted_access, .save = planted_save, .restore = planted_restore };
static const struct region planted_regions[] = { { "mute", SPACE_PIO, SWEEP_MUTE_PORT, 8 } };

/* ---- one exit after the other */

static void wrong_way(struct sweep *s, const struct sweep_cpu *c)
{
	const struct hv_message *m = &c->fake.run.exit_message;
	const u8 *code = ((const struct hv_memory_intercept *)m->payload)->instruction_bytes;
	char bytes[60] = "";

	for (unsigned i = 0; i < 15 && (m->type == HVMSG_UNMAPPED_GPA || m->type == HVMSG_GPA_INTERCEPT); i++)
		snprintf(bytes + 3 * i, 4, " %02x", code[i]);
	sweep_wrong(s, "VP %u: after an exit of type %#x at %#llx it goes on at %#llx (of %u bytes%s)", c->vp.index, m->type,
		    (unsigned long long)c->rip_before, (unsigned long long)c->fake.page.rip, c->length_before, bytes);
}

/* JMP and CALL by memory go anywhere */
static bool branches(const struct hv_message *m)
{
	const u8 *code = ((const struct hv_memory_intercept *)m->payload)->instruction_bytes;
	unsigned n = 0;

	if (m->type != HVMSG_UNMAPPED_GPA && m->type != HVMSG_GPA_INTERCEPT)
		return false;
	while (n < 14 && (memchr("\x66\x67\xf0\xf2\xf3\x26\x2e\x36\x3e\x64\x65", code[n], 11) || (code[n] & 0xf0) == 0x40))
		n++;
	return code[n] == 0xff;
}

/* of the exit before: VTL0 goes on behind the instruction, or takes what was injected, or meets it again */
static void judge(struct sweep *s, struct sweep_cpu *c)
{
	const struct hv_register_page *p = &c->fake.page;
	u64 moved = p->rip - c->rip_before;

	if (!c->judged || c->vp.injected != c->injected_before || !moved || branches(&c->fake.run.exit_message))
		return;
	/* start-up by another processor's APIC: CS:IP as its vector says, or as a reset leaves it */
	if (s->board.machine.apics && (p->rip == 0 || p->rip == 0xfff0))
		return;
	if (!(p->cs.attributes & BIT(13)))
		moved &= 0xffffffff;
	if (moved > 15 || (c->length_before && moved != c->length_before))
		wrong_way(s, c);
}

static int on_run(struct hcl_fake *f)
{
	struct sweep_cpu *c = container_of(f, struct sweep_cpu, fake);
	struct sweep *s = container_of(c->vp.machine, struct sweep, board.machine);

	if (s->plant == PLANT_JUMP && c->exits % 100 == 99)
		f->page.rip += 16;
	judge(s, c);
	f->refuse_register = 0;
	if (!s->left || s->wrong[0])
		return -EINTR;
	s->left--;
	c->exits++;
	/* VTL0 has taken what was injected */
	CHECK(!f->hcl.ops->set(&c->vp.hcl, HV_REGISTER_PENDING_EVENT0, &(union hv_register_value){ 0 }));
	f->call_count = 0;
	f->run.vtl_ret_action_size = 0;
	sweep_next_exit(s, c);
	c->rip_before = f->page.rip;
	c->injected_before = c->vp.injected;
	c->judged = true;
	return 0;
}

/* ---- between exits */

/* a VP that waits must be answered; one that halts or waits for its start is woken as another device would */
static void look_at(struct sweep *s, struct sweep_cpu *c)
{
	u64 now = sim_now_ns(s->sim);

	if (c->vp.wait == VP_NO_WAIT)
		c->waits_since_ns = 0;
	else if (!c->waits_since_ns)
		c->waits_since_ns = now;
	else if (now - c->waits_since_ns > LONGEST_WAIT_NS)
		sweep_wrong(s, "VP %u waits for an answer from %#llx since a minute", c->vp.index,
			    (unsigned long long)c->vp.wait_address);
	if (!s->board.machine.apics || sweep_below(s, 64))
		return;
	if (c->vp.wait_for_sipi)
		vapics_assert(s->board.machine.apics, &(struct ioapic_message){ .destination = c->vp.index, .vector = 9,
										.delivery_mode = 6 });
	else if (c->vp.halted) /* an NMI, or INIT, for one that halts with NMIs masked */
		vapics_assert(s->board.machine.apics, &(struct ioapic_message){ .destination = c->vp.index,
										.delivery_mode = sweep_below(s, 4) ? 4 : 5 });
}

static void save_all(struct sweep *s, struct saver *to)
{
	saver_init(to);
	for (unsigned i = 0; i < SWEEP_VPS; i++)
		vp_save(&s->cpus[i].vp, to);
	board_save(&s->board, to);
}

/* the last tag in the text: four letters before a version and flags of 0 or 1 */
static const char *record_before(const struct saver *s, size_t at)
{
	static char tag[5];

	for (size_t i = at; i >= 8; i--) {
		const u8 *p = s->data + i - 8;

		if (p[0] >= 'A' && p[0] <= 'Z' && p[1] >= ' ' && p[1] <= 'Z' && p[4] && p[4] < 8 && !p[5] && p[6] < 2 && !p[7]) {
			memcpy(tag, p, 4);
			return tag;
		}
	}
	return "";
}

static int restore_all(struct sweep *s, const struct saver *from)
{
	struct loader l;
	int r = loader_init(&l, from->data, from->len);

	for (unsigned i = 0; !r && i < SWEEP_VPS; i++)
		r = vp_restore(&s->cpus[i].vp, l);
	return r ? r : board_restore(&s->board, l);
}

static void channels_held(struct op *op, int ignored)
{
	container_of(op, struct sweep, hold)->held = true;
}

/*
 * Held still, saved, restored and saved again: the same bytes; then it goes on. Twice, the first of which is not judged: to
 * restore an APIC is to look at its timers, and one that is due fires.
 */
static void save_and_restore(struct sweep *s)
{
	struct saver saved[3];
	size_t at = 16; /* behind the header, which has a checksum */
	int r = 0;

	for (unsigned i = 0; i < SWEEP_VPS; i++)
		if (s->cpus[i].vp.wait != VP_NO_WAIT)
			return;
	for (unsigned i = 0; i < SWEEP_VPS; i++) {
		vp_stop(&s->cpus[i].vp);
		s->cpus[i].judged = false;
		s->cpus[i].fake.refuse_register = 0;
	}
	bus_stop(&s->board.bus);
	s->held = false;
	vmbus_hold(s->board.vmbus, &s->hold, channels_held);
	sim_run(s->sim, sim_now_ns(s->sim) + 1000000000); /* what was under way ends */
	if (!s->held) {
		sweep_wrong(s, "VMBus's channels do not stop");
		return;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(saved); i++) {
		save_all(s, &saved[i]);
		r = r ? r : saver_finish(&saved[i]);
		if (!r && i + 1 < ARRAY_SIZE(saved))
			r = restore_all(s, &saved[i]);
	}
	const struct saver *first = &saved[1], *second = &saved[2];

	while (!r && at < MIN(first->len, second->len) && first->data[at] == second->data[at])
		at++;
	if (r)
		sweep_wrong(s, "saved and restored: %s", strerror(-r));
	else if (first->len != second->len || at < first->len)
		sweep_wrong(s, "saved, restored and saved again, byte %zu of %zu is another: behind '%s'", at, first->len,
			    record_before(first, at));
	for (unsigned i = 0; i < ARRAY_SIZE(saved); i++)
		saver_fini(&saved[i]);
	bus_start(&s->board.bus);
	vmbus_go_on(s->board.vmbus);
	for (unsigned i = 0; i < SWEEP_VPS; i++)
		vp_start(&s->cpus[i].vp);
	s->saves++;
}

bool sweep_run(struct sweep *s, u64 exits)
{
	u64 still = 0, left = exits;

	s->left = exits;
	while (s->left && !s->wrong[0]) {
		/* a run each for the VPs that can; time goes by in steps of all sizes */
		sim_run(s->sim, sim_now_ns(s->sim) + (sweep_below(s, 100) ? 1000 : sweep_below(s, 1000000000)));
		for (unsigned i = 0; i < SWEEP_VPS; i++)
			look_at(s, &s->cpus[i]);
		if (!sweep_below(s, 2000))
			save_and_restore(s);
		if (!sweep_below(s, 4000))
			sweep_fill_memory(s);
		still = s->left == left ? still + 1 : 0;
		left = s->left;
		if (still == 100000)
			sweep_wrong(s, "no VP runs any more: wait %d %d, halted %d %d, for start-up %d %d", s->cpus[0].vp.wait,
				    s->cpus[1].vp.wait, s->cpus[0].vp.halted, s->cpus[1].vp.halted, s->cpus[0].vp.wait_for_sipi,
				    s->cpus[1].vp.wait_for_sipi);
	}
	return !s->wrong[0];
}

/* ---- a life */
static int assemble(struct sweep *s)
{
	int r;

	board_init(&s->board, s->home);
	s->board.power.event = power_event;
	watchdog_init(&s->watchdog, s->home, &s->board.power, false);
	testdev_init(&s->testdev, &s->board.power, &s->board.isa);
	s->testdev.failed = suite_failed;
	r = board_add_ide(&s->board);
	for (unsigned i = 0; !r && i < 2; i++) {
		struct disk *d = disk_ram(1 * MiB, 512, &(struct guid){ .data1 = i + 1 });

		r = d ? ide_add(s->board.ide, i, 0, i ? IDE_CD : IDE_DISK, d) : -ENOMEM;
	}
	if (!r)
		r = board_attach(&s->board);
	if (!r)
		r = bus_attach(&s->board.bus, &s->watchdog.dev);
	if (!r)
		r = bus_attach(&s->board.bus, &s->testdev.dev);
	if (!r && s->plant) {
		s->planted = (struct device){ .name = "planted", .ops = &planted_ops, .tag = STATE_TAG('P', 'L', 'N', 'T'),
					      .regions = planted_regions, .region_count = 1 };
		r = bus_attach(&s->board.bus, &s->planted);
	}
	return r;
}

static int add_vps(struct sweep *s)
{
	static const u32 ids[SWEEP_VPS] = { 0, 1 };
	int r = s->seed & 1 ? vp_create_apics(&s->board.machine, SWEEP_VPS, ids) : 0;

	for (unsigned i = 0; !r && i < SWEEP_VPS; i++) {
		struct sweep_cpu *c = &s->cpus[i];

		hcl_fake_init(&c->fake, true);
		c->fake.on_run = on_run;
		s->board.machine.hcl = &c->fake.hcl; /* each VP has a fake of its own */
		vp_init(&c->vp, &s->board.machine, i, sim_exec(s->sim, i ? "vp1" : "vp0"));
		r = vp_open(&c->vp);
		if (!r)
			r = watch_open(&c->vp);
	}
	return r ? r : board_create_vmbus(&s->board, SWEEP_VPS);
}

struct sweep *sweep_create(u64 seed, enum sweep_plant plant)
{
	struct sweep *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->seed = seed;
	s->plant = plant;
	s->sim = sim_create(seed);
	s->home = sim_exec(s->sim, "main");
	s->board.machine.event = vp_told;
	s->board.machine.vp = vp_of;
	if (s->seed & 2)
		s->board.machine.watch = HV_CR_INTERCEPT_LSTAR_WRITE | HV_CR_INTERCEPT_STAR_WRITE |
					 HV_CR_INTERCEPT_SYSENTER_CS_WRITE;
	if (guest_create_fake(SWEEP_RAM, SWEEP_HIGH_RAM, &s->board.machine.guest) || assemble(s) || add_vps(s)) {
		fprintf(stderr, "sweep: no machine\n");
		exit(1);
	}
	sweep_fill_memory(s);
	bus_start(&s->board.bus);
	vmbus_go_on(s->board.vmbus);
	for (unsigned i = 0; i < SWEEP_VPS; i++)
		vp_start(&s->cpus[i].vp);
	return s;
}

void sweep_destroy(struct sweep *s)
{
	for (unsigned i = 0; i < SWEEP_VPS; i++)
		vp_stop(&s->cpus[i].vp);
	bus_stop(&s->board.bus);
	sim_run(s->sim, sim_now_ns(s->sim) + LONGEST_WAIT_NS);
	board_destroy(&s->board);
	if (s->board.machine.apics)
		vapics_destroy(s->board.machine.apics);
	sim_destroy(s->sim);
	guest_destroy(s->board.machine.guest);
	free(s);
}
