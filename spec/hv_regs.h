/*
 * Hyper-V register names that a VP context may carry. Source: TLFS, "Virtual processor register names"
 * (HV_X64_REGISTER_*); the same numbers in Linux include/hyperv/hvgdk_mini.h.
 */
#pragma once

#include "lib/core/types.h"

#define HV_X64_REGISTER_RAX 0x00020000
#define HV_X64_REGISTER_RCX 0x00020001
#define HV_X64_REGISTER_RDX 0x00020002
#define HV_X64_REGISTER_RBX 0x00020003
#define HV_X64_REGISTER_RSP 0x00020004
#define HV_X64_REGISTER_RBP 0x00020005
#define HV_X64_REGISTER_RSI 0x00020006
#define HV_X64_REGISTER_RDI 0x00020007
#define HV_X64_REGISTER_R8 0x00020008
#define HV_X64_REGISTER_R15 0x0002000F
#define HV_X64_REGISTER_RIP 0x00020010
#define HV_X64_REGISTER_RFLAGS 0x00020011
#define HV_X64_REGISTER_CR0 0x00040000
#define HV_X64_REGISTER_CR2 0x00040001
#define HV_X64_REGISTER_CR3 0x00040002
#define HV_X64_REGISTER_CR4 0x00040003
#define HV_X64_REGISTER_CR8 0x00040004
#define HV_X64_REGISTER_ES 0x00060000
#define HV_X64_REGISTER_CS 0x00060001
#define HV_X64_REGISTER_SS 0x00060002
#define HV_X64_REGISTER_DS 0x00060003
#define HV_X64_REGISTER_FS 0x00060004
#define HV_X64_REGISTER_GS 0x00060005
#define HV_X64_REGISTER_LDTR 0x00060006
#define HV_X64_REGISTER_TR 0x00060007
#define HV_X64_REGISTER_IDTR 0x00070000
#define HV_X64_REGISTER_GDTR 0x00070001
#define HV_X64_REGISTER_EFER 0x00080001
#define HV_X64_REGISTER_PAT 0x00080004

/* value of a segment register: HV_X64_SEGMENT_REGISTER */
struct hv_segment_value {
	u64 base;
	u32 limit;
	u16 selector;
	u16 attributes; /* as in a descriptor: type, S, DPL, P in 7:0; AVL, L, D/B, G in 15:12 */
};
_Static_assert(sizeof(struct hv_segment_value) == 16, "TLFS: HV_X64_SEGMENT_REGISTER");

/* value of GDTR and IDTR: HV_X64_TABLE_REGISTER */
struct hv_table_value {
	u16 pad[3];
	u16 limit;
	u64 base;
};
_Static_assert(sizeof(struct hv_table_value) == 16, "TLFS: HV_X64_TABLE_REGISTER");
_Static_assert(offsetof(struct hv_table_value, base) == 8, "TLFS: HV_X64_TABLE_REGISTER");
