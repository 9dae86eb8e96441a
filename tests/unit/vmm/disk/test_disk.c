#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/task/exec_sim.h"
#include "vmm/disk/disk.h"

static const struct guid id = { 1, 2, 3, { 4 } };

struct bed {
	struct sim *sim;
	struct exec *exec;
};

static int set_up(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	b->sim = sim_create(7);
	b->exec = sim_exec(b->sim, "disk");
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bed *b = *state;

	sim_destroy(b->sim);
	free(b);
	return 0;
}

struct call {
	struct disk_request r;
	int result;
	unsigned done;
};

static void done(struct disk_request *r, int result)
{
	struct call *c = container_of(r, struct call, r);

	c->result = result;
	c->done++;
}

/* submits, waits, checks that the request came back as it was */
static int request(struct bed *b, struct disk *d, enum disk_op op, u32 flags, u64 sector, u64 count, struct iovec *iov,
		   unsigned n, size_t skip)
{
	struct iovec before[8];
	struct call c = { .r = { .op = op, .flags = flags, .sector = sector, .count = count, .iov = iov, .iov_count = n,
				 .skip = skip, .exec = b->exec, .done = done } };

	if (n)
		memcpy(before, iov, n * sizeof(*iov));
	disk_submit(d, &c.r);
	sim_run(b->sim, sim_now_ns(b->sim) + 10000000000ull);
	assert_int_equal(c.done, 1);
	assert_int_equal(c.r.sector, sector);
	assert_int_equal(c.r.count, count);
	assert_int_equal(c.r.skip, skip);
	if (n)
		assert_memory_equal(before, iov, n * sizeof(*iov));
	return c.result;
}

static int simple(struct bed *b, struct disk *d, enum disk_op op, u64 sector, u64 count, void *data)
{
	struct iovec iov = { data, (size_t)count * d->sector_size };

	return request(b, d, op, 0, sector, count, data ? &iov : NULL, data ? 1 : 0, 0);
}

static struct disk *file_disk(u64 bytes)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd >= 0 && !ftruncate(fd, (off_t)bytes));
	return disk_file(fd, 512, false, &id);
}

#define MODEL_BUFFER (60u * 4096)

/* the same random work on the disk and on a plain array must give the same bytes */
static void model(struct bed *b, struct disk *d)
{
	u64 bytes = disk_bytes(d);
	u8 *copy = calloc(1, bytes), *buffer = malloc(MODEL_BUFFER + 64), *check = malloc(bytes);

	for (int i = 0; i < 400; i++) {
		u64 count = sim_random(b->sim) % 60 + 1, sector = sim_random(b->sim) % (d->sectors - count);
		size_t len = (size_t)count * d->sector_size, cut = 1 + (size_t)(sim_random(b->sim) % (len - 1)),
		       skip = (size_t)(sim_random(b->sim) % 40);
		struct iovec iov[3] = { { buffer, skip + 3 }, { buffer + skip + 3, cut },
					{ buffer + skip + 3 + cut, len - cut } };
		u8 *at = copy + sector * d->sector_size;

		memset(buffer, i * 7 + 1, MODEL_BUFFER);
		switch (sim_random(b->sim) % 5) {
		case 0:
			assert_int_equal(request(b, d, DISK_WRITE, i & 1 ? DISK_FUA : 0, sector, count, iov, 3, skip), 0);
			memcpy(at, buffer + skip, len);
			break;
		case 1:
			assert_int_equal(request(b, d, DISK_READ, 0, sector, count, iov, 3, skip), 0);
			assert_memory_equal(buffer + skip, at, len);
			break;
		case 2:
			assert_int_equal(simple(b, d, DISK_UNMAP, sector, count, NULL), 0);
			memset(at, 0, len);
			break;
		case 3:
			assert_int_equal(simple(b, d, DISK_WRITE_ZEROES, sector, count, NULL), 0);
			memset(at, 0, len);
			break;
		default:
			assert_int_equal(request(b, d, DISK_FLUSH, 0, 0, 0, NULL, 0, 0), 0);
		}
	}
	assert_int_equal(simple(b, d, DISK_READ, 0, d->sectors, check), 0);
	assert_memory_equal(check, copy, bytes);
	free(copy);
	free(buffer);
	free(check);
	disk_destroy(d);
}

static void ram_holds_bytes(void **state) { model(*state, disk_ram(MiB, 512, &id)); }
static void ram_of_4k_sectors(void **state) { model(*state, disk_ram(MiB, 4096, &id)); }
static void file_holds_bytes(void **state) { model(*state, file_disk(MiB)); }
static void partition_holds_bytes(void **state)
{
	model(*state, disk_partition(file_disk(2 * MiB), 77, 1500, &id));
}
static void stripe_holds_bytes(void **state)
{
	struct disk *columns[3] = { file_disk(MiB), disk_ram(MiB + 512 * 9, 512, &id), file_disk(MiB + 4096) };
	struct disk *d = disk_stripe(columns, 3, 8, &id);

	assert_int_equal(d->sectors, 2048 * 3);
	model(*state, d);
}
static void filters_change_nothing(void **state)
{
	model(*state, disk_stats(disk_trace(disk_delay(disk_fault(file_disk(MiB), 1), 1000000))));
}

static void wrong_requests_are_refused(void **state)
{
	struct disk *d = disk_ram(64 * KiB, 512, &id);
	u8 sector[512];

	assert_int_equal(simple(*state, d, DISK_READ, 128, 1, sector), -EINVAL);
	assert_int_equal(simple(*state, d, DISK_READ, ~0ull, 1, sector), -EINVAL);
	assert_int_equal(simple(*state, d, DISK_UNMAP, 1, ~0ull, NULL), -EINVAL);
	assert_int_equal(simple(*state, d, DISK_READ, 128, 0, NULL), 0);
	d = disk_read_only(d);
	assert_int_equal(simple(*state, d, DISK_WRITE, 0, 1, sector), -EROFS);
	assert_int_equal(simple(*state, d, DISK_UNMAP, 0, 1, NULL), -EROFS);
	assert_int_equal(simple(*state, d, DISK_READ, 0, 1, sector), 0);
	disk_destroy(d);
	assert_null(disk_partition(disk_ram(64 * KiB, 512, &id), 100, 29, &id));
	struct disk *mixed[2] = { disk_ram(MiB, 512, &id), disk_ram(MiB, 4096, &id) };

	assert_null(disk_stripe(mixed, 2, 8, &id));
}

static void huge_unmap_uses_no_stack(void **state)
{
	struct disk *columns[2] = { disk_ram(GiB, 512, &id), disk_ram(GiB, 512, &id) };
	struct disk *d = disk_stripe(columns, 2, 1, &id);

	assert_int_equal(simple(*state, d, DISK_UNMAP, 0, 300000, NULL), 0);
	disk_destroy(d);
}

static void faults_are_what_they_say(void **state)
{
	struct disk *d = disk_fault(disk_ram(64 * KiB, 512, &id), 3);
	u8 one[512], two[512];

	memset(one, 1, sizeof(one));
	disk_fault_set(d, FAULT_ERROR, BIT(DISK_WRITE), 1, -ENOSPC);
	assert_int_equal(simple(*state, d, DISK_WRITE, 5, 1, one), -ENOSPC);
	assert_int_equal(simple(*state, d, DISK_READ, 5, 1, two), 0);
	disk_fault_set(d, FAULT_LOSE, BIT(DISK_WRITE), 1, 0);
	assert_int_equal(simple(*state, d, DISK_WRITE, 5, 1, one), 0);
	assert_int_equal(simple(*state, d, DISK_READ, 5, 1, two), 0);
	assert_int_equal(two[0], 0);
	disk_fault_set(d, FAULT_NONE, 0, 0, 0);
	assert_int_equal(simple(*state, d, DISK_WRITE, 5, 1, one), 0);
	disk_fault_set(d, FAULT_CORRUPT, BIT(DISK_READ), 1, 0);
	assert_int_equal(simple(*state, d, DISK_READ, 5, 1, two), 0);
	assert_memory_not_equal(one, two, 512);
	disk_fault_set(d, FAULT_MISDIRECT, BIT(DISK_WRITE), 1, 0);
	memset(one, 9, sizeof(one));
	assert_int_equal(simple(*state, d, DISK_WRITE, 7, 1, one), 0);
	disk_fault_set(d, FAULT_NONE, 0, 0, 0);
	assert_int_equal(simple(*state, d, DISK_READ, 7, 1, two), 0);
	assert_int_not_equal(two[0], 9);
	disk_destroy(d);
}

static void delay_and_stats_show(void **state)
{
	struct bed *b = *state;
	struct disk *d = disk_stats(disk_delay(disk_ram(64 * KiB, 512, &id), 3000000));
	u8 sector[512];
	u64 before = sim_now_ns(b->sim);
	struct call c = { .r = { .op = DISK_READ, .count = 1, .iov = &(struct iovec){ sector, 512 }, .iov_count = 1,
				 .exec = b->exec, .done = done } };

	disk_submit(d, &c.r);
	assert_int_equal(c.done, 0);
	sim_run(b->sim, before + 2000000);
	assert_int_equal(c.done, 0);
	sim_run(b->sim, before + 4000000);
	assert_int_equal(c.done, 1);
	struct node *n = inspect_now("read/under_4096us", 1, NULL, disk_inspect, d);

	assert_non_null(n);
	assert_int_not_equal(n->kind, NODE_FAILED);
	node_destroy(n);
	disk_destroy(d);
}

/* a device whose size is what somebody says */
struct sized {
	struct disk disk;
	u64 now;
};

static u64 sized_measure(struct disk *disk)
{
	return container_of(disk, struct sized, disk)->now;
}

static void sized_destroy(struct disk *disk)
{
	free(container_of(disk, struct sized, disk));
}

static struct sized *sized(u64 sectors)
{
	static const struct disk_ops ops = { .measure = sized_measure, .destroy = sized_destroy };
	struct sized *d = calloc(1, sizeof(*d));

	*d = (struct sized){ .disk = { .ops = &ops, .kind = "sized", .sector_size = 512, .sectors = sectors }, .now = sectors };
	return d;
}

static void another_size_goes_through_the_layers(void **state)
{
	struct sized *low = sized(1000);
	struct disk *d = disk_stats(disk_trace(disk_delay(disk_fault(disk_read_only(&low->disk), 1), 1)));

	assert_false(disk_measure(d));
	low->now = 3000;
	assert_true(disk_measure(d));
	assert_int_equal(d->sectors, 3000);
	assert_int_equal(low->disk.sectors, 3000);
	assert_false(disk_measure(d));
	low->now = 10;
	assert_true(disk_measure(d));
	assert_int_equal(simple(*state, d, DISK_READ, 10, 1, (u8[512]){ 0 }), -EINVAL);
	low->now = 0; /* nothing that a disk can be */
	assert_false(disk_measure(d));
	assert_int_equal(d->sectors, 10);
	disk_destroy(d);
	/* a partition is no more than it was made; what the disk below has no more it has not either */
	low = sized(1000);
	d = disk_partition(&low->disk, 100, 500, &id);
	low->now = 5000;
	assert_false(disk_measure(d));
	low->now = 300;
	assert_true(disk_measure(d));
	assert_int_equal(d->sectors, 200);
	low->now = 1000;
	assert_true(disk_measure(d));
	assert_int_equal(d->sectors, 500);
	disk_destroy(d);
	/* the smallest column decides; what never changes keeps its size */
	low = sized(64);
	struct disk *columns[] = { &low->disk, disk_ram(MiB, 512, &id) };

	d = disk_stripe(columns, 2, 8, &id);
	assert_int_equal(d->sectors, 128);
	low->now = 1007;
	assert_true(disk_measure(d));
	assert_int_equal(d->sectors, 2 * 1000);
	assert_false(disk_measure(columns[1]));
	disk_destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ram_holds_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ram_of_4k_sectors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(file_holds_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(partition_holds_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(stripe_holds_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(filters_change_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(wrong_requests_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(huge_unmap_uses_no_stack, set_up, tear_down),
		cmocka_unit_test_setup_teardown(faults_are_what_they_say, set_up, tear_down),
		cmocka_unit_test_setup_teardown(delay_and_stats_show, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_size_goes_through_the_layers, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
