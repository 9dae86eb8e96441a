/* underhill.settings (openvmm vm/devices/get/vtl2_settings_proto/src, vtl2_settings.proto and vtl2_settings.namespaces.proto) */
#include "vmm/settings/schema.h"

#include <stdlib.h>

#define FIELD(type, member, name, number, kind) { name, number, kind, offsetof(struct type, member), NULL, NULL }
#define NESTED(type, member, name, number, kind, message) { name, number, kind, offsetof(struct type, member), message, NULL }
#define NAMED(type, member, name, number, names) { name, number, FIELD_ENUM, offsetof(struct type, member), NULL, names }
#define MESSAGE(type, fields) { sizeof(struct type), fields, ARRAY_SIZE(fields) }

static const struct enum_name versions[] = { { "UNKNOWN", 0 }, { "V1", 1 }, { NULL, 0 } };
static const struct enum_name protocols[] = { { "UNKNOWN", 0 }, { "SCSI", 1 }, { "IDE", 2 }, { "NVME", 3 }, { "scsi", 1 },
					      { "ide", 2 }, { NULL, 0 } };
static const struct enum_name backings[] = { { "UNKNOWN", 0 }, { "SINGLE", 1 }, { "STRIPED", 2 }, { "single", 1 },
					     { "striping", 2 }, { NULL, 0 } };
static const struct enum_name device_types[] = { { "UNKNOWN", 0 }, { "NVME", 1 }, { "VSCSI", 2 }, { "NVMe", 1 }, { "nvme", 1 },
						 { "VScsi", 2 }, { "vscsi", 2 }, { NULL, 0 } };

static const struct field device_fields[] = {
	NAMED(settings_device, type, "device_type", 1, device_types),
	FIELD(settings_device, path, "device_path", 2, FIELD_TEXT),
	FIELD(settings_device, sub_path, "sub_device_path", 3, FIELD_U32),
};
static const struct message device = MESSAGE(settings_device, device_fields);

static const struct field devices_fields[] = {
	NAMED(settings_devices, type, "type", 1, backings),
	NESTED(settings_devices, device, "device", 2, FIELD_MESSAGE, &device),
	NESTED(settings_devices, devices, "devices", 3, FIELD_LIST, &device),
};
static const struct message devices = MESSAGE(settings_devices, devices_fields);

static const struct field lun_fields[] = {
	FIELD(settings_lun, channel, "channel", 1, FIELD_U32),
	FIELD(settings_lun, location, "location", 2, FIELD_U32),
	FIELD(settings_lun, device_id, "device_id", 3, FIELD_TEXT),
	FIELD(settings_lun, vendor_id, "vendor_id", 4, FIELD_TEXT),
	FIELD(settings_lun, product_id, "product_id", 5, FIELD_TEXT),
	FIELD(settings_lun, product_revision_level, "product_revision_level", 6, FIELD_TEXT),
	FIELD(settings_lun, serial_number, "serial_number", 7, FIELD_TEXT),
	FIELD(settings_lun, model_number, "model_number", 8, FIELD_TEXT),
	FIELD(settings_lun, medium_rotation_rate, "medium_rotation_rate", 9, FIELD_U32),
	FIELD(settings_lun, physical_sector_size, "physical_sector_size", 10, FIELD_U32),
	FIELD(settings_lun, fua, "fua", 11, FIELD_BOOL),
	FIELD(settings_lun, write_cache, "write_cache", 12, FIELD_BOOL),
	FIELD(settings_lun, odx, "odx", 13, FIELD_BOOL),
	FIELD(settings_lun, disable_thin_provisioning, "disable_thin_provisioning", 14, FIELD_BOOL),
	FIELD(settings_lun, max_transfer_length, "max_transfer_length", 15, FIELD_U64),
	NESTED(settings_lun, physical_devices, "physical_devices", 16, FIELD_MESSAGE, &devices),
	FIELD(settings_lun, is_dvd, "is_dvd", 17, FIELD_BOOL),
	FIELD(settings_lun, chunk_size_in_kb, "chunk_size_in_kb", 18, FIELD_U32),
	FIELD(settings_lun, scsi_disk_size_in_bytes, "scsi_disk_size_in_bytes", 19, FIELD_U64),
	FIELD(settings_lun, ntfs_guid, "ntfs_guid", 20, FIELD_TEXT),
	FIELD(settings_lun, total_logic_size_in_kb, "total_logic_size_in_kb", 1001, FIELD_U32),
	NAMED(settings_lun, old_type, "device_type", 1002, device_types),
	FIELD(settings_lun, old_path, "device_path", 1003, FIELD_TEXT),
	FIELD(settings_lun, old_sub_path, "sub_device_path", 1004, FIELD_U32),
};
static const struct message lun = MESSAGE(settings_lun, lun_fields);

static const struct field controller_fields[] = {
	FIELD(settings_controller, instance_id, "instance_id", 1, FIELD_TEXT),
	NAMED(settings_controller, protocol, "protocol", 2, protocols),
	NESTED(settings_controller, luns, "luns", 3, FIELD_LIST, &lun),
	FIELD(settings_controller, io_queue_depth, "io_queue_depth", 4, FIELD_U32),
};
static const struct message controller = MESSAGE(settings_controller, controller_fields);

static const struct field fixed_fields[] = {
	FIELD(settings_fixed, scsi_sub_channels, "scsi_sub_channels", 1, FIELD_U32),
	FIELD(settings_fixed, io_ring_size, "io_ring_size", 2, FIELD_U32),
	FIELD(settings_fixed, max_bounce_buffer_pages, "max_bounce_buffer_pages", 3, FIELD_U32),
};
static const struct message fixed = MESSAGE(settings_fixed, fixed_fields);

/* network adapters are no part of this firmware yet: their number is known, nothing else */
struct nic {
	struct settings_number any;
};
static const struct field nic_fields[] = {
	FIELD(nic, any, "instance_id", 1, FIELD_IGNORED),
	FIELD(nic, any, "subordinate_instance_id", 2, FIELD_IGNORED),
	FIELD(nic, any, "max_sub_channels", 3, FIELD_IGNORED),
};
static const struct message nic = MESSAGE(nic, nic_fields);

static const struct field dynamic_fields[] = {
	NESTED(settings_dynamic, storage_controllers, "storage_controllers", 1, FIELD_LIST, &controller),
	NESTED(settings_dynamic, nic_devices, "nic_devices", 2, FIELD_LIST, &nic),
};
static const struct message dynamic = MESSAGE(settings_dynamic, dynamic_fields);

static const struct field chunk_fields[] = {
	FIELD(settings_chunk, name, "namespace", 1, FIELD_TEXT),
	FIELD(settings_chunk, settings, "settings", 2, FIELD_BYTES),
};
static const struct message chunk = MESSAGE(settings_chunk, chunk_fields);

static const struct field settings_fields[] = {
	NESTED(settings, namespaces, "namespace_settings", 1, FIELD_LIST, &chunk),
	NAMED(settings, version, "version", 2, versions),
	NESTED(settings, fixed, "fixed", 3, FIELD_MESSAGE, &fixed),
	NESTED(settings, dynamic, "dynamic", 4, FIELD_MESSAGE, &dynamic),
};
const struct message schema_settings = MESSAGE(settings, settings_fields);

static const struct field base_fields[] = {
	NAMED(settings, version, "version", 1, versions),
	NESTED(settings, fixed, "fixed", 2, FIELD_MESSAGE, &fixed),
	NESTED(settings, dynamic, "dynamic", 3, FIELD_MESSAGE, &dynamic),
};
const struct message schema_base = MESSAGE(settings, base_fields);

static void free_field(const struct field *f, void *at)
{
	struct settings_list *list = at;

	switch (f->kind) {
	case FIELD_TEXT:
		free(*(char **)at);
		break;
	case FIELD_BYTES:
		free(((struct settings_blob *)at)->data);
		break;
	case FIELD_MESSAGE:
		if (*(void **)at)
			schema_free(f->message, *(void **)at);
		free(*(void **)at);
		break;
	case FIELD_LIST:
		for (unsigned i = 0; i < list->count; i++) {
			schema_free(f->message, list->items[i]);
			free(list->items[i]);
		}
		free(list->items);
		break;
	default:
		break;
	}
}

void schema_free(const struct message *m, void *object)
{
	for (unsigned i = 0; i < m->count; i++)
		free_field(&m->fields[i], (char *)object + m->fields[i].offset);
}
