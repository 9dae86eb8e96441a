/* A disk over the driver over a model of a controller. The "guest's memory" is DMA memory of the model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/model_nvme.h"
#include "vmm/nvme_disk/nvme_disk.h"

#define SECONDS 1000000000ull
#define GUEST_LEN (1 * MiB)

struct bed {
	struct sim *sim;
	struct model *model;
	struct exec *home, *execs[4];
	struct nvme *nvme;
	struct disk *disk;
	u8 *guest;
	u64 guest_address;
	int started;
};

static const struct guid controller = GUID(0x11223344, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14);

static void started(struct nvme *n, int result)
{
	((struct bed *)nvme_context(n))->started = result;
}

static bool address(void *ctx, const void *at_, size_t len, u64 *ret)
{
	struct bed *b = ctx;

	if (!range_within((uintptr_t)at_, len, (uintptr_t)b->guest, GUEST_LEN))
		return false;
	*ret = b->guest_address + ((uintptr_t)at_ - (uintptr_t)b->guest);
	return true;
}

static bool plain; /* the next controller has no command that is optional */

static struct bed *set_up_blocks(u64 seed, u32 shift)
{
	struct bed *b = calloc(1, sizeof(*b));

	b->sim = sim_create(seed);
	b->home = sim_exec(b->sim, "home");
	b->model = model_create(b->sim);
	for (u32 i = 0; i < 4; i++)
		b->execs[i] = sim_exec(b->sim, "vp");
	b->model->shift = shift;
	b->model->plain = plain;
	b->model->namespace_blocks = BLOCKS >> (shift - 9);
	b->model->grant = 1; /* two queues for four executors */
	b->started = 1;
	struct nvme_config config = { .name = "test", .home = b->home, .execs = b->execs, .exec_count = 4, .started = started,
				      .ctx = b };

	assert_int_equal(nvme_create(&b->model->transport, &config, &b->nvme), 0);
	nvme_start(b->nvme);
	sim_run(b->sim, 5 * SECONDS);
	assert_int_equal(b->started, 0);
	b->guest = dma_alloc(&b->model->transport, GUEST_LEN, &b->guest_address);
	assert_non_null(b->guest);
	struct nvme_disk_config disk = { .nvme = b->nvme, .nsid = 1, .execs = b->execs, .exec_count = 4, .address = address,
					 .ctx = b, .id = controller };

	b->disk = nvme_disk_create(&disk);
	assert_non_null(b->disk);
	return b;
}

static struct bed *set_up(u64 seed)
{
	return set_up_blocks(seed, 9);
}

static void tear_down(struct bed *b)
{
	disk_destroy(b->disk);
	sim_destroy(b->sim);
	nvme_destroy(b->nvme);
	model_destroy(b->model);
	free(b);
}

struct call {
	struct disk_request r;
	struct op post;
	struct iovec iov[4];
	struct disk *disk;
	int result;
	u32 done;
};

static void done(struct disk_request *r, int result)
{
	struct call *c = container_of(r, struct call, r);

	c->result = result;
	c->done++;
}

static void submit_there(struct op *op, int ignored)
{
	struct call *c = container_of(op, struct call, post);

	disk_submit(c->disk, &c->r);
}

static void start(struct bed *b, struct call *c, u32 vp)
{
	c->disk = b->disk;
	c->r.exec = b->execs[vp];
	c->r.done = done;
	c->r.iov = c->iov;
	exec_post(c->r.exec, &c->post, submit_there, 0);
}

static int request(struct bed *b, u32 vp, enum disk_op op, u64 sector, u64 count_, const struct iovec *iov, u32 n, size_t skip)
{
	struct call c = { .r = { .op = op, .sector = sector, .count = count_, .iov_count = n, .skip = skip } };

	if (n)
		memcpy(c.iov, iov, n * sizeof(*iov));
	start(b, &c, vp);
	sim_run(b->sim, sim_now_ns(b->sim) + 200 * SECONDS);
	assert_int_equal(c.done, 1);
	assert_int_equal(c.r.skip, skip);
	if (n)
		assert_memory_equal(c.iov, iov, n * sizeof(*iov));
	return c.result;
}

static int data(struct bed *b, u32 vp, enum disk_op op, u64 sector, u64 sectors, void *at_)
{
	struct iovec iov = { at_, (size_t)sectors * 512 };

	return request(b, vp, op, sector, sectors, &iov, 1, 0);
}

static void fill(u8 *at_, size_t len, u32 seed)
{
	for (size_t i = 0; i < len; i++)
		at_[i] = (u8)((i * 7 + seed + (i >> 9) * 13) & 255);
}

static u64 counter(struct bed *b, const char *path)
{
	struct node *n = inspect_now(path, 1, NULL, disk_inspect, b->disk);
	u64 value;

	assert_non_null(n);
	value = n->number;
	node_destroy(n);
	return value;
}

static void aligned_goes_direct(void **state)
{
	struct bed *b = set_up(1);

	fill(b->guest, 64 * KiB, 3);
	assert_int_equal(data(b, 0, DISK_WRITE, 8, 128, b->guest), 0);
	assert_memory_equal(b->model->disk + 8 * 512, b->guest, 64 * KiB);
	assert_int_equal(data(b, 1, DISK_READ, 8, 128, b->guest + 128 * KiB), 0);
	assert_memory_equal(b->guest, b->guest + 128 * KiB, 64 * KiB);
	/* whole sectors at an odd place of the first page, then pages */
	assert_int_equal(data(b, 1, DISK_READ, 8, 15, b->guest + 256 * KiB + 1024), 0);
	assert_memory_equal(b->guest, b->guest + 256 * KiB + 1024, 15 * 512);
	assert_int_equal(counter(b, "queues/0/direct"), 1);
	assert_int_equal(counter(b, "queues/1/direct"), 2);
	assert_int_equal(counter(b, "queues/0/bounced") + counter(b, "queues/1/bounced"), 0);
	tear_down(b);
}

static void other_shapes_are_copied(void **state)
{
	struct bed *b = set_up(2);
	u8 *own = malloc(40 * KiB + 3);
	struct iovec iov[3] = { { b->guest, 100 }, { b->guest + 9000, 4000 }, { b->guest + 20001, 40 * KiB } };

	/* not the guest's memory, and bigger than a bounce buffer */
	fill(own + 3, 40 * KiB, 9);
	assert_int_equal(data(b, 0, DISK_WRITE, 1, 80, own + 3), 0);
	assert_memory_equal(b->model->disk + 512, own + 3, 40 * KiB);
	/* the guest's, of no shape, with a skip */
	assert_int_equal(request(b, 1, DISK_READ, 1, 80, iov, 3, 50), 0);
	assert_memory_equal(b->guest + 50, own + 3, 50);
	assert_memory_equal(b->guest + 9000, own + 53, 4000);
	assert_memory_equal(b->guest + 20001, own + 4053, 40 * KiB - 4050);
	assert_int_equal(counter(b, "queues/0/direct") + counter(b, "queues/1/direct"), 0);
	assert_int_equal(counter(b, "queues/0/bounced_bytes"), 40 * KiB);
	free(own);
	tear_down(b);
}

static void big_requests_are_split(void **state)
{
	struct bed *b = set_up(3);

	/* the model takes 256 KiB at once */
	fill(b->guest, MiB, 5);
	assert_int_equal(nvme_max_transfer(b->nvme), 256 * KiB);
	assert_int_equal(data(b, 0, DISK_WRITE, 0, 1200, b->guest), 0);
	assert_memory_equal(b->model->disk, b->guest, 1200 * 512);
	assert_int_equal(counter(b, "queues/0/direct"), 3);
	memset(b->guest, 0, MiB);
	assert_int_equal(data(b, 0, DISK_READ, 0, 1200, b->guest + 512), 0);
	assert_memory_equal(b->model->disk, b->guest + 512, 1200 * 512);
	tear_down(b);
}

static void sectors_of_4096(void **state)
{
	struct bed *b = set_up_blocks(13, 12);
	u8 *own = malloc(80 * KiB);
	struct iovec iov[2] = { { b->guest, 8 * KiB + 512 }, { b->guest + 300 * KiB, 24 * KiB - 512 } }, none = { NULL, 0 };

	assert_int_equal(b->disk->sector_size, 4096);
	assert_int_equal(b->disk->sectors, BLOCKS / 8);
	fill(b->guest, MiB, 4);
	/* longer than one transfer, directly */
	assert_int_equal(request(b, 0, DISK_WRITE, 3, 75, &(struct iovec){ b->guest, 300 * KiB }, 1, 0), 0);
	assert_memory_equal(b->model->disk + 3 * 4096, b->guest, 300 * KiB);
	assert_int_equal(counter(b, "queues/0/direct"), 2);
	/* a seam within a sector cannot go directly */
	assert_int_equal(request(b, 1, DISK_READ, 3, 8, iov, 2, 0), 0);
	assert_memory_equal(b->guest, b->model->disk + 3 * 4096, 8 * KiB + 512);
	assert_memory_equal(b->guest + 300 * KiB, b->model->disk + 3 * 4096 + 8 * KiB + 512, 24 * KiB - 512);
	/* not the guest's */
	assert_int_equal(request(b, 1, DISK_READ, 3, 20, &(struct iovec){ own, 80 * KiB }, 1, 0), 0);
	assert_memory_equal(own, b->model->disk + 3 * 4096, 80 * KiB);
	assert_int_equal(request(b, 0, DISK_WRITE_ZEROES, 5, 2, &none, 0, 0), 0);
	assert_int_equal(b->model->disk[5 * 4096], 0);
	assert_int_equal(b->model->disk[7 * 4096 - 1], 0);
	assert_memory_equal(b->model->disk + 7 * 4096, own + 4 * 4096, 4096);
	assert_int_equal(request(b, 0, DISK_READ, BLOCKS / 8 - 1, 2, &(struct iovec){ own, 8192 }, 1, 0), -22);
	free(own);
	tear_down(b);
}

static void zeroes_by_hand(void **state)
{
	struct iovec none = { NULL, 0 };

	plain = true;
	struct bed *b = set_up(15);

	plain = false;
	memset(b->model->disk, 0x5a, BLOCKS * 512);
	assert_int_equal(request(b, 0, DISK_WRITE_ZEROES, 5, 100, &none, 0, 0), 0); /* four bounce buffers, the last not full */
	assert_int_equal(b->model->disk[5 * 512 - 1], 0x5a);
	assert_int_equal(b->model->disk[105 * 512], 0x5a);
	for (u32 i = 5 * 512; i < 105 * 512; i++)
		assert_int_equal(b->model->disk[i], 0);
	assert_int_equal(counter(b, "queues/0/steps"), 4);
	assert_int_equal(b->disk->unmap_granularity, 0);
	assert_int_equal(request(b, 0, DISK_UNMAP, 5, 100, &none, 0, 0), 0); /* advice */
	assert_int_equal(counter(b, "queues/0/steps"), 4);
	tear_down(b);
}

/* behind an IOMMU that the guest's memory is not mapped in, nothing of it has an address */
static void without_addresses_all_is_copied(void **state)
{
	struct bed *b = set_up(14);
	struct nvme_disk_config config = { .nvme = b->nvme, .nsid = 1, .execs = b->execs, .exec_count = 4, .id = controller };

	disk_destroy(b->disk);
	b->disk = nvme_disk_create(&config);
	assert_non_null(b->disk);
	fill(b->guest, 64 * KiB, 3);
	assert_int_equal(data(b, 0, DISK_WRITE, 8, 128, b->guest), 0);
	assert_memory_equal(b->model->disk + 8 * 512, b->guest, 64 * KiB);
	assert_int_equal(counter(b, "queues/0/direct"), 0);
	assert_int_equal(counter(b, "queues/0/bounced_bytes"), 64 * KiB);
	tear_down(b);
}

static void requests_without_data(void **state)
{
	struct bed *b = set_up(4);
	struct iovec none = { NULL, 0 };

	fill(b->model->disk, BLOCKS * 512, 1);
	assert_int_equal(request(b, 0, DISK_WRITE_ZEROES, 3, 2000, &none, 0, 0), 0);
	assert_int_equal(b->model->disk[3 * 512] | b->model->disk[2003 * 512 - 1], 0);
	assert_int_equal(request(b, 1, DISK_FLUSH, 0, 0, &none, 0, 0), 0);
	assert_int_equal(b->model->flushes, 1);
	/* this namespace does not deallocate: advice that is not taken */
	assert_int_equal(b->disk->unmap_granularity, 0);
	assert_int_equal(request(b, 1, DISK_UNMAP, 3000, 8, &none, 0, 0), 0);
	tear_down(b);
}

static void fua_reaches_the_device(void **state)
{
	struct bed *b = set_up(5);
	struct call c = { .r = { .op = DISK_WRITE, .flags = DISK_FUA, .count = 8, .iov_count = 1 } };

	c.iov[0] = (struct iovec){ b->guest, 4096 };
	start(b, &c, 0);
	sim_run(b->sim, sim_now_ns(b->sim) + SECONDS);
	assert_int_equal(c.done, 1);
	assert_int_equal(c.result, 0);
	assert_int_equal(b->model->fua, 1);
	tear_down(b);
}

static void without_a_queue_one_is_borrowed(void **state)
{
	struct bed *b = set_up(6);

	fill(b->guest, 8192, 8);
	assert_null(nvme_queue_of(b->nvme, 3));
	assert_int_equal(data(b, 3, DISK_WRITE, 40, 16, b->guest), 0);
	assert_int_equal(data(b, 2, DISK_READ, 40, 16, b->guest + 8192), 0);
	assert_memory_equal(b->guest, b->guest + 8192, 8192);
	assert_int_equal(counter(b, "queues/0/borrowed"), 2);
	tear_down(b);
}

/* more at once than there are slots: each sector is written by one request */
static void requests_wait_for_slots(void **state)
{
	struct bed *b = set_up(7);
	struct call *calls = calloc(300, sizeof(*calls));

	for (u32 i = 0; i < 300; i++) {
		fill(b->guest + i * 1024, 512, i);
		calls[i].r = (struct disk_request){ .op = DISK_WRITE, .sector = i, .count = 1, .iov_count = 1 };
		calls[i].iov[0] = (struct iovec){ b->guest + i * 1024 + (i % 3 == 0), 512 };
		start(b, &calls[i], i % 4);
	}
	sim_run(b->sim, sim_now_ns(b->sim) + 50 * SECONDS);
	for (u32 i = 0; i < 300; i++) {
		assert_int_equal(calls[i].done, 1);
		assert_int_equal(calls[i].result, 0);
		assert_memory_equal(b->model->disk + i * 512, calls[i].iov[0].iov_base, 512);
	}
	assert_true(counter(b, "queues/0/waits") > 0);
	free(calls);
	tear_down(b);
}

static void errors_are_passed_on(void **state)
{
	struct bed *b = set_up(8);

	b->model->fail_every = 1;
	b->model->fail_status = NVME_STATUS_DNR | NVME_STATUS(2, 0x81); /* unrecovered read error */
	assert_int_equal(data(b, 0, DISK_READ, 0, 8, b->guest), -EIO);
	b->model->fail_status = NVME_STATUS_DNR | NVME_SC_WRITE_PROTECTED;
	assert_int_equal(data(b, 3, DISK_WRITE, 0, 8, b->guest), -EROFS);
	b->model->fail_every = 0;
	assert_int_equal(data(b, 0, DISK_READ, 0, 8, b->guest), 0);
	assert_int_equal(counter(b, "queues/0/errors"), 2);
	assert_int_equal(data(b, 0, DISK_READ, BLOCKS - 1, 2, b->guest), -EINVAL);
	tear_down(b);
}

static void never_answered(void **state)
{
	struct bed *b = set_up(9);

	b->model->drop_every = 1;
	assert_int_equal(data(b, 0, DISK_READ, 0, 8, b->guest), -ETIMEDOUT);
	b->model->drop_every = 0;
	tear_down(b);
}

static void was_removed(struct op *op, int result)
{
}

static void gone_is_no_device(void **state)
{
	struct bed *b = set_up(10);
	struct call calls[50] = { 0 };
	struct op op = { .done = was_removed };

	for (u32 i = 0; i < 50; i++) {
		calls[i].r = (struct disk_request){ .op = DISK_READ, .sector = i, .count = 1, .iov_count = 1 };
		calls[i].iov[0] = (struct iovec){ b->guest + i * 512, 512 };
		start(b, &calls[i], i % 4);
	}
	b->model->gone = true;
	nvme_remove(b->nvme, &op);
	sim_run(b->sim, sim_now_ns(b->sim) + 50 * SECONDS);
	for (u32 i = 0; i < 50; i++) {
		assert_int_equal(calls[i].done, 1);
		assert_int_equal(calls[i].result, -ENODEV);
	}
	assert_int_equal(data(b, 0, DISK_WRITE, 0, 8, b->guest), -ENODEV);
	assert_int_equal(data(b, 3, DISK_FLUSH, 0, 0, b->guest), -ENODEV);
	tear_down(b);
}

static void identity(void **state)
{
	struct bed *b = set_up(11);
	struct guid want = controller;

	want.data1 ^= 1;
	assert_true(guid_equal(&b->disk->id, &want));
	assert_int_equal(b->disk->sector_size, 512);
	assert_int_equal(b->disk->sectors, BLOCKS);
	struct nvme_disk_config none = { .nvme = b->nvme, .nsid = 2, .execs = b->execs, .exec_count = 4, .address = address };

	assert_null(nvme_disk_create(&none));
	tear_down(b);
}

/* as the controller's event makes the driver look */
static void look_again(struct bed *b, u64 blocks)
{
	b->model->namespace_blocks = blocks;
	post(b->model, 0, (u16)b->model->event_cid, NVME_EVENT(NVME_EVENT_TYPE_NOTICE, NVME_EVENT_NAMESPACES,
							       NVME_LOG_CHANGED_NAMESPACES), 0);
	sim_run(b->sim, sim_now_ns(b->sim) + 5 * SECONDS);
}

static void another_size(void **state)
{
	struct bed *b = set_up(12);

	assert_false(disk_measure(b->disk));
	look_again(b, BLOCKS / 2);
	assert_int_equal(b->disk->sectors, BLOCKS); /* until somebody asks */
	assert_true(disk_measure(b->disk));
	assert_int_equal(b->disk->sectors, BLOCKS / 2);
	assert_int_equal(data(b, 0, DISK_WRITE, BLOCKS / 2, 1, b->guest), -EINVAL);
	assert_int_equal(data(b, 0, DISK_WRITE, BLOCKS / 2 - 1, 1, b->guest), 0);
	look_again(b, BLOCKS);
	assert_true(disk_measure(b->disk));
	assert_int_equal(data(b, 0, DISK_WRITE, BLOCKS - 1, 1, b->guest), 0);
	/* blocks of another size: the disk is what it was, and what goes to the device is the device's to refuse */
	b->model->shift = 12;
	look_again(b, BLOCKS / 8);
	assert_false(disk_measure(b->disk));
	b->model->shift = 9;
	look_again(b, 0);
	assert_false(disk_measure(b->disk));
	tear_down(b);
}

static u32 given_back;

static void count_free(struct nvme_transport *t, void *at, u32 len, u64 address)
{
	memset(at, 0xdd, len);
	given_back++;
}

/* what a disk took of the controller's memory it gives back: settings may make disks over one controller again and again */
static void memory_goes_back(void **state)
{
	struct bed *b = set_up(3);
	struct nvme_transport_ops ops = *b->model->transport.ops;

	ops.dma_free = count_free;
	b->model->transport.ops = &ops;
	given_back = 0;
	disk_destroy(b->disk);
	b->disk = NULL;
	assert_int_equal(given_back, 2 * 32); /* queues, slots of each */
	tear_down(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_goes_back),
		cmocka_unit_test(aligned_goes_direct),
		cmocka_unit_test(other_shapes_are_copied),
		cmocka_unit_test(big_requests_are_split),
		cmocka_unit_test(sectors_of_4096),
		cmocka_unit_test(without_addresses_all_is_copied),
		cmocka_unit_test(zeroes_by_hand),
		cmocka_unit_test(requests_without_data),
		cmocka_unit_test(fua_reaches_the_device),
		cmocka_unit_test(without_a_queue_one_is_borrowed),
		cmocka_unit_test(requests_wait_for_slots),
		cmocka_unit_test(errors_are_passed_on),
		cmocka_unit_test(never_answered),
		cmocka_unit_test(gone_is_no_device),
		cmocka_unit_test(identity),
		cmocka_unit_test(another_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
