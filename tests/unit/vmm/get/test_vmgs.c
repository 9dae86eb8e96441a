#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/model_get_vmgs.h"

struct fixture {
	struct model_host host;
	struct get_vmgs vmgs;
	int error;
	unsigned done;
};

static void done(void *context, int error)
{
	struct fixture *f = context;

	f->error = error;
	f->done++;
}

static int ask(struct fixture *f, enum get_vmgs_kind kind, u64 offset, void *data, size_t len)
{
	unsigned before = f->done;

	get_vmgs_submit(&f->vmgs, kind, offset, data, len, done, f);
	model_host_run(&f->host);
	if (f->done == before)
		sim_run(f->host.sim, sim_now_ns(f->host.sim) + 100000000000ull);
	assert_int_equal(f->done, before + 1);
	return f->error;
}

static int info(struct fixture *f)
{
	return ask(f, GET_VMGS_KIND_INFO, 0, NULL, 0);
}

static struct fixture *start(u64 capacity, u16 sector)
{
	struct fixture *f = calloc(1, sizeof(*f));

	model_host_init(&f->host, capacity, sector);
	get_vmgs_init(&f->vmgs, f->host.get);
	return f;
}

static void end(struct fixture *f)
{
	model_host_fini(&f->host);
	free(f);
}

static void transfers_are_split(void **state)
{
	struct fixture *f = start(MiB, 512);
	static u8 out[20480], in[20480];

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (u8)(i * 7 + i / 512);
	assert_int_equal(info(f), 0);
	assert_int_equal(f->vmgs.capacity, MiB);
	assert_int_equal(f->vmgs.sector_size, 512);
	unsigned before = f->host.questions;

	assert_int_equal(ask(f, GET_VMGS_KIND_WRITE, 512, out, sizeof(out)), 0);
	assert_int_equal(f->host.questions - before, 3); /* 8192, 8192, 4096 */
	assert_memory_equal(f->host.device.now + 512, out, sizeof(out));
	assert_int_equal(ask(f, GET_VMGS_KIND_READ, 512, in, sizeof(in)), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(f->host.device.flushes, 0);
	assert_int_equal(ask(f, GET_VMGS_KIND_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(f->host.device.flushes, 1);
	assert_memory_equal(f->host.device.safe + 512, out, sizeof(out));
	end(f);
}

/* the request as get_protocol lays it out */
static void requests_are_the_protocols(void **state)
{
	static const u8 read[] = { 1, 2, 5, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0 };
	static const u8 write[] = { 1, 2, 6, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0 };
	struct fixture *f = start(MiB, 512);
	u8 data[1024] = { 9, 8, 7 };

	assert_int_equal(info(f), 0);
	get_vmgs_submit(&f->vmgs, GET_VMGS_KIND_READ, 6 * 512, data, 1024, done, f);
	assert_int_equal(f->host.asked_len, sizeof(read));
	assert_memory_equal(f->host.asked, read, sizeof(read));
	model_host_run(&f->host);
	memset(data, 0xab, 512);
	get_vmgs_submit(&f->vmgs, GET_VMGS_KIND_WRITE, 7 * 512, data, 512, done, f);
	assert_int_equal(f->host.asked_len, sizeof(write) + 512);
	assert_memory_equal(f->host.asked, write, sizeof(write));
	assert_memory_equal(f->host.asked + sizeof(write), data, 512);
	model_host_run(&f->host);
	end(f);
}

static void hosts_without_a_device_are_told_apart(void **state)
{
	struct fixture *f = start(MiB, 512);
	u8 data[512];

	f->host.absent = true;
	assert_int_equal(info(f), -ENODEV);
	f->host.absent = false;
	f->host.status = GET_VMGS_INVALID_COMMAND;
	assert_int_equal(info(f), -ENODEV);
	f->host.status = 0;
	f->host.physical_sector = 256;
	assert_int_equal(info(f), -EPROTO);
	f->host.physical_sector = 512;
	f->host.transfer_max = 511;
	assert_int_equal(info(f), -EPROTO);
	f->host.sector = 500;
	assert_int_equal(info(f), -EPROTO);
	f->host.sector = 512;
	/* more than a message has room for is cut, and to whole sectors */
	f->host.transfer_max = 0xffffffff;
	assert_int_equal(info(f), 0);
	assert_int_equal(f->vmgs.transfer_max, GET_PAYLOAD_MAX);
	f->host.wrong_length = true;
	assert_int_equal(info(f), -EPROTO);
	assert_int_equal(ask(f, GET_VMGS_KIND_READ, 0, data, 512), -EPROTO);
	end(f);
}

static void trouble_has_a_number(void **state)
{
	struct fixture *f = start(MiB, 512);
	u8 data[512];

	assert_int_equal(info(f), 0);
	f->host.status = GET_VMGS_DEVICE_ERROR;
	assert_int_equal(ask(f, GET_VMGS_KIND_READ, 0, data, 512), -EIO);
	f->host.status = 0;
	f->host.retries = 3;
	assert_int_equal(ask(f, GET_VMGS_KIND_WRITE, 0, data, 512), 0);
	assert_int_equal(f->vmgs.retries, 3);
	f->host.retries = 4;
	assert_int_equal(ask(f, GET_VMGS_KIND_WRITE, 0, data, 512), -EIO);
	/* after silence nothing is asked any more: the late answer would be taken for the next one's */
	f->host.silent = true;
	assert_int_equal(ask(f, GET_VMGS_KIND_READ, 0, data, 512), -ETIMEDOUT);
	unsigned before = f->host.questions;

	f->host.silent = false;
	assert_int_equal(ask(f, GET_VMGS_KIND_READ, 0, data, 512), -EIO);
	assert_int_equal(f->host.questions, before);
	end(f);
}

static void a_channel_may_go(void **state)
{
	struct fixture *f = start(MiB, 512);
	u8 data[512];

	assert_int_equal(info(f), 0);
	get_vmgs_submit(&f->vmgs, GET_VMGS_KIND_READ, 0, data, 512, done, f);
	get_closed(f->host.get, -EPIPE);
	assert_int_equal(f->error, -EPIPE);
	assert_int_equal(ask(f, GET_VMGS_KIND_READ, 0, data, 512), -EPIPE);
	end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(transfers_are_split),
		cmocka_unit_test(requests_are_the_protocols),
		cmocka_unit_test(hosts_without_a_device_are_told_apart),
		cmocka_unit_test(trouble_has_a_number),
		cmocka_unit_test(a_channel_may_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
