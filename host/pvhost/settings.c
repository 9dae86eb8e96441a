#include "host/pvhost/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log/log.h"
#include "lib/os/file.h"

LOG_DOMAIN("settings");

#define DOCUMENT_MAX (1u << 20)
#define SCSI_CONTROLLER "5a7e9c4e-3c1d-4f6a-9d0b-7076686f7374"
#define SUB_CHANNELS 63u /* the firmware takes one less than there are VPs */

/* what Hyper-V's management sends */
static const char before[] =
	"{\"V1\":{\"SecureBootEnabled\":false,\"SecureBootTemplateId\":\"None\",\"EnableTpm\":%s,"
	"\"BiosGuid\":\"00000000-0000-0000-0000-000000000000\",\"SerialNumber\":\"\",\"BaseBoardSerialNumber\":\"\","
	"\"ChassisSerialNumber\":\"\",\"ChassisAssetTag\":\"\",\"Com1\":{\"EnablePort\":true,\"DebuggerMode\":false,"
	"\"EnableVmbusRedirector\":true},\"Com2\":{\"EnablePort\":true,\"DebuggerMode\":false,\"EnableVmbusRedirector\":true}},"
	"\"V2\":{\"Static\":{\"LegacyMemoryMap\":false,\"PauseAfterBootFailure\":false,\"PxeIpV6\":false,"
	"\"MeasureAdditionalPcrs\":false,\"DisableFrontpage\":true,\"DisableSha384Pcr\":false,"
	"\"MediaPresentEnabledByDefault\":false,\"MemoryProtectionMode\":0,\"VpciBootEnabled\":false,"
	"\"VpciInstanceFilter\":null,\"NumLockEnabled\":false,\"FirmwareModeIsPcat\":false,\"AlwaysRelayHostMmio\":false,"
	"\"VmbusRedirectionEnabled\":true,\"WatchdogEnabled\":%s,";
/* without a file, secrets end with the machine, and VTL2 need not ask (dps_json.rs GuestStateLifetime) */
static const char with_state[] = "\"NoPersistentSecrets\":false,\"GuestStateLifetime\":\"Default\",\"Vtl2Settings\":";
static const char without_state[] = "\"NoPersistentSecrets\":true,\"GuestStateLifetime\":\"Ephemeral\",\"Vtl2Settings\":";
static const char behind[] =
	"},\"Dynamic\":{\"NvdimmCount\":0,\"EnablePsp\":false,\"GenerationIdLow\":%lu,\"GenerationIdHigh\":%lu,"
	"\"IsServicingScenario\":false}}}";

static int disk_for_each(const struct options *o, char **ret, size_t *ret_len)
{
	FILE *out = open_memstream(ret, ret_len);

	if (!out)
		return log_err(-ENOMEM, "settings");
	fprintf(out, "{\"version\":\"V1\",\"fixed\":{\"scsi_sub_channels\":%u},\"dynamic\":{\"storage_controllers\":["
		"{\"instance_id\":\"" SCSI_CONTROLLER "\",\"protocol\":\"SCSI\",\"luns\":[", SUB_CHANNELS);
	for (u32 i = 0; i < o->nvme_count; i++) {
		char instance[GUID_STRLEN + 1];

		guid_format(&o->nvme[i].instance, instance);
		fprintf(out, "%s{\"location\":%u,\"physical_devices\":{\"type\":\"SINGLE\",\"device\":{\"device_type\":\"NVME\","
			"\"device_path\":\"%s\",\"sub_device_path\":1}}}", i ? "," : "", i, instance);
	}
	fputs("]}]}}", out);
	return fclose(out) ? log_err(-ENOMEM, "settings") : 0;
}

int settings_load(const struct options *o, char **ret, size_t *ret_len)
{
	u8 *data;

	*ret = NULL;
	*ret_len = 0;
	if (!o->vtl2_settings)
		return o->nvme_count ? disk_for_each(o, ret, ret_len) : 0;
	if (!strcmp(o->vtl2_settings, "none"))
		return 0;
	int r = file_read(o->vtl2_settings, DOCUMENT_MAX, &data, ret_len);

	if (r)
		return log_err(r, "--vtl2-settings %s cannot be read, or is longer than %u bytes", o->vtl2_settings,
			       DOCUMENT_MAX);
	*ret = (char *)data;
	return 0;
}

static void put_base64(FILE *out, const u8 *data, size_t len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		size_t n = MIN(len - i, (size_t)3);
		u32 bits = (u32)data[i] << 16 | (n > 1 ? (u32)data[i + 1] << 8 : 0) | (n > 2 ? data[i + 2] : 0);

		for (size_t k = 0; k < 4; k++)
			fputc(k <= n ? alphabet[bits >> (18 - 6 * k) & 63] : '=', out);
	}
}

char *settings_platform(const struct options *o, const u64 generation[2], const char *document, size_t len)
{
	char *text = NULL;
	size_t text_len;
	FILE *out = open_memstream(&text, &text_len);

	if (!out)
		return NULL;
	fprintf(out, before, o->tpm ? "true" : "false", o->watchdog ? "true" : "false");
	fputs(o->vmgs ? with_state : without_state, out);
	if (len) {
		fputc('"', out);
		put_base64(out, (const u8 *)document, len);
		fputc('"', out);
	} else {
		fputs("null", out);
	}
	fprintf(out, behind, generation[0], generation[1]);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}
