/* Between the files of vmm/vp. All run on the VP's thread; 0 or a fatal -errno (a hypercall that must work did not). */
#pragma once

#include "vmm/vp/vp.h"

#define VECTOR_DB 1u
#define VECTOR_BP 3u
#define VECTOR_UD 6u
#define VECTOR_GP 13u
#define VECTOR_PF 14u

/* the VP whose thread this is; NULL: another thread */
extern _Thread_local struct vp *vp_here;

int exit_dispatch(struct vp *vp) __must_check;
int exit_io(struct vp *vp, const struct hv_message *msg) __must_check;
int exit_memory(struct vp *vp, const struct hv_message *msg) __must_check;
int exit_hypercall(struct vp *vp, const struct hv_message *msg) __must_check;
int exit_sint_deliverable(struct vp *vp, const struct hv_message *msg) __must_check;
int exit_msr(struct vp *vp, const struct hv_message *msg) __must_check;
/* the state that is told of a triple fault; a register that cannot be had is left out */
void vp_read_registers(struct vp *vp, struct vp_registers *ret);
/* a device has answered: finishes what began with the exit message still in the run page */
int io_resume(struct vp *vp) __must_check;

/* ---- interrupt.c: VTL0's local APIC played here; all but *_halt are called with machine->apics only */
/* part of vp_init(): devices may assert interrupts before the VP's thread is there */
void interrupt_open(struct vp *vp);
/* before VTL0 is entered: injects what is pending. 1: enter; 0: not now, it waits for an interrupt; -errno */
int interrupt_enter(struct vp *vp) __must_check;
/* VTL0 halted */
void interrupt_halt(struct vp *vp);
/* the register CR8 and the APIC's task priority are one */
void interrupt_take_tpr(struct vp *vp);
int interrupt_give_tpr(struct vp *vp) __must_check;
/* the guest has freed a message slot, or may have */
void interrupt_look_at_slots(struct vp *vp);
/* INIT: VTL0's registers as the SDM says (table 10-1) */
int vp_reset_registers(struct vp *vp) __must_check;

/* ---- debug.c */
/* before VTL0 is entered, while a step is wanted: 1: enter; 0: not now; -errno */
int debug_enter(struct vp *vp) __must_check;
/* an exit was handled; injected_before: vp->injected then. An instruction that was stepped may be over with it. */
int debug_after_exit(struct vp *vp, enum exit_reason reason, u64 injected_before) __must_check;
/* TF is a debugger's, and no trap of the guest's */
bool debug_steps_unseen(const struct vp *vp);
/* HLT is over */
int debug_wake(struct vp *vp) __must_check;
/* with machine->debug: 1: a software breakpoint is there, the VP is held; 0: not; -errno */
int debug_breakpoint(struct vp *vp, u64 rip) __must_check;
/* an exception that is intercepted: the debugger's, or back to the guest */
int debug_exception(struct vp *vp, const struct hv_exception_intercept *m) __must_check;
void debug_inspect(void *vp, struct inspect *in);

/* neither the operator, nor a debugger, nor a device's answer holds it */
static inline bool vp_may_run(const struct vp *vp)
{
	return !vp->stopped && !vp->debug.held && (!vp->wait || vp->wait_done);
}
/* stops and lets run the idle work that enters VTL0 */
void vp_park(struct vp *vp);
void vp_unpark(struct vp *vp);

int vp_inject(struct vp *vp, unsigned vector, bool has_error, u32 error, u64 parameter) __must_check;
/* #DB after an emulated instruction that began with TF set */
int vp_single_step(struct vp *vp) __must_check;
/* RIP past the intercepted instruction */
int vp_skip(struct vp *vp, const struct hv_intercept_header *h, unsigned length) __must_check;
/* of the instruction that left, as the hypervisor tells; usual where it does not (a host may leave it out) */
static inline unsigned vp_length(const struct hv_intercept_header *h, unsigned usual)
{
	unsigned length = h->instruction_length & 0xf;

	return length ? length : usual;
}
/* parks the VP until io_complete() on vp->token */
void vp_wait(struct vp *vp, int kind, u64 address, unsigned size);

/* linear memory of the guest through its page tables; on a fault the #PF's error code */
enum linear_result { LINEAR_OK, LINEAR_FAULT, LINEAR_NOT_RAM };
enum linear_result vp_linear(struct vp *vp, const struct hv_register_page *state, u64 linear, void *data, size_t len,
			     unsigned access, u32 *ret_error, u64 *ret_gpa);
/* one page's: where it lies; what lies there is not looked at. NOT_RAM: page tables outside of it. */
enum linear_result vp_translate(struct vp *vp, const struct hv_register_page *state, u64 linear, unsigned access, u64 *ret_gpa,
				u32 *ret_error);
unsigned vp_mode(const struct hv_register_page *state);
struct hv_segment vp_segment(const struct hv_register_page *state, unsigned which);
