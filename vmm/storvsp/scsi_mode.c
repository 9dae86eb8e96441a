/* MODE SENSE and MODE SELECT (SPC-4 6.11-6.14). Nothing can be changed: a select may only repeat what is so. */
#include "vmm/storvsp/scsi_internal.h"

static const struct {
	u8 page, len;      /* len: bytes behind page code and length */
	u8 at, value;      /* the one byte that is not zero */
} pages[] = {
	{ MODE_PAGE_READ_WRITE_ERROR, 0x0a, 0, 0 },
	{ MODE_PAGE_CACHING, 0x12, 0, MODE_CACHING_WCE },
	{ MODE_PAGE_CONTROL, 0x0a, 0, 0 },
	{ MODE_PAGE_INFORMATIONAL, 0x0a, 0, 0 },
};
#define MODE_DATA_MAX 128u

static size_t put_page(const struct scsi_unit *unit, u8 *to, size_t i, bool changeable)
{
	bool no_cache = pages[i].page == MODE_PAGE_CACHING && unit->identity.write_through;

	memset(to, 0, 2u + pages[i].len);
	to[0] = pages[i].page;
	to[1] = pages[i].len;
	if (!changeable && !no_cache)
		to[2 + pages[i].at] = pages[i].value;
	return 2u + pages[i].len;
}

/* block descriptor and pages; 0: no such page */
static size_t mode_data(const struct scsi_request *r, u8 *data, size_t *ret_descriptor)
{
	const struct disk *disk = r->unit->disk;
	u8 wanted = r->cdb[2] & 0x3f, control = r->cdb[2] >> 6, subpage = r->cdb[3];
	u64 sectors = disk->sectors;
	size_t len = 0, before;

	if (!(r->cdb[1] & CDB_DBD)) {
		memset(data, 0, 8);
		be32_put(data, MIN(sectors, 0xffffffffull));
		be32_put(data + 4, disk->sector_size);
		len = 8;
	}
	*ret_descriptor = before = len;
	if (subpage && !(subpage == 0xff && wanted == MODE_PAGE_ALL))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		if (wanted == MODE_PAGE_ALL || wanted == pages[i].page)
			len += put_page(r->unit, data + len, i, control == MODE_CHANGEABLE);
	return len == before ? 0 : len;
}

static u8 device_specific(const struct scsi_unit *unit)
{
	return (unit->identity.no_fua ? 0 : MODE_DPOFUA) | (unit->disk->read_only ? MODE_WP : 0);
}

static void mode_sense(struct scsi_request *r, size_t header, u32 allocation)
{
	u8 data[8 + MODE_DATA_MAX] = { 0 };
	size_t descriptor, len = mode_data(r, data + header, &descriptor);

	if (!len || r->cdb[2] >> 6 == MODE_SAVED || (header == 8 && r->cdb[1] & CDB_LLBAA)) {
		scsi_bad_cdb(r);
		return;
	}
	if (header == 4) {
		data[0] = (u8)(len + 3);
		data[2] = device_specific(r->unit);
		data[3] = (u8)descriptor;
	} else {
		be16_put(data, len + 6);
		data[3] = device_specific(r->unit);
		be16_put(data + 6, descriptor);
	}
	scsi_reply(r, data, header + len, allocation);
}

void scsi_mode_sense_6(struct scsi_request *r)
{
	mode_sense(r, 4, r->cdb[4]);
}

void scsi_mode_sense_10(struct scsi_request *r)
{
	mode_sense(r, 8, be16_get(r->cdb + 7));
}

static bool page_is_so(const struct scsi_unit *unit, const u8 *at, size_t len)
{
	u8 now[MODE_DATA_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		if (pages[i].page == (at[0] & 0x3f) && !(at[0] & 0x40)) {
			put_page(unit, now, i, false);
			return at[1] == pages[i].len && len >= 2u + pages[i].len && !memcmp(now + 2, at + 2, pages[i].len);
		}
	return false;
}

static void mode_select(struct scsi_request *r, size_t header, u32 len)
{
	u8 data[8 + MODE_DATA_MAX];
	size_t at, descriptor;

	if (!(r->cdb[1] & CDB_SELECT_PF) || r->cdb[1] & CDB_SELECT_SP) {
		scsi_bad_cdb(r);
		return;
	}
	if (!len) {
		scsi_good(r, 0);
		return;
	}
	if (len < header || len > sizeof(data) || !scsi_fetch(r, data, len)) {
		scsi_check(r, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
		return;
	}
	descriptor = header == 4 ? data[3] : be16_get(data + 6);
	if ((descriptor && descriptor != 8) || header + descriptor > len ||
	    (descriptor && be24_get(data + header + 5) != r->unit->disk->sector_size)) {
		scsi_bad_list(r);
		return;
	}
	for (at = header + descriptor; at < len; at += 2u + data[at + 1])
		if (len - at < 2 || !page_is_so(r->unit, data + at, len - at)) {
			scsi_bad_list(r);
			return;
		}
	scsi_good(r, len);
}

void scsi_mode_select_6(struct scsi_request *r)
{
	mode_select(r, 4, r->cdb[4]);
}

void scsi_mode_select_10(struct scsi_request *r)
{
	mode_select(r, 8, be16_get(r->cdb + 7));
}
