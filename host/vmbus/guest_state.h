/*
 * The guest-state file (VMGS) as the host has it: a small block device of fixed size that VTL2 reads and writes by GET
 * (spec/get.h). What is on it is VTL2's; the host looks only whether it is something else. Loop thread: a flush waits for the
 * disk. What was flushed outlives a power cut; what was not may be lost, in any order.
 */
#pragma once

#include "lib/core/bytes.h"
#include "spec/get.h"

#define GUEST_STATE_SIZE_DEFAULT (4 * MiB)
#define GUEST_STATE_SIZE_MIN (16 * KiB)
#define GUEST_STATE_SIZE_MAX (4 * GiB)

struct guest_state;

struct guest_state_counts {
	u64 size, reads, writes, flushes, refused, failed;
	bool broken; /* a flush failed: nothing is written any more */
};

/*
 * Opens and locks the file; a missing or empty one is made, of size bytes (0: the default) and a VHD's footer. An existing one
 * keeps its size. -errno, said: what is wrong and what to do.
 */
int guest_state_open(const char *path, u64 size, struct guest_state **ret) __must_check;
void guest_state_close(struct guest_state *s);
/*
 * Answers a VMGS request: id and what follows the header. out holds GET_MESSAGE_MAX bytes; returns how many the answer has.
 * s NULL: the answer of a host without guest state.
 */
u32 guest_state_answer(struct guest_state *s, u16 id, struct bytes body, u8 *out);
void guest_state_read_counts(const struct guest_state *s, struct guest_state_counts *ret);
