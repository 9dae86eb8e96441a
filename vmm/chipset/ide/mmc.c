/* The commands of a CD or DVD drive (MMC-5, SPC-3) over a disk, four of whose sectors are one of its own */
#include "spec/mmc.h"
#include "vmm/chipset/ide/internal.h"

#define DISK_SECTORS (MMC_SECTOR / ATA_SECTOR)
#define ALWAYS (MMC_FEATURE_CURRENT | MMC_FEATURE_PERSISTENT)

static u16 be16_get(const u8 *p) { return (u16)(p[0] << 8 | p[1]); }
static u32 be32_get(const u8 *p) { return (u32)be16_get(p) << 16 | be16_get(p + 2); }
static void be16_put(u8 *p, u32 v) { p[0] = (u8)(v >> 8); p[1] = (u8)v; }
static void be32_put(u8 *p, u32 v) { be16_put(p, v >> 16); be16_put(p + 2, v); }

static u32 sectors(const struct ide_drive *d)
{
	return (u32)MIN(d->disk->sectors / DISK_SECTORS, (u64)~0u);
}

static bool is_dvd(const struct ide_drive *d)
{
	return sectors(d) > MMC_CD_MAX_SECTORS;
}

static void bad_cdb(struct ide_channel *ch)
{
	ide_check(ch, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
}

static void test_unit_ready(struct ide_channel *ch, const u8 *cdb)
{
	ide_packet_good(ch);
}

static void request_sense(struct ide_channel *ch, const u8 *cdb)
{
	struct ide_drive *d = ide_selected(ch);
	struct scsi_fixed_sense s = { .response_code = SENSE_CURRENT_FIXED, .key = d->sense_key,
				      .additional_length = sizeof(s) - 8, .asc = (u8)(d->asc >> 8), .ascq = (u8)d->asc };

	if (!d->sense_key && d->attention) {
		s.key = SENSE_UNIT_ATTENTION;
		s.asc = (u8)(d->attention >> 8);
		s.ascq = (u8)d->attention;
		d->attention = 0;
	}
	d->sense_key = 0;
	d->asc = 0;
	ide_packet_reply(ch, &s, sizeof(s), cdb[4]);
}

static void inquiry(struct ide_channel *ch, const u8 *cdb)
{
	struct scsi_inquiry data = { .device = MMC_DEVICE_TYPE, .removable = MMC_REMOVABLE, .version = MMC_INQUIRY_VERSION,
				     .format = MMC_INQUIRY_FORMAT_ATAPI, .additional_length = 36 - 5 };

	if (cdb[1] & CDB_EVPD || cdb[2]) {
		bad_cdb(ch);
		return;
	}
	memcpy(data.vendor, "Msft    ", 8);
	memcpy(data.product, "Virtual CD/ROM  ", 16);
	memcpy(data.revision, "1.0 ", 4);
	ide_packet_reply(ch, &data, 36, be16_get(cdb + 3));
}

static void start_stop(struct ide_channel *ch, const u8 *cdb)
{
	struct ide_drive *d = ide_selected(ch);
	bool eject = (cdb[4] & CDB_LOEJ) && !(cdb[4] & CDB_START);

	if (eject && d->locked && !d->ejected) {
		ide_check(ch, SENSE_ILLEGAL_REQUEST, MMC_ASC_REMOVAL_PREVENTED);
		return;
	}
	if (cdb[4] & CDB_LOEJ && !(cdb[4] & CDB_POWER_CONDITION) && eject != d->ejected) {
		d->ejected = eject;
		d->media_event = eject ? MMC_EVENT_MEDIA_REMOVED : MMC_EVENT_NEW_MEDIA;
		d->attention = eject ? 0 : MMC_ASC_MEDIUM_CHANGED;
	}
	ide_packet_good(ch);
}

static void prevent_allow(struct ide_channel *ch, const u8 *cdb)
{
	ide_selected(ch)->locked = cdb[4] & 1;
	ide_packet_good(ch);
}

static void read_capacity(struct ide_channel *ch, const u8 *cdb)
{
	u32 count = sectors(ide_selected(ch));
	struct scsi_capacity_10 data;

	be32_put(data.last_lba, count ? count - 1 : 0);
	be32_put(data.block_len, MMC_SECTOR);
	ide_packet_reply(ch, &data, sizeof(data), sizeof(data));
}

static void read(struct ide_channel *ch, const u8 *cdb)
{
	struct ide_command *c = &ch->command;
	u32 lba = be32_get(cdb + 2), count = cdb[0] == SCSI_READ_12 ? be32_get(cdb + 6) : be16_get(cdb + 7);

	if (!range_within(lba, count, 0, sectors(ide_selected(ch)))) {
		ide_check(ch, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
		return;
	}
	if (!count) {
		c->dma = false;
		ide_packet_good(ch);
		return;
	}
	c->work = IDE_WORK_DISK;
	c->sector = (u64)lba * DISK_SECTORS;
	c->left = (u64)count * DISK_SECTORS;
	c->unit = MMC_SECTOR;
	ide_go(ch);
}

static void seek(struct ide_channel *ch, const u8 *cdb)
{
	if (be32_get(cdb + 2) < sectors(ide_selected(ch)))
		ide_packet_good(ch);
	else
		ide_check(ch, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
}

static void put_address(u8 *p, u32 lba, bool msf)
{
	u32 frames = lba + MMC_TOC_LEAD_IN_FRAMES;

	be32_put(p, msf ? MIN(frames / 75 / 60, 255u) << 16 | frames / 75 % 60 << 8 | frames % 75 : lba);
}

static u8 *put_track(u8 *p, u8 track, u32 lba, bool msf)
{
	memcpy(p, (u8[]){ 0, MMC_TOC_DATA_TRACK, track, 0 }, 4);
	put_address(p + 4, lba, msf);
	return p + 8;
}

/* one session with one data track (6.26) */
static void read_toc(struct ide_channel *ch, const u8 *cdb)
{
	u8 data[48] = { 0 }, *p = data + 4;
	u8 format = cdb[2] & 0xf ? cdb[2] & 0xf : cdb[9] >> 6; /* where SFF 8020i had it */
	bool msf = cdb[1] & MMC_TOC_MSF;
	u32 end = sectors(ide_selected(ch));

	data[2] = data[3] = 1; /* first and last track, or session */
	if (format == 0 && cdb[6] > 1 && cdb[6] != MMC_TOC_LEAD_OUT) {
		bad_cdb(ch);
		return;
	}
	if (format == 0) {
		if (cdb[6] <= 1)
			p = put_track(p, 1, 0, msf);
		p = put_track(p, MMC_TOC_LEAD_OUT, end, msf);
	} else if (format == 1) {
		p = put_track(p, 1, 0, msf);
	} else if (format == 2) {
		static const u8 points[] = { 0xa0, 0xa1, 0xa2, 1 };

		for (size_t i = 0; i < sizeof(points); i++, p += 11) {
			u8 at[4];

			put_address(at, points[i] == 0xa2 ? end : 0, true);
			memcpy(p, (u8[]){ 1, MMC_TOC_DATA_TRACK, 0, points[i], 0, 0, 0, 0, at[1], at[2], at[3] }, 11);
			if (points[i] == 0xa0 || points[i] == 0xa1)
				memcpy(p + 8, (u8[]){ 1, 0, 0 }, 3); /* the track's number */
		}
	} else {
		bad_cdb(ch);
		return;
	}
	be16_put(data, (u32)(p - data - 2));
	ide_packet_reply(ch, data, (u32)(p - data), be16_get(cdb + 7));
}

/* features (6.6, 5.3): one descriptor each, those from the starting number on; type 2 asks for one */
static void get_configuration(struct ide_channel *ch, const u8 *cdb)
{
	struct ide_drive *d = ide_selected(ch);
	u16 current = d->ejected ? MMC_PROFILE_NONE : is_dvd(d) ? MMC_PROFILE_DVD_ROM : MMC_PROFILE_CD_ROM;
	const struct { u16 feature; u8 flags, len, data[8]; } features[] = {
		{ MMC_FEATURE_PROFILES, ALWAYS, 8, { 0, MMC_PROFILE_DVD_ROM, current == MMC_PROFILE_DVD_ROM, 0,
						     0, MMC_PROFILE_CD_ROM, current == MMC_PROFILE_CD_ROM } },
		{ MMC_FEATURE_CORE, ALWAYS | 2 << 2, 8, { 0, 0, 0, 2 /* ATAPI */, 1 } },
		{ MMC_FEATURE_REMOVABLE, ALWAYS | 1 << 2, 4, { 0x29 /* tray, eject, lock */ } },
		{ MMC_FEATURE_RANDOM_READ, current ? MMC_FEATURE_CURRENT : 0, 8, { 0, 0, MMC_SECTOR >> 8, 0, 0, 1 } },
	};
	u8 data[8 + ARRAY_SIZE(features) * 12] = { 0 };
	u32 len = 8, start = be16_get(cdb + 2), type = cdb[1] & 3;

	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		if (type == 2 ? features[i].feature != start : features[i].feature < start)
			continue;
		if (type == 1 && !(features[i].flags & MMC_FEATURE_CURRENT))
			continue;
		be16_put(data + len, features[i].feature);
		data[len + 2] = features[i].flags;
		data[len + 3] = features[i].len;
		memcpy(data + len + 4, features[i].data, features[i].len);
		len += 4u + features[i].len;
	}
	be32_put(data, len - 4);
	be16_put(data + 6, current);
	ide_packet_reply(ch, data, len, be16_get(cdb + 7));
}

static void get_event_status(struct ide_channel *ch, const u8 *cdb)
{
	struct ide_drive *d = ide_selected(ch);
	u8 data[8] = { 0, 6, MMC_EVENT_MEDIA, MMC_EVENT_MEDIA_MASK };
	u32 allocation = be16_get(cdb + 7);

	if (!(cdb[1] & MMC_EVENT_POLLED)) {
		bad_cdb(ch);
		return;
	}
	if (!(cdb[4] & BIT(MMC_EVENT_MEDIA))) {
		data[1] = 2;
		data[2] = MMC_EVENT_NONE;
		ide_packet_reply(ch, data, 4, allocation);
		return;
	}
	data[4] = d->media_event;
	data[5] = d->ejected ? MMC_TRAY_OPEN : MMC_MEDIA_PRESENT;
	if (allocation > 4)
		d->media_event = 0; /* told */
	ide_packet_reply(ch, data, sizeof(data), allocation);
}

/* a complete disc with one session of one track (6.22) */
static void read_disc_information(struct ide_channel *ch, const u8 *cdb)
{
	u8 data[34] = { 0, 32, 0x0e, 1, 1, 1, 1, 0x20 };

	if (cdb[1] & 7)
		bad_cdb(ch);
	else
		ide_packet_reply(ch, data, sizeof(data), be16_get(cdb + 7));
}

static u32 put_pages(u8 *p, u8 page)
{
	static const u8 errors[8] = { MMC_MODE_PAGE_READ_ERROR, 6, 0, 5 /* retries */ };
	/* reads CD-R and DVD-ROM; mode 2; lockable, ejects, a tray; speeds in kB/s (MMC-3 5.5.10) */
	static const u8 capabilities[22] = { MMC_MODE_PAGE_CAPABILITIES, 20, 0x0b, 0, 0x70, 0, 0x29, 0, 0x2b, 0x0c, 0, 0, 0, 128,
					     0x2b, 0x0c };
	u32 len = 0;

	if (page == MMC_MODE_PAGE_READ_ERROR || page == MODE_PAGE_ALL) {
		memcpy(p, errors, sizeof(errors));
		len = sizeof(errors);
	}
	if (page == MMC_MODE_PAGE_CAPABILITIES || page == MODE_PAGE_ALL) {
		memcpy(p + len, capabilities, sizeof(capabilities));
		len += sizeof(capabilities);
	}
	return len;
}

static void mode_sense(struct ide_channel *ch, const u8 *cdb)
{
	struct ide_drive *d = ide_selected(ch);
	u8 data[64] = { 0 };
	bool ten = cdb[0] == SCSI_MODE_SENSE_10;
	u32 header = ten ? 8 : 4, len = put_pages(data + header, cdb[2] & 0x3f);

	if (cdb[2] >> 6 == MODE_SAVED) {
		ide_check(ch, SENSE_ILLEGAL_REQUEST, MMC_ASC_SAVING_NOT_SUPPORTED);
		return;
	}
	if (!len || cdb[3]) {
		bad_cdb(ch);
		return;
	}
	if (cdb[2] >> 6 == MODE_CHANGEABLE) /* nothing is: the pages with zeroes */
		for (u8 *p = data + header; p < data + header + len; p += p[1] + 2)
			memset(p + 2, 0, p[1]);
	else if (d->locked && (cdb[2] & 0x3f) != MMC_MODE_PAGE_READ_ERROR)
		data[header + len - 22 + 6] |= 2;
	if (ten)
		be16_put(data, header + len - 2);
	else
		data[0] = (u8)(header + len - 1);
	data[ten ? 2 : 1] = d->ejected ? 0x71 : 0x01; /* medium type (SFF 8020i): door open, or 120 mm data */
	ide_packet_reply(ch, data, header + len, ten ? be16_get(cdb + 7) : cdb[4]);
}

enum { NEEDS_MEDIUM = 1, IGNORES_ATTENTION = 2 };

static const struct entry {
	u8 opcode, flags;
	void (*run)(struct ide_channel *ch, const u8 *cdb);
} entries[] = {
	{ SCSI_TEST_UNIT_READY, NEEDS_MEDIUM, test_unit_ready },
	{ SCSI_REQUEST_SENSE, IGNORES_ATTENTION, request_sense },
	{ SCSI_INQUIRY, IGNORES_ATTENTION, inquiry },
	{ SCSI_MODE_SENSE_6, 0, mode_sense },
	{ SCSI_START_STOP_UNIT, 0, start_stop },
	{ MMC_PREVENT_ALLOW, 0, prevent_allow },
	{ SCSI_READ_CAPACITY_10, NEEDS_MEDIUM, read_capacity },
	{ SCSI_READ_10, NEEDS_MEDIUM, read },
	{ MMC_SEEK_10, NEEDS_MEDIUM, seek },
	{ MMC_READ_TOC, NEEDS_MEDIUM, read_toc },
	{ MMC_GET_CONFIGURATION, IGNORES_ATTENTION, get_configuration },
	{ MMC_GET_EVENT_STATUS, IGNORES_ATTENTION, get_event_status },
	{ MMC_READ_DISC_INFORMATION, NEEDS_MEDIUM, read_disc_information },
	{ SCSI_MODE_SENSE_10, 0, mode_sense },
	{ SCSI_READ_12, NEEDS_MEDIUM, read },
};

static const struct entry *find(u8 opcode)
{
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		if (entries[i].opcode == opcode)
			return &entries[i];
	return NULL;
}

void ide_mmc(struct ide_channel *ch, const u8 cdb[ATA_PACKET_LEN])
{
	struct ide_drive *d = ide_selected(ch);
	const struct entry *e = find(cdb[0]);

	if (e && d->attention && !(e->flags & IGNORES_ATTENTION)) {
		u16 asc = d->attention;

		d->attention = 0;
		ide_check(ch, SENSE_UNIT_ATTENTION, asc);
		return;
	}
	if (cdb[0] != SCSI_REQUEST_SENSE)
		d->sense_key = 0; /* of the command before */
	if (!e)
		ide_check(ch, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
	else if (e->flags & NEEDS_MEDIUM && d->ejected)
		ide_check(ch, SENSE_NOT_READY, MMC_ASC_NO_MEDIUM_TRAY_OPEN);
	else
		e->run(ch, cdb);
}
