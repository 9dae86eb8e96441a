/*
 * A local APIC, xAPIC and x2APIC, as pure state: no clock, no threads of its own. Source: Intel SDM vol. 3 chapter 11,
 * AMD APM vol. 2 chapter 16.
 *
 * Threads: lapic_request*(), lapic_deliver(), lapic_set_intr() and the questions whom an interrupt is for, from any thread,
 * followed by a kick of the owner by the caller; everything else on the thread of the VP that owns the APIC.
 */
#pragma once

#include <stdatomic.h>

#include "spec/hv_msr.h"

#define LAPIC_BASE 0xfee00000u
#define LAPIC_LEN 0x1000u
#define LAPIC_NO_VECTOR (-1)

/* MSRs of an APIC; in x2APIC mode register n is FIRST + n */
#define LAPIC_MSR_BASE 0x1bu
#define LAPIC_MSR_TSC_DEADLINE 0x6e0u
#define LAPIC_MSR_X2APIC_FIRST 0x800u
#define LAPIC_MSR_X2APIC_LAST 0x8ffu
/* IA32_APIC_BASE */
#define LAPIC_BASE_BSP BIT(8)
#define LAPIC_BASE_X2APIC BIT(10)
#define LAPIC_BASE_ENABLED BIT(11)

/* ICR: vector 0-7, mode 8-10, shorthand 18-19 */
#define LAPIC_ICR_LOGICAL BIT(11)
#define LAPIC_ICR_ASSERT BIT(14)
#define LAPIC_ICR_LEVEL BIT(15)
#define LAPIC_ICR_SHORTHAND (3ull << 18)

/* register numbers: MMIO offset >> 4, also x2APIC MSR - 0x800 */
enum lapic_register {
	LAPIC_ID = 0x02,
	LAPIC_VERSION = 0x03,
	LAPIC_TPR = 0x08,
	LAPIC_PPR = 0x0a,
	LAPIC_EOI = 0x0b,
	LAPIC_LDR = 0x0d,
	LAPIC_DFR = 0x0e,
	LAPIC_SVR = 0x0f,
	LAPIC_ISR = 0x10,
	LAPIC_TMR = 0x18,
	LAPIC_IRR = 0x20,
	LAPIC_ESR = 0x28,
	LAPIC_CMCI = 0x2f,
	LAPIC_ICR = 0x30,
	LAPIC_ICR_HIGH = 0x31,
	LAPIC_LVT_TIMER = 0x32,
	LAPIC_LVT_THERMAL = 0x33,
	LAPIC_LVT_PERF = 0x34,
	LAPIC_LVT_LINT0 = 0x35,
	LAPIC_LVT_LINT1 = 0x36,
	LAPIC_LVT_ERROR = 0x37,
	LAPIC_TIMER_INITIAL = 0x38,
	LAPIC_TIMER_CURRENT = 0x39,
	LAPIC_TIMER_DIVIDE = 0x3e,
	LAPIC_SELF_IPI = 0x3f,
};

/* delivery modes of ICR and LVT */
enum lapic_mode { LAPIC_FIXED, LAPIC_LOWEST, LAPIC_SMI, LAPIC_RESERVED, LAPIC_NMI, LAPIC_INIT, LAPIC_STARTUP, LAPIC_EXTINT };

struct lapic;

struct lapic_ops {
	/* the APIC sends an IPI, never an INIT level de-assert; called on the owner's thread */
	void (*send)(void *ctx, struct lapic *from, u64 icr);
	/* a level-triggered vector, or any if the embedder wants to know, was ended */
	void (*eoi)(void *ctx, struct lapic *apic, u8 vector, bool level);
	/* the timer was programmed: call lapic_timer_check() at or after lapic_timer_deadline() */
	void (*timer_changed)(void *ctx, struct lapic *apic);
	/* nanoseconds, monotonic; and the guest's TSC */
	u64 (*now_ns)(void *ctx);
	u64 (*tsc)(void *ctx);
	/* TSC value → the same clock as now_ns */
	u64 (*tsc_to_ns)(void *ctx, u64 tsc);
};

struct lapic {
	const struct lapic_ops *ops;
	void *ctx;
	u32 id;
	u32 timer_hz; /* before the divider */
	bool bsp; /* the boot processor's */
	bool x2apic;
	bool disabled; /* by IA32_APIC_BASE */
	_Atomic u64 irr[4], level[4], auto_eoi[4];
	u64 isr[4];
	u32 tpr, ldr, dfr, svr, esr, esr_next, lvt[6], cmci, divide; /* esr_next: what the next write of ESR will show */
	u32 *assist;       /* in the guest's memory */
	bool no_eoi;       /* the mark for the vector in service was set there */
	u64 eois_saved;
	u64 icr;
	u32 timer_initial;
	u64 timer_start_ns, tsc_deadline;
	atomic_bool nmi_pending, init_pending, intr;
	atomic_int sipi_vector; /* -1: none */
};

void lapic_init(struct lapic *apic, u32 id, bool bsp, u32 timer_hz, const struct lapic_ops *ops, void *ctx);
/* as INIT leaves it: identity, mode (SDM figure 11-27) and an INIT or start-up interrupt that waits are kept */
void lapic_reset(struct lapic *apic);

/* ask for a fixed interrupt. auto_eoi: taken without an in-service bit (SynIC SINTs). Any thread. */
void lapic_request(struct lapic *apic, u8 vector, bool level, bool auto_eoi);
void lapic_request_nmi(struct lapic *apic);
void lapic_request_init(struct lapic *apic);
void lapic_request_sipi(struct lapic *apic, u8 vector);
/* one of these by its delivery mode; false: a mode that is not offered (SMI), or not delivered so (ExtINT) */
bool lapic_deliver(struct lapic *apic, u32 mode, u8 vector, bool level);
/* the 8259s' output, wired to LINT0 */
void lapic_set_intr(struct lapic *apic, bool level);
/* does it want the processor to ask the 8259s for a vector? */
bool lapic_extint(const struct lapic *apic);

/* highest vector that may interrupt now, or LAPIC_NO_VECTOR; does not look at RFLAGS.IF */
int lapic_pending(const struct lapic *apic);
/* the same but for the task priority, which the guest may lower without a word (CR8) */
int lapic_awaited(const struct lapic *apic);
/* for who looks from outside: the highest vector that is requested and the highest in service, or LAPIC_NO_VECTOR */
void lapic_highest(const struct lapic *apic, int *ret_requested, int *ret_in_service);
/*
 * Lazy EOI (TLFS 10.3.5): the first word of the guest's VP assist page, or NULL. Where nothing else waits, an accepted vector is
 * marked there as one that the guest need not end; it clears the mark instead.
 */
void lapic_set_assist(struct lapic *apic, u32 *word);
/* what the guest ended that way is ended; before lapic_pending() is asked */
void lapic_settle(struct lapic *apic);
/* and the mark is taken back: the guest's memory says nothing any more that is known here only */
void lapic_withdraw(struct lapic *apic);
/* the processor takes vector (from lapic_pending) */
void lapic_accept(struct lapic *apic, u8 vector);
void lapic_end_of_interrupt(struct lapic *apic);

/* does an interrupt with this destination reach the APIC? */
bool lapic_matches(const struct lapic *apic, u32 destination, bool logical);
/* is this APIC one of those that the sender's ICR names? */
bool lapic_ipi_matches(const struct lapic *from, const struct lapic *target, u64 icr);
u32 lapic_ppr(const struct lapic *apic);

/* x2APIC MSR or xAPIC register access; false: the access must fault (#GP) or, for MMIO, is ignored / reads 0 */
bool lapic_read(struct lapic *apic, u32 reg, u64 *ret) __must_check;
bool lapic_write(struct lapic *apic, u32 reg, u64 value) __must_check;

/* TSC_DEADLINE, those of x2APIC mode, and the hypervisor's APIC_FREQUENCY, EOI, ICR and TPR (TLFS 10.2) */
bool lapic_owns_msr(u32 msr);
/* an access to one of these; false is #GP */
bool lapic_msr(struct lapic *apic, u32 msr, bool write, u64 *value) __must_check;
/* IA32_APIC_BASE for an embedder that keeps it here: false is #GP. The address cannot be moved. */
u64 lapic_base(const struct lapic *apic);
bool lapic_set_base(struct lapic *apic, u64 value) __must_check;
/* an access to the APIC's page, len bytes at gpa; what is no register reads 0 and ignores writes. xAPIC mode. */
void lapic_mmio(struct lapic *apic, u64 gpa, void *data, u32 len, bool write);

void lapic_set_tsc_deadline(struct lapic *apic, u64 tsc);
/* when lapic_timer_check() should be called, in now_ns time; 0 = timer idle */
u64 lapic_timer_deadline(const struct lapic *apic);
/* raises the timer interrupt if it is due */
void lapic_timer_check(struct lapic *apic);
