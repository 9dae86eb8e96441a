/* Inside host/vtl: the partition's and the VPs' structs. Everything of a VP belongs to its thread unless said otherwise. */
#pragma once

#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "host/vtl/partition.h"
#include "lib/apic/lapic.h"
#include "lib/core/list.h"
#include "lib/synic/synic.h"
#include "spec/hv_msr.h"
#include "spec/hv_vtl.h"

#define HYPERCALL_PORT 0xE0
#define VTL_CALL_PORT 0xE1
#define VTL_RETURN_PORT 0xE2
#define VTL_CALL_OFFSET 0x10
#define VTL_RETURN_OFFSET 0x20
#define APIC_TIMER_HZ 200000000u /* what HV_MSR_APIC_FREQUENCY tells */
#define CPUID_MAX 128
#define CPUID_RESULTS_MAX 64

struct vcpu {
	int fd;
	struct kvm_run *run;
	struct kvm_xsave *fpu; /* as KVM last told or took it */
	struct kvm_debugregs debug;
	/*
	 * An access that KVM finishes only at its next KVM_RUN: answered here, or left to VTL2 (a port, an MSR). It must be
	 * finished before anybody touches the registers: KVM forgets the result of a load when they are set in between.
	 */
	enum { ACCESS_NONE, ACCESS_ANSWERED, ACCESS_PORT, ACCESS_STRING_INPUT, ACCESS_MSR } open;
	u64 open_rip;
	u64 open_linear; /* STRING_INPUT: where it goes */
};

struct vp_vtl { /* what each VTL of a VP has of its own */
	struct vcpu vcpu;
	struct lapic apic;
	struct synic synic;
	u64 assist_page, crash[5];
};

#define EXIT_HISTORY 32u

struct exit_record { /* for reports of what should not happen */
	u8 vtl, reason;
	u16 port;
	u32 detail;
	s16 queued, left; /* interrupt that KVM had before and after; -1: none */
	u64 rip, entry_rip;
};

struct vp {
	struct partition *partition;
	u32 index;
	pthread_t thread;
	pid_t tid;
	timer_t timer;
	bool timer_made;
	atomic_bool kicked;  /* a signal is on its way: no need for another */
	atomic_bool started; /* VTL2 has a context (HvCallStartVp) */
	bool vtl2_enabled;
	atomic_int vtl; /* enum vtl now active */
	atomic_bool waiting;
	struct vp_vtl per[VTL_COUNT];
	u64 register_page;
	u64 pending_interruption, pending_event, deliverability, emulation_hints;
	bool halted, wait_for_sipi; /* of VTL0 */
	bool vtl2_halted;
	bool told_in_service; /* of VTL2: an interrupt of its own was lost */
	struct kvm_regs power_on_regs;   /* of VTL0, for INIT */
	struct kvm_sregs power_on_sregs;
	u64 cr_intercepts; /* HV_CR_INTERCEPT_*: what VTL2 wants to know of on this VP */
	int eoi_vector; /* a level-triggered vector VTL0 ended and VTL2 wants to know of; -1: none */
	bool cpuid_loaded[VTL_COUNT];
	struct hv_start_vp start_context;
	struct partition_counters counters;
	struct kvm_guest_debug guest_debug; /* as KVM has it for VTL0 */
	u64 stepped_rip;
	bool shadow;       /* VTL2 has set an interrupt shadow */
	bool trap_pending; /* an instruction that was stepped was done here, and VTL2 does not know */
	struct { /* VTL2 under a debugger */
		atomic_bool held;
		struct partition_run run;
		struct kvm_guest_debug set; /* as KVM has it for VTL2 */
	} firmware_debug;
	struct exit_record history[EXIT_HISTORY];
	u32 history_next;
	int queued_vector; /* for the next of them: handed to KVM since the last; -1: none */
};

struct vtl_wide { /* MSRs that are partition-wide, one set per VTL */
	_Atomic u64 guest_os_id, hypercall, reference_tsc;
};

struct partition {
	struct partition_config config;
	int kvm_fd, vm_fd[VTL_COUNT];
	size_t run_size;
	u8 *ram[PARTITION_MAX_RAM], *vtl0_ram[PARTITION_MAX_RAM]; /* memory.c; the second is NULL for VTL2's RAM */
	u8 *denied[PARTITION_MAX_RAM]; /* for each page of VTL0's RAM, the HV_MAP_* that VTL2 took away */
	void *hole; /* address space behind VTL0's MMIO: nobody may touch it */
	u64 hole_size;
	u64 tsc_khz, tsc_scale, tsc_offset;
	struct vtl_wide wide[VTL_COUNT];
	pthread_mutex_t lock; /* start of VPs, CPUID results, intercepts and the filter of MSRs */
	struct {
		pthread_mutex_t lock;
		pthread_cond_t parked_changed, resumed;
		u32 threads, parked;       /* of the VPs; the second out of the first */
		atomic_uint asked;         /* partition_pause() without its partition_resume() */
		_Atomic u64 tsc, ns;       /* of the host, when all had parked; 0: they run */
		u64 lost_ns;               /* in pauses that are over */
	} pause;
	u32 exceptions; /* bit per vector that VTL2 intercepts */
	u32 intercepts; /* bit per enum hv_intercept_type that VTL2 installed */
	_Atomic u64 cr_intercepts; /* of any VP: KVM does not make these writes. Grows only, under lock */
	struct hv_cpuid_result_parameters cpuid_results[CPUID_RESULTS_MAX];
	u32 cpuid_result_count;
	atomic_bool vtl0_ran, stopping;
	atomic_uint stopped_by_event;
	u64 vsm_config;
	_Atomic u64 boot_vtl2, boot_kernel, boot_vtl0; /* struct partition_boot */
	u8 debug_line_control, debug_scratch; /* of the firmware's debug port */
	const struct partition_debugger *debugger; /* NULL: none */
	struct kvm_guest_debug debugger_hardware;  /* its debug registers */
	u32 vp_count;
	struct vp *vps;
};

static inline struct vcpu *active(struct vp *vp)
{
	return &vp->per[atomic_load_explicit(&vp->vtl, memory_order_relaxed)].vcpu;
}
#define REGS(v) ((v)->run->s.regs.regs)
#define SREGS(v) ((v)->run->s.regs.sregs)
/* the interrupt that KVM has and had not delivered at the last exit; -1: none */
static inline int queued_interrupt(const struct vcpu *v)
{
	return v->run->s.regs.events.interrupt.injected ? v->run->s.regs.events.interrupt.nr : -1;
}
static inline void regs_dirty(struct vcpu *v)
{
	v->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
}
static inline void sregs_dirty(struct vcpu *v)
{
	v->run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
}

/* kvm.c: VMs, vcpus, memory slots */
int kvm_open(struct partition *p) __must_check;
int kvm_make_vms(struct partition *p) __must_check;
int kvm_make_vcpu(struct vp *vp, enum vtl vtl) __must_check;
/* MSRs that leave KVM for user space: the hypervisor's, and for VTL0 what p->cr_intercepts says; also while VPs run */
int kvm_filter_msrs(struct partition *p, enum vtl vtl) __must_check;
void kvm_close(struct partition *p);
int kvm_get_msr(struct vcpu *v, u32 msr, u64 *ret);
int kvm_set_msr(struct vcpu *v, u32 msr, u64 value);
int kvm_set_tsc_offset(struct vcpu *v, u64 offset);

/* cpuid.c: what each VTL sees; VTL0's table is loaded at its first entry, with what VTL2 registered */
int cpuid_load(struct vp *vp, enum vtl vtl) __must_check;
u16 cpuid_register_result(struct partition *p, const struct hv_cpuid_result_parameters *result);

/* registers.c: Hyper-V register names; the VP's own thread, or a stopped VP. HV_STATUS_*. */
u16 register_get(struct vp *vp, enum vtl vtl, u32 name, union hv_register_value *ret);
u16 register_set(struct vp *vp, enum vtl vtl, u32 name, const union hv_register_value *value);
void segment_to_hv(const struct kvm_segment *from, struct hv_segment *to);
void segment_from_hv(const struct hv_segment *from, struct kvm_segment *to);
void load_start_context(struct vp *vp, const struct hv_init_vp_context *context);

/* switch.c: from one VTL to the other */
void switch_to_vtl2(struct vp *vp, u32 reason);
void switch_to_vtl0(struct vp *vp);
void finish_access(struct vp *vp, enum vtl vtl);
/* HV_REGISTER_PENDING_INTERRUPTION: an event that VTL0 has not taken yet: of VTL2's, or one that KVM was about to deliver */
u64 pending_interruption(struct vp *vp);

/* intercept.c: tell VTL2 what VTL0 did, and switch to it */
void intercept_io(struct vp *vp);
void intercept_memory(struct vp *vp, u64 gpa, u64 gva, u8 access, const u8 *bytes, u32 byte_count, u32 length);
void intercept_msr(struct vp *vp, bool write);
void intercept_simple(struct vp *vp, u32 type);
void intercept_hypercall(struct vp *vp);
void intercept_sints(struct vp *vp, u16 sints);
void intercept_eoi(struct vp *vp, u8 vector);
void intercept_exception(struct vp *vp, u8 vector, u64 parameter, u32 length);
bool intercept_wanted(struct partition *p, u32 type);

/* decode.c: instruction length and memory operand at VTL0's RIP (Zydis) */
struct decoded {
	u8 bytes[16];
	u32 byte_count; /* readable at RIP */
	u32 length;     /* 0: not decodable */
	bool memory, write;
	u64 linear;
	u32 size;
};
void decode_at_rip(struct vp *vp, struct decoded *ret);
/* INS or OUTS? They end with their opcode, as IN and OUT with such a port do */
static inline bool decoded_string_io(const struct decoded *d)
{
	u32 n = d->length;

	return n && (d->bytes[n - 1] & 0xfc) == 0x6c && (n == 1 || (d->bytes[n - 2] & 0xfc) != 0xe4);
}

/* memory.c */
int memory_map(struct partition *p) __must_check;
void memory_unmap(struct partition *p);
/* NULL: not VTL0's RAM, or VTL2 has denied one of these accesses (HV_MAP_*) to a page of it */
void *memory_for_vtl0(struct partition *p, u64 gpa, u64 len, u32 access);
/* what VTL0 may do with a page. -EINVAL: not RAM; -EPERM: KVM has no such protection; -ENOMEM: too many pieces */
int memory_protect(struct partition *p, u64 gpa, u32 allowed) __must_check;

/* walk.c: page tables, VTL0's if nothing else is said */
bool walk_linear(struct vp *vp, u64 linear, u64 *ret_gpa);
bool walk_linear_of(struct vp *vp, enum vtl vtl, u64 linear, u64 *ret_gpa);
u32 fetch_code(struct vp *vp, u64 linear, u8 *bytes, u32 len);

/* msr.c */
/* is it VTL2's to answer, though the hypervisor has such a register? */
bool msr_left_to_vtl2(struct vp *vp, u32 msr);
bool msr_read(struct vp *vp, enum vtl vtl, u32 msr, u64 *ret);
bool msr_write(struct vp *vp, enum vtl vtl, u32 msr, u64 value);
/* a write of VTL0's: has VTL2 asked for it on this VP? */
bool msr_write_wanted(const struct vp *vp, u32 msr);
/* HV_X64_REGISTER_CR_INTERCEPT_CONTROL; HV_STATUS_* */
u16 msr_set_cr_intercepts(struct vp *vp, u64 control);
/*
 * MSRs whose writes are offered to VTL2. KVM keeps CR0, CR4, XCR0 and the tables' registers to itself; what it checks only when
 * it makes the write itself (EFER, TSC_AUX: are they in the guest's CPUID?) is left out.
 */
#define CR_INTERCEPTS 7u
extern const struct cr_intercept {
	u32 msr;
	u64 control;
} cr_intercepts[CR_INTERCEPTS];

/* synic.c: the embedder's side of lib/synic */
extern const struct synic_ops synic_ops[VTL_COUNT];

/* clock.c: one clock for everything */
u64 guest_tsc(struct partition *p);
u64 clock_now_ns(struct partition *p); /* what deadlines are in */
void clock_stop(struct partition *p);  /* both: no VP runs */
int clock_go_on(struct partition *p) __must_check;
void clock_arm(struct vp *vp);   /* program the VP's timer for the nearest deadline of both VTLs */
void clock_soon(struct vp *vp);  /* out of the guest in a few microseconds */
void clock_check(struct vp *vp); /* raise what is due */

/* apic.c: the embedder's side of lib/apic */
extern const struct lapic_ops apic_ops[VTL_COUNT];
bool apic_mmio(struct vp *vp, enum vtl vtl, u64 gpa, void *data, u32 len, bool write);
void apic_sync_mode(struct vp *vp, enum vtl vtl);

/* debug.c: exceptions that VTL2 intercepts; the VP's thread but for the first */
u16 debug_install(struct partition *p, u64 vector, bool on);
/* does VTL2 want the traps of VTL0? */
bool debug_wanted(const struct vp *vp);
/* does VTL2 step VTL0? */
bool debug_stepping(struct vp *vp);
/* QEMU's TCG has no use for DR7 as VMRUN loads it, and no intercept of INT3 */
bool debug_emulated_processor(void);
void debug_before_run(struct vp *vp);
void debug_after_run(struct vp *vp);
void debug_exit(struct vp *vp); /* KVM_EXIT_DEBUG */
void debug_trap(struct vp *vp); /* trap_pending is told */

/* firmware_debug.c: VTL2 under a debugger; nothing of it does anything while there is none */
void firmware_debug_before_run(struct vp *vp);
/* KVM_EXIT_DEBUG */
void firmware_debug_exit(struct vp *vp);
/* an access to a port: true: it is a breakpoint */
bool firmware_debug_port(struct vp *vp);
/* an exit was answered: the step may be over */
void firmware_debug_after_exit(struct vp *vp);
static inline bool firmware_debug_stepping(const struct vp *vp)
{
	return vp->partition->debugger && vp->firmware_debug.run.step;
}

/* pause.c */
void pause_init(struct partition *p);
void pause_fini(struct partition *p);
/* a VP's thread begins or ends; and between two entries: stays while the partition is paused */
void pause_thread(struct partition *p, int change);
void pause_here(struct vp *vp);
/* stopping is set: nobody stays */
void pause_break(struct partition *p);

/* hypercall.c */
void hypercall(struct vp *vp, enum vtl vtl);

/* vp.c */
int vp_create(struct partition *p, u32 index) __must_check;
void vp_destroy(struct vp *vp);
int vp_start_thread(struct vp *vp) __must_check;
void vp_kick(struct vp *vp);
void vp_event(struct vp *vp, enum partition_event event, enum vtl vtl, const char *format, ...) __printf(4, 5);
void vp_print_history(struct vp *vp);
void vp_inject_exception(struct vp *vp, enum vtl vtl, u8 vector, bool has_error, u32 error);

/* what VTL2 may ask to be told of, but for the SINTs */
#define DELIVERABILITY_INTERRUPTION (HV_DELIVERABILITY_INTERRUPT | HV_DELIVERABILITY_NMI | HV_DELIVERABILITY_PRIORITY)
/* inject.c: VTL2 asked for an interrupt window, and only RFLAGS.IF or a shadow stand in its way; and: it is open */
bool interruption_awaited(struct vp *vp);
bool interruption_deliverable(struct vp *vp);
/* before an entry: what VTL2 put into VTL0's pending-event registers; true: something is being injected now */
bool inject_for_vtl2(struct vp *vp);
/* and what the VTL's own APIC has; busy: not now, but as soon as can be */
void inject_from_apic(struct vp *vp, enum vtl vtl, bool busy);

/* exit.c */
void exit_vtl2(struct vp *vp);
/* an access of VTL2's that was answered is finished: its registers are those between two instructions */
void finish_vtl2(struct vp *vp);
void exit_vtl0(struct vp *vp);
/* VTL0 and an access outside memory that KVM has begun to emulate: answered, to be completed */
void stray_mmio(struct vp *vp);
void vtl0_fault(struct vp *vp); /* KVM_RUN gave EFAULT: an access to a hole */
