/*
 * TPM 2.0 as its firmware needs it: commands, handles, attributes, and the log of a measured boot.
 *
 * Sources: TCG, Trusted Platform Module Library 1.59, part 2 (constants, structures) and part 3 (commands): commands and
 * responses are big endian. TCG PC Client Platform Firmware Profile (PFP) 1.05, 10.2 (the event log: little endian) and 10.4
 * (event types). TCG EK Credential Profile 2.5, 2.2.1.5 (NV indices) and annex B (templates). TCG Registry of Reserved TPM 2.0
 * Handles and Localities 1.2. TCG Physical Presence Interface (PPI) 1.30, tables 1 and 2, section 2.1.
 */
#pragma once

#include "lib/core/types.h"

/* ---- part 2, 6.9: tags of a command or response */
#define TPM_ST_NO_SESSIONS 0x8001u
#define TPM_ST_SESSIONS 0x8002u
#define TPM_HEADER_SIZE 10u /* tag u16, size u32, command or response code u32 */

/* part 2, 6.5.2 */
enum tpm_cc {
	TPM_CC_EVICT_CONTROL = 0x120,
	TPM_CC_HIERARCHY_CONTROL = 0x121,
	TPM_CC_NV_UNDEFINE_SPACE = 0x122,
	TPM_CC_CLEAR = 0x126,
	TPM_CC_CLEAR_CONTROL = 0x127,
	TPM_CC_NV_DEFINE_SPACE = 0x12a,
	TPM_CC_PCR_ALLOCATE = 0x12b,
	TPM_CC_CREATE_PRIMARY = 0x131,
	TPM_CC_NV_WRITE = 0x137,
	TPM_CC_NV_WRITE_LOCK = 0x138,
	TPM_CC_DICTIONARY_ATTACK_PARAMETERS = 0x13a,
	TPM_CC_STARTUP = 0x144,
	TPM_CC_NV_READ = 0x14e,
	TPM_CC_FLUSH_CONTEXT = 0x165,
	TPM_CC_NV_READ_PUBLIC = 0x169,
	TPM_CC_READ_PUBLIC = 0x173,
	TPM_CC_GET_CAPABILITY = 0x17a,
	TPM_CC_GET_RANDOM = 0x17b,
	TPM_CC_PCR_READ = 0x17e,
	TPM_CC_PCR_EXTEND = 0x182,
};

/* part 2, 6.6.3. Format 1 (bit 7) has the number of what it complains about: P (bit 6) a parameter, bit 11 a session */
#define TPM_RC_INITIALIZE 0x100u
#define TPM_RC_FAILURE 0x101u
#define TPM_RC_COMMAND_SIZE 0x142u
#define TPM_RC_NV_DEFINED 0x14cu
#define TPM_RC_FMT1 0x080u
#define TPM_RC_FMT1_CODE 0x0bfu /* what stays of a format 1 code without those numbers */
#define TPM_RC_HANDLE 0x08bu
#define TPM_RC_AUTH_FAIL 0x08eu
#define TPM_RC_BAD_AUTH 0x0a2u

/* part 2, 6.3 */
#define TPM_ALG_RSA 0x0001u
#define TPM_ALG_SHA1 0x0004u
#define TPM_ALG_AES 0x0006u
#define TPM_ALG_SHA256 0x000bu
#define TPM_ALG_SHA384 0x000cu
#define TPM_ALG_SHA512 0x000du
#define TPM_ALG_NULL 0x0010u
#define TPM_ALG_ECC 0x0023u
#define TPM_ALG_CFB 0x0043u
#define TPM_ECC_NIST_P256 0x0003u /* part 2, 6.4 */
#define TPM_DIGEST_MAX 64u

/* part 2, 6.10 */
#define TPM_SU_CLEAR 0u

/* part 2, 7.4 */
#define TPM_RH_OWNER 0x40000001u
#define TPM_RH_NULL 0x40000007u
#define TPM_RS_PW 0x40000009u
#define TPM_RH_LOCKOUT 0x4000000au
#define TPM_RH_ENDORSEMENT 0x4000000bu
#define TPM_RH_PLATFORM 0x4000000cu

/* part 2, 7.2: what a handle is, by its first byte */
#define TPM_HT_TRANSIENT 0x80000000u
#define TPM_HT_LOADED_SESSION 0x02000000u

/* part 2, 6.12 and 6.13 */
#define TPM_CAP_HANDLES 1u
#define TPM_CAP_PCRS 5u
#define TPM_CAP_TPM_PROPERTIES 6u
#define TPM_PT_LEVEL 0x101u
#define TPM_PT_REVISION 0x102u
#define TPM_PT_MAX_AUTH_FAIL 0x20fu
#define TPM_PT_MANUFACTURER 0x105u
#define TPM_PT_FIRMWARE_VERSION_1 0x10bu

/* part 2, 8.3.2: TPMA_OBJECT */
#define TPMA_OBJECT_FIXED_TPM 0x00000002u
#define TPMA_OBJECT_FIXED_PARENT 0x00000010u
#define TPMA_OBJECT_SENSITIVE_DATA_ORIGIN 0x00000020u
#define TPMA_OBJECT_ADMIN_WITH_POLICY 0x00000080u
#define TPMA_OBJECT_RESTRICTED 0x00010000u
#define TPMA_OBJECT_DECRYPT 0x00020000u

/* part 2, 13.4: TPMA_NV */
#define TPMA_NV_PPWRITE 0x00000001u
#define TPMA_NV_WRITELOCKED 0x00000800u
#define TPMA_NV_WRITEDEFINE 0x00002000u
#define TPMA_NV_PPREAD 0x00010000u
#define TPMA_NV_OWNERREAD 0x00020000u
#define TPMA_NV_AUTHREAD 0x00040000u
#define TPMA_NV_NO_DA 0x02000000u
#define TPMA_NV_WRITTEN 0x20000000u
#define TPMA_NV_PLATFORMCREATE 0x40000000u

#define TPM_NV_BUFFER_MAX 1024u /* of one NV_Write or NV_Read: the PC Client profile's least, libtpms's own */
#define TPM_PCR_COUNT 24u
#define TPM_PCR_SELECT_SIZE 3u

/* a bank of PCRs as a bit: PPI 1.30, 2.1.3; EFI_TCG2_BOOT_HASH_ALG_* has the same */
#define TPM_BANK_SHA1 1u
#define TPM_BANK_SHA256 2u
#define TPM_BANK_SHA384 4u
#define TPM_BANK_SHA512 8u
#define TPM_BANK_COUNT 4u /* SM3_256 would be the fifth: no engine here has it */

/* ---- endorsement keys: EK Credential Profile 2.5, 2.2.1.5.1, B.3 (low range: L-1 is RSA 2048, L-2 is P-256) */
#define TPM_EK_RSA_HANDLE 0x81010001u
#define TPM_EK_P256_HANDLE 0x8101000au
#define TPM_NV_EK_RSA_CERTIFICATE 0x01c00002u
#define TPM_NV_EK_P256_CERTIFICATE 0x01c0000au
#define TPM_NV_EK_CHAIN 0x01c00100u /* to 0x01c001ff: 2.2.1.5.2 */
#define TPM_EK_AES_BITS 128u
#define TPM_EK_RSA_BITS 2048u
#define TPM_EK_P256_BYTES 32u

/* B.6.2, PolicyA: PolicySecret(TPM_RH_ENDORSEMENT) */
#define TPM_EK_POLICY_A {                                                                                                  \
	0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,                    \
	0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa }

/* ---- the event log: PFP 1.05, 10.2. Little endian, packed */
#define TPM_EV_NO_ACTION 3u
#define TPM_EV_SEPARATOR 4u
#define TPM_EV_EVENT_TAG 6u
#define TPM_EV_IPL 0xdu
#define TPM_EV_COMPACT_HASH 0xcu

/* TCG_PCClientPCREvent, 10.2.1: the form of the first record only; an event of event_size bytes follows */
struct tpm_log_first {
	u32 pcr;
	u32 type;
	u8 sha1[20];
	u32 event_size;
} __packed;
_Static_assert(sizeof(struct tpm_log_first) == 32, "PFP 1.05, 10.2.1");
_Static_assert(offsetof(struct tpm_log_first, event_size) == 28, "PFP 1.05, 10.2.1");

/* TCG_EfiSpecIdEvent, 10.4.5.1: then {algorithm u16, digest size u16} each, vendor information's size u8, and that */
#define TPM_LOG_SIGNATURE "Spec ID Event03" /* and its 0 */
#define TPM_LOG_ERRATA 105u                 /* which edition of the PFP */
#define TPM_LOG_UINTN_64 2u
struct tpm_log_spec_id {
	char signature[16];
	u32 platform_class; /* 0: client, 1: server */
	u8 version_minor, version_major; /* 0, 2 */
	u8 errata;
	u8 uintn_size;
	u32 algorithm_count;
} __packed;
_Static_assert(sizeof(struct tpm_log_spec_id) == 28, "PFP 1.05, 10.4.5.1");
_Static_assert(offsetof(struct tpm_log_spec_id, algorithm_count) == 24, "PFP 1.05, 10.4.5.1");

/* TCG_PCR_EVENT2, 10.2.2: then {algorithm u16, digest} each, event size u32, event */
struct tpm_log_event {
	u32 pcr;
	u32 type;
	u32 digest_count;
} __packed;
_Static_assert(sizeof(struct tpm_log_event) == 12, "PFP 1.05, 10.2.2");

/* ---- physical presence: PPI 1.30, table 2. Those of TPM 1.2 have no meaning here */
enum ppi_operation {
	PPI_NO_OPERATION = 0,
	PPI_ENABLE = 1,
	PPI_DISABLE = 2,
	PPI_ACTIVATE = 3,
	PPI_DEACTIVATE = 4,
	PPI_CLEAR = 5,
	PPI_ENABLE_ACTIVATE = 6,
	PPI_DEACTIVATE_DISABLE = 7,
	PPI_OWNER_INSTALL_TRUE = 8,
	PPI_OWNER_INSTALL_FALSE = 9,
	PPI_ENABLE_ACTIVATE_OWNER_TRUE = 10,
	PPI_DEACTIVATE_DISABLE_OWNER_FALSE = 11,
	PPI_CLEAR_ENABLE_ACTIVATE = 14,
	PPI_NO_PPI_PROVISION_FALSE = 15,
	PPI_NO_PPI_PROVISION_TRUE = 16,
	PPI_ENABLE_ACTIVATE_CLEAR = 21,
	PPI_ENABLE_ACTIVATE_CLEAR_ENABLE_ACTIVATE = 22,
	PPI_SET_PCR_BANKS = 23,
};

/* 2.1.4, function 5: the result of the last operation; others are response codes of the TPM */
#define PPI_RESULT_SUCCESS 0u
#define PPI_RESULT_FIRMWARE_FAILURE 0xfffffff1u
/* 2.1.6, function 7 */
#define PPI_SUBMIT_SUCCESS 0u
#define PPI_SUBMIT_NOT_SUPPORTED 1u
/* 2.1.7, function 8 */
#define PPI_CONFIRMATION_NOT_IMPLEMENTED 0u
#define PPI_CONFIRMATION_NOT_NEEDED 4u

/*
 * The port pair that Hyper-V's guests ask by: a number to the first port, a value to or from the second. openvmm
 * vm/devices/tpm/tpm_device/src/lib.rs (TpmIoCommand); mu_msvm MsvmPkg/Include/TpmInterface.h
 */
enum tpm_port_command {
	TPM_PORT_VERSION = 0,
	TPM_PORT_MAP_SHARED_MEMORY = 1,
	TPM_PORT_ESTABLISHED = 2,
	TPM_PORT_PPI_PENDING_OPERATION = 3,
	TPM_PORT_PPI_LAST_OPERATION = 5,
	TPM_PORT_PPI_LAST_RESULT = 6,
	TPM_PORT_PPI_SET_OPERATION = 7,
	TPM_PORT_PPI_USER_CONFIRMATION = 8,
	TPM_PORT_PPI_SET_OPERATION_ARG = 32,
	TPM_PORT_TCG_PROTOCOL_VERSION = 64,
	TPM_PORT_HASH_ALGORITHMS = 65,
};

/* openvmm's file of them in the guest state (VMGS_TPM_PPI): tpm_device/src/lib.rs, PpiState. Little endian */
struct ppi_file {
	u32 pending_operation;
	u32 in_query_operation;
	u32 set_operation_state;
	u32 last_operation;
	u32 last_result;
	u32 set_operation_arg;
	u32 hash_algorithms;
};
_Static_assert(sizeof(struct ppi_file) == 28, "openvmm PpiState");
_Static_assert(offsetof(struct ppi_file, hash_algorithms) == 24, "openvmm PpiState");
