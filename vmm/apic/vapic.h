/*
 * VTL0's local APICs, SynICs and synthetic timers, for hosts that offer VTL0 none: lib/apic and lib/synic, given VTL0's memory,
 * the VP's executor and the guest's clocks. What it finds is injected by vmm/vp/interrupt.c.
 *
 * Threads: a struct vapic belongs to its VP's; what is said to be for any thread reaches the owner by ops->kick.
 */
#pragma once

#include "lib/apic/lapic.h"
#include "lib/inspect/inspect.h"
#include "lib/state/state.h"
#include "lib/synic/synic.h"
#include "lib/task/exec.h"
#include "vmm/chipset/chipset.h"
#include "vmm/mem/guest.h"

struct vapic;
struct vapics;

struct vapics_ops {
	/* an interrupt may wait for that VP: it is to look before it enters VTL0 again, or to wake. Any thread. */
	void (*kick)(void *ctx, unsigned vp);
	/* VTL0's reference counter by hypercall; the VP's thread. false: it cannot be had now. */
	bool (*reference_counter)(void *ctx, unsigned vp, u64 *ret);
	/* a level-triggered vector was ended; the VP's thread */
	void (*eoi)(void *ctx, u8 vector);
};

/* NULL: no memory. count of APICs; ids: theirs, by VP index; copied. */
struct vapics *vapics_create(unsigned count, const u32 *ids, struct guest *guest, const struct vapics_ops *ops,
			     void *ctx) __must_check;
void vapics_destroy(struct vapics *all);
struct vapic *vapics_get(struct vapics *all, unsigned vp);
/* the VP's executor, which must be there before anything else is called for it */
void vapic_open(struct vapic *v, struct exec *exec);

/* ---- any thread */
/* an interrupt of the IO-APIC or an MSI */
void vapics_assert(struct vapics *all, const struct ioapic_message *message);
/* the 8259s' output; it goes to the first processor's LINT0 */
void vapics_set_intr(struct vapics *all, bool level);
struct synic *vapic_synic(struct vapic *v);

/* ---- the VP's thread */
/* the guest's RDMSR and WRMSR: VAPIC_NOT_MINE leaves them to others */
enum vapic_result { VAPIC_DONE, VAPIC_FAULT, VAPIC_NOT_MINE };
enum vapic_result vapic_msr(struct vapic *v, u32 msr, bool write, u64 *value);
/* an access to the APIC's page, size 1 to 8; false: there is none at this address now */
bool vapic_mmio(struct vapic *v, u64 gpa, u64 *value, unsigned size, bool write);
/* the APIC itself: what is pending, accept, INIT and SIPI, task priority */
struct lapic *vapic_lapic(struct vapic *v);
/* records of the APIC and the SynIC into the open one. The VP does not run. */
void vapic_save(struct vapic *v, struct saver *s);
/*
 * Into an APIC that is as vapics_create() makes it, or whose VP has not run since the save: interrupts that others asked for
 * since then stay. The 8259s' output is not in it. -EPROTO, -ENOENT, -ENOTSUP: not such records; the APIC is then in no state to
 * be used.
 */
int vapic_restore(struct vapic *v, struct loader l) __must_check;
void vapic_inspect(void *vapic, struct inspect *in);
