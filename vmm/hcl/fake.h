/* A hypervisor for tests: registers in a table, exits from a script, hypercalls recorded. Single thread. */
#pragma once

#include "vmm/hcl/hcl.h"

#define FAKE_CALLS 256
#define FAKE_REGISTERS 64

struct fake_call {
	u64 control;
	u8 in[512];
	size_t in_len;
};

struct hcl_fake {
	struct hcl hcl;
	struct mshv_run_page run;
	struct hv_register_page page;
	bool with_page;
	struct { u32 name; union hv_register_value value; } registers[FAKE_REGISTERS];
	unsigned register_count;
	struct fake_call calls[FAKE_CALLS];
	unsigned call_count;
	u16 status;                       /* what hypercalls answer */
	u32 refuse_code;                  /* this code answers HV_STATUS_INVALID_HYPERCALL_CODE */
	u32 refuse_register;              /* takes no value; 0: none does so */
	int (*on_run)(struct hcl_fake *); /* fills run.exit_message; its result is hcl_run()'s */
	void *context;
};

void hcl_fake_init(struct hcl_fake *fake, bool with_page);
/* value of a register that was set by hypercall; 0 when it never was */
u64 hcl_fake_register(struct hcl_fake *fake, u32 name);
/* last recorded call of that code, NULL: none */
struct fake_call *hcl_fake_last(struct hcl_fake *fake, u32 code);
