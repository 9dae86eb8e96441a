/*
 * A VMGS of a hostile host: the input is the device's first bytes, the rest zero; the first byte of all chooses the sector size,
 * the second what is done with it. A store that opens may be written, and what was written is read again.
 */
#include "lib/core/crc32.h"
#include "tests/lib/model_vmgs_device.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define CAPACITY (128 * KiB)
#define FILE_MAX (64 * KiB)

static void read_all(struct vmgs *v, const struct vmgs_device *d)
{
	for (u32 id = 0; id <= VMGS_FILE_COUNT; id++) {
		struct vmgs_file f;
		size_t len;
		u8 *data;
		bool found = vmgs_find(v, id, &f);
		int r = vmgs_read(v, d, id, FILE_MAX, &data, &len);

		CHECK(!r ? found && len == f.len && len <= FILE_MAX : v->problem[0]);
		if (!r)
			free(data);
	}
}

static void change(struct vmgs *v, const struct vmgs_device *d, u8 how)
{
	static u8 bytes[20000];
	u32 id = how % 62u + 1;
	size_t len = how * 77u, got;
	struct vmgs again;
	u8 *back;

	memset(bytes, how, len);
	if (vmgs_write(v, d, id, bytes, len)) {
		CHECK(v->problem[0]);
		return;
	}
	/* with its other header out of step, a store takes one change and is whole afterwards */
	CHECK(!vmgs_open(&again, d));
	CHECK(!vmgs_read(&again, d, id, sizeof(bytes), &back, &got));
	CHECK(got == len && (!len || !memcmp(back, bytes, len)));
	free(back);
	CHECK(!vmgs_remove(&again, d, id));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct head {
		u8 sector, how;
	} head = { 0 };
	static u8 now[CAPACITY], safe[CAPACITY]; /* fresh ones each time would be most of the work */
	struct model_device m;
	struct vmgs v = { 0 };
	u32 free_count, largest;

	if (size < sizeof(head))
		return 0;
	memcpy(&head, data, sizeof(head));
	memset(now, 0, sizeof(now));
	memcpy(now, data + sizeof(head), MIN(size - sizeof(head), sizeof(now)));
	model_init_in(&m, now, safe, CAPACITY, head.sector & 1 ? 4096 : 512, 1);
	/* so that mutations reach what is behind the checksum */
	for (unsigned i = 0; i < 2 && !(head.sector & 2); i++) {
		struct vmgs_header h;

		memcpy(&h, m.now + i * m.device.sector_size, sizeof(h));
		h.checksum = 0;
		h.checksum = crc32_update(0, &h, sizeof(h));
		if (h.signature)
			memcpy(m.now + i * m.device.sector_size, &h, sizeof(h));
	}
	memcpy(m.safe, m.now, CAPACITY);
	if (!vmgs_open(&v, &m.device)) {
		vmgs_free_blocks(&v, &free_count, &largest);
		CHECK(largest <= free_count && free_count < CAPACITY / VMGS_BLOCK_SIZE);
		read_all(&v, &m.device);
		change(&v, &m.device, head.how);
	} else {
		CHECK(v.problem[0] && v.state == VMGS_CLOSED);
	}
	model_settle(&m, true);
	return 0;
}
