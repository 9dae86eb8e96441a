/*
 * A host that lies about the guest-state device it keeps: input is a run of {u16 length, bytes}, each an answer to whatever is
 * asked at that moment, its header made right unless the length's top bit is set. Requests of ours go on meanwhile.
 */
#include <string.h>

#include "lib/core/check.h"
#include "lib/log/log.h"
#include "lib/task/exec_sim.h"
#include "vmm/vmgs/store.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define REQUESTS 4
#define AS_IT_IS 0x8000u

struct host {
	u8 asked;      /* 0: nothing */
	unsigned done, ready;
};

struct request {
	struct store_request r;
	struct host *host;
	bool ended;
};

static int send_to_host(void *context, const void *data, size_t len)
{
	struct host *h = context;
	const u8 *m = data;

	CHECK(len >= sizeof(struct get_header) && len <= GET_MESSAGE_MAX);
	if (m[1] == GET_HOST_REQUEST)
		h->asked = m[2];
	return 0;
}

static void quiet(enum log_level level, const char *domain, const char *text)
{
}

static void get_ready(void *context, int error)
{
}

static void notified(void *context, u16 id, struct bytes body)
{
}

static void store_ready(void *context)
{
	CHECK(++((struct host *)context)->ready == 1);
}

static void ended(struct store_request *r, int error, struct bytes data)
{
	struct request *q = container_of(r, struct request, r);

	CHECK(!q->ended && data.left <= r->len);
	q->ended = true;
	q->host->done++;
}

static void answer(struct get *get, struct host *h, u16 len, struct bytes b)
{
	static u8 m[GET_MESSAGE_MAX];
	size_t n = MIN(b.left, sizeof(m) - sizeof(struct get_header));

	if (len & AS_IT_IS) {
		get_received(get, b.at, b.left);
		return;
	}
	memcpy(m, &(struct get_header){ GET_HEADER_VERSION, GET_HOST_RESPONSE, h->asked }, sizeof(struct get_header));
	memcpy(m + sizeof(struct get_header), b.at, n);
	get_received(get, m, sizeof(struct get_header) + n);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const struct get_port port = { .send = send_to_host };
	static const struct get_events events = { get_ready, notified };
	static const u8 content[6000] = { 1 };
	struct bytes b = bytes_of(data, size), message;
	struct sim *sim = sim_create(1);
	struct host host = { 0 };
	struct request requests[REQUESTS];
	u16 len;

	log_set_sink(quiet);
	struct get *get = get_create(sim_exec(sim, "get"), &port, &host, &events, &host);
	struct store *store = store_create(get, size ? data[0] % 3 : 0, store_ready, &host);

	for (u32 i = 0; i < REQUESTS; i++) {
		requests[i] = (struct request){ .host = &host };
		requests[i].r = (struct store_request){ .id = 2 + i / 2, .write = i & 1, .data = content, .len = sizeof(content),
							.done = ended };
		store_submit(store, &requests[i].r);
	}
	store_start(store);
	while (bytes_u16(&b, &len)) {
		if (!bytes_take(&b, len & ~AS_IT_IS, &message))
			bytes_take(&b, b.left, &message);
		answer(get, &host, len, message);
	}
	get_destroy(get);
	/* whoever asked was told, once the channel was gone */
	CHECK(host.done == REQUESTS && host.ready == 1);
	store_destroy(store);
	sim_destroy(sim);
	return 0;
}
