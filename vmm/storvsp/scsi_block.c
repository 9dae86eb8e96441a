/* Block commands (SBC-3 chapter 5) */
#include "vmm/storvsp/scsi_internal.h"

static void out_of_range(struct scsi_request *r)
{
	scsi_check(r, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
}

/* the place and the number of blocks that a CDB of 6, 10, 12 or 16 bytes names */
static struct scsi_range range_of(const struct scsi_request *r)
{
	const u8 *cdb = r->cdb;

	switch (cdb[0] >> 5) {
	case 0:
		return (struct scsi_range){ be24_get(cdb + 1) & 0x1fffff, cdb[4] ? cdb[4] : 256 };
	case 1:
	case 2:
		return (struct scsi_range){ be32_get(cdb + 2), be16_get(cdb + 7) };
	case 4:
		return (struct scsi_range){ be64_get(cdb + 2), be32_get(cdb + 10) };
	default:
		return (struct scsi_range){ be32_get(cdb + 2), be32_get(cdb + 6) };
	}
}

static bool in_range(const struct scsi_request *r, struct scsi_range range)
{
	return range_within(range.lba, range.count, 0, r->unit->disk->sectors);
}

void scsi_read_capacity_10(struct scsi_request *r)
{
	const struct disk *disk = r->unit->disk;
	struct scsi_capacity_10 c;
	u64 last = disk->sectors - 1;

	be32_put(c.last_lba, MIN(last, 0xffffffffull));
	be32_put(c.block_len, disk->sector_size);
	scsi_reply(r, &c, sizeof(c), sizeof(c));
}

void scsi_service_action_in(struct scsi_request *r)
{
	const struct disk *disk = r->unit->disk;
	struct scsi_capacity_16 c = { .exponent = 0 };

	if ((r->cdb[1] & 0x1f) != SCSI_SAI_READ_CAPACITY_16) {
		scsi_bad_cdb(r);
		return;
	}
	be64_put(c.last_lba, disk->sectors - 1);
	be32_put(c.block_len, disk->sector_size);
	while ((disk->sector_size << c.exponent) < disk->physical_size)
		c.exponent++;
	if (disk->unmap_granularity)
		c.lowest_aligned[0] = CAPACITY_LBPME | (disk->unmap_zeroes ? CAPACITY_LBPRZ : 0);
	scsi_reply(r, &c, sizeof(c), be32_get(r->cdb + 10));
}

void scsi_read_write(struct scsi_request *r)
{
	struct scsi_range range = range_of(r);
	/* bit 1 of the opcode: WRITE */
	bool write = r->cdb[0] & 2, short_cdb = r->cdb[0] >> 5 == 0;
	u64 bytes = (u64)range.count * r->unit->disk->sector_size;

	if (!short_cdb && r->cdb[1] & CDB_RDPROTECT) {
		scsi_bad_cdb(r);
	} else if (!in_range(r, range)) {
		out_of_range(r);
	} else if (bytes > r->data_len || (bytes && r->data_in == write)) {
		scsi_bad_cdb(r); /* the transport's buffer is not what the command needs */
	} else {
		r->disk.op = write ? DISK_WRITE : DISK_READ;
		r->disk.flags = (!short_cdb && r->cdb[1] & CDB_FUA) || (write && r->unit->identity.write_through) ? DISK_FUA : 0;
		r->disk.sector = range.lba;
		r->disk.count = range.count;
		r->disk.iov = r->iov;
		r->disk.iov_count = r->iov_count;
		r->disk.skip = 0;
		scsi_one(r);
	}
}

/* the range is advice: everything is flushed. IMMED is not taken: the answer comes when it is done. */
void scsi_synchronize_cache(struct scsi_request *r)
{
	if (!in_range(r, range_of(r))) {
		out_of_range(r);
		return;
	}
	r->disk.op = DISK_FLUSH;
	r->disk.flags = 0;
	r->disk.sector = r->disk.count = 0;
	scsi_one(r);
}

/* nothing here knows more of the medium than a read would tell; comparing with sent data is not offered */
void scsi_verify(struct scsi_request *r)
{
	if (r->cdb[1] & (CDB_RDPROTECT | CDB_BYTCHK))
		scsi_bad_cdb(r);
	else if (!in_range(r, range_of(r)))
		out_of_range(r);
	else
		scsi_good(r, 0);
}

static bool next_unmap(struct scsi_request *r)
{
	while (r->range < r->range_count && !r->ranges[r->range].count)
		r->range++;
	if (r->range == r->range_count)
		return false;
	r->disk.op = DISK_UNMAP;
	r->disk.flags = 0;
	r->disk.sector = r->ranges[r->range].lba;
	r->disk.count = r->ranges[r->range++].count;
	r->disk.iov = NULL;
	r->disk.iov_count = 0;
	r->disk.skip = 0;
	return true;
}

void scsi_unmap(struct scsi_request *r)
{
	u8 list[sizeof(struct scsi_unmap_header) + SCSI_UNMAP_MAX * sizeof(struct scsi_unmap_descriptor)];
	u32 len = be16_get(r->cdb + 7), count;

	if (!r->unit->disk->unmap_granularity) {
		scsi_check(r, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
		return;
	}
	if (r->cdb[1] & 1) { /* ANCHOR */
		scsi_bad_cdb(r);
		return;
	}
	if (!len) {
		scsi_good(r, 0);
		return;
	}
	if (len < sizeof(struct scsi_unmap_header)) {
		scsi_check(r, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
		return;
	}
	if (len > sizeof(list) || !scsi_fetch(r, list, len)) {
		scsi_bad_list(r);
		return;
	}
	count = MIN((u32)be16_get(list + 2), len - (u32)sizeof(struct scsi_unmap_header)) / sizeof(struct scsi_unmap_descriptor);
	for (u32 i = 0; i < count; i++) {
		struct scsi_unmap_descriptor d;

		memcpy(&d, list + sizeof(struct scsi_unmap_header) + i * sizeof(d), sizeof(d));
		r->ranges[i] = (struct scsi_range){ be64_get(d.lba), be32_get(d.count) };
		if (!in_range(r, r->ranges[i])) {
			out_of_range(r);
			return;
		}
	}
	r->range = 0;
	r->range_count = count;
	scsi_steps(r, next_unmap);
}

static bool next_zero(struct scsi_request *r)
{
	if (!r->left)
		return false;
	r->disk.sector = r->lba;
	r->disk.count = r->left;
	r->disk.iov = NULL;
	r->disk.iov_count = 0;
	r->disk.skip = 0;
	r->left = 0;
	return true;
}

/* the one block that was sent, as often as an iovec list has room */
static bool next_pattern(struct scsi_request *r)
{
	u64 count = MIN(r->left, SCSI_PATTERN_MAX);

	if (!count)
		return false;
	r->disk.op = DISK_WRITE;
	r->disk.sector = r->lba;
	r->disk.count = count;
	r->disk.iov = r->pattern;
	r->disk.iov_count = (unsigned)count;
	r->disk.skip = 0;
	r->lba += count;
	r->left -= count;
	return true;
}

static bool is_zero(const u8 *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

void scsi_write_same(struct scsi_request *r)
{
	struct scsi_range range = range_of(r);
	const struct disk *disk = r->unit->disk;
	bool no_data = r->cdb[0] == SCSI_WRITE_SAME_16 && r->cdb[1] & CDB_WS_NDOB, unmap = r->cdb[1] & CDB_WS_UNMAP;
	u8 block[4096];

	if (r->cdb[1] & (CDB_RDPROTECT | CDB_WS_ANCHOR) || !range.count || (unmap && !disk->unmap_granularity)) {
		scsi_bad_cdb(r); /* WSNZ: zero does not mean all */
		return;
	}
	if (!in_range(r, range)) {
		out_of_range(r);
		return;
	}
	if (!no_data && !scsi_fetch(r, block, disk->sector_size)) {
		scsi_bad_cdb(r);
		return;
	}
	r->lba = range.lba;
	r->left = range.count;
	r->disk.flags = r->unit->identity.write_through ? DISK_FUA : 0;
	if (no_data || is_zero(block, disk->sector_size)) {
		r->disk.op = unmap && disk->unmap_zeroes ? DISK_UNMAP : DISK_WRITE_ZEROES;
		scsi_steps(r, next_zero);
		return;
	}
	if (r->iov[0].iov_len < disk->sector_size) { /* a block in two pieces cannot be named many times in one list */
		scsi_bad_cdb(r);
		return;
	}
	for (unsigned i = 0; i < SCSI_PATTERN_MAX; i++)
		r->pattern[i] = (struct iovec){ r->iov[0].iov_base, disk->sector_size };
	scsi_steps(r, next_pattern);
}
