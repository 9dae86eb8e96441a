#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/core/crc32.h"
#include "tests/lib/model_get_vmgs.h"
#include "vmm/vmgs/store.h"

#define CAPACITY (256 * KiB)

struct fixture {
	struct model_host host;
	struct store *store;
	unsigned ready;
};

struct request {
	struct store_request r;
	struct fixture *f;
	struct request *then; /* submitted from done() */
	int error;
	unsigned done;
	u8 data[70000];
	size_t len;
};

static void ready(void *context)
{
	((struct fixture *)context)->ready++;
}

static struct fixture *new_fixture(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	model_host_init(&f->host, CAPACITY, 512);
	return f;
}

static void start_as(struct fixture *f, enum store_lifetime lifetime)
{
	store_destroy(f->store);
	f->ready = 0;
	f->store = store_create(f->host.get, lifetime, ready, f);
	store_start(f->store);
	model_host_run(&f->host);
	assert_int_equal(f->ready, 1);
}

static void end(struct fixture *f)
{
	store_destroy(f->store);
	model_host_fini(&f->host);
	free(f);
}

static void request_done(struct store_request *r, int error, struct bytes data)
{
	struct request *q = container_of(r, struct request, r);

	q->error = error;
	q->done++;
	q->len = data.left;
	if (data.left)
		memcpy(q->data, data.at, data.left);
	if (q->then)
		store_submit(q->f->store, &q->then->r);
}

static struct request *make(struct fixture *f, u32 id, bool write, u8 fill, size_t len)
{
	struct request *q = calloc(1, sizeof(*q));

	q->f = f;
	q->r = (struct store_request){ .id = id, .write = write, .data = q->data, .len = len, .done = request_done };
	memset(q->data, fill, write ? len : 0);
	return q;
}

static int finish(struct fixture *f, struct request *q)
{
	int error;

	model_host_run(&f->host);
	assert_int_equal(q->done, 1);
	error = q->error;
	free(q);
	return error;
}

static int put(struct fixture *f, u32 id, u8 fill, size_t len)
{
	struct request *q = make(f, id, true, fill, len);

	store_submit(f->store, &q->r);
	memset(q->data, 0, sizeof(q->data)); /* it was copied */
	return finish(f, q);
}

static int holds(struct fixture *f, u32 id, u8 fill, size_t len)
{
	struct request *q = make(f, id, false, 0, sizeof(q->data));

	store_submit(f->store, &q->r);
	model_host_run(&f->host);
	if (!q->error) {
		assert_int_equal(q->len, len);
		for (size_t i = 0; i < len; i++)
			assert_int_equal(q->data[i], fill);
	}
	return finish(f, q);
}

/* 3000 bytes of which value file 3 holds; 0: it cannot be read */
static u8 fill_of(struct fixture *f)
{
	struct request *q = make(f, 3, false, 0, sizeof(q->data));
	u8 fill;

	store_submit(f->store, &q->r);
	model_host_run(&f->host);
	fill = q->error ? 0 : q->data[0];
	assert_true(q->error || q->len == 3000);
	for (size_t i = 0; i < q->len; i++)
		assert_int_equal(q->data[i], fill);
	free(q);
	return fill;
}

/* the store's own value in inspect, by path */
static bool says(struct fixture *f, const char *path, const char *text)
{
	struct node *n = inspect_now(path, 8, NULL, store_inspect, f->store);
	struct text t = node_print_tree(n);
	bool found = t.data && strstr(t.data, text);

	if (!found)
		print_message("%s: %s\n", path, t.data ? t.data : "(none)");
	free(t.data);
	node_destroy(n);
	return found;
}

static void state_outlives_the_firmware(void **state)
{
	struct fixture *f = new_fixture();

	start_as(f, STORE_DEFAULT); /* an empty device: formatted */
	assert_true(store_persists(f->store));
	assert_int_equal(holds(f, 3, 0, 0), -ENOENT);
	assert_int_equal(put(f, 3, 0x33, 70000), 0);
	assert_int_equal(put(f, 2, 0x22, 5), 0);
	model_power_cut(&f->host.device);
	start_as(f, STORE_DEFAULT);
	assert_int_equal(holds(f, 3, 0x33, 70000), 0);
	assert_int_equal(holds(f, 2, 0x22, 5), 0);
	assert_int_equal(put(f, 3, 0x44, 100), 0);
	assert_int_equal(holds(f, 3, 0x44, 100), 0);
	assert_int_equal(put(f, 1, 1, 69000), 0);
	assert_int_equal(put(f, 4, 1, 69000), 0);
	assert_int_equal(put(f, 5, 1, 69000), 0);
	assert_int_equal(put(f, 6, 1, 69000), -ENOSPC);
	assert_int_equal(f->host.events, 0);
	end(f);
}

static void requests_wait_for_each_other(void **state)
{
	struct fixture *f = new_fixture();
	struct request *a = make(f, 3, true, 1, 9000), *b = make(f, 3, false, 0, 70000), *c = make(f, 3, true, 2, 10);
	struct request *d = make(f, 3, false, 0, 70000);

	f->store = store_create(f->host.get, STORE_DEFAULT, ready, f);
	a->then = d;
	store_submit(f->store, &a->r);
	store_submit(f->store, &b->r);
	store_submit(f->store, &c->r);
	store_start(f->store);
	model_host_run(&f->host);
	assert_true(a->done && b->done && c->done && d->done);
	assert_int_equal(b->len, 9000);
	assert_int_equal(d->len, 10);
	assert_int_equal(d->data[0], 2);
	free(a);
	free(b);
	free(c);
	free(d);
	end(f);
}

static void without_a_device_it_is_ephemeral(void **state)
{
	struct fixture *f = new_fixture();

	f->host.absent = true;
	start_as(f, STORE_DEFAULT);
	assert_false(store_persists(f->store));
	assert_int_equal(put(f, 3, 1, 1), -ENODATA);
	f->host.absent = false;
	unsigned before = f->host.questions;

	start_as(f, STORE_EPHEMERAL);
	assert_int_equal(f->host.questions, before);
	assert_int_equal(holds(f, 3, 1, 1), -ENODATA);
	end(f);
}

static void what_is_no_store_is_left_alone(void **state)
{
	struct fixture *f = new_fixture();
	u8 *before = malloc(CAPACITY);

	memset(f->host.device.now, 'x', CAPACITY);
	memcpy(before, f->host.device.now, CAPACITY);
	start_as(f, STORE_DEFAULT);
	assert_false(store_persists(f->store));
	assert_int_equal(f->host.event, GET_EVENT_VMGS_INVALID_FORMAT);
	assert_int_equal(put(f, 3, 1, 1), -EIO);
	assert_memory_equal(before, f->host.device.now, CAPACITY);
	/* unless the host says otherwise */
	start_as(f, STORE_REPROVISION_ON_FAILURE);
	assert_true(store_persists(f->store));
	assert_int_equal(put(f, 3, 1, 1), 0);
	/* which is not an order to throw away what is well */
	start_as(f, STORE_REPROVISION_ON_FAILURE);
	assert_int_equal(holds(f, 3, 1, 1), 0);
	f->host.device.now[0] = f->host.device.now[512] = 0;
	start_as(f, STORE_DEFAULT);
	assert_int_equal(f->host.event, GET_EVENT_VMGS_INVALID_FORMAT);
	free(before);
	end(f);
}

static void reprovisioning_happens_once(void **state)
{
	struct fixture *f = new_fixture();

	start_as(f, STORE_DEFAULT);
	assert_int_equal(put(f, 3, 1, 1), 0);
	start_as(f, STORE_REPROVISION);
	assert_int_equal(holds(f, 3, 1, 1), -ENOENT);
	assert_int_equal(put(f, 3, 2, 2), 0);
	/* a reset, with the same settings: the mark holds */
	start_as(f, STORE_REPROVISION);
	assert_int_equal(holds(f, 3, 2, 2), 0);
	/* asked no more: the mark goes, and a new order is a new order */
	start_as(f, STORE_DEFAULT);
	assert_int_equal(holds(f, 3, 2, 2), 0);
	start_as(f, STORE_REPROVISION);
	assert_int_equal(holds(f, 3, 2, 2), -ENOENT);
	end(f);
}

static void encrypted_state_is_refused(void **state)
{
	struct fixture *f = new_fixture();
	u8 *header;

	start_as(f, STORE_DEFAULT);
	header = f->host.device.now;
	header[32] = 1;
	memset(header + 12, 0, 4);
	model_put_le(header + 12, crc32_update(0, header, 168), 4);
	start_as(f, STORE_DEFAULT);
	assert_false(store_persists(f->store));
	assert_int_equal(f->host.event, GET_EVENT_VMGS_INIT_FAILED);
	assert_int_equal(put(f, 3, 1, 1), -EIO);
	end(f);
}

/* every call of the device fails once, at the start and in a change: old or new, and the store goes on or says that it is gone */
static void failures_do_not_lose_state(void **state)
{
	for (unsigned at = 1; at <= 12; at++) {
		struct fixture *f = new_fixture();

		start_as(f, STORE_DEFAULT);
		assert_int_equal(put(f, 3, 1, 3000), 0);
		f->host.device.fail_call = f->host.device.calls + at;
		int r = put(f, 3, 2, 3000);

		assert_true(!r || r == -EIO);
		/* the failure may be the reading's, too */
		u8 fill = fill_of(f);

		assert_true(!fill || fill == 2 || (r && fill == 1));
		f->host.device.fail_call = 0;
		start_as(f, STORE_DEFAULT);
		assert_true(store_persists(f->store));
		assert_in_range(fill_of(f), r ? 1 : 2, 2);
		assert_int_equal(put(f, 3, 3, 3000), 0);
		assert_int_equal(fill_of(f), 3);
		end(f);
	}
}

static void a_silent_or_gone_host_is_given_up(void **state)
{
	struct fixture *f = new_fixture();
	struct request *q;

	f->store = store_create(f->host.get, STORE_DEFAULT, ready, f);
	f->host.silent = true;
	store_start(f->store);
	q = make(f, 3, true, 1, 1);
	store_submit(f->store, &q->r);
	sim_run(f->host.sim, sim_now_ns(f->host.sim) + 100000000000ull);
	assert_int_equal(f->ready, 1);
	assert_int_equal(finish(f, q), -EIO);
	f->host.silent = false;
	f->host.asked_len = 0;
	start_as(f, STORE_DEFAULT);
	get_closed(f->host.get, -EPIPE);
	assert_int_equal(put(f, 3, 1, 1), -EPIPE);
	assert_false(store_persists(f->store));
	assert_true(says(f, "", "failed"));
	end(f);
}

/* it was ready, and the host answers no more: what is not kept is not said to be */
static void silence_later_is_noticed_too(void **state)
{
	struct fixture *f = new_fixture();
	struct request *q;

	start_as(f, STORE_DEFAULT);
	assert_int_equal(put(f, 3, 1, 1), 0);
	assert_true(store_persists(f->store));
	f->host.silent = true;
	q = make(f, 3, true, 2, 2);
	store_submit(f->store, &q->r);
	sim_run(f->host.sim, sim_now_ns(f->host.sim) + 100000000000ull);
	assert_true(finish(f, q) < 0);
	assert_false(store_persists(f->store));
	assert_int_equal(put(f, 3, 1, 3), -EIO);
	f->host.silent = false;
	end(f);
}

static void inspect_tells(void **state)
{
	struct fixture *f = new_fixture();

	start_as(f, STORE_DEFAULT);
	assert_int_equal(put(f, 3, 1, 123), 0);
	assert_int_equal(put(f, 40, 1, 7), 0);
	assert_true(says(f, "", "ready") && says(f, "files", "tpm-nvram") && says(f, "files", "123") && says(f, "files", "40"));
	end(f);
}

static void lifetimes_have_names(void **state)
{
	enum store_lifetime l = STORE_DEFAULT;

	assert_true(store_parse_lifetime("Ephemeral", &l) && l == STORE_EPHEMERAL);
	assert_true(store_parse_lifetime("ReprovisionOnFailure", &l) && l == STORE_REPROVISION_ON_FAILURE);
	assert_true(store_parse_lifetime("Reprovision", &l) && l == STORE_REPROVISION);
	assert_false(store_parse_lifetime("ephemeral", &l));
	assert_int_equal(l, STORE_REPROVISION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(state_outlives_the_firmware),
		cmocka_unit_test(requests_wait_for_each_other),
		cmocka_unit_test(without_a_device_it_is_ephemeral),
		cmocka_unit_test(what_is_no_store_is_left_alone),
		cmocka_unit_test(reprovisioning_happens_once),
		cmocka_unit_test(encrypted_state_is_refused),
		cmocka_unit_test(failures_do_not_lose_state),
		cmocka_unit_test(a_silent_or_gone_host_is_given_up),
		cmocka_unit_test(silence_later_is_noticed_too),
		cmocka_unit_test(inspect_tells),
		cmocka_unit_test(lifetimes_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
