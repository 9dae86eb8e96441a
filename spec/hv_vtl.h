/* Pages that hypervisor and VTL2 share. Source: TLFS chapter 15; Linux include/hyperv/hvgdk_mini.h, hvhdk.h. */
#pragma once

#include "spec/hv_synic.h"

#define HV_VTL_MAX_COUNT 3

enum hv_vtl_entry_reason {
	HV_VTL_ENTRY_RESERVED = 0,
	HV_VTL_ENTRY_VTL_CALL = 1,
	HV_VTL_ENTRY_INTERRUPT = 2,
	HV_VTL_ENTRY_INTERCEPT = 3,
};

/* something the hypervisor does when VTL2 returns; they follow one another in vtl_ret_actions, 0 ends them (openvmm hvdef) */
#define HV_VTL_RETURN_SIGNAL_EVENT 1
struct hv_vtl_return_signal_event {
	u64 action_type;
	u32 vp_index;
	u8 vtl, sint;
	u16 flag;
};
_Static_assert(sizeof(struct hv_vtl_return_signal_event) == 16, "hvdef HvVpAssistPageActionSignalEvent");

struct hv_vp_assist_page {
	u32 apic_assist; /* bit 0: no EOI required */
	u32 reserved1;
	u32 vtl_entry_reason;
	u32 vtl_reserved;
	u64 vtl_ret_rax;
	u64 vtl_ret_rcx;
	u8 nested_control[8 + 8 + 8 + 8];
	u8 reserved2[0x70 - 0x40];
	struct hv_message intercept_message;
	u8 vtl_ret_actions[256];
};
_Static_assert(offsetof(struct hv_vp_assist_page, vtl_entry_reason) == 8, "hvgdk_mini.h hv_vp_assist_page");
_Static_assert(offsetof(struct hv_vp_assist_page, vtl_ret_rax) == 16, "hvgdk_mini.h hv_vp_assist_page");
_Static_assert(offsetof(struct hv_vp_assist_page, intercept_message) == 0x70, "hvgdk_mini.h hv_vp_assist_page");
_Static_assert(offsetof(struct hv_vp_assist_page, vtl_ret_actions) == 0x170, "hvgdk_mini.h hv_vp_assist_page");

#define HV_REGISTER_PAGE_VERSION 1
/* dirty bits */
#define HV_REGISTER_CLASS_GENERAL BIT(0)
#define HV_REGISTER_CLASS_IP BIT(1)
#define HV_REGISTER_CLASS_XMM BIT(2)
#define HV_REGISTER_CLASS_SEGMENT BIT(3)
#define HV_REGISTER_CLASS_FLAGS BIT(4)

/* general purpose registers in Hyper-V's order */
enum hv_gpr {
	HV_RAX, HV_RCX, HV_RDX, HV_RBX, HV_RSP, HV_RBP, HV_RSI, HV_RDI,
	HV_R8, HV_R9, HV_R10, HV_R11, HV_R12, HV_R13, HV_R14, HV_R15, HV_GPR_COUNT
};

struct hv_register_page {
	u16 version;
	u8 valid;
	u8 reserved1;
	u32 dirty;
	u64 gpr[HV_GPR_COUNT];
	u64 rip;
	u64 rflags;
	u64 reserved2;
	u64 xmm[12];
	struct hv_segment es, cs, ss, ds, fs, gs;
	u64 cr0, cr3, cr4, cr8, efer, dr7;
	u64 pending_interruption;
	u64 interrupt_state;
	u64 instruction_emulation_hints;
	u64 xfem;
};
_Static_assert(offsetof(struct hv_register_page, rip) == 136, "hvhdk.h hv_vp_register_page");
_Static_assert(offsetof(struct hv_register_page, es) == 256, "hvhdk.h hv_vp_register_page");
_Static_assert(offsetof(struct hv_register_page, xfem) == 424, "hvhdk.h hv_vp_register_page");

/* hv_init_vp_context: what EnableVpVtl and StartVp set */
struct hv_init_vp_context {
	u64 rip, rsp, rflags;
	struct hv_segment cs, ds, es, fs, gs, ss, tr, ldtr;
	struct hv_table idtr, gdtr;
	u64 efer, cr0, cr3, cr4, pat;
};
_Static_assert(sizeof(struct hv_init_vp_context) == 224, "hvgdk_mini.h hv_init_vp_context");

struct hv_start_vp {
	u64 partition_id;
	u32 vp_index;
	u8 target_vtl;
	u8 pad[3];
	struct hv_init_vp_context context;
};
_Static_assert(offsetof(struct hv_start_vp, context) == 16, "hvgdk_mini.h hv_enable_vp_vtl");
