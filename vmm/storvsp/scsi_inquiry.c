/* INQUIRY and its vital product data (SPC-4 6.6, 7.8; SBC-3 6.6) */
#include <stdio.h>

#include "vmm/storvsp/scsi_internal.h"

/* what Hyper-V's disks are called: guests have rules for these names */
#define VENDOR "Msft"
#define PRODUCT "Virtual Disk"
#define REVISION "1.0"
#define SERIAL_MAX 64u

/* text, or else the other, and spaces behind it */
static void put_text(u8 *to, size_t room, const char *text, const char *otherwise)
{
	size_t len = strlen(*text ? text : otherwise);

	memset(to, ' ', room);
	memcpy(to, *text ? text : otherwise, MIN(len, room));
}

/* the serial number that was set, or the disk's id in hexadecimal */
static size_t serial(const struct scsi_unit *unit, u8 out[SERIAL_MAX])
{
	static const char digits[] = "0123456789abcdef";
	size_t len = strlen(unit->identity.serial);
	u8 bytes[16];

	if (len) {
		memcpy(out, unit->identity.serial, MIN(len, SERIAL_MAX));
		return MIN(len, SERIAL_MAX);
	}
	memcpy(bytes, &unit->disk->id, sizeof(bytes));
	for (unsigned i = 0; i < 16; i++) {
		out[2 * i] = (u8)digits[bytes[i] >> 4];
		out[2 * i + 1] = (u8)digits[bytes[i] & 15];
	}
	return 32;
}

static size_t page_supported(const struct scsi_unit *unit, u8 *data)
{
	static const u8 pages[] = { VPD_SUPPORTED_PAGES, VPD_SERIAL_NUMBER, VPD_DEVICE_IDENTIFICATION, VPD_BLOCK_LIMITS,
				    VPD_BLOCK_CHARACTERISTICS, VPD_PROVISIONING };

	memcpy(data, pages, sizeof(pages));
	return sizeof(pages);
}

static size_t page_serial(const struct scsi_unit *unit, u8 *data)
{
	return serial(unit, data);
}

/* two names of the unit: vendor and serial number in ASCII, and a locally assigned NAA of 60 bits of the disk's id */
static size_t page_identification(const struct scsi_unit *unit, u8 *data)
{
	const struct guid *id = &unit->disk->id;
	size_t len = serial(unit, data + 12);
	u8 *naa_at = data + 12 + len;
	u64 naa = 0;

	memcpy(data, (const u8[]){ 0x02, 0x01, 0x00, (u8)(8 + len) }, 4); /* ASCII; T10 vendor ID based, of the unit */
	put_text(data + 4, 8, unit->identity.vendor, VENDOR);
	memcpy(&naa, &id->data4, sizeof(naa));
	naa ^= (u64)id->data1 << 32 | (u32)id->data2 << 16 | id->data3;
	memcpy(naa_at, (const u8[]){ 0x01, 0x03, 0x00, 8 }, 4); /* binary; NAA */
	be64_put(naa_at + 4, 3ull << 60 | (naa & ~(0xfull << 60)));
	return 12 + len + 12;
}

static size_t page_limits(const struct scsi_unit *unit, u8 *data)
{
	const struct disk *disk = unit->disk;
	struct scsi_block_limits l = { .wsnz = 1 };

	be16_put(l.transfer_granularity, disk->physical_size / disk->sector_size);
	be32_put(l.max_transfer, SCSI_MAX_TRANSFER / disk->sector_size);
	be32_put(l.optimal_transfer, SCSI_MAX_TRANSFER / disk->sector_size);
	be64_put(l.max_write_same, 0xffffffff);
	if (disk->unmap_granularity) {
		be32_put(l.max_unmap_lbas, 0xffffffff);
		be32_put(l.max_unmap_descriptors, SCSI_UNMAP_MAX);
		be32_put(l.unmap_granularity, disk->unmap_granularity);
		l.unmap_alignment[0] = UNMAP_ALIGNMENT_VALID;
	}
	memcpy(data, &l, sizeof(l));
	return sizeof(l);
}

static size_t page_characteristics(const struct scsi_unit *unit, u8 *data)
{
	struct scsi_block_characteristics c = { 0 };

	be16_put(c.rotation_rate, unit->identity.rotation_rate ? unit->identity.rotation_rate : ROTATION_NONE);
	memcpy(data, &c, sizeof(c));
	return sizeof(c);
}

static size_t page_provisioning(const struct scsi_unit *unit, u8 *data)
{
	const struct disk *disk = unit->disk;
	struct scsi_provisioning p = { .type = PROVISIONING_FULL };

	if (disk->unmap_granularity) {
		p.flags = PROVISIONING_LBPU | PROVISIONING_LBPWS | PROVISIONING_LBPWS10 |
			  (disk->unmap_zeroes ? PROVISIONING_LBPRZ : 0);
		p.type = PROVISIONING_THIN;
	}
	memcpy(data, &p, sizeof(p));
	return sizeof(p);
}

static const struct {
	u8 page;
	size_t (*make)(const struct scsi_unit *, u8 *data);
} pages[] = {
	{ VPD_SUPPORTED_PAGES, page_supported },
	{ VPD_SERIAL_NUMBER, page_serial },
	{ VPD_DEVICE_IDENTIFICATION, page_identification },
	{ VPD_BLOCK_LIMITS, page_limits },
	{ VPD_BLOCK_CHARACTERISTICS, page_characteristics },
	{ VPD_PROVISIONING, page_provisioning },
};

static void vital_product_data(struct scsi_request *r)
{
	u8 data[4 + 24 + SERIAL_MAX] = { 0, r->cdb[2] };

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		if (pages[i].page == r->cdb[2]) {
			size_t len = pages[i].make(r->unit, data + 4);

			be16_put(data + 2, len);
			scsi_reply(r, data, 4 + len, be16_get(r->cdb + 3));
			return;
		}
	scsi_bad_cdb(r);
}

void scsi_inquiry(struct scsi_request *r)
{
	/* SAM-5, SPC-3, SBC-3 as version descriptors (SPC-4 table 160) */
	static const u16 versions[] = { 0x00a0, 0x0300, 0x04c0 };
	struct scsi_inquiry data = { .version = INQUIRY_VERSION_SPC3, .format = INQUIRY_FORMAT_2,
				     .additional_length = sizeof(data) - 5, .flags7 = INQUIRY_CMDQUE };

	if (r->cdb[1] & CDB_EVPD) {
		vital_product_data(r);
		return;
	}
	if (r->cdb[2] || r->cdb[1]) {
		scsi_bad_cdb(r);
		return;
	}
	put_text((u8 *)data.vendor, sizeof(data.vendor), r->unit->identity.vendor, VENDOR);
	put_text((u8 *)data.product, sizeof(data.product), r->unit->identity.product, PRODUCT);
	put_text((u8 *)data.revision, sizeof(data.revision), r->unit->identity.revision, REVISION);
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
		be16_put(data.version_descriptors + 2 * i, versions[i]);
	scsi_reply(r, &data, sizeof(data), be16_get(r->cdb + 3));
}
