#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/model_ide.h"

static const struct guid id = { 0x11223344, 0x5566, 0x7788, { 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x01 } };
static struct model_ide *m;
static struct disk *disk, *second, *cd; /* 0:0, 0:1, 1:0 */
static u8 data[256 * 1024], back[256 * 1024];

#define DISK_LEN (16 * MiB)
#define CD_LEN (4 * MiB)

/* what a disk has, straight from it */
static int disk_result;
static void io_done(struct disk_request *r, int result) { disk_result = result; }
static void disk_io(struct disk *d, enum disk_op op, u64 sector, void *at, size_t len)
{
	struct iovec iov = { at, len };
	struct disk_request r = { .op = op, .sector = sector, .count = len / 512, .iov = &iov, .iov_count = 1, .exec = m->exec,
				  .done = io_done };

	disk_result = 1;
	disk_submit(d, &r);
	model_run(m);
	assert_int_equal(disk_result, 0);
}

static void fill(u8 seed)
{
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (u8)(i * 7 + (i >> 9) * 13 + seed);
	memset(back, 0, sizeof(back));
}

static int set_up(void **state)
{
	m = calloc(1, sizeof(*m));
	if (!model_init(m, 7))
		return -1;
	disk = disk_fault(disk_trace(disk_ram(DISK_LEN, 512, &id)), 1);
	second = disk_read_only(disk_ram(MiB, 512, &id));
	cd = disk_ram(CD_LEN, 512, &id);
	fill(1);
	disk_io(cd, DISK_WRITE, 0, data, sizeof(data));
	return ide_add(m->ide, 0, 0, IDE_DISK, disk) || ide_add(m->ide, 0, 1, IDE_DISK, second) ||
	       ide_add(m->ide, 1, 0, IDE_CD, cd);
}

static int tear_down(void **state)
{
	model_fini(m);
	free(m);
	return 0;
}

static u8 command(u8 opcode)
{
	model_set(m, 7, opcode);
	model_run(m);
	return model_status(m);
}

/* ---- who is there */
static void signatures(void **state)
{
	model_out(m, m->control, 1, 4);
	assert_int_equal(model_status(m) & 0x80, 0x80);
	model_out(m, m->control, 1, 0);
	assert_int_equal(model_status(m), 0x50);
	assert_int_equal(model_reg(m, 1), 1);
	assert_int_equal(model_reg(m, 2), 1);
	assert_int_equal(model_reg(m, 3), 1);
	assert_int_equal(model_reg(m, 4) | model_reg(m, 5) << 8, 0);
	model_channel(m, 1);
	model_out(m, m->control, 1, 4);
	model_out(m, m->control, 1, 0);
	assert_int_equal(model_reg(m, 4) | model_reg(m, 5) << 8, 0xeb14);
	model_set(m, 6, 0xb0); /* drive 1 is not there: drive 0 answers with zero */
	assert_int_equal(model_status(m), 0);
	assert_int_equal(command(0xec), 0);
	model_set(m, 6, 0xa0);
	assert_int_equal(command(0x90), 0);
	assert_int_equal(m->interrupts[1], 1);
	assert_int_equal(model_reg(m, 1), 1);
}

static void identify_says_what_is_so(void **state)
{
	u16 w[256];
	u8 sum = 0;

	model_set(m, 6, 0xa0);
	model_set(m, 7, 0xec);
	assert_int_equal(model_pio(m, w, 512, 512, false), 0x50);
	assert_int_equal(m->interrupts[0], 1); /* before the block, none behind it */
	assert_int_equal(w[60] | w[61] << 16, DISK_LEN / 512);
	assert_int_equal(w[100] | w[101] << 16, DISK_LEN / 512);
	assert_int_equal(w[83] & 0xf400, 0x7400);
	assert_int_equal(w[85] & 0x20, 0x20);
	assert_int_equal(w[169], 1);
	assert_memory_equal(w + 27, "iVtrau lDH", 10);
	for (unsigned i = 0; i < 512; i++)
		sum = (u8)(sum + ((u8 *)w)[i]);
	assert_int_equal(sum, 0);
	model_set(m, 1, 0x82); /* the write cache off: its flush, then IDENTIFY says so */
	assert_int_equal(command(0xef), 0x50);
	model_set(m, 1, 3);
	model_set(m, 2, 0x42);
	assert_int_equal(command(0xef), 0x50);
	model_set(m, 2, 0x47);
	assert_int_equal(command(0xef), 0x51);
	model_set(m, 7, 0xec);
	assert_int_equal(model_pio(m, w, 512, 512, false), 0x50);
	assert_int_equal(w[85] & 0x20, 0);
	assert_int_equal(w[88], 0x043f);
	model_channel(m, 1);
	model_set(m, 6, 0xa0);
	assert_int_equal(command(0xec), 0x41);
	assert_int_equal(model_reg(m, 4) | model_reg(m, 5) << 8, 0xeb14);
	model_set(m, 7, 0xa1);
	assert_int_equal(model_pio(m, w, 512, 512, false), 0x40);
	assert_int_equal(w[0], 0x85c0);
}

/* ---- PIO */
static void pio_single_sectors(void **state)
{
	fill(2);
	model_lba28(m, 0, 1000, 200);
	model_set(m, 7, 0x30);
	assert_int_equal(m->interrupts[0], 0); /* the first block is not announced */
	assert_int_equal(model_pio(m, data, 200 * 512, 512, true), 0x50);
	assert_int_equal(m->interrupts[0], 200);
	model_lba48(m, 0, 1000, 200);
	model_set(m, 7, 0x24);
	assert_int_equal(model_pio(m, back, 200 * 512, 512, false), 0x50);
	assert_int_equal(m->interrupts[0], 400);
	assert_memory_equal(data, back, 200 * 512);
	memset(back, 0, sizeof(back));
	disk_io(disk, DISK_READ, 1000, back, 200 * 512);
	assert_memory_equal(data, back, 200 * 512);
}

static void pio_multiple(void **state)
{
	fill(3);
	model_set(m, 2, 0);
	assert_int_equal(command(0xc6), 0x50); /* off */
	model_lba28(m, 0, 5, 0); /* 256 sectors */
	assert_int_equal(command(0xc4), 0x51);
	assert_int_equal(model_reg(m, 1), 4);
	model_set(m, 2, 3);
	assert_int_equal(command(0xc6), 0x51);
	model_set(m, 2, 16);
	assert_int_equal(command(0xc6), 0x50);
	unsigned before = m->interrupts[0];

	model_lba28(m, 0, 5, 0);
	model_set(m, 7, 0xc5);
	assert_int_equal(model_pio(m, data, 256 * 512, 16 * 512, true), 0x50);
	assert_int_equal(m->interrupts[0], before + 16);
	model_lba48(m, 0, 5, 250); /* the last block is short */
	model_set(m, 7, 0x29);
	assert_int_equal(model_pio(m, back, 250 * 512, 16 * 512, false), 0x50);
	assert_memory_equal(data, back, 250 * 512);
	assert_int_equal(m->interrupts[0], before + 32);
}

static void chs(void **state)
{
	fill(4);
	disk_io(disk, DISK_WRITE, 0, data, sizeof(data));
	model_set(m, 6, 0xa0 | 2); /* cylinder 0, head 2, sector 5 of 16 by 63 */
	model_set(m, 2, 1);
	model_set(m, 3, 5);
	model_set(m, 4, 0);
	model_set(m, 5, 0);
	model_set(m, 7, 0x20);
	assert_int_equal(model_pio(m, back, 512, 512, false), 0x50);
	assert_memory_equal(back, data + (2 * 63 + 4) * 512, 512);
	model_set(m, 6, 0xa0 | 3); /* 4 heads of 20 */
	model_set(m, 2, 20);
	assert_int_equal(command(0x91), 0x50);
	model_set(m, 6, 0xa0 | 2);
	model_set(m, 2, 1);
	model_set(m, 4, 1);
	model_set(m, 7, 0x20);
	assert_int_equal(model_pio(m, back, 512, 512, false), 0x50);
	assert_memory_equal(back, data + (1 * 80 + 2 * 20 + 4) * 512, 512);
	model_set(m, 3, 0);
	assert_int_equal(command(0x20), 0x51);
	assert_int_equal(model_reg(m, 1), 0x10);
}

/* ---- DMA */
static void dma_goes_straight(void **state)
{
	fill(5);
	assert_int_equal(guest_write(m->guest, 0x100002, data, 128 * 512), 0);
	model_prd_start(m);
	model_prd(m, 0x100002, 0x0ffe, false); /* pieces that are no sectors */
	model_prd(m, 0x101000, 0x10000 - 0x0ffe, true);
	model_lba48(m, 0, 4000, 128);
	assert_int_equal(model_dma(m, 0x35, false) & 7, 4); /* interrupt, not active, no error */
	assert_int_equal(model_status(m), 0x50);
	assert_int_equal(m->interrupts[0], 1);
	disk_io(disk, DISK_READ, 4000, back, 128 * 512);
	assert_memory_equal(data, back, 128 * 512);
	model_prd_start(m);
	model_prd(m, 0x200000, 0, true); /* 64 KiB; more than is wanted */
	model_lba28(m, 0, 4000, 100);
	assert_int_equal(model_dma(m, 0xc8, true) & 7, 5); /* still active */
	assert_int_equal(model_status(m), 0x50);
	assert_int_equal(guest_read(m->guest, 0x200000, back, 128 * 512), 0);
	assert_memory_equal(data, back, 100 * 512);
	assert_int_equal(back[100 * 512], 0);
}

/* 4 MiB in steps; regions of two bytes */
static void dma_in_steps(void **state)
{
	u8 *big = malloc(4 * MiB);

	for (size_t i = 0; i < 4 * MiB; i++)
		big[i] = (u8)(i ^ i >> 8 ^ i >> 16);
	assert_int_equal(guest_write(m->guest, 0x200000, big, 4 * MiB), 0);
	model_prd_start(m);
	for (u32 i = 0; i < 64; i++)
		model_prd(m, 0x200000 + i * 0x10000, 0, i == 63);
	model_lba48(m, 0, 0, 8192);
	assert_int_equal(model_dma(m, 0x35, false) & 7, 4);
	model_prd_start(m);
	for (u32 i = 0; i < 2048; i++)
		model_prd(m, 0x20000 + i * 4, 2, i == 2047);
	model_lba48(m, 0, 64, 8);
	assert_int_equal(model_dma(m, 0x25, true) & 7, 4);
	assert_int_equal(guest_read(m->guest, 0x20000, back, 8192), 0);
	for (u32 i = 0; i < 2048; i++)
		assert_memory_equal(back + i * 4, big + 64 * 512 + i * 2, 2);
	free(big);
}

static void hostile_tables(void **state)
{
	fill(6);
	disk_io(disk, DISK_WRITE, 0, data, 64 * 512);
	const struct { u32 base, len; bool last; } wrong[] = {
		{ 0xfff00000, 512, true }, { MODEL_RAM - 256, 4096, true }, { MODEL_RAM, 0, true }, { 0x100000, 1024, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		model_prd_start(m);
		model_prd(m, wrong[i].base, wrong[i].len, wrong[i].last);
		model_lba28(m, 0, 0, 8);
		assert_int_equal(model_dma(m, 0xc8, true) & 7, 6);
		assert_int_equal(model_status(m), 0x51);
		assert_int_equal(model_reg(m, 1), 4);
	}
	/* the table itself is nowhere; then the wrong direction; then it works again */
	model_lba28(m, 0, 0, 8);
	model_out(m, m->bm + 4u, 4, 0xfffffff0);
	model_set(m, 7, 0xc8);
	model_out(m, m->bm, 1, 9);
	model_run(m);
	assert_int_equal(model_in(m, m->bm + 2u, 1) & 7, 6);
	model_out(m, m->bm, 1, 0);
	model_prd_start(m);
	model_prd(m, 0x100000, 4096, true);
	model_lba28(m, 0, 0, 8);
	assert_int_equal(model_dma(m, 0xc8, false) & 7, 7 & ~1);
	assert_int_equal(model_status(m), 0x51);
	model_lba28(m, 0, 0, 8);
	assert_int_equal(model_dma(m, 0xc8, true) & 7, 4);
	assert_int_equal(guest_read(m->guest, 0x100000, back, 4096), 0);
	assert_memory_equal(data, back, 4096);
}

/* the command waits for the bus master, and the bus master for PCI's permission */
static void dma_waits(void **state)
{
	fill(7);
	disk_io(disk, DISK_WRITE, 0, data, 4096);
	model_prd_start(m);
	model_prd(m, 0x100000, 4096, true);
	model_out(m, 0xcf8, 4, 0x80003904);
	model_out(m, 0xcfc, 2, 1);
	model_lba28(m, 0, 0, 8);
	assert_int_equal(model_dma(m, 0xc8, true) & 7, 1);
	assert_int_equal(model_status(m) & 0x80, 0x80);
	model_out(m, m->bm, 1, 9);
	model_out(m, 0xcfc, 2, 5);
	model_run(m);
	assert_int_equal(model_status(m), 0x50);
	assert_int_equal(guest_read(m->guest, 0x100000, back, 4096), 0);
	assert_memory_equal(data, back, 4096);
	/* stopped in the middle of a step: the command ends with an error */
	model_out(m, m->bm, 1, 0);
	model_lba28(m, 0, 0, 8);
	model_set(m, 7, 0xc8);
	model_out(m, m->bm, 1, 9);
	model_out(m, m->bm, 1, 8);
	model_run(m);
	assert_int_equal(model_status(m) & 0x80, 0);
}

/* ---- errors, resets, the rest of the commands */
static void errors(void **state)
{
	model_lba28(m, 0, DISK_LEN / 512 - 1, 2);
	assert_int_equal(command(0x20), 0x51);
	assert_int_equal(model_reg(m, 1), 0x10);
	model_lba48(m, 0, 1ull << 40, 1);
	assert_int_equal(command(0x24), 0x51);
	assert_int_equal(command(0x00), 0x51);
	assert_int_equal(model_reg(m, 1), 4);
	assert_int_equal(command(0xfe), 0x51);
	disk_fault_set(disk, FAULT_ERROR, BIT(DISK_READ), 1, -EIO);
	model_lba28(m, 0, 77, 1);
	assert_int_equal(command(0x20), 0x51);
	assert_int_equal(model_reg(m, 1), 0x40);
	assert_int_equal(model_reg(m, 3), 77);
	assert_int_equal(command(0x40), 0x51);
	disk_fault_set(disk, FAULT_ERROR, BIT(DISK_WRITE) | BIT(DISK_FLUSH), 1, -EIO);
	model_lba28(m, 0, 77, 1);
	model_set(m, 7, 0x30);
	assert_int_equal(model_pio(m, data, 512, 512, true), 0x71);
	assert_int_equal(command(0xe7), 0x71);
	disk_fault_set(disk, FAULT_NONE, 0, 1, 0);
	assert_int_equal(command(0xea), 0x50);
	model_lba28(m, 0, 0, 0);
	assert_int_equal(command(0x40), 0x50);
	model_lba28(m, 0x10, 0, 1); /* the second disk is read-only */
	assert_int_equal(command(0x30), 0x51);
	model_set(m, 7, 0x20);
	assert_int_equal(model_pio(m, back, 512, 512, false), 0x50);
}

static void power(void **state)
{
	model_set(m, 6, 0xa0);
	assert_int_equal(command(0xe5), 0x50);
	assert_int_equal(model_reg(m, 2), 0xff);
	assert_int_equal(command(0xe0), 0x50);
	assert_int_equal(command(0xe5), 0x50);
	assert_int_equal(model_reg(m, 2), 0);
	assert_int_equal(command(0xe1), 0x50);
	assert_int_equal(command(0xe6), 0x50);
	unsigned before = m->interrupts[0];

	command(0xec); /* asleep: only a reset wakes it */
	assert_int_equal(m->interrupts[0], before);
	model_out(m, m->control, 1, 4);
	model_out(m, m->control, 1, 0);
	assert_int_equal(command(0x10), 0x50);
	assert_int_equal(command(0x70), 0x50);
}

static void trim(void **state)
{
	u64 ranges[64] = { 8 | 16ull << 48, 0, 100 | 1ull << 48 };

	fill(8);
	disk_io(disk, DISK_WRITE, 0, data, 128 * 512);
	assert_int_equal(guest_write(m->guest, 0x100000, ranges, sizeof(ranges)), 0);
	model_prd_start(m);
	model_prd(m, 0x100000, 512, true);
	model_lba48(m, 0, 0, 1);
	model_set(m, 1, 1);
	assert_int_equal(model_dma(m, 0x06, false) & 7, 4);
	assert_int_equal(model_status(m), 0x50);
	disk_io(disk, DISK_READ, 0, back, 128 * 512);
	memset(data + 8 * 512, 0, 16 * 512);
	memset(data + 100 * 512, 0, 512);
	assert_memory_equal(data, back, 128 * 512);
	ranges[1] = DISK_LEN / 512 | 1ull << 48;
	assert_int_equal(guest_write(m->guest, 0x100000, ranges, sizeof(ranges)), 0);
	model_lba48(m, 0, 0, 1);
	model_set(m, 1, 1);
	model_dma(m, 0x06, false);
	assert_int_equal(model_status(m), 0x51);
}

/* while the disk works: nothing is taken; a reset waits for the request and wins */
static void reset_in_the_middle(void **state)
{
	model_lba28(m, 0, 0, 8);
	model_set(m, 7, 0x20);
	assert_int_equal(model_in(m, m->control, 1), 0x80);
	model_set(m, 7, 0xec);
	model_set(m, 6, 0xb0);
	assert_int_equal(model_reg(m, 6) & 0x10, 0);
	model_out(m, m->control, 1, 4);
	model_out(m, m->control, 1, 0);
	assert_int_equal(model_in(m, m->control, 1), 0x80);
	model_run(m);
	assert_int_equal(model_in(m, m->control, 1), 0x50);
	assert_int_equal(m->interrupts[0], 0);
	assert_int_equal(model_reg(m, 2), 1);
	model_out(m, m->control, 1, 2); /* nIEN */
	model_lba28(m, 0, 0, 1);
	model_set(m, 7, 0x20);
	assert_int_equal(model_pio(m, back, 512, 512, false), 0x50);
	assert_int_equal(m->interrupts[0], 0);
	assert_int_equal(model_in(m, m->base, 2), 0xffff); /* no data is due */
}

/* ---- CD */
static u8 packet(const u8 *cdb, size_t len, u16 limit, u8 features)
{
	u8 whole[12] = { 0 };

	memcpy(whole, cdb, len);
	model_set(m, 6, 0xa0);
	model_set(m, 1, features);
	model_set(m, 4, (u8)limit);
	model_set(m, 5, (u8)(limit >> 8));
	model_set(m, 7, 0xa0);
	assert_int_equal(model_reg(m, 2), 1);
	for (unsigned i = 0; i < 12; i += 4) { /* as Linux writes it, whatever the limit is */
		u32 word;

		memcpy(&word, whole + i, 4);
		model_out(m, m->base, 4, word);
	}
	model_run(m);
	return model_status(m);
}
#define PACKET(limit, features, ...) packet((const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }), limit, features)

/* PIO in: what the device says it has, until it is over */
static size_t collect(u8 *to, size_t room)
{
	size_t len = 0;

	for (;;) {
		model_run(m);
		if (!(model_status(m) & 8))
			return len;
		size_t n = model_reg(m, 4) | (size_t)model_reg(m, 5) << 8;

		assert_int_equal(model_reg(m, 2), 2);
		assert_true(n && len + n <= room);
		for (size_t i = 0; i < n; i += 2) {
			u16 word = (u16)model_in(m, m->base, 2);

			memcpy(to + len + i, &word, MIN(n - i, (size_t)2));
		}
		len += n;
	}
}

static void assert_sense(u8 key, u8 asc)
{
	u8 sense[18];

	PACKET(18, 0, 3, 0, 0, 0, 18);
	assert_int_equal(collect(sense, sizeof(sense)), 18);
	assert_int_equal(sense[2], key);
	assert_int_equal(sense[12], asc);
}

static void cd_is_read(void **state)
{
	u8 reply[64];

	model_channel(m, 1);
	assert_int_equal(PACKET(0, 0, 0), 0x41); /* the first command hears of the power on */
	assert_int_equal(model_reg(m, 1) >> 4, 6);
	assert_sense(6, 0x29);
	assert_int_equal(PACKET(0, 0, 0), 0x40);
	assert_int_equal(model_reg(m, 2), 3);
	PACKET(64, 0, 0x12, 0, 0, 0, 36);
	assert_int_equal(collect(reply, sizeof(reply)), 36);
	assert_int_equal(reply[0], 5);
	PACKET(64, 0, 0x25);
	assert_int_equal(collect(reply, sizeof(reply)), 8);
	assert_int_equal(reply[2] << 8 | reply[3], CD_LEN / 2048 - 1);
	assert_int_equal(reply[6], 8);
	fill(1);
	PACKET(4096, 0, 0x28, 0, 0, 0, 0, 3, 0, 0, 40);
	assert_int_equal(collect(back, sizeof(back)), 40 * 2048);
	assert_memory_equal(back, data + 3 * 2048, 40 * 2048);
	/* by DMA */
	memset(back, 0, sizeof(back));
	model_prd_start(m);
	for (u32 i = 0; i < 20; i++)
		model_prd(m, 0x100000 + i * 3072, 3072, i == 19);
	PACKET(0, 1, 0xa8, 0, 0, 0, 0, 1, 0, 0, 0, 30);
	model_out(m, m->bm + 4u, 4, MODEL_TABLE);
	model_out(m, m->bm, 1, 9);
	model_run(m);
	assert_int_equal(model_in(m, m->bm + 2u, 1) & 7, 4);
	assert_int_equal(model_status(m), 0x40);
	assert_int_equal(guest_read(m->guest, 0x100000, back, 30 * 2048), 0);
	assert_memory_equal(back, data + 2048, 30 * 2048);
	model_out(m, m->bm, 1, 0);
	assert_int_equal(PACKET(0, 0, 0x28, 0, 0, 0, 8, 0, 0, 0, 1), 0x41);
	assert_sense(5, 0x21);
	assert_int_equal(PACKET(0, 0, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1), 0x41);
	assert_sense(5, 0x20);
}

static void cd_says_what_it_is(void **state)
{
	u8 reply[128];

	model_channel(m, 1);
	assert_sense(6, 0x29);
	PACKET(128, 0, 0x43, 2, 0, 0, 0, 0, 0, 0, 128);
	assert_int_equal(collect(reply, sizeof(reply)), 20);
	assert_int_equal(reply[1], 18);
	assert_int_equal(reply[9] << 16 | reply[10] << 8 | reply[11], 0x000200); /* 00:02:00 */
	PACKET(128, 0, 0x43, 0, 2, 0, 0, 0, 0, 0, 128);
	assert_int_equal(collect(reply, sizeof(reply)), 48);
	PACKET(128, 0, 0x46, 0, 0, 0, 0, 0, 0, 0, 128);
	assert_int_equal(collect(reply, sizeof(reply)), 52);
	assert_int_equal(reply[7], 8);
	PACKET(128, 0, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
	assert_int_equal(collect(reply, sizeof(reply)), 8);
	assert_int_equal(reply[4] << 8 | reply[5], 0x202);
	PACKET(128, 0, 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 128);
	assert_int_equal(collect(reply, sizeof(reply)), 30);
	assert_int_equal(reply[8], 0x2a);
	PACKET(128, 0, 0x1a, 0, 0x3f, 0, 128);
	assert_int_equal(collect(reply, sizeof(reply)), 34);
	PACKET(128, 0, 0x51, 0, 0, 0, 0, 0, 0, 0, 128);
	assert_int_equal(collect(reply, sizeof(reply)), 34);
	PACKET(2, 0, 0x51, 0, 0, 0, 0, 0, 0, 0, 2);
	assert_int_equal(collect(reply, sizeof(reply)), 2);
	assert_int_equal(reply[0] << 8 | reply[1], 32);
	/* locked, it does not come out; then it does */
	assert_int_equal(PACKET(0, 0, 0x1e, 0, 0, 0, 1), 0x40);
	assert_int_equal(PACKET(0, 0, 0x1b, 0, 0, 0, 2), 0x41);
	assert_sense(5, 0x53);
	assert_int_equal(PACKET(0, 0, 0x1e), 0x40);
	assert_int_equal(PACKET(0, 0, 0x1b, 0, 0, 0, 2), 0x40);
	assert_int_equal(PACKET(0, 0, 0), 0x41);
	assert_sense(2, 0x3a);
	assert_int_equal(PACKET(0, 0, 0x1b, 0, 0, 0, 3), 0x40);
	assert_int_equal(PACKET(0, 0, 0), 0x41);
	assert_sense(6, 0x28);
	assert_int_equal(PACKET(0, 0, 0), 0x40);
	model_set(m, 7, 0x08);
	assert_int_equal(model_reg(m, 4), 0x14);
	assert_int_equal(model_status(m), 0);
}

/* ---- in the middle of commands of each kind, over to a second controller with the same disks */
static void state_goes_round(void **state)
{
	struct saver s;
	struct loader l;

	fill(9);
	disk_io(disk, DISK_WRITE, 0, data, sizeof(data));
	model_set(m, 2, 8);
	assert_int_equal(command(0xc6), 0x50);
	model_lba28(m, 0, 10, 64);
	model_set(m, 7, 0xc4);
	assert_int_equal(model_pio(m, back, 3 * 4096, 4096, false) & 0x88, 0x08);
	model_channel(m, 1); /* and a read of the CD that is with the disk */
	assert_sense(6, 0x29);
	PACKET(0, 1, 0x28, 0, 0, 0, 0, 4, 0, 0, 16);
	model_prd_start(m);
	model_prd(m, 0x100000, 0x8000, true);
	model_out(m, m->bm + 4u, 4, MODEL_TABLE);
	model_out(m, m->bm, 1, 9);
	bus_stop(&m->bus);
	saver_init(&s);
	bus_save(&m->bus, &s);
	assert_int_equal(saver_finish(&s), 0);
	model_run(m);
	bus_start(&m->bus);
	model_run(m);
	assert_int_equal(model_in(m, m->bm + 2u, 1) & 7, 4);
	model_out(m, m->bm, 1, 0);
	model_status(m);
	bus_reset(&m->bus);
	model_run(m);
	assert_int_equal(guest_zero(m->guest, 0x100000, 0x8000), 0);

	assert_int_equal(loader_init(&l, s.data, s.len), 0);
	assert_int_equal(bus_restore(&m->bus, l), 0);
	bus_start(&m->bus);
	model_run(m);
	assert_int_equal(model_in(m, m->bm + 2u, 1) & 7, 4);
	assert_int_equal(guest_read(m->guest, 0x100000, back, 0x8000), 0);
	u8 *want = malloc(0x8000);

	disk_io(cd, DISK_READ, 16, want, 0x8000);
	assert_memory_equal(back, want, 0x8000);
	free(want);
	model_channel(m, 0);
	assert_int_equal(model_pio(m, back, 5 * 4096, 4096, false), 0x50);
	assert_memory_equal(back, data + 10 * 512 + 3 * 4096, 5 * 4096);
	saver_fini(&s);
}

/* what a command that has ended leaves behind is not looked at; a PIO write leaves an end without a length */
static void state_after_a_command(void **state)
{
	struct saver s;
	struct loader l;

	model_lba28(m, 0, 1000, 1);
	model_set(m, 7, 0x30);
	assert_int_equal(model_pio(m, data, 512, 512, true), 0x50);
	bus_stop(&m->bus);
	saver_init(&s);
	bus_save(&m->bus, &s);
	assert_int_equal(saver_finish(&s), 0);
	assert_int_equal(loader_init(&l, s.data, s.len), 0);
	assert_int_equal(bus_restore(&m->bus, l), 0);
	bus_start(&m->bus);
	model_lba28(m, 0, 1000, 1);
	model_set(m, 7, 0x20);
	assert_int_equal(model_pio(m, back, 512, 512, false), 0x50);
	assert_memory_equal(back, data, 512);
	saver_fini(&s);
}

/* a soft reset that waits for the second drive's request: the first, which it selects, is of another kind */
static void state_in_a_reset(void **state)
{
	struct saver s;
	struct loader l;

	assert_int_equal(ide_add(m->ide, 1, 1, IDE_DISK, disk_ram(MiB, 512, &id)), 0);
	model_channel(m, 1);
	model_lba28(m, 0x10, 1, 1);
	model_set(m, 7, 0x20);
	model_out(m, m->control, 1, 4);
	bus_stop(&m->bus);
	saver_init(&s);
	bus_save(&m->bus, &s);
	assert_int_equal(saver_finish(&s), 0);
	bus_start(&m->bus);
	model_run(m);
	bus_reset(&m->bus);
	assert_int_equal(loader_init(&l, s.data, s.len), 0);
	assert_int_equal(bus_restore(&m->bus, l), 0);
	bus_start(&m->bus);
	model_out(m, m->control, 1, 0);
	model_run(m);
	assert_int_equal(model_reg(m, 4), 0x14);
	assert_int_equal(model_reg(m, 5), 0xeb);
	saver_fini(&s);
}

static void disks_that_do_not_fit(void **state)
{
	assert_int_equal(ide_add(m->ide, 0, 0, IDE_DISK, disk_ram(MiB, 512, &id)), -EEXIST);
	assert_int_equal(ide_add(m->ide, 1, 1, IDE_DISK, disk_ram(MiB, 4096, &id)), -EINVAL);
	assert_int_equal(ide_add(m->ide, 2, 0, IDE_DISK, disk_ram(MiB, 512, &id)), -EINVAL);
	struct node *n = inspect_now("", 9, NULL, bus_inspect, &m->bus);

	assert_non_null(n);
	node_destroy(n);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(signatures), TEST(identify_says_what_is_so), TEST(pio_single_sectors), TEST(pio_multiple), TEST(chs),
		TEST(dma_goes_straight), TEST(dma_in_steps), TEST(hostile_tables), TEST(dma_waits), TEST(errors), TEST(power),
		TEST(trim), TEST(reset_in_the_middle), TEST(cd_is_read), TEST(cd_says_what_it_is), TEST(state_goes_round),
		TEST(state_after_a_command), TEST(state_in_a_reset), TEST(disks_that_do_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
