/*
 * NVM Express. Sources: NVM Express Base Specification 2.0c (registers, admin commands, identify controller, logs),
 * NVM Command Set Specification 1.0c (identify namespace, I/O commands), NVMe over PCIe Transport 1.0c (doorbells).
 * All fields little endian.
 */
#pragma once

#include "lib/core/types.h"

/* ---- controller registers (base, 3.1.3) */
#define NVME_CAP 0x00
#define NVME_VS 0x08
#define NVME_INTMS 0x0c
#define NVME_INTMC 0x10
#define NVME_CC 0x14
#define NVME_CSTS 0x1c
#define NVME_NSSR 0x20
#define NVME_AQA 0x24
#define NVME_ASQ 0x28
#define NVME_ACQ 0x30
#define NVME_DOORBELLS 0x1000

#define NVME_CAP_MQES 0xffffull
#define NVME_CAP_CQR BIT(16)
#define NVME_CAP_TO (0xffull << 24) /* 500 ms units */
#define NVME_CAP_DSTRD (0xfull << 32)
#define NVME_CAP_CSS_NVM BIT(37)
#define NVME_CAP_MPSMIN (0xfull << 48)
#define NVME_CAP_MPSMAX (0xfull << 52)

#define NVME_CC_EN BIT(0)
#define NVME_CC_CSS (7u << 4)
#define NVME_CC_MPS (0xfu << 7)
#define NVME_CC_AMS (7u << 11)
#define NVME_CC_SHN (3u << 14)
#define NVME_CC_SHN_NORMAL 1u
#define NVME_CC_IOSQES (0xfu << 16)
#define NVME_CC_IOCQES (0xfu << 20)

#define NVME_CSTS_RDY BIT(0)
#define NVME_CSTS_CFS BIT(1)
#define NVME_CSTS_SHST (3u << 2)
#define NVME_CSTS_SHST_OCCURRING 1u
#define NVME_CSTS_SHST_COMPLETE 2u

#define NVME_AQA_ASQS 0xfffu
#define NVME_AQA_ACQS (0xfffu << 16)
#define NVME_VERSION_1_4 0x00010400u
#define NVME_VERSION_2_0 0x00020000u

/* ---- queue entries */
struct nvme_command { /* base, figure 87 */
	u8 opcode, flags; /* flags: fused 0-1, PRP or SGL 6-7 */
	u16 cid;
	u32 nsid, cdw2, cdw3;
	u64 mptr, prp1, prp2;
	u32 cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
_Static_assert(sizeof(struct nvme_command) == 64, "NVMe base 2.0, 3.3.3.1");
_Static_assert(offsetof(struct nvme_command, cdw10) == 40, "NVMe base 2.0, 3.3.3.1");
#define NVME_COMMAND_FUSED 3u
#define NVME_COMMAND_PSDT 0xc0u
#define NVME_PSDT_SGL 1u /* the metadata, if any, is not an SGL */

struct nvme_sgl { /* base, 4.1.2: in place of both PRPs, or in a segment */
	u64 address;
	u32 len;
	u8 reserved12[3], type;
};
_Static_assert(sizeof(struct nvme_sgl) == 16, "NVMe base 2.0, 4.1.2.1");
/* descriptor type << 4 | sub type; sub type 0: an address */
#define NVME_SGL_DATA 0x00
#define NVME_SGL_BIT_BUCKET 0x10
#define NVME_SGL_SEGMENT 0x20
#define NVME_SGL_LAST_SEGMENT 0x30

struct nvme_completion {
	u32 dw0, dw1;
	u16 sq_head, sq_id, cid;
	u16 status; /* bit 0: phase; then code 8, type 3, retry delay 2, more, do not retry */
};
_Static_assert(sizeof(struct nvme_completion) == 16, "NVMe base 2.0, 3.3.3.2");
#define NVME_PHASE 1u

/* a status without its phase bit: code, type << 8, and do not retry */
#define NVME_STATUS(type, code) ((u16)((type) << 8 | (code)))
#define NVME_STATUS_MASK 0x7ffu
#define NVME_STATUS_MORE 0x2000u
#define NVME_STATUS_DNR 0x4000u
enum nvme_status {
	NVME_SC_SUCCESS = 0x000,
	NVME_SC_INVALID_OPCODE = 0x001,
	NVME_SC_INVALID_FIELD = 0x002,
	NVME_SC_DATA_TRANSFER_ERROR = 0x004,
	NVME_SC_POWER_LOSS_ABORT = 0x005,
	NVME_SC_INTERNAL_ERROR = 0x006,
	NVME_SC_ABORT_REQUESTED = 0x007,
	NVME_SC_ABORT_SQ_DELETED = 0x008,
	NVME_SC_INVALID_NAMESPACE = 0x00b,
	NVME_SC_COMMAND_SEQUENCE = 0x00c,
	NVME_SC_INVALID_SGL_SEGMENT = 0x00d,
	NVME_SC_INVALID_SGL_COUNT = 0x00e,
	NVME_SC_INVALID_DATA_SGL_LENGTH = 0x00f,
	NVME_SC_INVALID_SGL_TYPE = 0x011,
	NVME_SC_INVALID_PRP_OFFSET = 0x013,
	NVME_SC_WRITE_PROTECTED = 0x020,
	NVME_SC_LBA_OUT_OF_RANGE = 0x080,
	NVME_SC_NAMESPACE_NOT_READY = 0x082,
	NVME_SC_INVALID_CQ = 0x100,
	NVME_SC_INVALID_QID = 0x101,
	NVME_SC_INVALID_QUEUE_SIZE = 0x102,
	NVME_SC_ABORT_LIMIT = 0x103,
	NVME_SC_AER_LIMIT = 0x105,
	NVME_SC_INVALID_VECTOR = 0x108,
	NVME_SC_INVALID_LOG_PAGE = 0x109,
	NVME_SC_INVALID_FORMAT = 0x10a,
	NVME_SC_INVALID_QUEUE_DELETION = 0x10c,
	NVME_SC_FEATURE_NOT_SAVEABLE = 0x10d,
	NVME_SC_FEATURE_NOT_CHANGEABLE = 0x10e,
	NVME_SC_WRITE_FAULT = 0x280,
	NVME_SC_UNRECOVERED_READ = 0x281,
	NVME_SC_COMPARE_FAILURE = 0x285,
	NVME_SC_DEALLOCATED = 0x287,
};

enum nvme_admin_opcode { /* base, chapter 5 */
	NVME_ADMIN_DELETE_SQ = 0x00,
	NVME_ADMIN_CREATE_SQ = 0x01,
	NVME_ADMIN_GET_LOG_PAGE = 0x02,
	NVME_ADMIN_DELETE_CQ = 0x04,
	NVME_ADMIN_CREATE_CQ = 0x05,
	NVME_ADMIN_IDENTIFY = 0x06,
	NVME_ADMIN_ABORT = 0x08,
	NVME_ADMIN_SET_FEATURES = 0x09,
	NVME_ADMIN_GET_FEATURES = 0x0a,
	NVME_ADMIN_ASYNC_EVENT = 0x0c,
	NVME_ADMIN_FORMAT = 0x80,
};

enum nvme_io_opcode { /* NVM command set, chapter 3 */
	NVME_IO_FLUSH = 0x00,
	NVME_IO_WRITE = 0x01,
	NVME_IO_READ = 0x02,
	NVME_IO_COMPARE = 0x05,
	NVME_IO_WRITE_ZEROES = 0x08,
	NVME_IO_DSM = 0x09,
};
#define NVME_RW_NLB 0xffffu      /* of cdw12: blocks less one */
#define NVME_RW_DEALLOCATE BIT(25) /* write zeroes */
#define NVME_RW_FUA BIT(30)
#define NVME_DSM_RANGES 0xffu    /* of cdw10: ranges less one */
#define NVME_DSM_DEALLOCATE BIT(2) /* of cdw11 */

struct nvme_dsm_range {
	u32 attributes, blocks;
	u64 lba;
};
_Static_assert(sizeof(struct nvme_dsm_range) == 16, "NVM command set 1.0, figure 45");
#define NVME_DSM_RANGES_MAX 256u

#define NVME_QUEUE_CONTIGUOUS BIT(0)  /* of cdw11, create queue */
#define NVME_CQ_INTERRUPTS BIT(1)
#define NVME_NSID_ALL 0xffffffffu

enum nvme_feature { /* base, 5.27 */
	NVME_FEATURE_ARBITRATION = 0x01,
	NVME_FEATURE_POWER = 0x02,
	NVME_FEATURE_TEMPERATURE = 0x04,
	NVME_FEATURE_ERROR_RECOVERY = 0x05,
	NVME_FEATURE_WRITE_CACHE = 0x06,
	NVME_FEATURE_QUEUES = 0x07,
	NVME_FEATURE_COALESCING = 0x08,
	NVME_FEATURE_VECTOR = 0x09,
	NVME_FEATURE_ATOMICITY = 0x0a,
	NVME_FEATURE_ASYNC_EVENTS = 0x0b,
};
#define NVME_FEATURE_SAVE BIT(31)
#define NVME_FEATURE_SELECT (7u << 8)
#define NVME_ASYNC_CRITICAL 0xffu
#define NVME_ASYNC_CRITICAL_KNOWN 0x1fu /* the warnings of base 1.4; bit 5 came later */
#define NVME_ASYNC_NAMESPACE BIT(8)

enum nvme_log { /* base, 5.16 */
	NVME_LOG_ERROR = 0x01,
	NVME_LOG_SMART = 0x02,
	NVME_LOG_FIRMWARE = 0x03,
	NVME_LOG_CHANGED_NAMESPACES = 0x04,
	NVME_LOG_EFFECTS = 0x05,
};
#define NVME_LOG_RETAIN BIT(15) /* of cdw10: do not clear the event */

/* asynchronous event, completion dw0: type 0-2, information 8-15, log page 16-23 */
#define NVME_EVENT(type, information, log) ((u32)(type) | (u32)(information) << 8 | (u32)(log) << 16)
#define NVME_EVENT_TYPE_ERROR 0
#define NVME_EVENT_TYPE_SMART 1
#define NVME_EVENT_TYPE_NOTICE 2
#define NVME_EVENT_NAMESPACES 0
#define NVME_EVENT_INVALID_DOORBELL 0
#define NVME_EVENT_INVALID_DOORBELL_VALUE 1

enum nvme_cns { /* base, 5.17 */
	NVME_CNS_NAMESPACE = 0x00,
	NVME_CNS_CONTROLLER = 0x01,
	NVME_CNS_ACTIVE_NAMESPACES = 0x02,
	NVME_CNS_DESCRIPTORS = 0x03,
	NVME_CNS_SET_NAMESPACE = 0x05,
	NVME_CNS_SET_CONTROLLER = 0x06,
};

struct nvme_identify_controller { /* base, figure 275 */
	u16 vid, ssvid;
	char sn[20], mn[40], fr[8];
	u8 rab, ieee[3], cmic, mdts;
	u16 cntlid;
	u32 ver, rtd3r, rtd3e, oaes, ctratt;
	u8 reserved100[11], cntrltype, fguid[16];
	u16 crdt[3];
	u8 reserved134[122];
	u16 oacs;
	u8 acl, aerl, frmw, lpa, elpe, npss, avscc, apsta;
	u16 wctemp, cctemp, mtfa;
	u32 hmpre, hmmin;
	u8 tnvmcap[16], unvmcap[16];
	u8 reserved312[200];
	u8 sqes, cqes;
	u16 maxcmd;
	u32 nn;
	u16 oncs, fuses;
	u8 fna, vwc;
	u16 awun, awupf;
	u8 icsvscc, nwpc;
	u16 acwu, cdfs;
	u32 sgls, mnan;
	u8 reserved544[224];
	char subnqn[256];
	u8 reserved1024[1024];
	u8 psd[32][32];
	u8 vs[1024];
} __packed;
_Static_assert(sizeof(struct nvme_identify_controller) == 4096, "NVMe base 2.0, figure 275");
_Static_assert(offsetof(struct nvme_identify_controller, oacs) == 256, "NVMe base 2.0, figure 275");
_Static_assert(offsetof(struct nvme_identify_controller, sqes) == 512, "NVMe base 2.0, figure 275");
_Static_assert(offsetof(struct nvme_identify_controller, sgls) == 536, "NVMe base 2.0, figure 275");
_Static_assert(offsetof(struct nvme_identify_controller, subnqn) == 768, "NVMe base 2.0, figure 275");
_Static_assert(offsetof(struct nvme_identify_controller, psd) == 2048, "NVMe base 2.0, figure 275");
#define NVME_SGLS_SUPPORTED 1u /* any alignment */
#define NVME_OACS_FORMAT BIT(1)
#define NVME_ONCS_COMPARE BIT(0)
#define NVME_ONCS_DSM BIT(2)
#define NVME_ONCS_WRITE_ZEROES BIT(3)
#define NVME_VWC_PRESENT BIT(0)
#define NVME_OAES_NAMESPACE BIT(8)

struct nvme_identify_namespace { /* NVM command set, figure 97 */
	u64 nsze, ncap, nuse;
	u8 nsfeat, nlbaf, flbas, mc, dpc, dps, nmic, rescap, fpi, dlfeat;
	u16 nawun, nawupf, nacwu, nabsn, nabo, nabspf, noiob;
	u8 nvmcap[16];
	u16 npwg, npwa, npdg, npda, nows, mssrl;
	u32 mcl;
	u8 msrc, reserved81[11];
	u32 anagrpid;
	u8 reserved96[3], nsattr;
	u16 nvmsetid, endgid;
	u8 nguid[16], eui64[8];
	u32 lbaf[64]; /* metadata size 0-15, log2 of the data size 16-23, performance 24-25 */
	u8 vs[3712];
} __packed;
_Static_assert(sizeof(struct nvme_identify_namespace) == 4096, "NVM command set 1.0, figure 97");
_Static_assert(offsetof(struct nvme_identify_namespace, nguid) == 104, "NVM command set 1.0, figure 97");
_Static_assert(offsetof(struct nvme_identify_namespace, lbaf) == 128, "NVM command set 1.0, figure 97");
#define NVME_NSFEAT_THIN BIT(0)
#define NVME_FLBAS_FORMAT 0xfu
#define NVME_LBAF_DATA_SIZE (0xffu << 16)
#define NVME_LBAF_METADATA 0xffffu
#define NVME_DLFEAT_ZEROES 1u
#define NVME_DLFEAT_WRITE_ZEROES BIT(3)

struct nvme_descriptor { /* base, figure 276; its value follows */
	u8 type, len;
	u16 reserved;
};
#define NVME_DESCRIPTOR_EUI64 1
#define NVME_DESCRIPTOR_NGUID 2
#define NVME_DESCRIPTOR_UUID 3

struct nvme_smart { /* base, figure 207 */
	u8 critical_warning;
	u16 temperature; /* kelvin */
	u8 available_spare, spare_threshold, percentage_used, endurance, reserved7[25];
	u64 units_read[2], units_written[2]; /* thousands of 512 bytes */
	u64 reads[2], writes[2], busy_minutes[2], power_cycles[2], power_hours[2], unsafe_shutdowns[2], media_errors[2],
		error_entries[2];
	u8 reserved192[320];
} __packed;
_Static_assert(sizeof(struct nvme_smart) == 512, "NVMe base 2.0, figure 207");
_Static_assert(offsetof(struct nvme_smart, units_read) == 32, "NVMe base 2.0, figure 207");

struct nvme_error_entry { /* base, figure 205 */
	u64 count;
	u16 sq_id, cid, status, location;
	u64 lba;
	u32 nsid;
	u8 vendor_log, transport, reserved30[2];
	u64 command_specific;
	u16 transport_specific;
	u8 reserved42[22];
};
_Static_assert(sizeof(struct nvme_error_entry) == 64, "NVMe base 2.0, figure 205");

#define NVME_IDENTIFY_SIZE 4096u
