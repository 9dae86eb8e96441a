/*
 * Both ends of a device worker against a peer that lies. Input: a byte that chooses the end, then a run of {u8 socket, u8 what,
 * u16 length, bytes}; odd `what`: a header is made from it, so that what is behind the checks is reached.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/core/check.h"
#include "lib/log/log.h"
#include "lib/task/exec_sim.h"
#include "vmm/bus/bus.h"
#include "vmm/device_worker/proxy.h"
#include "vmm/device_worker/server.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define PACKET_MAX 600u
#define ACCESSES 5u

struct pair {
	int events[2], commands[2];
};

static void quiet(enum log_level level, const char *domain, const char *text)
{
}

static void make_pair(struct pair *p)
{
	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p->events) && !socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p->commands));
}

/* the peer's next packet; false: no more */
static bool say(const struct pair *p, struct bytes *b)
{
	struct { struct device_message m; u8 rest[PACKET_MAX]; } packet = { 0 };
	u8 which, what;
	u16 len;

	if (!bytes_u8(b, &which) || !bytes_u8(b, &what) || !bytes_u16(b, &len))
		return false;
	size_t n = MIN(MIN((size_t)len, b->left), (size_t)PACKET_MAX);

	if (what & 1) {
		packet.m = (struct device_message){ .type = what >> 1, .id = which >> 1, .len = (u32)n, .size = 8, .value = n & 1,
						    .offset = (u64)len << 4 };
		bytes_copy(b, packet.rest, n);
		n += sizeof(packet.m);
	} else {
		bytes_copy(b, &packet, n);
	}
	if (send(which & 1 ? p->commands[1] : p->events[1], &packet, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return errno == EAGAIN;
	return true;
}

static void finish(struct pair *p)
{
	close(p->events[1]);
	close(p->commands[1]);
}

/* ---- the process: the proxy lies */
static struct device_server *server;

static void access_it(void *device, struct device_access *a)
{
	u8 data[64];

	CHECK(a->size == 1 || a->size == 2 || a->size == 4 || a->size == 8);
	if (a->offset & 16 && device_server_memory(server, a->value, data, sizeof(data), a->write))
		return;
	if (a->offset & 32)
		device_server_answer(server, a);
}

static void save_it(void *device, struct saver *s)
{
	saver_u32(s, 1);
}

static int restore_it(void *device, struct bytes state)
{
	CHECK(state.left && state.left <= DEVICE_PAYLOAD_MAX);
	return -EPROTO;
}

static void inspect_it(void *device, struct inspect *in)
{
	inspect_u64(in, "one", 1);
}

static int call_it(void *device, u64 operation, struct bytes in, u8 *out, size_t *ret_len)
{
	CHECK(in.left <= DEVICE_PAYLOAD_MAX);
	memset(out, 1, DEVICE_PAYLOAD_MAX);
	*ret_len = operation & 1 ? in.left : DEVICE_PAYLOAD_MAX;
	return operation & 2 ? -EPERM : 0;
}

static void fuzz_server(struct bytes b)
{
	static const struct device_server_ops ops = { .access = access_it, .save = save_it, .restore = restore_it,
						      .inspect = inspect_it, .call = call_it };
	struct pair p;

	make_pair(&p);
	server = device_server_create(p.events[0], p.commands[0], &ops, NULL);
	CHECK(server);
	for (unsigned i = 0; i < 50 && say(&p, &b); i++)
		;
	shutdown(p.events[1], SHUT_WR);
	shutdown(p.commands[1], SHUT_WR);
	int r = device_server_run(server);

	CHECK(!r || r == -EPROTO);
	device_server_destroy(server);
	finish(&p);
	close(p.events[0]);
	close(p.commands[0]);
}

/* ---- the proxy: the process lies */
struct guest {
	struct io_token tokens[ACCESSES];
	unsigned lost;
};

static void came(struct io_token *token, u64 value)
{
	CHECK(token->done); /* once */
	token->done = NULL;
}

static int memory(void *context, u64 gpa, void *data, size_t len, bool write)
{
	CHECK(range_within(gpa, len, 0x1000, 0x1000) && len <= DEVICE_MEMORY_MAX);
	memset(data, 0, write ? 0 : len);
	return 0;
}

static void line(void *context, unsigned number, bool level)
{
}

static void lost(void *context, int error)
{
	CHECK(error && ++((struct guest *)context)->lost == 1);
}

static void fuzz_proxy(struct bytes b)
{
	static const struct region regions[] = { { "all", SPACE_MMIO, 0, 4096 } };
	static const struct device_window windows[] = { { 0x1000, 0x1000, true } };
	struct sim *sim = sim_create(1);
	struct guest g = { 0 };
	struct device_proxy_config config = {
		.name = "it", .tag = 1, .regions = regions, .region_count = 1, .home = sim_exec(sim, "home"), .windows = windows,
		.window_count = 1, .memory = memory, .line = line, .lost = lost, .context = &g,
	};
	struct device_proxy *proxy = device_proxy_create(&config);
	struct bus bus;
	struct saver saver;
	struct pair p;
	bool more = true;

	make_pair(&p);
	bus_init(&bus);
	CHECK(!bus_attach(&bus, device_proxy_device(proxy)) && !device_proxy_attach(proxy, p.events[0], p.commands[0]));
	for (unsigned i = 0; i < ACCESSES; i++) {
		u64 value = 0;

		g.tokens[i].done = came;
		if (bus_access(&bus, SPACE_MMIO, 8 * i, 8, i & 1, &value, &g.tokens[i]) == BUS_DONE)
			g.tokens[i].done = NULL;
	}
	for (unsigned i = 0; i < 50 && more; i++) {
		more = say(&p, &b);
		sim_run(sim, sim_now_ns(sim) + 10000000);
	}
	/* what it has said on the commands' socket are answers to what is asked now, perhaps; behind them is its end */
	shutdown(p.commands[1], SHUT_WR);
	static u8 out[300];
	size_t len;
	int r = device_proxy_call(proxy, 1, bytes_of(out, 8), out, sizeof(out), &len);

	CHECK(r || len <= sizeof(out));
	node_destroy(inspect_now("", 8, NULL, bus_inspect, &bus));
	saver_init(&saver);
	bus_stop(&bus);
	bus_save(&bus, &saver);
	saver_fini(&saver);
	/* the peer is gone: whatever is asked now is answered at once */
	finish(&p);
	bus_start(&bus);
	sim_run(sim, sim_now_ns(sim) + 1000000000);
	CHECK(g.lost == 1);
	for (unsigned i = 0; i < ACCESSES; i++)
		CHECK(!g.tokens[i].done);
	device_proxy_destroy(proxy);
	sim_run(sim, sim_now_ns(sim) + 1000000000);
	sim_destroy(sim);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct bytes b = bytes_of(data, size);
	u8 end;

	log_set_sink(quiet);
	if (!bytes_u8(&b, &end))
		return 0;
	if (end & 1)
		fuzz_server(b);
	else
		fuzz_proxy(b);
	return 0;
}
