#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/core/crc32.h"
#include "lib/vmgs/internal.h"

int vmgs_problem(struct vmgs *v, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(v->problem, sizeof(v->problem), format, args);
	va_end(args);
	return error;
}

int vmgs_geometry_judge(struct vmgs *v, u64 capacity, u32 sector_size)
{
	if (sector_size != 512 && sector_size != VMGS_BLOCK_SIZE)
		return vmgs_problem(v, -EINVAL, "sectors of %u bytes: 512 or 4096 are possible", sector_size);
	if (capacity < VMGS_CAPACITY_MIN || capacity > VMGS_CAPACITY_MAX)
		return vmgs_problem(v, -EINVAL, "a device of %lu bytes: from %llu KiB to %llu GiB are possible", capacity,
				    VMGS_CAPACITY_MIN / 1024, (unsigned long long)(VMGS_CAPACITY_MAX / GiB));
	return 0;
}

/* ---- headers */
static u32 checksum(const struct vmgs_header *h)
{
	struct vmgs_header copy = *h;

	copy.checksum = 0;
	return crc32_update(0, &copy, sizeof(copy));
}

void vmgs_header_seal(struct vmgs_header *h)
{
	h->checksum = checksum(h);
}

static bool is_zero(const void *data, size_t len)
{
	const u8 *at = data;

	return !len || (!at[0] && !memcmp(at, at + 1, len - 1));
}

int vmgs_judge_header(const struct vmgs_header *h, u64 capacity, char words[VMGS_WORDS_LEN])
{
	u32 blocks = (u32)(capacity / VMGS_BLOCK_SIZE);

	words[0] = 0;
	if (is_zero(h, sizeof(*h)))
		return snprintf(words, VMGS_WORDS_LEN, "none"), -ENODATA;
	if (h->signature != VMGS_SIGNATURE)
		return snprintf(words, VMGS_WORDS_LEN, "no signature"), -EINVAL;
	/* another version's checksum may be elsewhere */
	if (h->version != VMGS_VERSION_3_0)
		return snprintf(words, VMGS_WORDS_LEN, "version %u.%u", h->version >> 16, h->version & 0xffff), -EPROTONOSUPPORT;
	if (h->checksum != checksum(h))
		return snprintf(words, VMGS_WORDS_LEN, "wrong checksum"), -EBADMSG;
	if (h->header_size != sizeof(*h))
		return snprintf(words, VMGS_WORDS_LEN, "header of %u bytes", h->header_size), -EBADMSG;
	if (h->file_table_size != VMGS_FILE_TABLE_BLOCKS || h->file_table_offset < VMGS_MIN_FILE_BLOCK ||
	    h->file_table_offset >= blocks)
		return snprintf(words, VMGS_WORDS_LEN, "file table of %u blocks at block %u of %u", h->file_table_size,
				h->file_table_offset, blocks), -EBADMSG;
	if (h->encryption_algorithm > VMGS_ENCRYPTION_AES_GCM)
		return snprintf(words, VMGS_WORDS_LEN, "encryption algorithm %u", h->encryption_algorithm), -EPROTONOSUPPORT;
	return 0;
}

/* of two reasons why a header is no good, the one that says more */
static int worse(int a, int b)
{
	static const int order[] = { -EPROTONOSUPPORT, -EBADMSG, -EINVAL };

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		if (a == order[i] || b == order[i])
			return order[i];
	return -ENODATA;
}

static int neither(struct vmgs *v, const u8 *sectors, const int error[2], char words[2][VMGS_WORDS_LEN])
{
	int r = worse(error[0], error[1]);

	if (!memcmp(sectors + VMGS_V1_OFFSET, VMGS_V1_SIGNATURE, sizeof(VMGS_V1_SIGNATURE) - 1))
		return vmgs_problem(v, -EPROTONOSUPPORT, "a guest state file of the first format, which is a disk with a GPT");
	if (r == -ENODATA)
		return vmgs_problem(v, r, "not formatted: both headers are zero");
	if (r == -EINVAL)
		return vmgs_problem(v, r, "not a VMGS: no header begins with \"GUESTRTS\"");
	return vmgs_problem(v, r, "no valid header: first %s, second %s", words[0], words[1]);
}

int vmgs_headers_judge(struct vmgs *v, const u8 *sectors, unsigned *ret_active)
{
	char words[2][VMGS_WORDS_LEN] = { "", "" };
	struct vmgs_header h[2];
	int error[2];

	for (unsigned i = 0; i < 2; i++) {
		memcpy(&h[i], sectors + i * v->sector_size, sizeof(h[i]));
		error[i] = vmgs_judge_header(&h[i], v->capacity, words[i]);
	}
	if (error[0] && error[1])
		return neither(v, sectors, error, words);
	if (error[0] || error[1]) {
		*ret_active = error[0] ? 1 : 0;
	} else if (h[0].sequence == (u32)(h[1].sequence + 1)) {
		*ret_active = 0;
	} else if (h[1].sequence == (u32)(h[0].sequence + 1)) {
		*ret_active = 1;
	} else {
		return vmgs_problem(v, -EBADMSG, "the headers disagree: sequence numbers %u and %u do not follow each other",
				    h[0].sequence, h[1].sequence);
	}
	return 0;
}

/* ---- file table */
static int overlap_judge(struct vmgs *v, const struct vmgs_file_table *table, u32 table_block)
{
	for (u32 i = 1; i < VMGS_FILE_COUNT; i++) {
		const struct vmgs_file_entry *a = &table->entries[i];

		if (ranges_overlap(a->offset, a->allocation_size, table_block, VMGS_FILE_TABLE_BLOCKS))
			return vmgs_problem(v, -EBADMSG, "file %u lies over the file table", i);
		for (u32 j = 1; j < i; j++) {
			const struct vmgs_file_entry *b = &table->entries[j];

			if (ranges_overlap(a->offset, a->allocation_size, b->offset, b->allocation_size))
				return vmgs_problem(v, -EBADMSG, "files %u and %u lie over each other", j, i);
		}
	}
	return 0;
}

int vmgs_table_judge(struct vmgs *v, const struct vmgs_file_table *table, u32 table_block)
{
	for (u32 i = 1; i < VMGS_FILE_COUNT; i++) {
		const struct vmgs_file_entry *f = &table->entries[i];

		if (!f->allocation_size)
			continue;
		if (!range_within(f->offset, f->allocation_size, VMGS_MIN_FILE_BLOCK, block_count(v) - VMGS_MIN_FILE_BLOCK))
			return vmgs_problem(v, -EBADMSG, "file %u is outside the device: %u blocks at block %u of %u", i,
					    f->allocation_size, f->offset, block_count(v));
		if (f->valid_data_size > (u64)f->allocation_size * VMGS_BLOCK_SIZE)
			return vmgs_problem(v, -EBADMSG, "file %u has %lu bytes in %u blocks", i, f->valid_data_size,
					    f->allocation_size);
	}
	return overlap_judge(v, table, table_block);
}

bool vmgs_find(const struct vmgs *v, u32 id, struct vmgs_file *ret)
{
	if (!id || id >= VMGS_EXTENDED_FILE_TABLE || v->state == VMGS_CLOSED)
		return false;
	const struct vmgs_file_entry *f = &v->table.entries[id];

	if (!f->allocation_size)
		return false;
	*ret = (struct vmgs_file){
		.len = f->valid_data_size, .allocated = (u64)f->allocation_size * VMGS_BLOCK_SIZE, .block = f->offset,
		.encrypted = f->attributes & (VMGS_ATTRIBUTE_ENCRYPTED | VMGS_ATTRIBUTE_AUTHENTICATED),
	};
	return true;
}
