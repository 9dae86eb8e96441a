/*
 * A partition with two virtual trust levels on stock KVM: two KVM VMs over the same memory, one thread per VP with a
 * vcpu of each VM, of which one runs. This is the hypervisor that a VTL2 paravisor and its guest see; what Hyper-V's
 * virtualization stack does (VMBus, GET, devices) is attached through struct partition_ops.
 *
 * Threads: each VP runs on its own thread; the functions below say where they may be called.
 */
#pragma once

#include "spec/hv_synic.h"

struct partition;

enum vtl { VTL0 = 0, VTL2 = 1, VTL_COUNT = 2 }; /* index, not number: see vtl_number() */
static inline u8 vtl_number(enum vtl vtl)
{
	return vtl == VTL2 ? 2 : 0;
}

#define PARTITION_MAX_VPS 64
#define PARTITION_MAX_RAM 4

struct partition_ram {
	u64 base, size;
	bool vtl2; /* mapped for VTL2 only */
};

enum partition_event {
	PARTITION_TRIPLE_FAULT_VTL2, /* the firmware died; text: register state */
	PARTITION_CRASH,             /* crash MSRs were written; text: parameters and message */
	PARTITION_FATAL,             /* KVM or pvhost cannot go on; text says why */
};

struct partition_ops {
	/* HvCallPostMessage / HvCallSignalEvent; VP thread, no locks held; HV_STATUS_INVALID_CONNECTION_ID if unknown */
	u16 (*post_message)(void *ctx, u32 vp, enum vtl vtl, const struct hv_post_message *message);
	u16 (*signal_event)(void *ctx, u32 vp, enum vtl vtl, u32 connection, u16 flag);
	/* HvCallRetargetDeviceInterrupt, raw input of len bytes */
	u16 (*retarget)(void *ctx, u32 vp, enum vtl vtl, const void *input, u32 len);
	/* a VTL2 access outside RAM; false: nobody there (reads all ones) */
	bool (*mmio)(void *ctx, u64 gpa, void *data, u32 len, bool write);
	/* a byte the firmware wrote to its debug port (COM3) */
	void (*debug_output)(void *ctx, u8 byte);
	/* something the operator must know; VP thread; the partition stays stopped until reset or destroyed */
	void (*event)(void *ctx, enum partition_event event, enum vtl vtl, u32 vp, const char *text);
};

struct partition_config {
	u32 vp_count;
	u32 apic_ids[PARTITION_MAX_VPS];
	u8 thread_bits, core_bits; /* of an APIC id: which thread of the core (low), which core of the socket */
	struct partition_ram ram[PARTITION_MAX_RAM];
	u32 ram_count;
	u64 mmio_hole_base; /* VTL0: from here to 4 GiB accesses become intercepts */
	u64 mmio_high_base, mmio_high_size; /* and here, above all RAM; size 0: none */
	/* VTL0 has no local APIC, SynIC and synthetic timers of the hypervisor's: VTL2 plays them, from intercepts */
	bool no_apic;
	const struct partition_ops *ops;
	void *ctx;
};

/* Opens /dev/kvm, checks capabilities, makes both VMs. Errors are logged in full and returned. Main thread. */
int partition_create(const struct partition_config *config, struct partition **ret) __must_check;
/* stops and frees; NULL is fine */
void partition_destroy(struct partition *p);

/* host address of [gpa, gpa+len) when all of it is RAM of one range, else NULL; vtl2 false: only what VTL0 may use now */
void *partition_memory(struct partition *p, u64 gpa, u64 len, bool vtl2);

/* Hyper-V names; before partition_start(), and while it is paused. -EINVAL */
int partition_set_register(struct partition *p, u32 vp, enum vtl vtl, u32 name, const u64 value[2]) __must_check;
int partition_get_register(struct partition *p, u32 vp, enum vtl vtl, u32 name, u64 ret_value[2]) __must_check;

/* Starts the VP threads; VP 0 enters VTL2. */
int partition_start(struct partition *p) __must_check;
/* Takes every VP out of the guest and ends the threads. Not from a VP thread. */
void partition_stop(struct partition *p);

/*
 * The VPs leave the guest, each between two instructions, and the partition's clocks (TSC, reference time, timers) stand still.
 * Counted: it runs on after as many resumes. Returns when all have stopped. Before partition_start() too: then no instruction
 * runs. One thread, and no VP's.
 */
void partition_pause(struct partition *p);
void partition_resume(struct partition *p);

/* ---- a debugger of VTL2, which neither VTL knows of. While paused, but for its two functions. */
enum partition_stop {
	PARTITION_STOP_STEP,
	PARTITION_STOP_BREAKPOINT, /* RIP is that of the breakpoint */
	PARTITION_STOP_HARDWARE,   /* value: DR6 bits 0-3 */
};

struct partition_debugger {
	/* is there a software breakpoint at this GPA? VP thread */
	bool (*breakpoint_at)(void *ctx, u64 gpa);
	/* the VP has met something in VTL2 and is held; VP thread. partition_pause() is due. */
	void (*stopped)(void *ctx, u32 vp, enum partition_stop why, u64 value);
	void *ctx;
};

/* NULL: no more; every VP runs on with the next resume */
void partition_debug(struct partition *p, const struct partition_debugger *debugger);
/* do INT3 instructions make breakpoints here? Else IN AL, DX does, for code of CPL 0 */
bool partition_debug_int3(void);
/* what the VP does with the next resume: stay; or step, on while VTL2's RIP is in [from, to) */
struct partition_run {
	bool hold, step;
	u64 from, to;
};
void partition_debug_run(struct partition *p, u32 vp, const struct partition_run *run);
/* breakpoints in VTL2's debug registers, as DR7 has them; 0: none. -ENOTSUP */
int partition_debug_hardware(struct partition *p, const u64 address[4], u64 dr7) __must_check;
/* VTL2's page tables; false: it leads nowhere */
bool partition_debug_translate(struct partition *p, u32 vp, u64 linear, u64 *ret_gpa);
/* VTL2's x87 and SSE registers as FXSAVE has them. -EIO */
int partition_debug_fx(struct partition *p, u32 vp, u8 fx[512], bool write) __must_check;

/* ---- what devices use. Any thread. */

/* Queue a SynIC message for a SINT; false when 64 are waiting there already. */
bool partition_post(struct partition *p, u32 vp, enum vtl vtl, u8 sint, u32 type, const void *payload, u32 len);
/* Set an event flag of a SINT; the interrupt comes when the flag was clear before, and then the answer is true. */
bool partition_signal(struct partition *p, u32 vp, enum vtl vtl, u8 sint, u16 flag);
/* Request a fixed, edge-triggered interrupt. */
void partition_interrupt(struct partition *p, u32 vp, enum vtl vtl, u8 vector);
/* 100 ns units since the partition was made */
u64 partition_reference_time(struct partition *p);
u32 partition_vp_count(struct partition *p);

/* reference time of the stages of a boot; 0: not reached yet */
struct partition_boot {
	u64 vtl2_entered;  /* the firmware image's first instruction */
	u64 vtl2_kernel;   /* its kernel names itself (first write of HV_MSR_GUEST_OS_ID) */
	u64 vtl0_entered;  /* the guest's first instruction */
};
void partition_boot_times(struct partition *p, struct partition_boot *ret);

/* ---- counters, readable at any time from any thread; values are a moment's */
struct partition_counters {
	u64 vtl_switches, kvm_runs[VTL_COUNT], fpu_copies;
	u64 exits[VTL_COUNT][40]; /* by KVM exit reason */
	u64 interrupted[VTL_COUNT];
	u64 intercepts[16]; /* by enum partition_intercept */
	u64 hypercalls[VTL_COUNT][0x120];
	u64 messages, events, interrupts[VTL_COUNT];
	u64 return_actions; /* done for VTL2 as it returned */
};
enum partition_intercept {
	COUNT_IO_PORT, COUNT_MEMORY, COUNT_MSR, COUNT_CPUID, COUNT_HALT, COUNT_UNRECOVERABLE, COUNT_HYPERCALL, COUNT_EOI,
	COUNT_DELIVERABLE, COUNT_PREEMPTED, COUNT_EXCEPTION,
};
void partition_read_counters(struct partition *p, u32 vp, struct partition_counters *ret);

struct partition_vp_state {
	bool started;
	enum vtl vtl;
	bool waiting; /* halted or waiting for start-up */
	u64 rip, rflags, cr3;
	int pending_vector[VTL_COUNT];
	struct partition_interrupts { /* vectors; -1: none */
		int requested, in_service; /* the highest of the local APIC's */
		int queued;                /* KVM has it and has not delivered it yet */
		bool lazy_eoi;             /* the VTL need not tell the end of the one in service */
	} interrupts[VTL_COUNT];
};
/* a snapshot for the monitor; registers are those of the last exit */
void partition_vp_state(struct partition *p, u32 vp, struct partition_vp_state *ret);
/* the n-th of the VP's last exits, the oldest is 0; false: there are no more. The VP goes on meanwhile. */
bool partition_vp_exit(struct partition *p, u32 vp, u32 n, char *text, size_t size);
