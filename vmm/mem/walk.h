/*
 * Guest page tables, read through the gate (SDM 3A chapter 4). Pure; any thread. Accessed and dirty bits are not set: it is
 * used for what the CPU fetched or translated itself a moment ago.
 */
#pragma once

#include "vmm/mem/guest.h"

struct walk_state {
	u64 cr0, cr3, cr4, efer;
	bool smap_override; /* RFLAGS.AC: supervisor access to user pages is allowed under SMAP */
};

#define WALK_WRITE 1u
#define WALK_USER 2u
#define WALK_FETCH 4u

enum walk_result { WALK_OK, WALK_FAULT, WALK_NO_MEMORY /* a table does not lie in RAM */ };

/* linear → *ret_gpa; on WALK_FAULT *ret_error is the #PF error code */
enum walk_result walk(struct guest *guest, const struct walk_state *state, u64 linear, unsigned access, u64 *ret_gpa,
		      u32 *ret_error);

/* for who does not ask for rights, a debugger; smap_override is not looked at. false: linear leads nowhere */
static inline bool walk_any(struct guest *guest, struct walk_state state, u64 linear, u64 *ret_gpa)
{
	u32 error;

	state.smap_override = true;
	return walk(guest, &state, linear, 0, ret_gpa, &error) == WALK_OK;
}
