#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/rpc/pb.h"
#include "vmm/settings/settings.h"

#define CONTROLLER "6a1e2b10-0001-4a5b-8c01-0242ac120002"
#define DEVICE "3b7c9d20-0002-4f00-9000-0242ac120003"
#define LUN_AT(location) "{\"location\":" location ",\"device_id\":\"" DEVICE "\",\"physical_devices\":{\"type\":\"single\"," \
	"\"device\":" \
	"{\"device_type\":\"nvme\",\"device_path\":\"" DEVICE "\",\"sub_device_path\":1}}}"
#define SINGLE(device) "{\"location\":0,\"physical_devices\":{\"type\":\"SINGLE\",\"device\":{" device "}}}"
#define OF(protocol, luns) "{\"version\":\"V1\",\"dynamic\":{\"storage_controllers\":[{\"instance_id\":\"" CONTROLLER "\"," \
	"\"protocol\":\"" protocol "\",\"luns\":[" luns "]}]}}"
#define DOCUMENT(luns) "{\"version\":\"V1\",\"fixed\":{\"scsi_sub_channels\":3},\"dynamic\":{\"storage_controllers\":[" \
	"{\"instance_id\":\"" CONTROLLER "\",\"protocol\":\"SCSI\",\"luns\":[" luns "]}]}}"

static struct settings *parse(const char *text)
{
	struct settings_error error;
	struct settings *s = NULL;

	if (settings_parse(text, strlen(text), &s, &error))
		fail_msg("%s: %s", error.id, error.text);
	return s;
}

static const struct settings_controller *controller_at(const struct settings *s, unsigned i)
{
	assert_true(i < s->dynamic->storage_controllers.count);
	return s->dynamic->storage_controllers.items[i];
}

static void refused(const char *text, const char *id, const char *words)
{
	struct settings_error error;
	struct settings *s = NULL;

	assert_int_equal(settings_parse(text, strlen(text), &s, &error), -EINVAL);
	assert_null(s);
	if (strcmp(error.id, id) || !strstr(error.text, words))
		fail_msg("%s: \"%s\" instead of %s with \"%s\"", error.id, error.text, id, words);
}

static void json(void **state)
{
	struct settings *s = parse(DOCUMENT(LUN_AT("0") "," LUN_AT("63")));
	const struct settings_controller *c = controller_at(s, 0);
	const struct settings_lun *l = c->luns.items[1];
	struct guid device;

	assert_true(guid_parse(DEVICE, &device));
	assert_int_equal(s->fixed->scsi_sub_channels.value, 3);
	assert_int_equal(c->protocol.value, SETTINGS_SCSI);
	assert_int_equal(c->luns.count, 2);
	assert_int_equal(l->location.value, 63);
	assert_true(guid_equal(&l->id, &device));
	assert_true(guid_equal(&l->physical_devices->device->instance, &device));
	assert_int_equal(l->physical_devices->device->sub_path.value, 1);
	settings_free(s);
}

/* protobuf's JSON mapping: camelCase, 64-bit numbers as text, enums as numbers, null as absent */
static void json_other_forms(void **state)
{
	struct settings *s =
		parse("{\"version\":1,\"dynamic\":{\"storageControllers\":[{\"instanceId\":\"" CONTROLLER "\",\"protocol\":2,"
				   "\"luns\":[{\"channel\":1,\"location\":0,\"isDvd\":true},{\"channel\":0,\"location\":1,"
				   "\"scsiDiskSizeInBytes\":\"5368709120\",\"vendor_id\":null,\"physicalDevices\":{"
				   "\"type\":\"STRIPED\",\"devices\":["
				   "{\"deviceType\":\"NVMe\",\"devicePath\":\"" DEVICE "\",\"subDevicePath\":1},"
				   "{\"deviceType\":1,\"devicePath\":\"" DEVICE "\",\"subDevicePath\":2}]}}]}]}}");
	const struct settings_controller *c = controller_at(s, 0);
	const struct settings_lun *dvd = c->luns.items[0], *disk = c->luns.items[1];

	assert_true(dvd->is_dvd.value && !dvd->physical_devices);
	assert_int_equal(disk->scsi_disk_size_in_bytes.value, 5368709120ull);
	assert_null(disk->vendor_id);
	assert_int_equal(disk->physical_devices->devices.count, 2);
	assert_int_equal(((struct settings_device *)disk->physical_devices->devices.items[1])->sub_path.value, 2);
	settings_free(s);
}

static void put_device(struct pb_writer *w)
{
	size_t devices = pb_open(w, 16), device;

	pb_u64(w, 1, SETTINGS_SINGLE);
	device = pb_open(w, 2);
	pb_u64(w, 1, SETTINGS_DEVICE_NVME);
	pb_string(w, 2, DEVICE);
	pb_u64(w, 3, 5);
	pb_close(w, device);
	pb_close(w, devices);
}

static void put_base(struct pb_writer *w, unsigned version, unsigned dynamic)
{
	size_t d, c, l;

	pb_u64(w, version, 1);
	d = pb_open(w, dynamic);
	c = pb_open(w, 1);
	pb_string(w, 1, CONTROLLER);
	pb_u64(w, 2, SETTINGS_SCSI);
	l = pb_open(w, 3);
	pb_u64(w, 2, 7);
	pb_string(w, 3, DEVICE);
	pb_string(w, 4, "Acme");
	put_device(w);
	pb_u64(w, 99, 1); /* a field of a newer schema is passed over */
	pb_close(w, l);
	pb_close(w, c);
	pb_close(w, d);
}

static void check_protobuf(struct pb_writer *w)
{
	struct settings_error error = { 0 };
	struct settings *s = NULL;

	assert_false(w->failed);
	if (settings_parse(w->data, w->len, &s, &error))
		fail_msg("%s: %s", error.id, error.text);
	const struct settings_lun *l = controller_at(s, 0)->luns.items[0];

	assert_int_equal(l->location.value, 7);
	assert_string_equal(l->vendor_id, "Acme");
	assert_int_equal(l->physical_devices->device->sub_path.value, 5);
	settings_free(s);
	/* cut anywhere: refused or a smaller document, never more */
	for (size_t len = 0; len < w->len; len++)
		if (!settings_parse(w->data, len, &s, &error))
			settings_free(s);
	pb_fini(w);
}

static void protobuf(void **state)
{
	struct pb_writer w;

	pb_init(&w);
	put_base(&w, 2, 4);
	check_protobuf(&w);
}

static void protobuf_in_namespace(void **state)
{
	struct pb_writer base, w;
	size_t chunk;

	pb_init(&base);
	put_base(&base, 1, 3);
	pb_init(&w);
	chunk = pb_open(&w, 1);
	pb_string(&w, 1, "Base");
	pb_bytes(&w, 2, base.data, base.len);
	pb_close(&w, chunk);
	pb_fini(&base);
	check_protobuf(&w);
}

static void json_in_namespace(void **state)
{
	/* {"version":"V1"} */
	struct settings *s = parse("{\"namespace_settings\":[{\"namespace\":\"NetworkDevice\",\"settings\":\"AAAA\"},"
				   "{\"namespace\":\"Base\",\"settings\":\"eyJ2ZXJzaW9uIjoiVjEifQ==\"}]}");

	assert_int_equal(s->dynamic->storage_controllers.count, 0);
	settings_free(s);
	refused("{\"namespace_settings\":[{\"namespace\":\"Vase\",\"settings\":\"AAAA\"}]}",
		"Configuration.UnsupportedSchemaNamespace", "Vase");
	refused("{\"namespace_settings\":[{\"namespace\":\"Base\"}]}", "Configuration.EmptyNamespaceChunk", "Base");
	refused("{\"version\":1,\"namespace_settings\":[{\"namespace\":\"Base\",\"settings\":\"eyJ2ZXJzaW9uIjoiVjEifQ==\"}]}",
		"Configuration.JsonFormatError", "old form");
	refused("{\"namespace_settings\":[{\"namespace\":\"Base\",\"settings\":\"ey=J\"}]}", "Configuration.JsonFormatError",
		"not base64");
}

static void nothing(void **state)
{
	struct settings *s = parse("");

	assert_int_equal(s->dynamic->storage_controllers.count, 0);
	settings_free(s);
}

static void what_is_wrong(void **state)
{
	refused("{\"version\":\"V1\"", "Configuration.JsonFormatError", "line 1");
	refused("{}", "Configuration.UnsupportedSchemaVersion", "version 0");
	refused("{\"version\":7}", "Configuration.UnsupportedSchemaVersion", "version 7");
	refused("{\"version\":\"V1\",\"dynamics\":{}}", "Configuration.JsonFormatError", "dynamics: no such field");
	refused("{\"version\":\"V1\",\"fixed\":{\"io_ring_size\":-1}}", "Configuration.JsonFormatError", "fixed.io_ring_size");
	refused("{\"version\":\"V1\",\"fixed\":{\"io_ring_size\":4294967296}}", "Configuration.JsonFormatError", "32 bits");
	refused(DOCUMENT(LUN_AT("64")), "Configuration.StorageLunLocationExceedsMaxLimits", "luns[0]");
	refused(DOCUMENT(LUN_AT("1") "," LUN_AT("1")), "Configuration.StorageLunLocationDuplicated", "luns[1]");
	refused(DOCUMENT("{\"location\":0}"), "Configuration.EmptyDriveNotAllowed", CONTROLLER);
	refused(DOCUMENT("{\"location\":0,\"vendor_id\":\"LongerThan8\",\"is_dvd\":true}"),
		"Configuration.StorageInvalidVendorId", "8 characters");
	refused(DOCUMENT("{\"location\":0,\"physical_devices\":{\"type\":\"SINGLE\"}}"),
		"Configuration.StorageInvalidPhysicalDiskCount", "SINGLE");
	refused(DOCUMENT(SINGLE("\"device_type\":\"vscsi\",\"device_path\":\"" DEVICE "\"")),
		"Configuration.StorageUnsupportedDeviceType", "NVMe");
	refused(DOCUMENT(SINGLE("\"device_type\":\"nvme\",\"device_path\":\"x\",\"sub_device_path\":1")),
		"Configuration.InvalidInstanceId", "'x'");
	refused(OF("FLOPPY", ""), "Configuration.JsonFormatError", "dynamic.storage_controllers[0].protocol");
	refused(OF("NVME", ""), "Configuration.StorageInvalidControllerType", CONTROLLER);
	refused(OF("IDE", "{\"location\":0,\"is_dvd\":true}"), "Configuration.StorageIdeChannelNotProvided", "channel");
}

/* base64 of {"version":"V1"} inside what the host sends */
static void of_platform(void **state)
{
	static const char *const good = "{\"V1\":{},\"V2\":{\"Static\":{\"Vtl2Settings\":\"eyJ2ZXJzaW9uIjoiVjEifQ==\"}}}";
	static const char *const without[] = { "{\"V2\":{\"Static\":{\"Vtl2Settings\":null}}}", "{}" };
	static const char *const wrong[] = { "{\"V2\":{\"Static\":{\"Vtl2Settings\":\"a\"}}}", "",
					     "{\"V2\":{\"Static\":{\"Vtl2Settings\":7}}}" };
	struct settings_error error;
	size_t len;
	void *data;

	assert_int_equal(settings_of_platform(good, &data, &len, &error), 0);
	assert_int_equal(len, 16);
	assert_memory_equal(data, "{\"version\":\"V1\"}", 16);
	free(data);
	for (size_t i = 0; i < ARRAY_SIZE(without); i++) {
		assert_int_equal(settings_of_platform(without[i], &data, &len, &error), 0);
		assert_null(data);
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(settings_of_platform(wrong[i], &data, &len, &error), -EINVAL);
}

static void text_of_platform(void **state)
{
	const char *platform = "{\"V2\":{\"Static\":{\"GuestStateLifetime\":\"Ephemeral\",\"Number\":3}}}";
	char text[10] = "-";

	assert_true(settings_platform_text(platform, "GuestStateLifetime", text, sizeof(text)));
	assert_string_equal(text, "Ephemeral");
	assert_false(settings_platform_text(platform, "GuestStateLifetime", text, 9));
	assert_false(settings_platform_text(platform, "Number", text, sizeof(text)));
	assert_false(settings_platform_text(platform, "Other", text, sizeof(text)));
	assert_false(settings_platform_text("{", "Other", text, sizeof(text)));
	assert_false(settings_platform_text("", "Other", text, sizeof(text)));
	assert_string_equal(text, "Ephemeral");
}

/* a generation ID has 64 bits in each half; a signed number would have refused the whole document */
static void numbers_of_platform(void **state)
{
	const char *platform =
		"{\"V2\":{\"Static\":{\"WatchdogEnabled\":true,\"Off\":false,"
		"\"Vtl2Settings\":\"eyJ2ZXJzaW9uIjoiVjEifQ==\",\"Text\":\"\\\"GenerationIdLow\\\":5\"},"
		"\"Dynamic\":{\"GenerationIdLow\" : 18446744073709551615,\"GenerationIdHigh\":9}}}";
	struct settings_error error;
	void *data;
	size_t len;
	u64 value = 1;

	assert_int_equal(settings_of_platform(platform, &data, &len, &error), 0);
	assert_int_equal(len, 16);
	free(data);
	assert_true(settings_platform_u64(platform, "GenerationIdLow", &value));
	assert_true(value == ~0ull);
	assert_true(settings_platform_u64(platform, "GenerationIdHigh", &value));
	assert_int_equal(value, 9);
	assert_false(settings_platform_u64("{\"A\":18446744073709551616}", "A", &value));
	assert_false(settings_platform_u64("{\"A\":-1}", "A", &value));
	assert_false(settings_platform_u64("{\"A\":\"1\"}", "A", &value));
	assert_false(settings_platform_u64("{\"A\"", "A", &value));
	assert_int_equal(value, 9);
	assert_true(settings_platform_bool(platform, "WatchdogEnabled"));
	assert_false(settings_platform_bool(platform, "Off"));
	assert_false(settings_platform_bool(platform, "Other"));
	assert_false(settings_platform_bool("", "Off"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json), cmocka_unit_test(json_other_forms), cmocka_unit_test(protobuf),
		cmocka_unit_test(protobuf_in_namespace), cmocka_unit_test(json_in_namespace), cmocka_unit_test(nothing),
		cmocka_unit_test(what_is_wrong), cmocka_unit_test(of_platform), cmocka_unit_test(text_of_platform),
		cmocka_unit_test(numbers_of_platform),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
