/*
 * Hypervisor interface: hypercalls, status codes, register names.
 * Sources: Hypervisor Top Level Functional Specification (TLFS); Linux include/hyperv/hvgdk_mini.h, hvhdk.h;
 * openvmm vm/hv1/hvdef for what neither names.
 */
#pragma once

#include "lib/core/types.h"

/* ---- hypercall input value and result (TLFS 3.7, 3.8) */
#define HV_HYPERCALL_CODE 0xffffull
#define HV_HYPERCALL_FAST BIT(16)
#define HV_HYPERCALL_VARHEAD (0x3ffull << 17)
#define HV_HYPERCALL_REP_COUNT (0xfffull << 32)
#define HV_HYPERCALL_REP_START (0xfffull << 48)
#define HV_HYPERCALL_RESERVED (BIT(27) | 0xf0000000ull | (0xfull << 44) | (0xfull << 60))
#define HV_RESULT_STATUS 0xffffull
#define HV_RESULT_REPS_DONE (0xfffull << 32)

enum hv_call {
	HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE = 0x0002,
	HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST = 0x0003,
	HVCALL_NOTIFY_LONG_SPIN_WAIT = 0x0008,
	HVCALL_SEND_IPI = 0x000b,
	HVCALL_MODIFY_VTL_PROTECTION_MASK = 0x000c,
	HVCALL_ENABLE_PARTITION_VTL = 0x000d,
	HVCALL_ENABLE_VP_VTL = 0x000f,
	HVCALL_VTL_CALL = 0x0011,
	HVCALL_VTL_RETURN = 0x0012,
	HVCALL_SEND_IPI_EX = 0x0015,
	HVCALL_GET_PARTITION_ID = 0x0046,
	HVCALL_INSTALL_INTERCEPT = 0x004d,
	HVCALL_GET_VP_REGISTERS = 0x0050,
	HVCALL_SET_VP_REGISTERS = 0x0051,
	HVCALL_TRANSLATE_VIRTUAL_ADDRESS = 0x0052,
	HVCALL_POST_MESSAGE = 0x005c,
	HVCALL_SIGNAL_EVENT = 0x005d,
	HVCALL_RETARGET_INTERRUPT = 0x007e,
	HVCALL_REGISTER_INTERCEPT_RESULT = 0x0091,
	HVCALL_ASSERT_VIRTUAL_INTERRUPT = 0x0094,
	HVCALL_START_VP = 0x0099,
	HVCALL_GET_VP_INDEX_FROM_APIC_ID = 0x009a,
	HVCALL_SIGNAL_EVENT_DIRECT = 0x00c0,
	HVCALL_POST_MESSAGE_DIRECT = 0x00c1,
	HVCALL_CHECK_SPARSE_GPA_PAGE_VTL_ACCESS = 0x00d4,
};

enum hv_status {
	HV_STATUS_SUCCESS = 0x0,
	HV_STATUS_INVALID_HYPERCALL_CODE = 0x2,
	HV_STATUS_INVALID_HYPERCALL_INPUT = 0x3,
	HV_STATUS_INVALID_ALIGNMENT = 0x4,
	HV_STATUS_INVALID_PARAMETER = 0x5,
	HV_STATUS_ACCESS_DENIED = 0x6,
	HV_STATUS_INVALID_PARTITION_STATE = 0x7,
	HV_STATUS_OPERATION_DENIED = 0x8,
	HV_STATUS_INSUFFICIENT_MEMORY = 0xb,
	HV_STATUS_INVALID_PARTITION_ID = 0xd,
	HV_STATUS_INVALID_VP_INDEX = 0xe,
	HV_STATUS_INVALID_CONNECTION_ID = 0x12,
	HV_STATUS_INSUFFICIENT_BUFFERS = 0x13,
	HV_STATUS_INVALID_VP_STATE = 0x15,
	HV_STATUS_INVALID_SYNIC_STATE = 0x18,
	HV_STATUS_OBJECT_IN_USE = 0x19,
	HV_STATUS_INVALID_REGISTER_VALUE = 0x50,
	HV_STATUS_VTL_ALREADY_ENABLED = 0x86,
};

#define HV_PARTITION_ID_SELF (~0ull)
#define HV_VP_INDEX_SELF 0xfffffffeu

/* union hv_input_vtl: an explicit target only with the use bit */
#define HV_INPUT_VTL_TARGET 0x0fu
#define HV_INPUT_VTL_USE_TARGET 0x10u

/* ---- register names (TLFS, appendix "register names") */
enum hv_register {
	HV_REGISTER_INTERNAL_ACTIVITY_STATE = 0x00000004,
	HV_REGISTER_EXPLICIT_SUSPEND = 0x00000000,
	HV_REGISTER_INTERCEPT_SUSPEND = 0x00000001,
	HV_REGISTER_INSTRUCTION_EMULATION_HINTS = 0x00000002,
	HV_REGISTER_PRIVILEGES_AND_FEATURES = 0x00000200,
	HV_REGISTER_GUEST_CRASH_P0 = 0x00000210, /* then P1 to P4 */
	HV_REGISTER_GUEST_CRASH_P4 = 0x00000214,
	HV_REGISTER_GUEST_CRASH_CTL = 0x00000215,
	HV_REGISTER_PENDING_INTERRUPTION = 0x00010002,
	HV_REGISTER_INTERRUPT_STATE = 0x00010003,
	HV_REGISTER_PENDING_EVENT0 = 0x00010004,
	HV_REGISTER_PENDING_EVENT1 = 0x00010005,
	HV_REGISTER_DELIVERABILITY_NOTIFICATIONS = 0x00010006,
	HV_X64_REGISTER_RAX = 0x00020000, /* then RCX RDX RBX RSP RBP RSI RDI R8..R15 */
	HV_X64_REGISTER_RCX = 0x00020001,
	HV_X64_REGISTER_RDX = 0x00020002,
	HV_X64_REGISTER_RBX = 0x00020003,
	HV_X64_REGISTER_RSP = 0x00020004,
	HV_X64_REGISTER_RBP = 0x00020005,
	HV_X64_REGISTER_RSI = 0x00020006,
	HV_X64_REGISTER_RDI = 0x00020007,
	HV_X64_REGISTER_R8 = 0x00020008,
	HV_X64_REGISTER_R15 = 0x0002000f,
	HV_X64_REGISTER_RIP = 0x00020010,
	HV_X64_REGISTER_RFLAGS = 0x00020011,
	HV_X64_REGISTER_CR0 = 0x00040000,
	HV_X64_REGISTER_CR2 = 0x00040001,
	HV_X64_REGISTER_CR3 = 0x00040002,
	HV_X64_REGISTER_CR4 = 0x00040003,
	HV_X64_REGISTER_CR8 = 0x00040004,
	HV_X64_REGISTER_XFEM = 0x00040005,
	HV_X64_REGISTER_DR0 = 0x00050000,
	HV_X64_REGISTER_DR3 = 0x00050003,
	HV_X64_REGISTER_DR6 = 0x00050004,
	HV_X64_REGISTER_DR7 = 0x00050005,
	HV_X64_REGISTER_ES = 0x00060000,
	HV_X64_REGISTER_CS = 0x00060001,
	HV_X64_REGISTER_SS = 0x00060002,
	HV_X64_REGISTER_DS = 0x00060003,
	HV_X64_REGISTER_FS = 0x00060004,
	HV_X64_REGISTER_GS = 0x00060005,
	HV_X64_REGISTER_LDTR = 0x00060006,
	HV_X64_REGISTER_TR = 0x00060007,
	HV_X64_REGISTER_IDTR = 0x00070000,
	HV_X64_REGISTER_GDTR = 0x00070001,
	HV_X64_REGISTER_TSC = 0x00080000,
	HV_X64_REGISTER_EFER = 0x00080001,
	HV_X64_REGISTER_KERNEL_GS_BASE = 0x00080002,
	HV_X64_REGISTER_APIC_BASE = 0x00080003,
	HV_X64_REGISTER_PAT = 0x00080004,
	HV_X64_REGISTER_SYSENTER_CS = 0x00080005,
	HV_X64_REGISTER_SYSENTER_EIP = 0x00080006,
	HV_X64_REGISTER_SYSENTER_ESP = 0x00080007,
	HV_X64_REGISTER_STAR = 0x00080008,
	HV_X64_REGISTER_LSTAR = 0x00080009,
	HV_X64_REGISTER_CSTAR = 0x0008000a,
	HV_X64_REGISTER_SFMASK = 0x0008000b,
	HV_X64_REGISTER_MTRR_CAP = 0x0008000d,
	HV_X64_REGISTER_MTRR_DEF_TYPE = 0x0008000e,
	HV_X64_REGISTER_MTRR_BASE0 = 0x00080010, /* then 15 more */
	HV_X64_REGISTER_MTRR_MASK0 = 0x00080040,
	HV_X64_REGISTER_TSC_AUX = 0x0008007b,
	HV_REGISTER_VP_INDEX = 0x00090003,
	HV_REGISTER_TIME_REF_COUNT = 0x00090004,
	HV_REGISTER_VP_ASSIST_PAGE = 0x00090013,
	HV_REGISTER_REG_PAGE = 0x0009001c,
	HV_REGISTER_VSM_CODE_PAGE_OFFSETS = 0x000d0002,
	HV_REGISTER_VSM_VP_STATUS = 0x000d0003,
	HV_REGISTER_VSM_CAPABILITIES = 0x000d0006,
	HV_REGISTER_VSM_PARTITION_CONFIG = 0x000d0007,
	HV_REGISTER_GUEST_VSM_PARTITION_CONFIG = 0x000d0008,
	HV_X64_REGISTER_CR_INTERCEPT_CONTROL = 0x000e0000, /* of the higher VTL, for what the lower ones do */
};

/*
 * HV_X64_REGISTER_CR_INTERCEPT_CONTROL (TLFS 15, "Secure Register Intercepts"). A write comes as an MSR intercept, before it is
 * made. Only what is asked for here has a name.
 */
#define HV_CR_INTERCEPT_LSTAR_WRITE BIT(6)
#define HV_CR_INTERCEPT_STAR_WRITE BIT(8)
#define HV_CR_INTERCEPT_CSTAR_WRITE BIT(10)
#define HV_CR_INTERCEPT_SYSENTER_CS_WRITE BIT(19)
#define HV_CR_INTERCEPT_SYSENTER_EIP_WRITE BIT(20)
#define HV_CR_INTERCEPT_SYSENTER_ESP_WRITE BIT(21)
#define HV_CR_INTERCEPT_SFMASK_WRITE BIT(22)

struct hv_segment {
	u64 base;
	u32 limit;
	u16 selector;
	u16 attributes; /* type 0-3, s 4, dpl 5-6, p 7, avl 12, l 13, db 14, g 15 */
};
_Static_assert(sizeof(struct hv_segment) == 16, "TLFS HV_X64_SEGMENT_REGISTER");

struct hv_table {
	u16 pad[3];
	u16 limit;
	u64 base;
};
_Static_assert(sizeof(struct hv_table) == 16, "TLFS HV_X64_TABLE_REGISTER");

union hv_register_value {
	u64 u64[2];
	struct hv_segment segment;
	struct hv_table table;
};

struct hv_register_assoc {
	u32 name;
	u32 reserved1;
	u64 reserved2;
	union hv_register_value value;
};
_Static_assert(sizeof(struct hv_register_assoc) == 32, "TLFS HV_REGISTER_ASSOC");

/* HV_REGISTER_VSM_VP_STATUS: active VTL 0-3, enabled VTL set from bit 16 on (TLFS HV_REGISTER_VSM_VP_STATUS) */
#define HV_VSM_VP_STATUS_ACTIVE_VTL 0xfull
#define HV_VSM_VP_STATUS_ENABLED (0xffffull << 16)
/* HV_REGISTER_VSM_CAPABILITIES (hvgdk_mini.h) */
#define HV_VSM_CAP_DR6_SHARED BIT(0)
#define HV_VSM_CAP_INTERCEPT_PAGE BIT(27)
#define HV_VSM_CAP_RETURN_ACTION BIT(28)
/* HV_REGISTER_VSM_PARTITION_CONFIG (hvgdk_mini.h) */
#define HV_VSM_CONFIG_ENABLE_PROTECTION BIT(0)
#define HV_VSM_CONFIG_DEFAULT_MASK (0xfull << 1)
#define HV_VSM_CONFIG_ZERO_ON_RESET BIT(5)
#define HV_VSM_CONFIG_INTERCEPT_UNRECOVERABLE BIT(11)
#define HV_VSM_CONFIG_INTERCEPT_PAGE BIT(12)

/* HV_REGISTER_PENDING_INTERRUPTION (hvgdk_mini.h hv_x64_pending_interruption_register) */
#define HV_PENDING_INTERRUPTION BIT(0)
#define HV_PENDING_TYPE (7ull << 1) /* 0 external, 2 NMI, 3 exception, 4 software */
#define HV_PENDING_HAS_ERROR BIT(4)
#define HV_PENDING_LENGTH (0xfull << 5)
#define HV_PENDING_VECTOR (0xffffull << 16)
#define HV_PENDING_ERROR_CODE (0xffffffffull << 32)
#define HV_PENDING_TYPE_INTERRUPT 0
#define HV_PENDING_TYPE_NMI 2
#define HV_PENDING_TYPE_EXCEPTION 3
#define HV_PENDING_TYPE_SOFTWARE_EXCEPTION 6

/* HV_REGISTER_PENDING_EVENT0 for an exception (TLFS HV_X64_PENDING_EXCEPTION_EVENT) */
#define HV_EVENT_PENDING BIT(0)
#define HV_EVENT_TYPE (7ull << 1)
#define HV_EVENT_TYPE_EXCEPTION 0
#define HV_EVENT_TYPE_EXTINT 5
#define HV_EVENT_DELIVER_ERROR BIT(8)
#define HV_EVENT_VECTOR (0xffffull << 16)
#define HV_EVENT_ERROR_CODE (0xffffffffull << 32)
/* and for an external interrupt (hvdef HvX64PendingExtIntEvent) */
#define HV_EVENT_EXTINT_VECTOR (0xffull << 8)
/* HV_REGISTER_INTERRUPT_STATE */
#define HV_INTERRUPT_SHADOW BIT(0)
#define HV_NMI_MASKED BIT(1)

/* HV_REGISTER_DELIVERABILITY_NOTIFICATIONS (hvdef) */
#define HV_DELIVERABILITY_NMI BIT(0)
#define HV_DELIVERABILITY_INTERRUPT BIT(1)
#define HV_DELIVERABILITY_PRIORITY (0xfull << 2)
#define HV_DELIVERABILITY_SINTS (0xffffull << 48)

/* HV_REGISTER_INTERNAL_ACTIVITY_STATE */
#define HV_ACTIVITY_STARTUP_SUSPEND BIT(0)
#define HV_ACTIVITY_HALT_SUSPEND BIT(1)

/* ---- hypercall inputs */
struct hv_get_vp_registers {
	u64 partition_id;
	u32 vp_index;
	u8 input_vtl;
	u8 pad[3];
	u32 names[];
};

struct hv_set_vp_registers {
	u64 partition_id;
	u32 vp_index;
	u8 input_vtl;
	u8 pad[3];
	struct hv_register_assoc elements[];
};
_Static_assert(offsetof(struct hv_set_vp_registers, elements) == 16, "TLFS HvCallSetVpRegisters");

struct hv_install_intercept {
	u64 partition_id;
	u32 access_type; /* bit 0 read, bit 1 write, bit 2 execute */
	u32 intercept_type;
	u64 parameter; /* for port ranges: first u16, last u16 */
};
_Static_assert(sizeof(struct hv_install_intercept) == 24, "TLFS HvCallInstallIntercept");

#define HV_ACCESS_READ 1u
#define HV_ACCESS_WRITE 2u
#define HV_ACCESS_EXECUTE 4u

enum hv_intercept_type {
	HV_INTERCEPT_IO_PORT = 0x0,
	HV_INTERCEPT_MSR = 0x1,
	HV_INTERCEPT_CPUID = 0x2,
	HV_INTERCEPT_EXCEPTION = 0x3,
	HV_INTERCEPT_HYPERCALL = 0x8,
	HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION = 0xd,
	HV_INTERCEPT_APIC_EOI = 0xe,
	HV_INTERCEPT_RETARGET_UNKNOWN_DEVICE = 0xf,
	HV_INTERCEPT_IO_PORT_RANGE = 0x11,
};

struct hv_assert_virtual_interrupt {
	u64 partition_id;
	u32 interrupt_type; /* as in an APIC ICR: 0 fixed, 1 lowest priority, 4 NMI, 5 INIT, 6 SIPI, 7 ExtINT */
	u32 control;
	u64 destination; /* APIC id or logical destination */
	u32 vector;
	u8 target_vtl;
	u8 pad[3];
};
_Static_assert(sizeof(struct hv_assert_virtual_interrupt) == 32, "hvhdk.h hv_input_assert_virtual_interrupt");
#define HV_INTERRUPT_LEVEL BIT(0)
#define HV_INTERRUPT_LOGICAL BIT(1)

#define HV_MAP_READ 1u
#define HV_MAP_WRITE 2u
#define HV_MAP_KERNEL_EXECUTE 4u
#define HV_MAP_USER_EXECUTE 8u

struct hv_modify_vtl_protection_mask {
	u64 partition_id;
	u32 map_flags; /* HV_MAP_*: what is left */
	u8 input_vtl;
	u8 pad[3];
	u64 gpa_pages[];
};
_Static_assert(offsetof(struct hv_modify_vtl_protection_mask, gpa_pages) == 16, "TLFS HvCallModifyVtlProtectionMask");

struct hv_cpuid_result_parameters {
	u32 eax, ecx; /* the leaf and sub-leaf */
	u8 subleaf_specific, always_override;
	u16 padding;
	struct {
		u32 eax, eax_mask, ebx, ebx_mask, ecx, ecx_mask, edx, edx_mask;
	} result;
};
_Static_assert(sizeof(struct hv_cpuid_result_parameters) == 44, "hvhdk.h hv_register_x64_cpuid_result_parameters");

struct hv_register_intercept_result {
	u64 partition_id;
	u32 vp_index;
	u32 intercept_type; /* HV_INTERCEPT_CPUID */
	struct hv_cpuid_result_parameters parameters;
	u32 pad;
};

struct hv_post_message {
	u32 connection_id;
	u32 reserved;
	u32 message_type;
	u32 payload_size;
	u8 payload[240];
};
_Static_assert(sizeof(struct hv_post_message) == 256, "TLFS HvCallPostMessage");
