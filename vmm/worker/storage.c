#include "vmm/worker/storage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log/log.h"
#include "vmm/chipset/ide/ide.h"

LOG_DOMAIN("storage");

#define DELAY_NS 1000000u

/* a number with K, M or G; the text goes on behind it */
static bool take_size(const char **text, u64 *ret)
{
	static const char units[] = "KMG";
	char *end;
	unsigned long long value = strtoull(*text, &end, 10);

	if (end == *text || **text < '0' || **text > '9')
		return false;
	for (unsigned i = 0; i < 3; i++)
		if (*end == units[i] || *end == units[i] + ('a' - 'A')) {
			if (value > ~0ull >> (10 * (i + 1)))
				return false;
			value <<= 10 * (i + 1);
			end++;
			break;
		}
	*text = end;
	*ret = value;
	return true;
}

static bool take_word(const char **text, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(*text, word, len))
		return false;
	*text += len;
	return true;
}

static bool take_filters(const char **text, u32 *ret)
{
	static const struct { const char *name; enum storage_filter filter; } filters[] = {
		{ "fault", STORAGE_FAULT }, { "trace", STORAGE_TRACE }, { "delay", STORAGE_DELAY }, { "ro", STORAGE_READ_ONLY },
		{ "nofua", STORAGE_NO_FUA },
	};

	while (take_word(text, "+")) {
		size_t i = 0;

		while (i < ARRAY_SIZE(filters) && !take_word(text, filters[i].name))
			i++;
		if (i == ARRAY_SIZE(filters))
			return false;
		*ret |= filters[i].filter;
	}
	return true;
}

static bool take_nvme(const char **text, struct storage_disk *d)
{
	struct storage_source *s = &d->sources[0];
	char guid[GUID_STRLEN + 1];
	u64 number;

	snprintf(guid, sizeof(guid), "%s", *text);
	d->kind = STORAGE_NVME;
	d->source_count = 1;
	s->named = guid_parse(guid, &s->instance);
	if (s->named)
		*text += GUID_STRLEN;
	else if (take_size(text, &number) && number < 64)
		s->index = (u32)number;
	else
		return false;
	if (!take_word(text, "/"))
		return true;
	if (!take_size(text, &number) || !number || number >= ~0u)
		return false;
	s->nsid = (u32)number;
	return true;
}

static bool take_disk(const char **text, struct storage_disk *d)
{
	u64 sector = 512;

	if (take_word(text, "nvme:"))
		return take_nvme(text, d) && take_filters(text, &d->filters);
	if (!take_word(text, "ram:") || !take_size(text, &d->bytes))
		return false;
	if (take_word(text, ":") && (!take_size(text, &sector) || (sector != 512 && sector != 4096)))
		return false;
	d->kind = STORAGE_RAM;
	d->sector_size = (u32)sector;
	return d->bytes >= sector && d->bytes <= BIT(50) && take_filters(text, &d->filters);
}

/* a zeroed one at the list's end; NULL */
static struct storage_disk *append(struct storage_controller *c)
{
	struct storage_disk *disks = realloc(c->disks, (c->count + 1) * sizeof(*disks));

	if (!disks)
		return NULL;
	c->disks = disks;
	memset(&disks[c->count], 0, sizeof(*disks));
	return &disks[c->count++];
}

int storage_parse(const char *text, struct storage_config *ret)
{
	/* it names the controller to the guest for ever */
	static const struct guid instance = GUID(0x9c0a4cd1, 0x5d3e, 0x4a1b, 0x8e, 0x2f, 0x50, 0x56, 0x53, 0x43, 0x53, 0x00);
	struct storage_config c = { .fixed = true, .controllers[0] = { .instance = instance, .sub_channels = ~0u } };
	struct storage_controller *scsi = &c.controllers[0];
	const char *at = text;

	while (*at) {
		struct storage_disk *d = append(scsi);

		if (!d || d - scsi->disks == SCSI_LUNS_MAX || !take_disk(&at, d) || (*at && !take_word(&at, ","))) {
			int r = d ? log_err(-EINVAL, "disk %u of \"%s\" is not understood", scsi->count - 1, text) :
				    log_err(-ENOMEM, "disks");

			storage_free(&c);
			return r;
		}
		d->location = scsi->count - 1;
		d->identity.no_fua = d->filters & STORAGE_NO_FUA;
	}
	c.count = scsi->count != 0;
	*ret = c;
	return 0;
}

/* a place that the text names, or the next free one */
static bool take_place(const char **text, struct storage_controller *c, struct storage_disk *d)
{
	const char *at = *text;

	if (at[0] >= '0' && at[0] <= '1' && at[1] == ':' && at[2] >= '0' && at[2] <= '1' && at[3] == '=') {
		d->channel = (u32)(at[0] - '0');
		d->location = (u32)(at[2] - '0');
		*text += 4;
		return !storage_at(c, d->channel, d->location);
	}
	for (u32 i = 0; i < IDE_CHANNELS * IDE_DRIVES; i++) {
		d->channel = i / IDE_DRIVES;
		d->location = i % IDE_DRIVES;
		if (!storage_at(c, d->channel, d->location))
			return true;
	}
	return false;
}

static bool take_ide(const char **text, struct storage_controller *c)
{
	struct storage_disk d, *to;

	memset(&d, 0, sizeof(d));
	if (!take_place(text, c, &d))
		return false;
	d.dvd = take_word(text, "cd:");
	if (!take_disk(text, &d) || (**text && !take_word(text, ",")))
		return false;
	to = append(c);
	if (to)
		*to = d;
	return to;
}

int storage_parse_ide(const char *text, struct storage_config *c)
{
	static const struct guid instance = GUID(0x9c0a4cd1, 0x5d3e, 0x4a1b, 0x8e, 0x2f, 0x50, 0x56, 0x49, 0x44, 0x45, 0x00);
	struct storage_controller ide = { .bus = STORAGE_IDE, .instance = instance };

	for (const char *at = text; *at;)
		if (!take_ide(&at, &ide)) {
			free(ide.disks);
			return log_err(-EINVAL, "IDE disk %u of \"%s\" is not understood, or its place is taken", ide.count,
				       text);
		}
	if (ide.count)
		c->controllers[c->count++] = ide;
	return 0;
}

void storage_place(u32 controller, enum storage_bus bus, const struct storage_disk *d, char place[STORAGE_PLACE_LEN])
{
	if (bus == STORAGE_IDE)
		snprintf(place, STORAGE_PLACE_LEN, "IDE drive %u:%u", d->channel, d->location);
	else
		snprintf(place, STORAGE_PLACE_LEN, "LUN %u of controller %u", d->location, controller);
}

struct storage_controller *storage_ide(struct storage_config *c)
{
	for (u32 i = 0; i < c->count; i++)
		if (c->controllers[i].bus == STORAGE_IDE)
			return &c->controllers[i];
	return NULL;
}

/* ---- from the settings */
static void take_text(char *to, size_t room, const char *text)
{
	snprintf(to, room, "%s", text ? text : "");
}

static void take_source(struct storage_disk *d, const struct settings_device *device)
{
	d->sources[d->source_count++] = (struct storage_source){ .named = true, .instance = device->instance,
								 .nsid = (u32)device->sub_path.value };
}

static void take_lun(struct storage_disk *d, const struct settings_lun *l)
{
	const struct settings_devices *devices = l->physical_devices;
	struct scsi_identity *id = &d->identity;

	d->channel = (u32)l->channel.value;
	d->location = (u32)l->location.value;
	d->dvd = l->is_dvd.value;
	d->kind = devices ? STORAGE_NVME : STORAGE_NONE;
	if (devices && devices->device)
		take_source(d, devices->device);
	for (unsigned i = 0; devices && i < devices->devices.count; i++)
		take_source(d, devices->devices.items[i]);
	d->chunk_bytes = (u32)(l->chunk_size_in_kb.value ? MIN(l->chunk_size_in_kb.value, 1024 * 1024ull) : 64) * 1024;
	d->bytes = l->scsi_disk_size_in_bytes.value;
	d->no_unmap = l->disable_thin_provisioning.value;
	d->physical_size = (u32)l->physical_sector_size.value;
	d->has_id = l->device_id && *l->device_id;
	d->id = l->id;
	d->filters = d->dvd ? STORAGE_READ_ONLY : 0;
	take_text(id->vendor, sizeof(id->vendor), l->vendor_id);
	take_text(id->product, sizeof(id->product), l->product_id);
	take_text(id->revision, sizeof(id->revision), l->product_revision_level);
	take_text(id->serial, sizeof(id->serial), l->serial_number);
	id->rotation_rate = (u16)MIN(l->medium_rotation_rate.value, 0xfffeull);
	id->no_fua = l->fua.set && !l->fua.value;
	id->write_through = l->write_cache.set && !l->write_cache.value;
}

int storage_from_settings(const struct settings *s, struct storage_config *ret, struct settings_error *error)
{
	const struct settings_list *list = &s->dynamic->storage_controllers;
	struct storage_config c = { .count = 0 };

	for (unsigned i = 0; i < list->count; i++) {
		const struct settings_controller *from = list->items[i];
		struct storage_controller *to = &c.controllers[c.count++];

		to->bus = from->protocol.value == SETTINGS_IDE ? STORAGE_IDE : STORAGE_SCSI;
		to->instance = from->instance;
		to->sub_channels = (u32)s->fixed->scsi_sub_channels.value;
		for (unsigned k = 0; k < from->luns.count; k++) {
			struct storage_disk *d = append(to);

			if (!d) {
				storage_free(&c);
				settings_refuse(error, "InternalFailure", "out of memory for disks");
				return -ENOMEM;
			}
			take_lun(d, from->luns.items[k]);
			if (d->dvd && to->bus == STORAGE_SCSI) {
				u32 lun = d->location;

				storage_free(&c);
				return settings_refuse(error, "StorageUnsupportedDeviceType",
						       "LUN %u: this firmware has DVDs on the IDE controller only", lun);
			}
		}
	}
	*ret = c;
	return 0;
}

void storage_free(struct storage_config *c)
{
	for (u32 i = 0; i < STORAGE_CONTROLLERS_MAX; i++)
		free(c->controllers[i].disks);
	*c = (struct storage_config){ .count = 0 };
}

/* ---- one configuration after another */
bool storage_same(const struct storage_disk *a, const struct storage_disk *b)
{
	return !memcmp(a, b, offsetof(struct storage_disk, attached));
}

struct storage_disk *storage_at(struct storage_controller *c, u32 channel, u32 location)
{
	for (u32 i = 0; i < c->count; i++)
		if (c->disks[i].channel == channel && c->disks[i].location == location)
			return &c->disks[i];
	return NULL;
}

static bool same_disks(const struct storage_controller *a, const struct storage_controller *b)
{
	for (u32 i = 0; i < a->count; i++) {
		struct storage_disk *other = storage_at((struct storage_controller *)b, a->disks[i].channel,
							a->disks[i].location);

		if (!other || !storage_same(&a->disks[i], other))
			return false;
	}
	return a->count == b->count;
}

int storage_may_change(const struct storage_config *from, const struct storage_config *to, struct settings_error *error)
{
	bool same = from->count == to->count;

	if (from->fixed)
		return settings_refuse(error, "InternalFailure",
				       "PARAVANE_DISKS on the kernel's command line says which disks there are");
	for (u32 i = 0; same && i < to->count; i++)
		same = from->controllers[i].bus == to->controllers[i].bus &&
		       guid_equal(&from->controllers[i].instance, &to->controllers[i].instance);
	if (!same)
		return settings_refuse(error, "StorageCannotAddRemoveControllerAtRuntime",
				       "the running VM has %u storage controllers; others, or others' order, want a restart",
				       from->count);
	for (u32 i = 0; i < to->count; i++)
		if (to->controllers[i].bus == STORAGE_IDE && !same_disks(&from->controllers[i], &to->controllers[i]))
			return settings_refuse(error, "StorageCannotModifyIdeAtRuntime", "IDE drives change at a restart only");
	return 0;
}

/* ---- making disks */
struct disk *storage_ram(const struct storage_disk *d, const struct guid *id)
{
	struct disk *disk = disk_ram(d->bytes, d->sector_size, id);

	return disk ? storage_dress(d, disk, id) : NULL;
}

struct disk *storage_dress(const struct storage_disk *d, struct disk *disk, const struct guid *id)
{
	if (d->kind == STORAGE_NVME && d->bytes && d->bytes < disk_bytes(disk))
		disk = disk_partition(disk, 0, d->bytes / disk->sector_size, id);
	if (disk && d->filters & STORAGE_FAULT)
		disk = disk_fault(disk, d->location + 1);
	if (disk && d->filters & STORAGE_DELAY)
		disk = disk_delay(disk, DELAY_NS);
	if (disk && d->filters & STORAGE_TRACE)
		disk = disk_trace(disk);
	if (disk && d->filters & STORAGE_READ_ONLY)
		disk = disk_read_only(disk);
	if (disk)
		disk = disk_stats(disk);
	if (!disk)
		return NULL;
	if (d->no_unmap)
		disk->unmap_granularity = 0;
	if (d->physical_size >= disk->sector_size)
		disk->physical_size = d->physical_size;
	disk->id = *id;
	return disk;
}

bool storage_is_of(const struct storage_source *s, u32 index, const struct guid *instance)
{
	return s->named ? guid_equal(&s->instance, instance) : s->index == index;
}
