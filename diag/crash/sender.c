#include "diag/crash/sender.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/log/log.h"
#include "spec/crash.h"

LOG_DOMAIN("sender");

#define VTL_OURS 2
#define MESSAGES_PER_TURN 32

enum state { ASK_CAPABILITIES, ASK_CONFIG, ASK_START, WRITE, COMPLETE, DONE };

struct sender {
	const struct sender_port *port;
	void *ctx;
	struct sender_kernel kernel;
	struct guid activity;
	enum state state;
	bool asked;              /* the state's question is out, its answer is due */
	bool announced, cut;
	u64 sent, max_size;
	size_t piece_len;
	u8 piece[CRASH_CHUNK_MAX];
};

struct sender *sender_create(const struct sender_port *port, void *ctx, const struct sender_kernel *kernel)
{
	struct sender *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->port = port;
	s->ctx = ctx;
	s->kernel = *kernel;
	/* only tells dumps apart: zero would do as well */
	if (getrandom(&s->activity, sizeof(s->activity), GRND_NONBLOCK) < 0)
		log_at(LOG_DEBUG, "no random activity id");
	return s;
}

void sender_destroy(struct sender *s)
{
	free(s);
}

static void end(struct sender *s, int error)
{
	if (s->state == DONE)
		return;
	s->state = DONE;
	s->port->done(s->ctx, error);
}

void sender_closed(struct sender *s, int error)
{
	end(s, error);
}

static struct crash_header header(const struct sender *s, u64 type)
{
	return (struct crash_header){ s->activity, type };
}

/* ---- what goes out; each returns what send() said */

static int ask(struct sender *s)
{
	static const u64 types[] = { CRASH_GET_CAPABILITIES, CRASH_GET_NIX_DUMP_CONFIG, CRASH_NIX_DUMP_START };
	struct crash_header m = header(s, types[s->state]);
	int r = s->port->send(s->ctx, &m, sizeof(m));

	s->asked = !r;
	return r;
}

/* fills the piece; 0: there is one, 1: the core is over, -errno */
static int next_piece(struct sender *s)
{
	u64 room = s->max_size - s->sent;
	int n = s->port->read(s->ctx, s->piece, sizeof(s->piece));

	if (n <= 0)
		return n ? n : 1;
	s->cut = (u64)n > room;
	s->piece_len = s->cut ? (size_t)room : (size_t)n;
	s->announced = false;
	return s->piece_len ? 0 : 1;
}

static int write_piece(struct sender *s)
{
	struct crash_write_request m = { header(s, CRASH_NIX_DUMP_WRITE), s->sent, (u32)s->piece_len };
	int r = 0;

	if (!s->piece_len) {
		r = next_piece(s);
		if (r == 1)
			s->state = COMPLETE;
		if (r)
			return MIN(r, 0);
		m.size = (u32)s->piece_len;
	}
	if (!s->announced)
		r = s->port->send(s->ctx, &m, sizeof(m));
	if (r)
		return r;
	s->announced = true;
	r = s->port->send(s->ctx, s->piece, s->piece_len);
	if (r)
		return r;
	s->sent += s->piece_len;
	s->piece_len = 0;
	if (s->cut)
		s->state = COMPLETE;
	return 0;
}

static int complete(struct sender *s)
{
	struct crash_complete_request m = { .header = header(s, CRASH_NIX_DUMP_COMPLETE), .major_version = s->kernel.major,
					    .minor_version = s->kernel.minor, .vtl = VTL_OURS };

	memcpy(m.version_banner, s->kernel.banner, sizeof(m.version_banner));
	m.version_banner[sizeof(m.version_banner) - 1] = 0;
	int r = s->port->send(s->ctx, &m, sizeof(m));

	if (!r)
		end(s, 0);
	return r;
}

bool sender_run(struct sender *s)
{
	int r = 0;

	for (unsigned i = 0; !r && s->state != DONE && !s->asked; i++) {
		if (i == MESSAGES_PER_TURN)
			return true;
		r = s->state < WRITE ? ask(s) : s->state == WRITE ? write_piece(s) : complete(s);
	}
	if (r && r != -EAGAIN)
		end(s, log_err(r, "the core cannot be sent on"));
	return false;
}

/* ---- what comes; -errno, said: it goes no further */

static int on_capabilities(struct bytes b)
{
	u64 capabilities;

	if (!bytes_u64(&b, &capabilities))
		return log_err(-EPROTO, "the host's capabilities are malformed");
	if (!(capabilities & CRASH_CAPABILITY_LINUX_CONFIG_V1))
		return log_err(-EOPNOTSUPP, "the host takes no cores of Linux processes (capabilities %#llx)",
			       (unsigned long long)capabilities);
	return 0;
}

static int on_config(struct sender *s, struct bytes b)
{
	u32 type;

	if (!bytes_u64(&b, &s->max_size) || !bytes_u32(&b, &type))
		return log_err(-EPROTO, "the host's dump configuration is malformed");
	if (!s->max_size || type != CRASH_DUMP_ELF)
		return log_err(-EOPNOTSUPP, "the host wants no ELF cores (type %u, %llu bytes)", type,
			       (unsigned long long)s->max_size);
	return 0;
}

/* START's answer; that of a WRITE comes only when it failed */
static int on_status(struct bytes b, const char *what)
{
	u32 status;

	if (!bytes_u32(&b, &status))
		return log_err(-EPROTO, "the host's answer to %s is malformed", what);
	return status ? log_err(-EIO, "the host says %#x to %s", status, what) : 0;
}

static int answered(struct sender *s, u64 type, struct bytes b)
{
	static const u64 types[] = { CRASH_GET_CAPABILITIES, CRASH_GET_NIX_DUMP_CONFIG, CRASH_NIX_DUMP_START,
				     CRASH_NIX_DUMP_WRITE, CRASH_NIX_DUMP_WRITE };
	int r;

	if (type != (types[s->state] | CRASH_RESPONSE) || (s->state < WRITE && !s->asked))
		return log_err(-EPROTO, "the host answers %#llx, which was not asked", (unsigned long long)type);
	if (s->state >= WRITE)
		return on_status(b, "a piece of the core");
	s->asked = false;
	if (s->state == ASK_CAPABILITIES)
		r = on_capabilities(b);
	else
		r = s->state == ASK_CONFIG ? on_config(s, b) : on_status(b, "a new core");
	s->state += !r;
	return r;
}

void sender_received(struct sender *s, const void *data, size_t len)
{
	struct bytes b = bytes_of(data, len);
	struct crash_header h;
	int r;

	if (s->state == DONE)
		return;
	if (!bytes_copy(&b, &h, sizeof(h)))
		r = log_err(-EPROTO, "a message of the host of %zu bytes", len);
	else
		r = answered(s, h.type, b);
	if (r)
		end(s, r);
}

u64 sender_sent(const struct sender *s, bool *ret_cut)
{
	*ret_cut = s->cut;
	return s->sent;
}
