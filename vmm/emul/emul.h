/*
 * MMIO instructions, emulated: what compilers and kernels use on device registers (Intel SDM volume 2). A pure function of
 * instruction bytes and registers; memory is reached only through the callbacks, by linear address.
 *
 * There are: MOV in all forms but to a segment register, MOVZX MOVSX MOVSXD MOVNTI MOVBE XLAT, the ALU operations, TEST NOT
 * NEG INC DEC MUL IMUL, shifts and rotates with SHLD and SHRD, XCHG XADD CMPXCHG(8B, 16B), BT BTS BTR BTC, SETcc CMOVcc,
 * PUSH POP CALL JMP (near), MOVS STOS LODS CMPS SCAS, and the SSE moves between memory and an XMM register. Not there: DIV,
 * x87, MMX, AVX (VTL2 cannot reach the upper halves: the VTL switch saves what FXSAVE knows), SSE other than moves, far
 * control transfers, and forms with registers only, which cannot have caused a memory intercept. Those are
 * EMUL_UNSUPPORTED. #AC is not raised, nor are data breakpoints looked at. TF is left to the caller.
 */
#pragma once

#include "lib/core/types.h"
#include "spec/hv.h"

enum emul_result {
	EMUL_DONE,        /* registers and RIP hold the state after the instruction */
	EMUL_MORE,        /* one iteration of a rep is done, RIP is still at it: run again */
	EMUL_RETRY,       /* a locked operation lost its race too often; nothing has changed: run again */
	EMUL_FAULT,       /* state->exception; nothing else has changed */
	EMUL_AGAIN,       /* a device answers later; nothing has changed: run again then */
	EMUL_TRUNCATED,   /* more bytes are needed; nothing has changed */
	EMUL_UNSUPPORTED, /* nothing has changed */
};

enum emul_segment { EMUL_ES, EMUL_CS, EMUL_SS, EMUL_DS, EMUL_FS, EMUL_GS, EMUL_SEGMENTS };

#define EMUL_UD 6u
#define EMUL_SS_FAULT 12u
#define EMUL_GP 13u
#define EMUL_PF 14u

struct emul_exception {
	u8 vector;
	bool has_error;
	u32 error;
	u64 address; /* of a #PF: CR2 */
};

struct emul_xmm {
	u64 low, high;
};

struct emul_state {
	u64 gpr[16];                              /* RAX RCX RDX RBX RSP RBP RSI RDI R8..R15 */
	u64 rip, rflags;
	struct emul_xmm xmm[16];
	struct hv_segment segment[EMUL_SEGMENTS]; /* outside of 64-bit mode limits and rights are checked */
	unsigned mode;                            /* 16, 32 or 64: default of the code segment */
	bool real;                                /* real or virtual-8086 mode: segments have a limit, but no rights */
	bool la57;                                /* linear addresses have 57 bits, not 48 */
	struct emul_exception exception;          /* written with EMUL_FAULT */
};

#define EMUL_READ 1u
#define EMUL_WRITE 2u

enum emul_access {
	EMUL_ACCESS_OK,
	EMUL_ACCESS_FAULT,   /* from translate */
	EMUL_ACCESS_AGAIN,   /* from access and exchange */
	EMUL_ACCESS_CHANGED, /* from exchange: memory was not as expected */
};

/*
 * All that an instruction touches is translated before the first byte is read or written, so translate must touch nothing.
 * One call is about one page; an operand that crosses into another gives two.
 */
struct emul_memory {
	/* where `linear` and the size - 1 bytes behind it lie: a number for the callbacks below */
	enum emul_access (*translate)(void *context, u64 linear, unsigned size, unsigned access, u64 *ret_place,
				      struct emul_exception *ret_exception);
	/* size 1 to 16 */
	enum emul_access (*access)(void *context, u64 place, void *data, unsigned size, bool write);
	/*
	 * A locked write of what was read as `expected`, atomic where that means something (RAM), else a plain write. Size 1, 2,
	 * 4, 8 or 16, naturally aligned; a locked operand that is not goes through access.
	 */
	enum emul_access (*exchange)(void *context, u64 place, const void *expected, const void *desired, unsigned size);
	void *context;
};

#define EMUL_INSTRUCTION_MAX 15u /* SDM volume 2, 2.3.11: longer ones are #GP */

enum emul_result emul_run(struct emul_state *state, const u8 *bytes, size_t len, const struct emul_memory *memory);

/* the length of a rep prefix' address size and such, for string I/O: 16, 32 or 64 */
unsigned emul_address_size(unsigned mode, const u8 *bytes, size_t len);
/* an IN/OUT string's segment override: EMUL_DS unless the prefixes say otherwise */
enum emul_segment emul_segment_of(unsigned mode, const u8 *bytes, size_t len);

/* is there a table entry for that opcode? 256 + XX is 0F XX, 512 + XX is 0F 38 XX. For tests that want to cover all. */
#define EMUL_OPCODES 768u
bool emul_knows(unsigned opcode);
