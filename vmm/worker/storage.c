#include "vmm/worker/storage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log/log.h"

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

static bool take_filters(const char **text, unsigned *ret)
{
	static const struct { const char *name; enum storage_filter filter; } filters[] = {
		{ "fault", STORAGE_FAULT }, { "trace", STORAGE_TRACE }, { "delay", STORAGE_DELAY }, { "ro", STORAGE_READ_ONLY },
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
	char guid[GUID_STRLEN + 1];
	u64 number;

	snprintf(guid, sizeof(guid), "%s", *text);
	d->kind = STORAGE_NVME;
	d->named = guid_parse(guid, &d->instance);
	if (d->named)
		*text += GUID_STRLEN;
	else if (take_size(text, &number) && number < 64)
		d->index = (u32)number;
	else
		return false;
	if (!take_word(text, "/"))
		return true;
	if (!take_size(text, &number) || !number || number >= ~0u)
		return false;
	d->nsid = (u32)number;
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
	d->sector_size = (u32)sector;
	return d->bytes >= sector && d->bytes <= BIT(50) && take_filters(text, &d->filters);
}

int storage_parse(const char *text, struct storage_config *ret)
{
	struct storage_config c = { .count = 0 };
	const char *at = text;

	while (*at) {
		struct storage_disk *d = &c.disks[c.count];

		if (c.count == SCSI_LUNS_MAX || !take_disk(&at, d) || (*at && !take_word(&at, ",")))
			return log_err(-EINVAL, "disk %u of \"%s\" is not understood", c.count, text);
		d->location = c.count++;
	}
	*ret = c;
	return 0;
}

static struct storage_disk *ide_at(struct storage_config *c, u32 channel, u32 drive)
{
	for (unsigned i = 0; i < c->count; i++) {
		struct storage_disk *d = &c->disks[i];

		if (d->bus == STORAGE_IDE && d->channel == channel && d->location == drive)
			return d;
	}
	return NULL;
}

/* "1:0=": which drive; nothing: the next that is free */
static bool take_place(const char **text, struct storage_config *c, struct storage_disk *d)
{
	const char *at = *text;

	if (at[0] >= '0' && at[0] <= '1' && at[1] == ':' && at[2] >= '0' && at[2] <= '1' && at[3] == '=') {
		d->channel = (u32)(at[0] - '0');
		d->location = (u32)(at[2] - '0');
		*text += 4;
		return !ide_at(c, d->channel, d->location);
	}
	for (u32 i = 0; i < IDE_CHANNELS * IDE_DRIVES; i++) {
		d->channel = i / IDE_DRIVES;
		d->location = i % IDE_DRIVES;
		if (!ide_at(c, d->channel, d->location))
			return true;
	}
	return false;
}

static bool take_ide(const char **text, struct storage_config *c)
{
	struct storage_disk d = { .bus = STORAGE_IDE };

	if (c->count == STORAGE_DISKS_MAX || !take_place(text, c, &d))
		return false;
	d.dvd = take_word(text, "cd:");
	if (!take_disk(text, &d) || (**text && !take_word(text, ",")))
		return false;
	c->disks[c->count++] = d;
	return true;
}

int storage_parse_ide(const char *text, struct storage_config *c)
{
	struct storage_config all = *c;

	for (const char *at = text; *at;)
		if (!take_ide(&at, &all))
			return log_err(-EINVAL, "IDE disk %u of \"%s\" is not understood, or its place is taken",
				       all.count - c->count, text);
	*c = all;
	return 0;
}

void storage_place(const struct storage_disk *d, char place[STORAGE_PLACE_LEN])
{
	if (d->bus == STORAGE_IDE)
		snprintf(place, STORAGE_PLACE_LEN, "IDE drive %u:%u", d->channel, d->location);
	else
		snprintf(place, STORAGE_PLACE_LEN, "LUN %u", d->location);
}

bool storage_has(const struct storage_config *c, enum storage_bus bus)
{
	for (unsigned i = 0; i < c->count; i++)
		if (c->disks[i].bus == bus)
			return true;
	return false;
}

struct disk *storage_disk(const struct storage_disk *d, const struct guid *id)
{
	return storage_filters(d, disk_ram(d->bytes, d->sector_size, id));
}

struct disk *storage_filters(const struct storage_disk *d, struct disk *disk)
{
	if (disk && d->filters & STORAGE_FAULT)
		disk = disk_fault(disk, d->location + 1);
	if (disk && d->filters & STORAGE_DELAY)
		disk = disk_delay(disk, DELAY_NS);
	if (disk && d->filters & STORAGE_TRACE)
		disk = disk_trace(disk);
	if (disk && d->filters & STORAGE_READ_ONLY)
		disk = disk_read_only(disk);
	return disk ? disk_stats(disk) : NULL;
}

bool storage_is_of(const struct storage_disk *d, u32 index, const struct guid *instance)
{
	return d->kind == STORAGE_NVME && (d->named ? guid_equal(&d->instance, instance) : d->index == index);
}
