/* Scalars and small macros every folder uses. Freestanding: compiles in the shim too. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n) (1ull << (n))
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a) - 1))
#define ALIGN_UP(x, a) ALIGN_DOWN((x) + ((__typeof__(x))(a) - 1), a)
#define IS_ALIGNED(x, a) (((x) & ((__typeof__(x))(a) - 1)) == 0)
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* masks are written as in the specification; these move values in and out of them */
#define FIELD_GET(mask, reg) (((reg) & (mask)) / ((mask) & -(mask)))
#define FIELD_PREP(mask, val) (((u64)(val) * ((mask) & -(mask))) & (mask))

#define __must_check __attribute__((warn_unused_result))
#define __printf(a, b) __attribute__((format(printf, a, b)))
#define __packed __attribute__((packed))

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096u
#define KiB ((u64)1024)
#define MiB (1024 * KiB)
#define GiB (1024 * MiB)

/* a + b into *ret; true when the sum does not fit (then *ret is not touched) */
static inline bool add_overflow(u64 a, u64 b, u64 *ret)
{
	u64 sum = a + b;

	if (sum < a)
		return true;
	*ret = sum;
	return false;
}

/* does [start, start+len) lie within [base, base+size)? No sum can wrap. */
static inline bool range_within(u64 start, u64 len, u64 base, u64 size)
{
	return start >= base && len <= size && start - base <= size - len;
}

static inline bool ranges_overlap(u64 a, u64 alen, u64 b, u64 blen)
{
	return alen && blen && (a < b ? b - a < alen : a - b < blen);
}
