#include "vmm/apic/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log/log.h"

LOG_DOMAIN("apic");

#define TIMER_HZ 200000000u /* as Hyper-V's; the guest reads it from HV_MSR_APIC_FREQUENCY */
#define NS_PER_TICK 100u    /* of the reference counter */
#define CALIBRATION_NS 1000000000ull
#define SHORTEST_NS 10000u
#define FAR_TICKS (3600ull * 10000000u) /* a deadline further away is looked at again by then */

struct vapics {
	struct guest *guest;
	const struct vapics_ops *ops;
	void *ctx;
	u64 tsc0, ns0; /* one moment: the TSC's frequency is what both have gained since */
	unsigned count;
	struct vapic vps[];
};

static void kick(struct vapic *v)
{
	v->all->ops->kick(v->all->ctx, v->index);
}

/* ---- time */
static u64 reference_time(void *ctx)
{
	struct vapic *v = ctx;
	struct reference *r = &v->reference;
	u64 now = exec_now_ns(v->exec), ticks;

	if ((r->valid && now - r->ns <= CALIBRATION_NS) || !v->all->ops->reference_counter(v->all->ctx, v->index, &ticks))
		return r->ticks + (now - r->ns) / NS_PER_TICK;
	*r = (struct reference){ exec_now_ns(v->exec), ticks, true };
	return ticks;
}

static u64 now_ns_of(void *ctx)
{
	return exec_now_ns(((struct vapic *)ctx)->exec);
}

static u64 tsc(void *ctx)
{
	return __builtin_ia32_rdtsc();
}

static u64 tsc_to_ns(void *ctx, u64 value)
{
	struct vapic *v = ctx;
	u64 now = __builtin_ia32_rdtsc(), ns = exec_now_ns(v->exec), ticks = now - v->all->tsc0, passed = ns - v->all->ns0;

	if (value <= now || !ticks)
		return ns;
	return ns + (u64)MIN((unsigned __int128)(value - now) * passed / ticks, (unsigned __int128)FAR_TICKS * NS_PER_TICK);
}

/* the executor's time of the next expiry; 0: none */
static u64 next_expiry(struct vapic *v)
{
	u64 ticks = synic_timer_deadline(&v->synic), apic_ns = lapic_timer_deadline(&v->lapic), ns = 0;

	if (ticks) {
		u64 now = reference_time(v);

		ns = exec_now_ns(v->exec) + (ticks > now ? MIN(ticks - now, FAR_TICKS) * NS_PER_TICK : 0);
	}
	return apic_ns && (!ns || apic_ns < ns) ? apic_ns : ns;
}

/* what is due already comes at once; what a guest wants more often than SHORTEST_NS is late */
void vapic_arm(struct vapic *v)
{
	u64 ns = next_expiry(v), now = ns ? exec_now_ns(v->exec) : 0;

	if (ns && ns <= now) {
		v->timer_interrupts++;
		lapic_timer_check(&v->lapic);
		synic_timer_check(&v->synic);
		kick(v);
		ns = next_expiry(v);
	}
	if (ns)
		timer_arm(v->exec, &v->timer, MAX(ns, now + SHORTEST_NS));
	else
		timer_disarm(v->exec, &v->timer);
}

static void timer_fired(struct timer *timer)
{
	vapic_arm(container_of(timer, struct vapic, timer));
}

static void timers_changed(void *ctx)
{
	vapic_arm(ctx);
}

static void lapic_timer_changed(void *ctx, struct lapic *lapic)
{
	vapic_arm(ctx);
}

/* ---- interrupts */
static void send_ipi(void *ctx, struct lapic *from, u64 icr)
{
	struct vapic *v = ctx;
	u32 mode = icr >> 8 & 7;

	v->ipis++;
	for (unsigned i = 0; i < v->all->count; i++) {
		struct vapic *target = &v->all->vps[i];

		if (!lapic_ipi_matches(from, &target->lapic, icr))
			continue;
		if (!lapic_deliver(&target->lapic, mode, (u8)icr, false)) {
			log_guest("VP %u: an IPI of delivery mode %u", v->index, mode);
			return;
		}
		if (target != v)
			kick(target);
		if (mode == LAPIC_LOWEST)
			return;
	}
}

static void ended(void *ctx, struct lapic *lapic, u8 vector, bool level)
{
	const struct vapics *all = ((struct vapic *)ctx)->all;

	if (level)
		all->ops->eoi(all->ctx, vector);
}

void vapics_assert(struct vapics *all, const struct ioapic_message *m)
{
	for (unsigned i = 0; i < all->count; i++) {
		struct vapic *v = &all->vps[i];

		if (!lapic_matches(&v->lapic, m->destination, m->logical))
			continue;
		/* ExtINT by message: the 8259s' output is wired to LINT0 and needs no message */
		if (m->delivery_mode != LAPIC_EXTINT && !lapic_deliver(&v->lapic, m->delivery_mode, m->vector, m->level))
			log_guest("VP %u: an interrupt of delivery mode %u", v->index, m->delivery_mode);
		kick(v);
		if (m->delivery_mode == LAPIC_LOWEST)
			return;
	}
}

void vapics_set_intr(struct vapics *all, bool level)
{
	lapic_set_intr(&all->vps[0].lapic, level);
	if (level)
		kick(&all->vps[0]);
}

static void synic_interrupt(void *ctx, u8 vector, bool auto_eoi)
{
	struct vapic *v = ctx;

	lapic_request(&v->lapic, vector, false, auto_eoi);
	kick(v);
}

static void *synic_page(void *ctx, u64 gpa)
{
	struct vapic *v = ctx;
	struct iovec page;

	return guest_iovec(v->all->guest, gpa, PAGE_SIZE, &page) ? NULL : page.iov_base;
}

static const struct lapic_ops lapic_ops = { .send = send_ipi, .eoi = ended, .timer_changed = lapic_timer_changed,
					    .now_ns = now_ns_of, .tsc = tsc, .tsc_to_ns = tsc_to_ns };
static const struct synic_ops synic_ops = { .page = synic_page, .interrupt = synic_interrupt,
					    .reference_time = reference_time, .timers_changed = timers_changed };

void vapic_set_assist_page(struct vapic *v, u64 value)
{
	struct iovec word;

	v->assist_page = value;
	if (!(value & HV_MSR_PAGE_ENABLE) || guest_iovec(v->all->guest, value & HV_MSR_PAGE_GPA, sizeof(u32), &word))
		word.iov_base = NULL;
	lapic_set_assist(&v->lapic, word.iov_base);
}

/* ---- registers */
static bool access_msr(struct vapic *v, u32 msr, bool write, u64 *value)
{
	switch (msr) {
	case LAPIC_MSR_BASE:
		if (write)
			return lapic_set_base(&v->lapic, *value);
		*value = lapic_base(&v->lapic);
		return true;
	case HV_MSR_VP_ASSIST_PAGE:
		if (write)
			vapic_set_assist_page(v, *value);
		*value = v->assist_page;
		return true;
	}
	if (lapic_owns_msr(msr))
		return lapic_msr(&v->lapic, msr, write, value);
	return write ? synic_write(&v->synic, msr, *value) : synic_read(&v->synic, msr, value);
}

enum vapic_result vapic_msr(struct vapic *v, u32 msr, bool write, u64 *value)
{
	if (msr != LAPIC_MSR_BASE && !lapic_owns_msr(msr) && (msr < HV_MSR_EOI || msr > HV_MSR_STIMER3_COUNT))
		return VAPIC_NOT_MINE;
	return access_msr(v, msr, write, value) ? VAPIC_DONE : VAPIC_FAULT;
}

bool vapic_mmio(struct vapic *v, u64 gpa, u64 *value, unsigned size, bool write)
{
	if (gpa < LAPIC_BASE || gpa >= LAPIC_BASE + LAPIC_LEN || v->lapic.x2apic || v->lapic.disabled)
		return false;
	lapic_mmio(&v->lapic, gpa, value, size, write);
	return true;
}

struct lapic *vapic_lapic(struct vapic *v)
{
	return &v->lapic;
}

struct synic *vapic_synic(struct vapic *v)
{
	return &v->synic;
}

/* ---- life */
struct vapics *vapics_create(unsigned count, const u32 *ids, struct guest *guest, const struct vapics_ops *ops, void *ctx)
{
	struct vapics *all = calloc(1, sizeof(*all) + count * sizeof(all->vps[0]));

	if (!all)
		return NULL;
	all->guest = guest;
	all->ops = ops;
	all->ctx = ctx;
	all->count = count;
	for (unsigned i = 0; i < count; i++) {
		struct vapic *v = &all->vps[i];

		v->all = all;
		v->index = i;
		v->timer.fire = timer_fired;
		lapic_init(&v->lapic, ids[i], !i, TIMER_HZ, &lapic_ops, v);
		synic_init(&v->synic, &synic_ops, v);
	}
	return all;
}

void vapics_destroy(struct vapics *all)
{
	for (unsigned i = 0; all && i < all->count; i++)
		synic_fini(&all->vps[i].synic);
	free(all);
}

struct vapic *vapics_get(struct vapics *all, unsigned vp)
{
	return &all->vps[vp];
}

void vapic_open(struct vapic *v, struct exec *exec)
{
	v->exec = exec;
	if (!v->index) {
		v->all->tsc0 = __builtin_ia32_rdtsc();
		v->all->ns0 = exec_now_ns(exec);
	}
}

static void timers_inspect(void *object, struct inspect *in)
{
	struct vapic *v = object;
	char name[8];

	for (unsigned i = 0; i < HV_STIMER_COUNT; i++) {
		snprintf(name, sizeof(name), "%u", i);
		inspect_hex(in, name, v->synic.timers[i].config);
	}
}

static void sints_inspect(void *object, struct inspect *in)
{
	struct vapic *v = object;
	char name[8];

	for (unsigned i = 0; i < HV_SINT_COUNT; i++) {
		if (v->synic.sint[i] == HV_SINT_MASKED)
			continue;
		snprintf(name, sizeof(name), "%u", i);
		inspect_hex(in, name, v->synic.sint[i]);
	}
}

static void synic_inspect(void *object, struct inspect *in)
{
	struct vapic *v = object;

	inspect_hex(in, "scontrol", v->synic.scontrol);
	inspect_hex(in, "simp", v->synic.simp);
	inspect_hex(in, "siefp", v->synic.siefp);
	inspect_child(in, "sints", sints_inspect, v);
	inspect_child(in, "timers", timers_inspect, v);
	inspect_count(in, "messages", v->synic.messages);
	inspect_count(in, "events", v->synic.events);
}

void vapic_inspect(void *object, struct inspect *in)
{
	struct vapic *v = object;
	u64 bits[4], ns = next_expiry(v);

	inspect_hex(in, "base", lapic_base(&v->lapic));
	inspect_u64(in, "id", v->lapic.id);
	inspect_hex(in, "tpr", v->lapic.tpr);
	inspect_hex(in, "svr", v->lapic.svr);
	inspect_hex(in, "ldr", v->lapic.ldr);
	inspect_hex(in, "lvt_timer", v->lapic.lvt[0]);
	inspect_hex(in, "lvt_lint0", v->lapic.lvt[LAPIC_LVT_LINT0 - LAPIC_LVT_TIMER]);
	for (unsigned i = 0; i < 4; i++)
		bits[i] = atomic_load(&v->lapic.irr[i]);
	inspect_bytes(in, "irr", bits, sizeof(bits));
	inspect_bytes(in, "isr", v->lapic.isr, sizeof(v->lapic.isr));
	inspect_count(in, "ipis", v->ipis);
	inspect_count(in, "timer_interrupts", v->timer_interrupts);
	inspect_hex(in, "assist_page", v->assist_page);
	inspect_count(in, "eois_saved", v->lapic.eois_saved);
	inspect_bool(in, "timer_armed", ns != 0);
	if (ns)
		inspect_s64(in, "timer_due_in_ns", (s64)(ns - exec_now_ns(v->exec)));
	inspect_child(in, "synic", synic_inspect, v);
}
