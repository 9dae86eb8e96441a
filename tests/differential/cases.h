/* Cases of the differential test: an instruction with the state it starts from. All of one is drawn from its seed. */
#pragma once

#include "vmm/emul/emul.h"

/* ---- rules: what an instruction looks like, what of its result is defined. Written from the SDM, not from vmm/emul. */
enum touches { READS = 1, WRITES = 2, MODIFIES = 3 };
enum undefined {
	U_NONE,
	U_LOGIC,    /* AF */
	U_PRODUCT,  /* SF ZF AF PF */
	U_BIT,      /* OF SF AF PF */
	U_SHIFT,    /* AF; OF unless by 1; CF if by the operand's bits or more */
	U_ROTATE,   /* OF unless by 1 */
	U_DOUBLE,   /* as U_SHIFT; all if by more than the operand's bits */
};
enum imm { NO_IMM, IMM8, IMM_OPERAND };
enum shape { MODRM, MOFFS, STRING, XLAT };
enum trait {
	LOCKABLE = 1, BYTE = 2 /* operand */, ALIGNED16 = 4 /* or #GP */, SSE = 8, BIT_STRING = 16, STACK = 32, BRANCH = 64,
	NOT_64 = 128, ONLY_64 = 256, BY_CL = 512, BY_ONE = 1024, COMPARES = 2048, PAIR = 4096 /* CMPXCHG8B, 16B */
};

struct rule {
	const char *name;
	u16 opcode;      /* as vmm/emul/emul.h numbers them */
	s8 reg;          /* ModRM.reg, -1: any */
	u8 prefix;       /* that is a part of the opcode */
	u8 touches, undefined, imm, shape;
	unsigned traits;
};
extern const struct rule rules[];
extern const unsigned rule_count;
/* the rule for bytes that may have been mutated; NULL: none */
const struct rule *rule_of(const u8 *bytes, unsigned len, unsigned mode);

/* what comes before the opcode */
struct head {
	unsigned at;    /* of the opcode */
	bool opsize, lock;
	u8 rep, rex;    /* rex: 0 unless right before the opcode */
	u8 segment;     /* the last override's prefix byte */
	bool both_reps; /* F2 and F3 */
	bool idle_rex;  /* one that a legacy prefix follows */
	bool overridden; /* FS or GS, and another override behind it */
};
struct head head_of(const u8 *bytes, unsigned len, unsigned mode);
unsigned operand_size(const struct rule *rule, const struct head *h, unsigned mode);
/* of a shift or rotate; length: of the whole instruction */
unsigned shift_count(const struct rule *rule, const u8 *bytes, unsigned length, const struct emul_state *before);
/* flags that the SDM leaves undefined; *ret_all: the result is undefined as well */
u64 undefined_flags(const struct rule *rule, unsigned size, unsigned count, bool *ret_all);
/* this processor's result of a shift in *value, returns its flags */
u64 native_shift(const struct rule *rule, unsigned size, u64 *value, u64 other, u8 count, u64 flags);

/* ---- the world: the same pages in all three modes, identity mapped */
#define WORLD_PAGES 8u
#define WORLD_BASE 0x50000ull
#define WORLD_LEN ((u64)WORLD_PAGES * PAGE_SIZE)
#define PAGE_ABSENT 0u
#define PAGE_READS 1u
#define PAGE_ALL 3u
extern const u8 world_rights[WORLD_PAGES];
#define CODE_BASE 0x1000u
#define CODE_SLOT 32u
#define CODE_SLOTS 1024u
#define CODE_LEN (CODE_SLOT * CODE_SLOTS)
#define CODE_END (CODE_BASE + CODE_LEN)
#define CODE_FILL 0xf4 /* HLT */

struct one_case {
	u64 seed;
	unsigned mode;
	u8 bytes[CODE_SLOT];      /* len of them; behind them CODE_FILL */
	unsigned len;             /* as generated */
	bool mutated;
	struct emul_state state;
	u64 aim;                  /* linear: where the operand is meant to lie */
	u8 plant[16];             /* put there: a branch's target, or what CMPXCHG expects */
	unsigned plant_len;
};
/* segments are given by the mode, except FS and GS in 64-bit mode */
void case_draw(struct one_case *c, u64 seed, u64 rip);
void case_segments(unsigned mode, struct hv_segment segment[EMUL_SEGMENTS]);
u64 draw(u64 *state);

/* ---- Unicorn */
struct outcome {
	bool done;                   /* else it faulted, or was refused */
	const char *error;           /* which, as a text */
	bool bad_access;             /* it faulted at memory, at fault_address */
	u64 fault_address;
	struct emul_state state;     /* gpr, xmm, rip, rflags */
	u64 first;                   /* address of the first access, ~0: none */
	bool strayed;                /* touched the code, which is not there for the other side's data */
};
struct engine;
/* memory: WORLD_LEN bytes, what there is as a case begins */
struct engine *engine_create(const u8 *memory);
void engine_destroy(struct engine *e);
/* runs c until RIP is rip_end. Afterwards memory is as the instruction left it, until engine_reset(). */
void engine_run(struct engine *e, const struct one_case *c, u64 rip_end, struct outcome *ret);
const u8 *engine_memory(const struct engine *e, unsigned mode);
void engine_reset(struct engine *e, unsigned mode);

/* ---- judgement */
struct ours {
	enum emul_result result;
	struct emul_state state;
	bool wrote;     /* to memory */
	bool long_rep;  /* not run to its end */
};
/* our memory as the instruction left it, and as both sides' was before, what a case plants aside */
extern u8 world[WORLD_LEN], pristine[WORLD_LEN];

/* what Unicorn does not do; *ret_wrong: ours is not what the rules say */
bool excluded(const struct one_case *c, const struct rule *rule, const struct ours *o, const char **ret_wrong);
/* NULL: they agree. May mend what is theirs, and for a MOVBE our memory. */
const char *judge(const struct one_case *c, const struct rule *rule, const struct ours *o, struct outcome *t, const u8 *theirs);
/* Unicorn has no MOVBE, whichever processor it is told to be: it gets a MOV of the same length (F3 means nothing to that) */
bool is_movbe(const struct rule *rule);
void as_mov(const struct one_case *c, struct one_case *ret);
