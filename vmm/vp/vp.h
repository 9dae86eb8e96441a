/*
 * A virtual processor: one thread, one executor, pinned; running VTL0 is the executor's idle work. All of a struct vp belongs
 * to that thread, except what is said otherwise. Hot path: one ioctl an exit, registers through the shared pages.
 */
#pragma once

#include "lib/inspect/inspect.h"
#include "vmm/apic/vapic.h"
#include "vmm/bus/bus.h"
#include "vmm/chipset/chipset.h"
#include "vmm/emul/emul.h"
#include "vmm/hcl/hcl.h"
#include "vmm/mem/guest.h"
#include "vmm/vp/cpuid.h"
#include "vmm/vp/debug.h"
#include "vmm/vp/watch.h"
#include "spec/get.h"

enum vp_event { VP_TRIPLE_FAULT, VP_GUEST_CRASH, VP_FAILED };

/* what is told of a VP with an event; names as in spec/hv.h */
#define VP_REGISTERS_MAX 40u
struct vp_registers {
	unsigned count;
	struct get_register all[VP_REGISTERS_MAX];
};

/* what all VPs share; constant after start. Devices have their own locks. */
struct machine {
	struct hcl *hcl;
	struct guest *guest;
	struct bus *bus;
	struct ioapic *ioapic;
	struct pic *pic;
	/* VTL0's local APICs and SynICs are played here; NULL: by the hypervisor */
	struct vapics *apics;
	struct vp *(*vp)(struct machine *, unsigned index);
	const struct cpuid_changes *cpuid; /* NULL: none */
	u64 watch; /* HV_CR_INTERCEPT_*: writes of MSRs that are looked at; watch.h */
	/*
	 * Any VP thread; must not block. After TRIPLE_FAULT and FAILED that VP does not run again. registers: with TRIPLE_FAULT
	 * the VP's, with GUEST_CRASH the crash registers, else NULL.
	 */
	void (*event)(struct machine *, enum vp_event, unsigned vp, const char *text, const struct vp_registers *registers);
	/* VTL0's HvPostMessage and HvSignalEvent to connections that the hypervisor does not know; HV_STATUS_*; any VP thread */
	u16 (*post_message)(struct machine *, const struct hv_post_message *message);
	u16 (*signal_event)(struct machine *, u32 connection, u16 flag);
	/* after vp_want_sint(): message slots of that VP are free; its thread */
	void (*sint_deliverable)(struct machine *, unsigned vp, u16 sints);
	/* a debugger is attached; NULL: none. Changed while VPs run */
	const struct vp_debug_ops *_Atomic debug;
	atomic_bool debug_stale; /* the TF of a step that was given up may lie in a frame on one of the guest's stacks */
	u64 crash[5];   /* HV_X64_MSR_CRASH_P0..P4, last writer wins */
};

enum exit_reason {
	EXIT_IO, EXIT_MEMORY, EXIT_MSR, EXIT_CPUID, EXIT_HALT, EXIT_EXCEPTION, EXIT_UNRECOVERABLE, EXIT_HYPERCALL, EXIT_APIC_EOI,
	EXIT_INTERRUPTION_DELIVERABLE, EXIT_SINT_DELIVERABLE, EXIT_UNKNOWN, EXIT_CANCELLED, EXIT_REASONS
};

/* what an MMIO instruction has done with a device so far */
struct vp_mmio {
	u64 gpa, value;
	u8 size;
	bool write;
};

struct vp {
	struct machine *machine;
	struct hcl_vp hcl;
	struct exec *exec;
	struct idle idle;
	unsigned index;
	u64 exits[EXIT_REASONS];
	u64 injected, emulated, not_emulated, unknown_msrs, crashes, invalid_connections, posts, signals;
	atomic_uint wanted_sints;
	struct op sint_op;
	atomic_bool sint_posted;
	u32 last_unknown_msr;
	bool stopped, running;     /* running: idle time is VTL0's */
	u64 signals_deferred, signals_called;
	struct vp_debug debug;     /* debug.c */
	struct watch watch;        /* watch.c */
	/* with machine->apics: interrupt.c */
	struct vapic *apic;
	struct task look;          /* an interrupt may wait */
	bool halted, wait_for_sipi;
	bool event_queued;         /* in the hypervisor's pending-event register, as far as is known here */
	u64 window;                /* what DeliverabilityNotifications holds */
	u64 interrupts, nmis, windows, halts;
	u64 tsc_in_vtl0;           /* TSC ticks between the run ioctl's begin and end: VTL0 ran, was halted, or was interrupted */
	/* an access a device answers later: the VP does not run until then */
	struct io_token token;
	struct op token_op;
	enum { VP_NO_WAIT, VP_WAIT_IO, VP_WAIT_MMIO } wait;
	u64 wait_address, wait_value;
	bool wait_done;
	u8 wait_size;
	struct vp_mmio mmio[16];   /* more than an instruction or an iteration of one can do; see mmio.c */
	unsigned mmio_count, mmio_at;
};

/* on any thread, before exec_run(); maps nothing yet */
void vp_init(struct vp *vp, struct machine *machine, unsigned index, struct exec *exec);
/*
 * On the VP's own thread, pinned, before exec_run(): maps the pages, sets the poll file. Registers may be set from then on.
 */
int vp_open(struct vp *vp) __must_check;
/*
 * On the VP's thread, before VTL0 runs on it: its local APIC starts in x2APIC mode, as firmware leaves it where there are ids
 * that xAPIC mode cannot address (Linux ignores processors with such ids otherwise). -errno
 */
int vp_enable_x2apic(struct vp *vp) __must_check;
/* on the VP's thread: from now on idle time is VTL0's */
void vp_start(struct vp *vp);
/* on the VP's thread: VTL0 does not run any more on it */
void vp_stop(struct vp *vp);
void vp_inspect(void *vp, struct inspect *in);
/*
 * On the VP's thread, while VTL0 does not run on it and no device's answer is awaited: a record of everything of it (state.c says
 * what is not), into the saver. And back, out of the records of all VPs, before vp_start(): -ENOENT, -EPROTO, -ENOTSUP, or what
 * the hypervisor refused.
 */
void vp_save(struct vp *vp, struct saver *s);
int vp_restore(struct vp *vp, struct loader l) __must_check;

/* ---- VTL0's SynIC. Any thread. */
/* HV_STATUS_*; OBJECT_IN_USE: the slot is taken, vp_want_sint() tells when it is free */
u16 vp_post_message(struct machine *machine, u32 vp, u8 sint, const struct hv_message *message);
/* on a running VP's thread it costs nothing: the flag is set as VTL0 is entered next */
void vp_signal_event(struct machine *machine, u32 vp, u8 sint, u16 flag);
/* machine->sint_deliverable() comes once the slot is free */
void vp_want_sint(struct vp *vp, u8 sint);

/* ---- before the first run of VTL0; any thread. -errno, said. */
/* apic: the local APICs are played here */
int vp_install_intercepts(struct hcl *hcl, bool apic) __must_check;
/*
 * What VTL0 is to see of CPUID: what goes with APICs that are played here, then what the policy says (cpuid_parse(); NULL:
 * nothing more). -EINVAL with the reason in why.
 */
int vp_configure_cpuid(bool apic, const char *policy, struct cpuid_changes *ret, char *why, size_t size) __must_check;
/*
 * Unverified on Hyper-V itself. A refusal to hide the paravisor's own leaves is logged and tolerated, any other is an error:
 * VTL0 would lack what is played here, or see what it was not to. -errno, said.
 */
int vp_register_cpuid(struct hcl *hcl, const struct cpuid_changes *changes) __must_check;
/* a fixed, NMI or other interrupt for VTL0's APICs; refusals are counted by the hypervisor and logged */
void vp_assert_interrupt(struct machine *machine, const struct ioapic_message *message);
/* machine->apics for count VPs with these APIC ids; machine->vp must be set. -errno, said. */
int vp_create_apics(struct machine *machine, unsigned count, const u32 *ids) __must_check;
