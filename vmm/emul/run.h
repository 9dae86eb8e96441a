/* One instruction under way, between the files of vmm/emul. */
#pragma once

#include "vmm/emul/decode.h"

#define CF BIT(0)
#define PF BIT(2)
#define AF BIT(4)
#define ZF BIT(6)
#define SF BIT(7)
#define DF BIT(10)
#define OF BIT(11)
#define RF BIT(16)
#define ARITHMETIC (CF | PF | AF | ZF | SF | OF)

#define OPERAND_MAX 16u

/* where an operand lies: one part, or two when it crosses a page */
struct place {
	unsigned size, parts;
	struct { u64 at; unsigned size; } part[2];
	bool aligned;                     /* naturally: a locked write can be atomic */
	u8 before[OPERAND_MAX];           /* what was read, for a locked write */
};

/* the state is a copy: it becomes the caller's only when the instruction is complete */
struct run {
	struct emul_state s;
	struct insn i;
	unsigned size;                    /* of the operand, in bytes */
	bool locked;
	bool more;                        /* an iteration of a rep: RIP stays */
	bool lost;                        /* a locked write found another value than was read */
	struct place operand;             /* ModRM's */
	const struct emul_memory *memory;
	enum emul_result result;          /* once something returned false */
};

/* what a handler returns: false has set r->result */
typedef bool (*handler)(struct run *r);

enum form_size { SIZE_OPERAND, SIZE_BIT0 /* 1 if the opcode is even */, SIZE_BYTE, SIZE_STACK /* 8 in 64-bit mode */ };
enum form_imm { IMM_NONE, IMM_BYTE, IMM_FULL /* as the operand, 4 at most */, IMM_TEST /* IMM_FULL if ModRM.reg is 0 */ };
#define FORM_NO_MODRM 1u
#define FORM_MOFFS 2u

struct form {
	handler run;
	u8 size, imm, flags;
	u8 lock;                          /* bit n: LOCK is allowed when ModRM.reg is n */
};
/* NULL: no such instruction here */
const struct form *form_find(u16 opcode);

/* ---- results that end an instruction; all return false */
bool unsupported(struct run *r);
bool fault(struct run *r, u8 vector);     /* #UD, or #GP(0) or #SS(0) */

/* ---- registers */
u64 sign_bit(unsigned size);
u64 sign_extend(u64 value, unsigned size);
u64 get_reg(const struct run *r, u8 reg, unsigned size);
void set_reg(struct run *r, u8 reg, unsigned size, u64 value);
/* the part of a register that an address of that size changes */
void set_address(struct run *r, u8 reg, unsigned address, u64 value);

/* with EMUL_READ and EMUL_WRITE: #GP unless naturally aligned */
#define ACCESS_ALIGNED 4u
/* ---- memory. Find all places of an instruction before the first read. */
bool find_place(struct run *r, enum emul_segment segment, u64 offset, unsigned size, unsigned access, struct place *ret);
/* the segment for an operand whose default is `fallback` */
enum emul_segment segment_for(const struct run *r, enum emul_segment fallback);
bool read_place(struct run *r, struct place *p, void *data);
bool write_place(struct run *r, struct place *p, const void *data);
bool read_value(struct run *r, struct place *p, u64 *ret);
bool write_value(struct run *r, struct place *p, u64 value);
bool find_operand(struct run *r, unsigned size, unsigned access);
/* ModRM's operand: found for reading, for writing, or for both; then read */
bool load(struct run *r, u64 *ret, unsigned size);
bool store(struct run *r, u64 value, unsigned size);
bool load_to_modify(struct run *r, u64 *ret, unsigned size);
bool store_back(struct run *r, u64 value);

/* ---- flags */
enum alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
u64 alu(struct run *r, enum alu op, u64 a, u64 b, unsigned size);
/* ZF, SF and PF of a result, with CF, OF and AF as given */
void set_result_flags(struct run *r, u64 result, unsigned size, u64 others);
bool condition(const struct run *r, unsigned code); /* Jcc's, SETcc's, CMOVcc's low four bits */

/* ---- the table's handlers */
bool run_alu(struct run *r);
bool run_alu_imm(struct run *r);
bool run_test(struct run *r);
bool run_group3(struct run *r);
bool run_inc_dec(struct run *r);
bool run_imul(struct run *r);
bool run_shift(struct run *r);
bool run_double_shift(struct run *r);
bool run_bit(struct run *r);

bool run_mov(struct run *r);
bool run_mov_imm(struct run *r);
bool run_moffs(struct run *r);
bool run_mov_from_segment(struct run *r);
bool run_extend(struct run *r);
bool run_movnti(struct run *r);
bool run_movbe(struct run *r);
bool run_xlat(struct run *r);
bool run_setcc(struct run *r);
bool run_cmovcc(struct run *r);
bool run_xchg(struct run *r);
bool run_xadd(struct run *r);
bool run_cmpxchg(struct run *r);
bool run_cmpxchg_wide(struct run *r);

bool run_string(struct run *r);
bool run_group5(struct run *r);
bool run_pop(struct run *r);

bool run_sse(struct run *r);
