/*
 * Virtual PCI over a VMBus channel: the messages between the host and Linux's pci-hyperv. Sources: Linux
 * drivers/pci/controller/pci-hyperv.c; openvmm vm/devices/pci/vpci_protocol. All bytes little endian.
 */
#pragma once

#include "lib/core/guid.h"

#define VPCI_INTERFACE GUID(0x44c4f61d, 0x4444, 0x4400, 0x9d, 0x52, 0x80, 0x2e, 0x27, 0xed, 0xe1, 0x9f)

#define VPCI_VERSION(major, minor) ((u32)(major) << 16 | (minor))
#define VPCI_VERSION_1_1 VPCI_VERSION(1, 1)
#define VPCI_VERSION_1_2 VPCI_VERSION(1, 2)
#define VPCI_VERSION_1_3 VPCI_VERSION(1, 3)
#define VPCI_VERSION_1_4 VPCI_VERSION(1, 4)

enum vpci_message_type {
	VPCI_BUS_RELATIONS = 0x42490000,
	VPCI_QUERY_BUS_RELATIONS = 0x42490001,
	VPCI_POWER_STATE_CHANGE = 0x42490004,
	VPCI_QUERY_RESOURCE_REQUIREMENTS = 0x42490005,
	VPCI_BUS_D0_ENTRY = 0x42490007,
	VPCI_BUS_D0_EXIT = 0x42490008,
	VPCI_READ_BLOCK = 0x42490009,
	VPCI_WRITE_BLOCK = 0x4249000a,
	VPCI_EJECT = 0x4249000b,
	VPCI_EJECTION_COMPLETE = 0x4249000f,
	VPCI_RESOURCES_ASSIGNED = 0x42490010,
	VPCI_RESOURCES_RELEASED = 0x42490011,
	VPCI_QUERY_PROTOCOL_VERSION = 0x42490013,
	VPCI_CREATE_INTERRUPT = 0x42490014,
	VPCI_DELETE_INTERRUPT = 0x42490015,
	VPCI_RESOURCES_ASSIGNED2 = 0x42490016,
	VPCI_CREATE_INTERRUPT2 = 0x42490017,
	VPCI_BUS_RELATIONS2 = 0x42490019,
	VPCI_CREATE_INTERRUPT3 = 0x4249001b,
};

#define VPCI_STATUS_SUCCESS 0u
#define VPCI_STATUS_UNSUCCESSFUL 0xC0000001u
#define VPCI_STATUS_INVALID_PARAMETER 0xC000000Du
#define VPCI_STATUS_REVISION_MISMATCH 0xC0000059u
#define VPCI_STATUS_INSUFFICIENT_RESOURCES 0xC000009Au

/* the window of MMIO that stands for configuration space: a slot number, then that slot's space */
#define VPCI_WINDOW_SIZE 0x2000u
#define VPCI_WINDOW_CONFIG 0x1000u

struct vpci_child { /* how messages about one function begin */
	u32 type;
	u32 slot; /* device 0-4, function 5-7 */
};

struct vpci_version {
	u32 type, version;
};

struct vpci_version_reply {
	u32 status, version;
};

struct vpci_d0_entry {
	u32 type, reserved;
	u64 mmio_base;
};
_Static_assert(sizeof(struct vpci_d0_entry) == 16, "pci-hyperv.c pci_bus_d0_entry");

struct vpci_function {
	u16 vendor, device;
	u8 revision, prog_interface, sub_class, base_class;
	u32 subsystem;
	u32 slot, serial;
};
_Static_assert(sizeof(struct vpci_function) == 20, "pci-hyperv.c pci_function_description");

struct vpci_function2 {
	struct vpci_function function;
	u32 flags;
	u16 numa_node, reserved;
};
_Static_assert(sizeof(struct vpci_function2) == 28, "pci-hyperv.c pci_function_description2");

struct vpci_relations {
	u32 type, count; /* functions follow */
};

struct vpci_requirements_reply {
	u32 status;
	u32 bars[6]; /* as a read after writing all ones would give */
};
_Static_assert(sizeof(struct vpci_requirements_reply) == 28, "pci-hyperv.c pci_q_res_req_response");

/* the interrupt's description in the three versions of the create message, behind struct vpci_child */
struct vpci_msi {
	u8 vector, delivery_mode;
	u16 vector_count;
	u32 reserved;
	u64 cpu_mask;
};
_Static_assert(sizeof(struct vpci_msi) == 16, "pci-hyperv.c hv_msi_desc");

#define VPCI_MSI_PROCESSORS 32
struct vpci_msi2 {
	u8 vector, delivery_mode;
	u16 vector_count, processor_count, processors[VPCI_MSI_PROCESSORS];
};
_Static_assert(sizeof(struct vpci_msi2) == 70, "pci-hyperv.c hv_msi_desc2");

struct vpci_msi3 {
	u32 vector;
	u8 delivery_mode, reserved;
	u16 vector_count, processor_count, processors[VPCI_MSI_PROCESSORS];
} __packed;
_Static_assert(sizeof(struct vpci_msi3) == 74, "pci-hyperv.c hv_msi_desc3");

struct vpci_translated { /* what the function writes to raise the interrupt */
	u16 reserved, vector_count;
	u32 data;
	u64 address;
};
_Static_assert(sizeof(struct vpci_translated) == 16, "pci-hyperv.c tran_int_desc");

struct vpci_create_reply {
	u32 status, reserved;
	struct vpci_translated interrupt;
};
_Static_assert(sizeof(struct vpci_create_reply) == 24, "pci-hyperv.c pci_create_int_response");

struct vpci_delete_interrupt {
	struct vpci_child child;
	struct vpci_translated interrupt;
};

struct vpci_ejection_complete {
	struct vpci_child child;
	u32 status;
};

/* a completion's payload must be more than 4 bytes, else Linux does not look at it */
struct vpci_status {
	u32 status, reserved;
};

/* HvCallRetargetDeviceInterrupt (TLFS; Linux hvhdk.h hv_retarget_device_interrupt) */
struct vpci_retarget {
	u64 partition_id, device_id;
	u32 source, reserved1; /* source 1: MSI */
	u32 address, data;
	u64 reserved2;
	u32 vector, flags;
	u64 format_or_mask; /* the mask of VPs, or the sparse set's format when the flag says so */
	u64 bank_mask;
	u64 banks[];
};
_Static_assert(offsetof(struct vpci_retarget, vector) == 40, "hvhdk.h hv_retarget_device_interrupt");
_Static_assert(offsetof(struct vpci_retarget, banks) == 64, "hvhdk.h hv_retarget_device_interrupt");
#define VPCI_RETARGET_SOURCE_MSI 1u
#define VPCI_RETARGET_PROCESSOR_SET 2u

/* the device of an instance, as the retarget call names it: Data2, Data3 without its low bits, function */
#define VPCI_DEVICE_ID(instance, function) ((u64)(instance).data2 << 16 | ((instance).data3 & 0xfff8u) | (function))
