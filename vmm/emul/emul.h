/*
 * MMIO instructions, emulated: what compilers and kernels use on device registers (Intel SDM volume 2). A pure function of
 * instruction bytes and registers; memory is reached only through the callback, by linear address. Register-only forms and
 * everything else are EMUL_UNSUPPORTED: they cannot have caused a memory intercept.
 */
#pragma once

#include "lib/core/types.h"

enum emul_result {
	EMUL_DONE,        /* registers and RIP hold the state after the instruction, or after a part of a rep */
	EMUL_FAULT,       /* the callback said so; nothing has changed except a rep's progress */
	EMUL_AGAIN,       /* a device answers later: emulate again then, from the same state */
	EMUL_TRUNCATED,   /* more bytes are needed */
	EMUL_UNSUPPORTED,
};

enum emul_segment { EMUL_ES, EMUL_CS, EMUL_SS, EMUL_DS, EMUL_FS, EMUL_GS, EMUL_SEGMENTS };

struct emul_state {
	u64 gpr[16];                      /* RAX RCX RDX RBX RSP RBP RSI RDI R8..R15 */
	u64 rip, rflags;
	u64 base[EMUL_SEGMENTS];
	unsigned mode;                    /* 16, 32 or 64: default of the code segment */
};

enum emul_access { EMUL_ACCESS_OK, EMUL_ACCESS_FAULT, EMUL_ACCESS_AGAIN };

struct emul_memory {
	/* size 1, 2, 4 or 8 */
	enum emul_access (*access)(void *context, u64 linear, u64 *value, unsigned size, bool write);
	void *context;
};

#define EMUL_REP_BATCH 64u /* iterations at a time: then the VP gets to see its other work */

enum emul_result emul_run(struct emul_state *state, const u8 *bytes, size_t len, const struct emul_memory *memory);

/* the length of a rep prefix' address size and such, for string I/O: 16, 32 or 64 */
unsigned emul_address_size(unsigned mode, const u8 *bytes, size_t len);
/* an IN/OUT string's segment override: EMUL_DS unless the prefixes say otherwise */
enum emul_segment emul_segment_of(const u8 *bytes, size_t len);
