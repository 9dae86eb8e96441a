/* CD and DVD drives: what they have beside spec/scsi.h. Source: T10 MMC-5, SFF 8020i for packets over ATA. Big endian. */
#pragma once

#include "spec/scsi.h"

#define MMC_SECTOR 2048u

enum mmc_opcode {
	MMC_PREVENT_ALLOW = 0x1e,
	MMC_SEEK_10 = 0x2b,
	MMC_READ_TOC = 0x43,
	MMC_GET_CONFIGURATION = 0x46,
	MMC_GET_EVENT_STATUS = 0x4a,
	MMC_READ_DISC_INFORMATION = 0x51,
};

#define MMC_DEVICE_TYPE 0x05
#define MMC_REMOVABLE 0x80
#define MMC_INQUIRY_VERSION 0     /* ATAPI: by the ATA standard */
#define MMC_INQUIRY_FORMAT_ATAPI 0x32

#define MMC_TOC_MSF 0x02          /* byte 1 */
#define MMC_TOC_LEAD_OUT 0xaa
#define MMC_TOC_DATA_TRACK 0x14   /* ADR 1, data track, not copied */
#define MMC_TOC_LEAD_IN_FRAMES 150u

#define MMC_PROFILE_NONE 0x0000
#define MMC_PROFILE_CD_ROM 0x0008
#define MMC_PROFILE_DVD_ROM 0x0010
#define MMC_FEATURE_PROFILES 0x0000
#define MMC_FEATURE_CORE 0x0001
#define MMC_FEATURE_REMOVABLE 0x0003
#define MMC_FEATURE_RANDOM_READ 0x0010
#define MMC_FEATURE_CURRENT 0x01
#define MMC_FEATURE_PERSISTENT 0x02
#define MMC_CD_MAX_SECTORS 449850u /* 99:59:74; what is longer is shown as a DVD */

#define MMC_EVENT_POLLED 0x01
#define MMC_EVENT_MEDIA 4         /* class */
#define MMC_EVENT_MEDIA_MASK 0x10
#define MMC_EVENT_NONE 0x80
#define MMC_EVENT_EJECT_REQUEST 1
#define MMC_EVENT_NEW_MEDIA 2
#define MMC_EVENT_MEDIA_REMOVED 3
#define MMC_MEDIA_PRESENT 0x02
#define MMC_TRAY_OPEN 0x01

#define MMC_MODE_PAGE_READ_ERROR 0x01
#define MMC_MODE_PAGE_CAPABILITIES 0x2a

/* codes that only such a drive gives (MMC-5 annex F) */
#define MMC_ASC_MEDIUM_CHANGED 0x2800
#define MMC_ASC_NO_MEDIUM 0x3a00
#define MMC_ASC_NO_MEDIUM_TRAY_OPEN 0x3a02
#define MMC_ASC_REMOVAL_PREVENTED 0x5302
#define MMC_ASC_SAVING_NOT_SUPPORTED 0x3900
