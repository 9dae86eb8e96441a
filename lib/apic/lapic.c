#include "lib/apic/lapic.h"

#include <string.h>

#define LVT_MASKED BIT(16)
#define LVT_PERIODIC BIT(17)
#define LVT_TSC_DEADLINE BIT(18)
#define ICR_STATUS BIT(12)
#define ESR_SEND_ILLEGAL_VECTOR BIT(5)
#define ESR_ILLEGAL_REGISTER BIT(7)
#define LVT_LINT0 (LAPIC_LVT_LINT0 - LAPIC_LVT_TIMER)
#define LVT_ERROR (LAPIC_LVT_ERROR - LAPIC_LVT_TIMER)
#define SVR_ENABLED BIT(8)
#define VERSION 0x50014u /* six LVTs, as Hyper-V and KVM show */

static int highest(const u64 bits[4])
{
	for (int i = 3; i >= 0; i--)
		if (bits[i])
			return i * 64 + 63 - __builtin_clzll(bits[i]);
	return LAPIC_NO_VECTOR;
}

static int highest_requested(const struct lapic *apic)
{
	u64 bits[4];

	for (int i = 0; i < 4; i++)
		bits[i] = atomic_load(&apic->irr[i]);
	return highest(bits);
}

static void set_bit(_Atomic u64 bits[4], u8 vector, bool on)
{
	u64 mask = 1ull << (vector & 63);

	if (on)
		atomic_fetch_or(&bits[vector >> 6], mask);
	else
		atomic_fetch_and(&bits[vector >> 6], ~mask);
}

static bool get_bit(const _Atomic u64 bits[4], u8 vector)
{
	return atomic_load(&bits[vector >> 6]) >> (vector & 63) & 1;
}

void lapic_init(struct lapic *apic, u32 id, bool bsp, u32 timer_hz, const struct lapic_ops *ops, void *ctx)
{
	apic->ops = ops;
	apic->ctx = ctx;
	apic->id = id;
	apic->bsp = bsp;
	apic->timer_hz = timer_hz;
	apic->x2apic = apic->disabled = false;
	apic->assist = NULL;
	atomic_store(&apic->init_pending, false);
	atomic_store(&apic->sipi_vector, -1);
	lapic_reset(apic);
}

void lapic_reset(struct lapic *apic)
{
	for (int i = 0; i < 4; i++) {
		atomic_store(&apic->irr[i], 0);
		atomic_store(&apic->level[i], 0);
		atomic_store(&apic->auto_eoi[i], 0);
		apic->isr[i] = 0;
	}
	apic->tpr = apic->ldr = apic->esr = apic->esr_next = apic->divide = 0;
	apic->dfr = ~0u;
	apic->svr = 0xff;
	for (int i = 0; i < 6; i++)
		apic->lvt[i] = LVT_MASKED;
	apic->cmci = LVT_MASKED;
	apic->icr = 0;
	apic->timer_initial = 0;
	apic->tsc_deadline = 0;
	apic->no_eoi = false;
	if (apic->assist)
		__atomic_fetch_and(apic->assist, ~HV_APIC_ASSIST_NO_EOI, __ATOMIC_SEQ_CST);
	atomic_store(&apic->nmi_pending, false);
}

void lapic_request(struct lapic *apic, u8 vector, bool level, bool auto_eoi)
{
	if (vector < 16)
		return; /* SDM: illegal vector; the sender's ESR is not modelled for device interrupts */
	set_bit(apic->level, vector, level);
	set_bit(apic->auto_eoi, vector, auto_eoi);
	set_bit(apic->irr, vector, true);
}

void lapic_request_nmi(struct lapic *apic)
{
	atomic_store(&apic->nmi_pending, true);
}

void lapic_request_init(struct lapic *apic)
{
	atomic_store(&apic->sipi_vector, -1);
	atomic_store(&apic->init_pending, true);
}

void lapic_request_sipi(struct lapic *apic, u8 vector)
{
	atomic_store(&apic->sipi_vector, vector);
}

bool lapic_deliver(struct lapic *apic, u32 mode, u8 vector, bool level)
{
	switch (mode) {
	case LAPIC_FIXED:
	case LAPIC_LOWEST: lapic_request(apic, vector, level, false); return true;
	case LAPIC_NMI: lapic_request_nmi(apic); return true;
	case LAPIC_INIT: lapic_request_init(apic); return true;
	case LAPIC_STARTUP: lapic_request_sipi(apic, vector); return true;
	}
	return false;
}

void lapic_set_intr(struct lapic *apic, bool level)
{
	atomic_store(&apic->intr, level);
}

bool lapic_extint(const struct lapic *apic)
{
	u32 lint0 = apic->lvt[LVT_LINT0];

	if (!atomic_load_explicit(&apic->intr, memory_order_relaxed))
		return false;
	/* an APIC that is switched off lets the line through to the processor */
	return apic->disabled || (!(lint0 & LVT_MASKED) && (lint0 >> 8 & 7) == LAPIC_EXTINT);
}

u32 lapic_ppr(const struct lapic *apic)
{
	int in_service = highest(apic->isr);
	u32 isr_class = in_service < 0 ? 0 : (u32)in_service & 0xf0;

	return (apic->tpr & 0xf0) >= isr_class ? apic->tpr : isr_class;
}

int lapic_awaited(const struct lapic *apic)
{
	int vector = highest_requested(apic), in_service = highest(apic->isr);

	if (vector < 0 || !(apic->svr & SVR_ENABLED) || apic->disabled)
		return LAPIC_NO_VECTOR;
	return in_service < 0 || (vector & 0xf0) > (in_service & 0xf0) ? vector : LAPIC_NO_VECTOR;
}

void lapic_highest(const struct lapic *apic, int *ret_requested, int *ret_in_service)
{
	*ret_requested = highest_requested(apic);
	*ret_in_service = highest(apic->isr);
}

int lapic_pending(const struct lapic *apic)
{
	int vector = highest_requested(apic);

	if (vector < 0 || !(apic->svr & SVR_ENABLED) || apic->disabled)
		return LAPIC_NO_VECTOR;
	return ((u32)vector & 0xf0) > (lapic_ppr(apic) & 0xf0) ? vector : LAPIC_NO_VECTOR;
}

/* ---- lazy EOI */
void lapic_set_assist(struct lapic *apic, u32 *word)
{
	lapic_withdraw(apic);
	apic->assist = word;
}

static void ended_without_a_word(struct lapic *apic)
{
	apic->no_eoi = false;
	apic->eois_saved++;
	lapic_end_of_interrupt(apic);
}

void lapic_withdraw(struct lapic *apic)
{
	if (!apic->assist)
		return;
	u32 before = __atomic_fetch_and(apic->assist, ~HV_APIC_ASSIST_NO_EOI, __ATOMIC_SEQ_CST);

	if (apic->no_eoi && !(before & HV_APIC_ASSIST_NO_EOI))
		ended_without_a_word(apic);
	apic->no_eoi = false; /* not ended yet: it will be by an exit */
}

void lapic_settle(struct lapic *apic)
{
	if (!apic->no_eoi)
		return;
	if (highest_requested(apic) >= 0) /* a request that comes after this is looked at again, after its kick */
		lapic_withdraw(apic);
	else if (!(__atomic_load_n(apic->assist, __ATOMIC_SEQ_CST) & HV_APIC_ASSIST_NO_EOI))
		ended_without_a_word(apic);
}

void lapic_accept(struct lapic *apic, u8 vector)
{
	set_bit(apic->irr, vector, false);
	if (get_bit(apic->auto_eoi, vector))
		return;
	apic->isr[vector >> 6] |= 1ull << (vector & 63);
	/* an end that somebody waits for must be told */
	if (!apic->assist)
		return;
	if (highest_requested(apic) >= 0 || get_bit(apic->level, vector)) {
		lapic_withdraw(apic); /* a guest may have put anything there */
		return;
	}
	apic->no_eoi = true;
	__atomic_fetch_or(apic->assist, HV_APIC_ASSIST_NO_EOI, __ATOMIC_SEQ_CST);
}

void lapic_end_of_interrupt(struct lapic *apic)
{
	int vector = highest(apic->isr);

	if (vector < 0)
		return;
	apic->isr[vector >> 6] &= ~(1ull << (vector & 63));
	if (apic->ops->eoi)
		apic->ops->eoi(apic->ctx, apic, (u8)vector, get_bit(apic->level, (u8)vector));
}

static bool matches_logical(const struct lapic *apic, u32 destination)
{
	if (apic->x2apic) {
		u32 ldr = (apic->id >> 4) << 16 | 1u << (apic->id & 15);

		return destination >> 16 == ldr >> 16 && (destination & ldr & 0xffff);
	}
	u32 logical = apic->ldr >> 24;

	destination &= 0xff;
	if (apic->dfr >> 28 == 0xf)
		return destination & logical;
	return destination >> 4 == logical >> 4 && (destination & logical & 0xf);
}

bool lapic_matches(const struct lapic *apic, u32 destination, bool logical)
{
	if (destination == ~0u || (!apic->x2apic && destination == 0xff))
		return true;
	return logical ? matches_logical(apic, destination) : destination == apic->id;
}

bool lapic_ipi_matches(const struct lapic *from, const struct lapic *target, u64 icr)
{
	u64 shorthand = FIELD_GET(LAPIC_ICR_SHORTHAND, icr);

	if (shorthand) /* 1 itself, 2 all, 3 all but itself */
		return shorthand == 1 ? target == from : shorthand == 2 || target != from;
	u32 destination = from->x2apic ? (u32)(icr >> 32) : (u32)(icr >> 56);

	if (!from->x2apic && destination == 0xff)
		destination = ~0u;
	return lapic_matches(target, destination, icr & LAPIC_ICR_LOGICAL);
}

u64 lapic_base(const struct lapic *apic)
{
	return LAPIC_BASE | (apic->bsp ? LAPIC_BASE_BSP : 0) | (apic->disabled ? 0 : LAPIC_BASE_ENABLED) |
	       (apic->x2apic ? LAPIC_BASE_X2APIC : 0);
}

bool lapic_set_base(struct lapic *apic, u64 value)
{
	bool enable = value & LAPIC_BASE_ENABLED, x2apic = value & LAPIC_BASE_X2APIC;

	if ((value & ~(LAPIC_BASE_ENABLED | LAPIC_BASE_X2APIC | LAPIC_BASE_BSP)) != LAPIC_BASE)
		return false;
	/* SDM figure 11-27: x2APIC mode is entered from xAPIC mode and left by switching off */
	if ((x2apic && !enable) || (apic->x2apic && enable && !x2apic) || (apic->disabled && x2apic))
		return false;
	if (!enable && !apic->disabled)
		lapic_reset(apic);
	apic->disabled = !enable;
	apic->x2apic = x2apic;
	return true;
}

/* ---- timer */

static u32 divisor(const struct lapic *apic)
{
	u32 code = (apic->divide & 3) | (apic->divide >> 1 & 4);

	return code == 7 ? 1 : 2u << code;
}

static u64 ticks_to_ns(const struct lapic *apic, u64 ticks)
{
	return (u64)((unsigned __int128)ticks * divisor(apic) * 1000000000u / apic->timer_hz);
}

static bool deadline_mode(const struct lapic *apic)
{
	return apic->lvt[0] & LVT_TSC_DEADLINE;
}

static u32 timer_current(const struct lapic *apic)
{
	if (!apic->timer_initial || deadline_mode(apic))
		return 0;
	u64 passed_ns = apic->ops->now_ns(apic->ctx) - apic->timer_start_ns;
	u64 ticks = (u64)((unsigned __int128)passed_ns * apic->timer_hz / 1000000000u / divisor(apic));

	if (ticks < apic->timer_initial)
		return apic->timer_initial - (u32)ticks;
	return apic->lvt[0] & LVT_PERIODIC ? apic->timer_initial - (u32)(ticks % apic->timer_initial) : 0;
}

u64 lapic_timer_deadline(const struct lapic *apic)
{
	if (deadline_mode(apic))
		return apic->tsc_deadline ? apic->ops->tsc_to_ns(apic->ctx, apic->tsc_deadline) : 0;
	if (!apic->timer_initial)
		return 0;
	return apic->timer_start_ns + ticks_to_ns(apic, apic->timer_initial);
}

void lapic_set_tsc_deadline(struct lapic *apic, u64 tsc)
{
	if (!deadline_mode(apic))
		return;
	apic->tsc_deadline = tsc;
	apic->ops->timer_changed(apic->ctx, apic);
}

void lapic_timer_check(struct lapic *apic)
{
	if (deadline_mode(apic)) {
		if (!apic->tsc_deadline || apic->ops->tsc(apic->ctx) < apic->tsc_deadline)
			return;
		apic->tsc_deadline = 0;
	} else {
		u64 now = apic->ops->now_ns(apic->ctx), period = ticks_to_ns(apic, apic->timer_initial);

		if (!apic->timer_initial || now - apic->timer_start_ns < period)
			return;
		if (apic->lvt[0] & LVT_PERIODIC)
			/* a late VP gets one interrupt for the periods it missed */
			apic->timer_start_ns += period ? (now - apic->timer_start_ns) / period * period : 0;
		else
			apic->timer_initial = 0;
	}
	if (!(apic->lvt[0] & LVT_MASKED))
		lapic_request(apic, apic->lvt[0] & 0xff, false, false);
}

/* ---- registers */

static bool read_bits(const _Atomic u64 bits[4], u32 index, u64 *ret)
{
	*ret = (u32)(atomic_load(&bits[index >> 1]) >> (index & 1) * 32);
	return true;
}

static u32 read_id(const struct lapic *apic)
{
	return apic->x2apic ? apic->id : apic->id << 24;
}

bool lapic_read(struct lapic *apic, u32 reg, u64 *ret)
{
	lapic_settle(apic);
	*ret = 0;
	switch (reg) {
	case LAPIC_ID:
		*ret = read_id(apic);
		return true;
	case LAPIC_VERSION:
		*ret = VERSION;
		return true;
	case LAPIC_TPR:
		*ret = apic->tpr;
		return true;
	case LAPIC_PPR:
		*ret = lapic_ppr(apic);
		return true;
	case LAPIC_LDR:
		*ret = apic->x2apic ? (apic->id >> 4) << 16 | 1u << (apic->id & 15) : apic->ldr;
		return true;
	case LAPIC_DFR:
		*ret = apic->dfr;
		return !apic->x2apic;
	case LAPIC_SVR:
		*ret = apic->svr;
		return true;
	case LAPIC_ISR ... LAPIC_ISR + 7:
		*ret = (u32)(apic->isr[(reg & 7) >> 1] >> (reg & 1) * 32);
		return true;
	case LAPIC_TMR ... LAPIC_TMR + 7:
		return read_bits(apic->level, reg & 7, ret);
	case LAPIC_IRR ... LAPIC_IRR + 7:
		return read_bits(apic->irr, reg & 7, ret);
	case LAPIC_ESR:
		*ret = apic->esr;
		return true;
	case LAPIC_CMCI:
		*ret = apic->cmci;
		return true;
	case LAPIC_ICR:
		*ret = apic->x2apic ? apic->icr : (u32)apic->icr;
		return true;
	case LAPIC_ICR_HIGH:
		*ret = apic->icr >> 32;
		return !apic->x2apic;
	case LAPIC_LVT_TIMER ... LAPIC_LVT_ERROR:
		*ret = apic->lvt[reg - LAPIC_LVT_TIMER];
		return true;
	case LAPIC_TIMER_INITIAL:
		*ret = apic->timer_initial;
		return true;
	case LAPIC_TIMER_CURRENT:
		*ret = timer_current(apic);
		return true;
	case LAPIC_TIMER_DIVIDE:
		*ret = apic->divide;
		return true;
	}
	return false;
}

static void note_error(struct lapic *apic, u32 error)
{
	u32 lvt = apic->lvt[LVT_ERROR];

	apic->esr_next |= error;
	if (!(lvt & LVT_MASKED))
		lapic_request(apic, lvt & 0xff, false, false);
}

static void write_icr(struct lapic *apic, u64 icr)
{
	apic->icr = icr & ~ICR_STATUS;
	if ((icr >> 8 & 7) <= LAPIC_LOWEST && (icr & 0xff) < 16) {
		note_error(apic, ESR_SEND_ILLEGAL_VECTOR);
		return;
	}
	if ((icr >> 8 & 7) == LAPIC_INIT && icr & LAPIC_ICR_LEVEL && !(icr & LAPIC_ICR_ASSERT))
		return; /* INIT level de-assert does nothing on processors of this century */
	apic->ops->send(apic->ctx, apic, apic->icr);
}

static void write_timer_lvt(struct lapic *apic, u32 value)
{
	bool was_deadline = deadline_mode(apic);

	apic->lvt[0] = (value & (0xff | LVT_MASKED | LVT_PERIODIC | LVT_TSC_DEADLINE)) |
		       (apic->svr & SVR_ENABLED ? 0 : LVT_MASKED);
	if (was_deadline != deadline_mode(apic)) {
		apic->tsc_deadline = 0;
		apic->timer_initial = 0;
	}
	apic->ops->timer_changed(apic->ctx, apic);
}

bool lapic_write(struct lapic *apic, u32 reg, u64 value)
{
	u32 low = (u32)value;

	lapic_settle(apic);

	switch (reg) {
	case LAPIC_ID:
		return !apic->x2apic; /* read-only here, as on Hyper-V */
	case LAPIC_TPR:
		apic->tpr = low & 0xff;
		return true;
	case LAPIC_EOI:
		lapic_withdraw(apic); /* a guest may end what it need not */
		lapic_end_of_interrupt(apic);
		return true;
	case LAPIC_LDR:
		apic->ldr = apic->x2apic ? apic->ldr : low & 0xff000000;
		return !apic->x2apic;
	case LAPIC_DFR:
		apic->dfr = apic->x2apic ? apic->dfr : low | 0x0fffffff;
		return !apic->x2apic;
	case LAPIC_SVR:
		apic->svr = low & 0x1ff;
		for (int i = 0; !(low & SVR_ENABLED) && i < 6; i++)
			apic->lvt[i] |= LVT_MASKED;
		return true;
	case LAPIC_ESR:
		if (apic->x2apic && low)
			return false;
		apic->esr = apic->esr_next;
		apic->esr_next = 0;
		return true;
	case LAPIC_CMCI:
		apic->cmci = low;
		return true;
	case LAPIC_ICR:
		write_icr(apic, apic->x2apic ? value : (apic->icr & ~0xffffffffull) | low);
		return true;
	case LAPIC_ICR_HIGH:
		apic->icr = apic->x2apic ? apic->icr : (u64)low << 32 | (u32)apic->icr;
		return !apic->x2apic;
	case LAPIC_LVT_TIMER:
		write_timer_lvt(apic, low);
		return true;
	case LAPIC_LVT_THERMAL ... LAPIC_LVT_ERROR:
		apic->lvt[reg - LAPIC_LVT_TIMER] = (low & 0x1f7ff) | (apic->svr & SVR_ENABLED ? 0 : LVT_MASKED);
		return true;
	case LAPIC_TIMER_INITIAL:
		if (deadline_mode(apic))
			return true;
		apic->timer_initial = low;
		apic->timer_start_ns = apic->ops->now_ns(apic->ctx);
		apic->ops->timer_changed(apic->ctx, apic);
		return true;
	case LAPIC_TIMER_DIVIDE:
		apic->divide = low & 0xb;
		apic->ops->timer_changed(apic->ctx, apic);
		return true;
	case LAPIC_SELF_IPI:
		if (apic->x2apic)
			lapic_request(apic, low & 0xff, false, false);
		return apic->x2apic;
	case LAPIC_PPR:
	case LAPIC_VERSION:
	case LAPIC_TIMER_CURRENT:
	case LAPIC_ISR ... LAPIC_ISR + 7:
	case LAPIC_TMR ... LAPIC_TMR + 7:
	case LAPIC_IRR ... LAPIC_IRR + 7:
		return !apic->x2apic; /* read-only: ignored in xAPIC mode, #GP in x2APIC mode */
	}
	return false;
}

void lapic_mmio(struct lapic *apic, u64 gpa, void *data, u32 len, bool write)
{
	u32 reg = (u32)(gpa - LAPIC_BASE) >> 4, width = MIN(len, 4u);
	u64 value = 0;

	if (write) {
		memcpy(&value, data, width);
		if (!(gpa & 0xf) && !lapic_write(apic, reg, value))
			note_error(apic, ESR_ILLEGAL_REGISTER);
		return;
	}
	if ((gpa & 0xf) < 4 && !lapic_read(apic, reg, &value)) {
		note_error(apic, ESR_ILLEGAL_REGISTER);
		value = 0;
	}
	value >>= (gpa & 3) * 8;
	memset(data, 0, len);
	memcpy(data, &value, width);
}
