#include "vmm/settings/settings.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/rpc/pb.h"
#include "vmm/settings/schema.h"

#define IDE_CHANNELS 2u
#define IDE_DRIVES 2u

int settings_refuse(struct settings_error *error, const char *name, const char *format, ...)
{
	va_list args;

	snprintf(error->id, sizeof(error->id), "%s.%s", !strcmp(name, "InternalFailure") ? "Underhill" : "Configuration", name);
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	/* it goes into logs and documents; parts of it are the document's own */
	for (char *c = error->text; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	return -EINVAL;
}

void settings_error_json(const struct settings_error *error, struct pb_writer *out)
{
	json_t *list = json_pack("[{s:s, s:s, s:s, s:i}]", "error_id", error->id, "message", error->text, "file_name", "",
				 "line", 0);
	char *text = list ? json_dumps(list, JSON_COMPACT) : NULL;

	if (text)
		pb_raw(out, text, strlen(text));
	else
		out->failed = true;
	free(text);
	json_decref(list);
}

/* ---- what a document says, beyond its shape */
static int check_guid(const char *text, const char *what, struct guid *ret, struct settings_error *error)
{
	if (!text || !guid_parse(text, ret))
		return settings_refuse(error, "InvalidInstanceId", "%s '%.60s' is no GUID", what, text ? text : "");
	return 0;
}

static int check_text(const char *text, size_t max, const char *name, const char *what, struct settings_error *error)
{
	if (text && strlen(text) > max)
		return settings_refuse(error, name, "%s '%.60s' is longer than %zu characters", what, text, max);
	for (; text && *text; text++)
		if (*text < 0x20 || *text > 0x7e)
			return settings_refuse(error, name, "%s has a character that is not printable ASCII", what);
	return 0;
}

/* before physical_devices there was one device beside the LUN's own fields */
static int modernize(struct settings_lun *l, struct settings_error *error)
{
	bool old = l->old_type.set || l->old_path || l->old_sub_path.set;

	if (!old)
		return 0;
	if (l->physical_devices || l->is_dvd.value)
		return settings_refuse(error, "JsonFormatError", "location %lu: device_path beside physical_devices or is_dvd",
				       (unsigned long)l->location.value);
	struct settings_devices *d = calloc(1, sizeof(*d));

	l->physical_devices = d;
	if (d)
		d->device = calloc(1, sizeof(*d->device));
	if (!d || !d->device)
		return settings_refuse(error, "InternalFailure", "out of memory for the settings");
	d->type = (struct settings_number){ SETTINGS_SINGLE, true };
	d->device->type = l->old_type;
	d->device->sub_path = l->old_sub_path;
	d->device->path = l->old_path;
	l->old_path = NULL;
	return 0;
}

static int check_device(struct settings_device *d, struct settings_error *error)
{
	if (d->type.value != SETTINGS_DEVICE_NVME)
		return settings_refuse(error, "StorageUnsupportedDeviceType",
				       "device %.40s: this firmware has NVMe devices only", d->path ? d->path : "without a path");
	if (!d->sub_path.value || d->sub_path.value == ~0u)
		return settings_refuse(error, "StorageLunLocationExceedsMaxLimits", "device %.40s: %lu is no NVMe namespace",
				       d->path ? d->path : "without a path", (unsigned long)d->sub_path.value);
	return check_guid(d->path, "device_path", &d->instance, error);
}

static int check_devices(struct settings_devices *d, struct settings_error *error)
{
	int r = 0;

	if (d->type.value == SETTINGS_SINGLE && d->device)
		return d->devices.count ? settings_refuse(error, "StorageInvalidPhysicalDiskCount",
							  "a single device, and %u of a stripe", d->devices.count) :
					  check_device(d->device, error);
	if (d->type.value != SETTINGS_STRIPED || d->device || d->devices.count < 2 || d->devices.count > SETTINGS_COLUMNS_MAX)
		return settings_refuse(error, "StorageInvalidPhysicalDiskCount",
				       "physical_devices want SINGLE with a device, or STRIPED with 2 to %u devices",
				       SETTINGS_COLUMNS_MAX);
	for (unsigned i = 0; !r && i < d->devices.count; i++)
		r = check_device(d->devices.items[i], error);
	return r;
}

static int check_overrides(struct settings_lun *l, struct settings_error *error)
{
	u64 physical = l->physical_sector_size.value;
	int r = check_text(l->vendor_id, 8, "StorageInvalidVendorId", "vendor_id", error);

	if (!r)
		r = check_text(l->product_id, 16, "StorageInvalidProductId", "product_id", error);
	if (!r)
		r = check_text(l->product_revision_level, 4, "StorageInvalidProductRevisionLevel", "product_revision_level",
			       error);
	if (!r)
		r = check_text(l->serial_number, 64, "StorageInvalidProductId", "serial_number", error);
	if (!r && l->device_id && *l->device_id)
		r = check_guid(l->device_id, "device_id", &l->id, error);
	if (!r && l->physical_sector_size.set && physical && physical != 512 && physical != 4096)
		r = settings_refuse(error, "JsonFormatError", "physical_sector_size %lu: 512 and 4096 are possible",
				    (unsigned long)physical);
	return r;
}

static int check_lun(struct settings_lun *l, struct settings_error *error)
{
	int r = modernize(l, error);

	if (!r)
		r = check_overrides(l, error);
	if (!r && l->physical_devices)
		r = check_devices(l->physical_devices, error);
	if (!r && !l->physical_devices && !l->is_dvd.value)
		r = settings_refuse(error, "EmptyDriveNotAllowed", "a disk without physical_devices (a DVD may be empty)");
	return r;
}

/* where a drive is; the controller's drives share a bitmap */
static int check_location(const struct settings_controller *c, const struct settings_lun *l, u64 *taken,
			  struct settings_error *error)
{
	u64 location = l->location.value;

	if (c->protocol.value == SETTINGS_IDE) {
		if (!l->channel.set)
			return settings_refuse(error, "StorageIdeChannelNotProvided", "an IDE drive without its channel");
		if (l->channel.value >= IDE_CHANNELS)
			return settings_refuse(error, "StorageIdeChannelExceedsMaxLimits", "IDE channel %lu: there are two",
					       (unsigned long)l->channel.value);
		if (location >= IDE_DRIVES)
			return settings_refuse(error, "StorageIdeLocationExceedsMaxLimits", "IDE location %lu: a channel has two",
					       (unsigned long)location);
		location += l->channel.value * IDE_DRIVES;
	}
	if (location >= SETTINGS_LUNS_MAX)
		return settings_refuse(error, "StorageLunLocationExceedsMaxLimits", "location %lu is above %u",
				       (unsigned long)location, SETTINGS_LUNS_MAX - 1);
	if (*taken & BIT(location))
		return settings_refuse(error, "StorageLunLocationDuplicated", "location %lu is there twice",
				       (unsigned long)location);
	*taken |= BIT(location);
	return 0;
}

/* the error's text says where it was found */
static int add_context(struct settings_error *error, const char *format, ...)
{
	size_t len = strlen(error->text);
	va_list args;

	va_start(args, format);
	vsnprintf(error->text + len, sizeof(error->text) - len, format, args);
	va_end(args);
	return -EINVAL;
}

static int check_controller(struct settings_controller *c, struct settings_error *error)
{
	int r = check_guid(c->instance_id, "storage controller's instance_id", &c->instance, error);
	u64 taken = 0;

	if (r)
		return r;
	if (c->protocol.value != SETTINGS_SCSI && c->protocol.value != SETTINGS_IDE)
		return settings_refuse(error, "StorageInvalidControllerType",
				       "controller %s: protocol %lu; this firmware has SCSI and IDE", c->instance_id,
				       (unsigned long)c->protocol.value);
	for (unsigned i = 0; i < c->luns.count; i++) {
		struct settings_lun *l = c->luns.items[i];

		r = check_location(c, l, &taken, error);
		if (!r)
			r = check_lun(l, error);
		if (r)
			return add_context(error, " (controller %s, luns[%u])", c->instance_id, i);
	}
	return 0;
}

static int check(struct settings *s, struct settings_error *error)
{
	struct settings_list *list = &s->dynamic->storage_controllers;
	unsigned of[4] = { 0 };

	if (s->version.value != 1)
		return settings_refuse(error, "UnsupportedSchemaVersion", "version %lu: this firmware knows V1",
				       (unsigned long)s->version.value);
	for (unsigned i = 0; i < list->count; i++) {
		struct settings_controller *c = list->items[i];
		int r = check_controller(c, error);

		if (r)
			return r;
		for (unsigned k = 0; k < i; k++)
			if (guid_equal(&((struct settings_controller *)list->items[k])->instance, &c->instance))
				return settings_refuse(error, "StorageControllerGuidAlreadyExists",
						       "controller %s is there twice",
						       c->instance_id);
		of[c->protocol.value]++;
	}
	if (of[SETTINGS_SCSI] > SETTINGS_SCSI_CONTROLLERS_MAX)
		return settings_refuse(error, "StorageScsiControllerExceedsMaxLimits", "%u SCSI controllers; %u are possible",
				       of[SETTINGS_SCSI], SETTINGS_SCSI_CONTROLLERS_MAX);
	if (of[SETTINGS_IDE] > 1)
		return settings_refuse(error, "StorageIdeChannelExceedsMaxLimits", "%u IDE controllers; a machine has one",
				       of[SETTINGS_IDE]);
	return 0;
}

/* ---- reading */
/* a document that begins with a brace is JSON: no protobuf of this schema can */
static int read_document(const struct message *m, const u8 *data, size_t len, void *into, struct settings_error *error)
{
	size_t at = 0;

	while (at < len && (data[at] == ' ' || (data[at] >= '\t' && data[at] <= '\r')))
		at++;
	return at < len && data[at] == '{' ? schema_read_json(m, data, len, into, error) :
					     schema_read_protobuf(m, data, len, into, error);
}

/* the Base namespace is read over what stands outside, which then must be nothing */
static int read_namespaces(struct settings *s, struct settings_error *error)
{
	for (unsigned i = 0; i < s->namespaces.count; i++) {
		const struct settings_chunk *c = s->namespaces.items[i];
		const char *name = c->name ? c->name : "";

		if (!c->settings.len)
			return settings_refuse(error, "EmptyNamespaceChunk", "namespace '%.40s' is empty", name);
		if (!strcmp(name, "NetworkDevice") || !strcmp(name, "NetworkAcceleration"))
			continue; /* no network yet */
		if (strcmp(name, "Base"))
			return settings_refuse(error, "UnsupportedSchemaNamespace", "namespace '%.40s' is not known", name);
		if (s->version.set || s->fixed || s->dynamic)
			return settings_refuse(error, "JsonFormatError", "namespace Base twice, or beside the old form");
		int r = read_document(&schema_base, c->settings.data, c->settings.len, s, error);

		if (r)
			return r;
	}
	return 0;
}

int settings_parse(const void *document, size_t len, struct settings **ret, struct settings_error *error)
{
	struct settings *s = calloc(1, sizeof(*s));
	int r = s ? 0 : -ENOMEM;

	*error = (struct settings_error){ 0 };
	if (!r && len > SETTINGS_MAX_BYTES)
		r = settings_refuse(error, "JsonFormatError", "%zu bytes; %u are possible", len, SETTINGS_MAX_BYTES);
	if (!r && len)
		r = read_document(&schema_settings, document, len, s, error);
	if (!r)
		r = read_namespaces(s, error);
	if (!r && !len)
		s->version.value = 1;
	if (!r && !s->fixed)
		s->fixed = calloc(1, sizeof(*s->fixed));
	if (!r && !s->dynamic)
		s->dynamic = calloc(1, sizeof(*s->dynamic));
	if (!r && (!s->fixed || !s->dynamic))
		r = -ENOMEM;
	if (!r)
		r = check(s, error);
	if (r == -ENOMEM)
		settings_refuse(error, "InternalFailure", "out of memory for the settings");
	if (r)
		settings_free(s);
	else
		*ret = s;
	return r;
}

void settings_free(struct settings *s)
{
	if (!s)
		return;
	schema_free(&schema_settings, s);
	free(s);
}

/*
 * Numbers as reals: jansson knows signed ones only and refuses the document for a larger one, which three in four generation IDs
 * have.
 */
static json_t *load_platform(const char *platform, json_error_t *at)
{
	return json_loads(platform, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, at);
}

static json_t *of_static(json_t *root, const char *name)
{
	return json_object_get(json_object_get(json_object_get(root, "V2"), "Static"), name);
}

int settings_of_platform(const char *platform, void **ret, size_t *ret_len, struct settings_error *error)
{
	json_error_t at;
	json_t *root = load_platform(platform, &at), *node;
	struct settings_blob blob = { NULL, 0 };
	int r = 0;

	*ret = NULL;
	*ret_len = 0;
	if (!root)
		return settings_refuse(error, "JsonFormatError", "device platform settings, line %d, column %d: %s", at.line,
				       at.column, at.text);
	node = of_static(root, "Vtl2Settings");
	if (json_is_string(node)) {
		if (base64_decode(json_string_value(node), json_string_length(node), &blob)) {
			*ret = blob.data;
			*ret_len = blob.len;
		} else {
			r = settings_refuse(error, "JsonFormatError", "Vtl2Settings is not base64");
		}
	} else if (node && !json_is_null(node)) {
		r = settings_refuse(error, "JsonFormatError", "Vtl2Settings is no text");
	}
	json_decref(root);
	return r;
}

bool settings_platform_text(const char *platform, const char *name, char *ret, size_t size)
{
	json_t *root = load_platform(platform, NULL);
	json_t *node = of_static(root, name);
	bool fits = json_is_string(node) && json_string_length(node) < size && strlen(json_string_value(node)) < size;

	if (fits)
		memcpy(ret, json_string_value(node), strlen(json_string_value(node)) + 1);
	json_decref(root);
	return fits;
}

bool settings_platform_bool(const char *platform, const char *name)
{
	json_t *root = load_platform(platform, NULL);
	bool is = json_is_true(of_static(root, name));

	json_decref(root);
	return is;
}

/* by its text, since a real has 53 bits. Quotes within a string have a backslash, so what is found is a name. */
bool settings_platform_u64(const char *platform, const char *name, u64 *ret)
{
	char quoted[80], *end;
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\"", name);
	at = strstr(platform, quoted);
	if (!at)
		return false;
	at += strlen(quoted);
	at += strspn(at, " \t\r\n");
	if (*at++ != ':')
		return false;
	at += strspn(at, " \t\r\n");
	errno = 0;
	unsigned long long value = strtoull(at, &end, 10);

	if (errno || *at < '0' || *at > '9' || !strchr(",} \t\r\n", *end))
		return false;
	*ret = value;
	return true;
}

bool settings_platform_tpm(const char *platform)
{
	json_t *root = load_platform(platform, NULL);
	bool on = json_is_true(json_object_get(json_object_get(root, "V1"), "EnableTpm"));

	json_decref(root);
	return on;
}
