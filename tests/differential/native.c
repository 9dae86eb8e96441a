/* Shifts on this very processor: an engine for what Unicorn gets wrong */
#include "tests/differential/cases.h"

/* 128: the red zone */
#define RUN(text, ...)                                                                                     \
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpush %[f]\n\tpopf\n\t" text                            \
			 "\n\tpushf\n\tpop %[f]\n\tlea 128(%%rsp), %%rsp" : __VA_ARGS__ : "cc", "memory")

#define ONE_SIZE(type, op)                                                                                 \
	do {                                                                                               \
		type v = (type)*value;                                                                     \
		RUN(op " %%cl, %[v]", [v] "+r"(v), [f] "+r"(f) : "c"(count));                              \
		*value = v;                                                                                \
	} while (0)

#define SHIFT(name)                                                                                        \
	static u64 do_##name(unsigned size, u64 *value, u8 count, u64 f)                                   \
	{                                                                                                  \
		switch (size) {                                                                            \
		case 1: ONE_SIZE(u8, #name "b"); break;                                                    \
		case 2: ONE_SIZE(u16, #name "w"); break;                                                   \
		case 4: ONE_SIZE(u32, #name "l"); break;                                                   \
		default: ONE_SIZE(u64, #name "q"); break;                                                  \
		}                                                                                          \
		return f;                                                                                  \
	}
SHIFT(rol)
SHIFT(ror)
SHIFT(rcl)
SHIFT(rcr)
SHIFT(shl)
SHIFT(shr)
SHIFT(sar)

#define TWO_SIZE(type, op)                                                                                 \
	do {                                                                                               \
		type v = (type)*value, w = (type)other;                                                    \
		RUN(op " %%cl, %[w], %[v]", [v] "+r"(v), [f] "+r"(f) : [w] "r"(w), "c"(count));            \
		*value = v;                                                                                \
	} while (0)

#define DOUBLE_SHIFT(name)                                                                                 \
	static u64 do_##name(unsigned size, u64 *value, u64 other, u8 count, u64 f)                        \
	{                                                                                                  \
		switch (size) {                                                                            \
		case 2: TWO_SIZE(u16, #name "w"); break;                                                   \
		case 4: TWO_SIZE(u32, #name "l"); break;                                                   \
		default: TWO_SIZE(u64, #name "q"); break;                                                  \
		}                                                                                          \
		return f;                                                                                  \
	}
DOUBLE_SHIFT(shld)
DOUBLE_SHIFT(shrd)

u64 native_shift(const struct rule *rule, unsigned size, u64 *value, u64 other, u8 count, u64 flags)
{
	static u64 (*const all[8])(unsigned, u64 *, u8, u64) = { do_rol, do_ror, do_rcl, do_rcr, do_shl, do_shr, do_shl, do_sar };

	flags &= 0x8d5; /* no TF, no DF */
	if (rule->undefined == U_DOUBLE)
		return rule->opcode & 8 ? do_shrd(size, value, other, count, flags) : do_shld(size, value, other, count, flags);
	return all[rule->reg](size, value, count, flags);
}
