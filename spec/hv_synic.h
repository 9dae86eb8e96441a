/* SynIC messages and intercept messages. Source: TLFS chapters 11 and 14; Linux include/hyperv/hvhdk.h; openvmm hvdef. */
#pragma once

#include "spec/hv.h"

enum hv_message_type {
	HVMSG_NONE = 0,
	HVMSG_VMBUS = 1,
	HVMSG_UNMAPPED_GPA = 0x80000000,
	HVMSG_GPA_INTERCEPT = 0x80000001,
	HVMSG_TIMER_EXPIRED = 0x80000010,
	HVMSG_UNRECOVERABLE_EXCEPTION = 0x80000021,
	HVMSG_HYPERCALL_INTERCEPT = 0x80000050,
	HVMSG_SYNIC_SINT_DELIVERABLE = 0x80000062,
	HVMSG_X64_IO_PORT = 0x80010000,
	HVMSG_X64_MSR = 0x80010001,
	HVMSG_X64_CPUID = 0x80010002,
	HVMSG_X64_EXCEPTION = 0x80010003,
	HVMSG_X64_APIC_EOI = 0x80010004,
	HVMSG_X64_HALT = 0x80010007,
	HVMSG_X64_INTERRUPTION_DELIVERABLE = 0x80010008,
};

#define HV_MESSAGE_PAYLOAD_LEN 240
#define HV_MESSAGE_FLAG_PENDING 1u

struct hv_message {
	u32 type;
	u8 payload_size;
	u8 flags;
	u8 reserved[2];
	u64 origin;
	u8 payload[HV_MESSAGE_PAYLOAD_LEN];
};
_Static_assert(sizeof(struct hv_message) == 256, "TLFS HV_MESSAGE");

/* intercept_access_type */
#define HV_INTERCEPT_ACCESS_READ 0
#define HV_INTERCEPT_ACCESS_WRITE 1
#define HV_INTERCEPT_ACCESS_EXECUTE 2

/* execution_state */
#define HV_EXECUTION_CPL 0x3u
#define HV_EXECUTION_CR0_PE BIT(2)
#define HV_EXECUTION_CR0_AM BIT(3)
#define HV_EXECUTION_EFER_LMA BIT(4)
#define HV_EXECUTION_DEBUG_ACTIVE BIT(5)
#define HV_EXECUTION_INTERRUPTION_PENDING BIT(6)
#define HV_EXECUTION_INTERRUPT_SHADOW BIT(12)

struct hv_intercept_header {
	u32 vp_index;
	u8 instruction_length; /* bits 0-3; bits 4-7 hold CR8 */
	u8 access_type;
	u16 execution_state;
	struct hv_segment cs;
	u64 rip;
	u64 rflags;
};
_Static_assert(sizeof(struct hv_intercept_header) == 40, "hvhdk.h hv_x64_intercept_message_header");

struct hv_io_port_intercept {
	struct hv_intercept_header header;
	u16 port;
	u8 access_info; /* size 0-2, string 3, rep 4 */
	u8 instruction_byte_count;
	u32 reserved;
	u64 rax;
	u8 instruction_bytes[16];
	struct hv_segment ds, es;
	u64 rcx, rsi, rdi;
};
_Static_assert(offsetof(struct hv_io_port_intercept, rax) == 48, "TLFS HV_X64_IO_PORT_INTERCEPT_MESSAGE");
_Static_assert(sizeof(struct hv_io_port_intercept) == 128, "TLFS HV_X64_IO_PORT_INTERCEPT_MESSAGE");
#define HV_IO_SIZE 0x7u
#define HV_IO_STRING BIT(3)
#define HV_IO_REP BIT(4)

struct hv_memory_intercept {
	struct hv_intercept_header header;
	u32 cache_type;
	u8 instruction_byte_count;
	u8 access_info; /* bit 0: gva valid, bit 1: gva-gpa pair valid */
	u8 tpr_priority;
	u8 reserved;
	u64 gva;
	u64 gpa;
	u8 instruction_bytes[16];
};
_Static_assert(offsetof(struct hv_memory_intercept, instruction_bytes) == 64, "hvhdk.h hv_x64_memory_intercept_message");

struct hv_msr_intercept {
	struct hv_intercept_header header;
	u32 msr;
	u32 reserved;
	u64 rdx, rax;
};
_Static_assert(sizeof(struct hv_msr_intercept) == 64, "TLFS HV_X64_MSR_INTERCEPT_MESSAGE");

struct hv_cpuid_intercept {
	struct hv_intercept_header header;
	u64 rax, rcx, rdx, rbx;
	u64 default_rax, default_rcx, default_rdx, default_rbx;
};
_Static_assert(sizeof(struct hv_cpuid_intercept) == 104, "TLFS HV_X64_CPUID_INTERCEPT_MESSAGE");

struct hv_exception_intercept {
	struct hv_intercept_header header;
	u16 vector;
	u8 info; /* bit 0: error code valid */
	u8 instruction_byte_count;
	u32 error_code;
	u64 parameter;
	u64 reserved;
	u8 instruction_bytes[16];
	struct hv_segment ds, ss;
	u64 gprs[16]; /* RAX RCX RDX RBX RSP RBP RSI RDI R8..R15 */
};

struct hv_hypercall_intercept {
	struct hv_intercept_header header;
	u64 rax, rbx, rcx, rdx, r8, rsi, rdi;
	u64 xmm[12];
	u32 flags; /* bit 0: isolated */
	u32 reserved[3];
};
_Static_assert(sizeof(struct hv_hypercall_intercept) == 208, "hvdef HvX64HypercallInterceptMessage");

struct hv_deliverable_intercept {
	struct hv_intercept_header header;
	u32 type; /* of the pending interruption: 0 external, 2 NMI */
	u32 reserved;
};

struct hv_sint_deliverable {
	struct hv_intercept_header header;
	u16 sints; /* bit n: SINT n's slot is free */
	u16 reserved1;
	u32 reserved2;
};
_Static_assert(sizeof(struct hv_sint_deliverable) == 48, "hvdef HvX64SynicSintDeliverableMessage");

struct hv_apic_eoi {
	u32 vp_index;
	u32 vector;
};

struct hv_timer_expired {
	u32 timer_index;
	u32 reserved;
	u64 expiration_time;
	u64 delivery_time;
};

struct hv_synic_event_flags {
	u64 flags[32];
};
_Static_assert(sizeof(struct hv_synic_event_flags) == 256, "TLFS HV_SYNIC_EVENT_FLAGS");

/* ---- what a higher VTL posts and signals directly, without a port (hvdef PostMessageDirect, SignalEventDirect) */
struct hv_post_message_direct {
	u64 partition_id;
	u32 vp_index;
	u8 vtl, reserved1[3];
	u8 sint, reserved2[3];
	u8 message[sizeof(struct hv_message)]; /* not aligned for a struct hv_message */
	u32 reserved3;
};
_Static_assert(sizeof(struct hv_post_message_direct) == 280, "hvdef PostMessageDirect");
_Static_assert(offsetof(struct hv_post_message_direct, message) == 20, "hvdef PostMessageDirect");

struct hv_signal_event_direct {
	u64 partition_id;
	u32 vp_index;
	u8 vtl, sint;
	u16 flag;
};
_Static_assert(sizeof(struct hv_signal_event_direct) == 16, "hvdef SignalEventDirect");
