/*
 * The command response buffer interface of a TPM: TCG PC Client Platform TPM Profile (PTP) 1.05, 6.5.3, and what Hyper-V has of
 * it (openvmm vm/devices/tpm/tpm_device/src/lib.rs): registers of locality 0 in physical memory, buffers in the guest's RAM, a
 * pair of ports beside it. Little endian, 32-bit registers.
 */
#pragma once

#include "lib/core/types.h"

#define TPM_CRB_BASE 0xfed40000u /* facts B10 */
#define TPM_CRB_LEN 0x70u

enum tpm_crb_register {
	CRB_LOC_STATE = 0x00,
	CRB_LOC_CTRL = 0x08,
	CRB_LOC_STS = 0x0c,
	CRB_INTF_ID = 0x30, /* 64 bits */
	CRB_CTRL_REQ = 0x40,
	CRB_CTRL_STS = 0x44,
	CRB_CTRL_CANCEL = 0x48,
	CRB_CTRL_START = 0x4c,
	CRB_CTRL_CMD_SIZE = 0x58,
	CRB_CTRL_CMD_ADDR = 0x5c, /* 64 bits, not aligned */
	CRB_CTRL_RSP_SIZE = 0x64,
	CRB_CTRL_RSP_ADDR = 0x68, /* 64 bits */
};
#define CRB_CONTROL_AREA CRB_CTRL_REQ /* what an ACPI table points to; the locality's registers lie before it */

#define CRB_LOC_STATE_ESTABLISHED BIT(0) /* set: no dynamic launch happened */
#define CRB_LOC_STATE_ASSIGNED BIT(1)
#define CRB_LOC_STATE_VALID BIT(7)
#define CRB_LOC_CTRL_REQUEST BIT(0)
#define CRB_LOC_CTRL_RELINQUISH BIT(1)
#define CRB_LOC_STS_GRANTED BIT(0)
#define CRB_CTRL_REQ_READY BIT(0)
#define CRB_CTRL_REQ_IDLE BIT(1)
#define CRB_CTRL_STS_ERROR BIT(0)
#define CRB_CTRL_STS_IDLE BIT(1)
#define CRB_CTRL_START_INVOKE BIT(0)
/* interface type CRB, version 1, the CRB is there; locality 0 only */
#define CRB_INTF_ID_VALUE 0x4011u

/* the pair of ports; which commands there are: spec/tpm.h, enum tpm_port_command */
#define TPM_PORT_BASE 0x1040u
#define TPM_PORT_LEN 8u
#define TPM_PORT_CONTROL 0u /* offset: which command the data port is for */
#define TPM_PORT_DATA 4u
#define TPM_BUFFER_LEN 4096u

/* ---- the TPM2 table: TCG ACPI Specification 1.4, 8.3 */
#define TPM2_TABLE_REVISION 4u
#define TPM2_START_METHOD_CRB 7u
