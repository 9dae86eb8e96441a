/*
 * Inside lib/dtb: the blob's layout. Big endian throughout. Source: Devicetree Specification 0.4,
 * sections 5.2 to 5.4.
 */
#pragma once

#include "lib/core/types.h"

#define DTB_MAGIC 0xD00DFEEDu
#define DTB_VERSION 17u
#define DTB_COMPATIBLE_VERSION 16u

#define DTB_BEGIN_NODE 1u
#define DTB_END_NODE 2u
#define DTB_PROP 3u
#define DTB_NOP 4u
#define DTB_END 9u

struct dtb_header {
	u32 magic;
	u32 totalsize;
	u32 off_dt_struct;
	u32 off_dt_strings;
	u32 off_mem_rsvmap;
	u32 version;
	u32 last_comp_version;
	u32 boot_cpuid_phys;
	u32 size_dt_strings;
	u32 size_dt_struct;
};
_Static_assert(sizeof(struct dtb_header) == 40, "Devicetree Specification 0.4, 5.2");
_Static_assert(offsetof(struct dtb_header, size_dt_struct) == 36, "Devicetree Specification 0.4, 5.2");

static inline u32 dtb_load32(const void *p)
{
	u32 raw;

	__builtin_memcpy(&raw, p, sizeof(raw));
	return __builtin_bswap32(raw);
}

static inline void dtb_store32(void *p, u32 value)
{
	u32 raw = __builtin_bswap32(value);

	__builtin_memcpy(p, &raw, sizeof(raw));
}

static inline u64 dtb_load64(const void *p)
{
	u64 raw;

	__builtin_memcpy(&raw, p, sizeof(raw));
	return __builtin_bswap64(raw);
}
