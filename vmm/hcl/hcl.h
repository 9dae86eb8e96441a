/*
 * What the paravisor asks of the hypervisor: run VTL0 on this CPU, read and write its registers, make hypercalls.
 * Real: /dev/mshv (mshv.c). Tests: hcl_fake_create() (fake.h). mshv's register and run ioctls act on the CPU they are
 * called on, so everything that takes a struct hcl_vp belongs to that VP's pinned thread. hcl_call(): any thread.
 */
#pragma once

#include "spec/mshv.h"

struct hcl;

struct hcl_vp {
	struct hcl *hcl;
	unsigned cpu;                     /* CPU number = VP index: the shim starts CPUs in that order */
	struct mshv_run_page *run;        /* shared with the kernel */
	struct hv_register_page *page;    /* shared with the hypervisor; NULL: it offers none */
	struct hv_register_page shadow;   /* filled by hypercalls when there is no valid page */
	bool shadow_valid;
	u64 register_calls;               /* slow register accesses: zero per exit in steady state */
	bool return_actions;              /* the hypervisor does what the run page says when VTL0 is entered */
};

struct hcl_ops {
	int (*vp_open)(struct hcl *, struct hcl_vp *);
	int (*run)(struct hcl_vp *);
	int (*get)(struct hcl_vp *, u32 name, union hv_register_value *);
	int (*set)(struct hcl_vp *, u32 name, const union hv_register_value *);
	int (*call)(struct hcl *, u64 control, const void *in, size_t in_len, void *out, size_t out_len, u64 *result);
	int (*set_poll_file)(struct hcl_vp *, int fd);
	void (*destroy)(struct hcl *);
};

struct hcl {
	const struct hcl_ops *ops;
};

/*
 * fds: the VTL (MSHV_CREATE_VTL) and /dev/mshv_hvcall. Sets the hypercall allow bitmap, which works once per open
 * file; a bitmap that is already set is accepted (a restarted worker). The fds stay the caller's. -errno, said.
 */
int hcl_open(int vtl_fd, int hvcall_fd, struct hcl **ret) __must_check;
void hcl_destroy(struct hcl *hcl);

/* maps run page and register page. On the VP's own CPU. */
int hcl_vp_open(struct hcl *hcl, unsigned cpu, struct hcl_vp *vp) __must_check;
/* enters VTL0: 0, the exit is in run->exit_message; -EINTR: cancelled before or without one; else fatal */
int hcl_run(struct hcl_vp *vp) __must_check;
/* completions on this file cancel hcl_run() (drivers/hv/mshv_vtl_main.c mshv_vtl_poll_file_wake) */
int hcl_set_poll_file(struct hcl_vp *vp, int fd) __must_check;
/* before a look at the work lists, see lib/task/wake.h */
static inline void hcl_clear_cancel(struct hcl_vp *vp)
{
	__atomic_store_n(&vp->run->cancel, 0, __ATOMIC_SEQ_CST);
}

/*
 * The event flag is set at the next entry of VTL0 on this VP, without a call of its own; false: not possible, no room. What
 * waits there when VTL0 is not to be entered soon has to be taken out with hcl_take_signals().
 */
bool hcl_defer_signal(struct hcl_vp *vp, u32 target, u8 sint, u16 flag) __must_check;
/* removes what waits, at most max; returns how many there were */
unsigned hcl_take_signals(struct hcl_vp *vp, struct hv_vtl_return_signal_event *ret, unsigned max);

/* result->status 0 is success; -EIO with *ret_status set when the hypervisor refuses, other -errno when it was not asked */
int hcl_call(struct hcl *hcl, u32 code, const void *in, size_t in_len, u16 *ret_status) __must_check;
/* a rep hypercall: header, then count elements of size bytes; repeats until all are done */
int hcl_call_rep(struct hcl *hcl, u32 code, const void *head, size_t head_len, const void *elements, size_t size,
		 u32 count, u16 *ret_status) __must_check;

/* slow: one hypercall each */
int hcl_get(struct hcl_vp *vp, u32 name, union hv_register_value *ret) __must_check;
int hcl_set(struct hcl_vp *vp, u32 name, const union hv_register_value *value) __must_check;
int hcl_get64(struct hcl_vp *vp, u32 name, u64 *ret) __must_check;
int hcl_set64(struct hcl_vp *vp, u32 name, u64 value) __must_check;

/* ---- registers at an exit: from the pages, without a hypercall where there is a register page */

/* call once per exit, before the accessors below */
void hcl_exit_begin(struct hcl_vp *vp);
/* GPRs, shared by the VTLs, live in the run page; RSP is VTL0's own and lives in the register page */
u64 hcl_gpr(struct hcl_vp *vp, enum hv_gpr gpr);
/* all of them */
void hcl_gprs(struct hcl_vp *vp, u64 ret[HV_GPR_COUNT]);
void hcl_set_gpr(struct hcl_vp *vp, enum hv_gpr gpr, u64 value);
/* RIP and RFLAGS of VTL0: through the page's dirty bits, else by hypercall. -errno only in the latter case. */
int hcl_set_rip(struct hcl_vp *vp, u64 rip) __must_check;
int hcl_set_rflags(struct hcl_vp *vp, u64 rflags) __must_check;
/* what was changed in the register page goes to the hypervisor now, not at the next entry. -errno */
int hcl_flush(struct hcl_vp *vp) __must_check;
/* segments, control registers, EFER: the page, or a copy filled by hypercalls; NULL when those fail */
const struct hv_register_page *hcl_state(struct hcl_vp *vp);
