/* Between the files of vmm/vp. All run on the VP's thread; 0 or a fatal -errno (a hypercall that must work did not). */
#pragma once

#include "vmm/vp/vp.h"

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

int vp_inject(struct vp *vp, unsigned vector, bool has_error, u32 error, u64 parameter) __must_check;
/* RIP past the intercepted instruction */
int vp_skip(struct vp *vp, const struct hv_intercept_header *h, unsigned length) __must_check;
/* parks the VP until io_complete() on vp->token */
void vp_wait(struct vp *vp, int kind, u64 address, unsigned size);

/* linear memory of the guest through its page tables; on a fault the #PF's error code */
enum linear_result { LINEAR_OK, LINEAR_FAULT, LINEAR_NOT_RAM };
enum linear_result vp_linear(struct vp *vp, const struct hv_register_page *state, u64 linear, void *data, size_t len,
			     unsigned access, u32 *ret_error, u64 *ret_gpa);
unsigned vp_mode(const struct hv_register_page *state);
struct hv_segment vp_segment(const struct hv_register_page *state, unsigned which);
