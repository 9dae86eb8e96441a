/*
 * The VTL2 settings document: which controllers and disks VTL0 has, as the host's management wrote it. Protobuf or JSON, plain
 * or in namespaces, of package underhill.settings (openvmm vm/devices/get/vtl2_settings_proto). The bytes are untrusted. What
 * is here knows the schema and what can be said of a document alone; whether the devices exist is the worker's business.
 */
#pragma once

#include "lib/core/guid.h"

#define SETTINGS_MAX_BYTES (1u << 20)
#define SETTINGS_SCSI_CONTROLLERS_MAX 4u /* as many as Hyper-V gives a VM */
#define SETTINGS_LUNS_MAX 64u
#define SETTINGS_COLUMNS_MAX 16u

enum settings_protocol { SETTINGS_SCSI = 1, SETTINGS_IDE = 2, SETTINGS_NVME = 3 };
enum settings_backing { SETTINGS_SINGLE = 1, SETTINGS_STRIPED = 2 };
enum settings_device_type { SETTINGS_DEVICE_NVME = 1, SETTINGS_DEVICE_VSCSI = 2 };

/* numbers, booleans and enums; set: the document says it */
struct settings_number {
	u64 value;
	bool set;
};

struct settings_list {
	void **items;
	unsigned count;
};

struct settings_device {
	struct settings_number type;          /* enum settings_device_type */
	char *path;                           /* text of instance */
	struct guid instance;                 /* of the vPCI device or the VSCSI channel, by settings_check() */
	struct settings_number sub_path;      /* NVMe namespace, or LUN */
};

struct settings_devices {
	struct settings_number type;          /* enum settings_backing */
	struct settings_device *device;       /* single */
	struct settings_list devices;         /* striped: struct settings_device */
};

struct settings_lun {
	struct settings_number channel, location;
	char *device_id, *vendor_id, *product_id, *product_revision_level, *serial_number, *model_number; /* NULL: not said */
	struct settings_number medium_rotation_rate, physical_sector_size, fua, write_cache, odx, disable_thin_provisioning,
		max_transfer_length, is_dvd, chunk_size_in_kb, scsi_disk_size_in_bytes;
	char *ntfs_guid;
	struct settings_devices *physical_devices; /* NULL: an empty drive */
	struct settings_number total_logic_size_in_kb, old_type, old_sub_path; /* the form before physical_devices */
	char *old_path;
	struct guid id;                       /* of device_id, or all zeroes; by settings_check() */
};

struct settings_controller {
	char *instance_id;
	struct settings_number protocol;      /* enum settings_protocol */
	struct settings_list luns;            /* struct settings_lun */
	struct settings_number io_queue_depth;
	struct guid instance;                 /* by settings_check() */
};

struct settings_fixed {
	struct settings_number scsi_sub_channels, io_ring_size, max_bounce_buffer_pages;
};

struct settings_dynamic {
	struct settings_list storage_controllers; /* struct settings_controller */
	struct settings_list nic_devices;
};

struct settings {
	struct settings_list namespaces;      /* used while reading */
	struct settings_number version;
	struct settings_fixed *fixed;         /* never NULL after settings_parse() */
	struct settings_dynamic *dynamic;     /* likewise */
};

/* id: as the public protocol names it, "Configuration.StorageLunLocationDuplicated"; text: what, where, for a person */
struct settings_error {
	char id[72];
	char text[240];
};

/*
 * An empty document is one without devices. Checked: version, GUIDs, limits, duplicates, shapes. -EINVAL or -ENOMEM with
 * *error filled. The caller ends it with settings_free().
 */
int settings_parse(const void *document, size_t len, struct settings **ret, struct settings_error *error) __must_check;
void settings_free(struct settings *s);
/* "Configuration.NAME" and the text; returns -EINVAL */
int settings_refuse(struct settings_error *error, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
struct pb_writer;
/* the error as GET's result document has it: a JSON list of one */
void settings_error_json(const struct settings_error *error, struct pb_writer *out);

/*
 * Vtl2Settings out of the device platform settings (JSON, V2.Static.Vtl2Settings, base64). *ret is malloc()ed and NULL when
 * there are none. -EINVAL with *error filled, -ENOMEM.
 */
int settings_of_platform(const char *platform, void **ret, size_t *ret_len, struct settings_error *error) __must_check;
/* the text V2.Static.NAME of the device platform settings; false: there is none, or it is no text of less than size bytes */
bool settings_platform_text(const char *platform, const char *name, char *ret, size_t size);
/* V2.Static.NAME is true */
bool settings_platform_bool(const char *platform, const char *name);
/* the first number in the document that is called NAME, with all its 64 bits; false: there is none */
bool settings_platform_u64(const char *platform, const char *name, u64 *ret);
/* is V1.EnableTpm of the device platform settings true? (openvmm get_protocol dps_json.rs) */
bool settings_platform_tpm(const char *platform);
