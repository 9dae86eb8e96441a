#include <stdlib.h>
#include <string.h>

#include "lib/vmgs/vmgs.h"

static const char *const names[VMGS_FILE_COUNT] = {
	[VMGS_FILE_TABLE] = "file-table",
	[VMGS_BIOS_NVRAM] = "bios-nvram",
	[VMGS_TPM_PPI] = "tpm-ppi",
	[VMGS_TPM_NVRAM] = "tpm-nvram",
	[VMGS_RTC_SKEW] = "rtc-skew",
	[VMGS_ATTEST] = "attest",
	[VMGS_KEY_PROTECTOR] = "key-protector",
	[VMGS_VM_UNIQUE_ID] = "vm-unique-id",
	[VMGS_GUEST_FIRMWARE] = "guest-firmware",
	[VMGS_CUSTOM_UEFI] = "custom-uefi",
	[VMGS_GUEST_WATCHDOG] = "guest-watchdog",
	[VMGS_HW_KEY_PROTECTOR] = "hw-key-protector",
	[VMGS_GUEST_SECRET_KEY] = "guest-secret-key",
	[VMGS_HIBERNATION_TOKEN] = "hibernation-token",
	[VMGS_PLATFORM_SEED] = "platform-seed",
	[VMGS_PROVENANCE_DOC] = "provenance-doc",
	[VMGS_TPM_NVRAM_BACKUP] = "tpm-nvram-backup",
	[VMGS_PROVISIONING_MARKER] = "provisioning-marker",
	[VMGS_EXTENDED_FILE_TABLE] = "extended-file-table",
};

const char *vmgs_name(u32 id)
{
	return id < VMGS_FILE_COUNT ? names[id] : NULL;
}

bool vmgs_parse_name(const char *text, u32 *ret_id)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (*text >= '0' && *text <= '9' && !*end && number && number < VMGS_EXTENDED_FILE_TABLE) {
		*ret_id = (u32)number;
		return true;
	}
	for (u32 i = 1; i < VMGS_EXTENDED_FILE_TABLE; i++)
		if (names[i] && !strcmp(names[i], text)) {
			*ret_id = i;
			return true;
		}
	return false;
}
