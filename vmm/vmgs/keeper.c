#include "vmm/vmgs/keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/os/cleanup.h"

LOG_DOMAIN("keeper");

/* what lasts as long as this process: for machines without a guest state */
struct kept {
	bool there;
	u8 *data;
	size_t len;
};

struct keeper {
	struct keeper_config config;
	struct kept kept[KEEPER_FILES_MAX];
	u32 starts;
	unsigned sessions;
	u64 loads, stores, failures, said;
};

/* a life of the process: lives until its socket is at its end and the store has answered */
struct session {
	struct keeper *keeper;
	int fd;
	struct keep_request request;
	struct { struct keep_reply head; u8 data[sizeof(u32)]; } reply;
	const void *body;        /* of a reply: points into reply, or into copy */
	u8 *in, *copy;           /* what came with a request; what a reply has that is long */
	size_t have, want;       /* bytes of what is read or written now */
	struct iovec iov[2];
	struct op op;
	struct store_request store;
	unsigned file;           /* index of request.file */
};

static void next_request(struct session *s);

/* it may be secret */
static void wipe(u8 **data, size_t len)
{
	if (*data)
		explicit_bzero(*data, len);
	free(*data);
	*data = NULL;
}

static void end_session(struct session *s)
{
	wipe(&s->in, s->request.len);
	wipe(&s->copy, s->reply.head.len);
	fd_close(&s->fd);
	s->keeper->sessions--;
	free(s);
}

static void refuse(struct session *s, const char *what)
{
	struct keeper *k = s->keeper;

	log_at(LOG_WARN, "%s: %s (operation %u, file %u, %u bytes): it is not listened to any more", k->config.name, what,
	       s->request.operation, s->request.file, s->request.len);
	end_session(s);
	k->config.nonsense(k->config.context, -EPROTO);
}

/* ---- answers */
static void answered(struct op *op, int result)
{
	struct session *s = container_of(op, struct session, op);

	if (result <= 0) {
		end_session(s);
		return;
	}
	s->have += (size_t)result;
	if (s->have < s->want) {
		size_t head = sizeof(s->reply.head), at = s->have > head ? s->have - head : 0;

		s->iov[0] = (struct iovec){ (u8 *)&s->reply.head + MIN(s->have, head), head - MIN(s->have, head) };
		s->iov[1] = (struct iovec){ (u8 *)s->body + at, s->reply.head.len - at };
		op_writev(s->keeper->config.exec, &s->op, s->fd, s->iov, 2, ~0ull);
		return;
	}
	wipe(&s->copy, s->reply.head.len);
	next_request(s);
}

static void answer(struct session *s, int error, const void *body, u32 len)
{
	s->keeper->failures += error && error != -ENOENT;
	wipe(&s->in, s->request.len);
	s->reply.head = (struct keep_reply){ .error = error, .len = error ? 0 : len };
	s->body = body;
	s->have = 0;
	s->want = sizeof(s->reply.head) + s->reply.head.len;
	s->iov[0] = (struct iovec){ &s->reply.head, sizeof(s->reply.head) };
	s->iov[1] = (struct iovec){ (void *)body, s->reply.head.len };
	s->op.done = answered;
	op_writev(s->keeper->config.exec, &s->op, s->fd, s->iov, s->reply.head.len ? 2 : 1, ~0ull);
}

/* the bytes are another's */
static void answer_copy(struct session *s, struct bytes data)
{
	s->copy = malloc(data.left + 1);
	if (s->copy && data.left)
		memcpy(s->copy, data.at, data.left);
	answer(s, s->copy ? 0 : -ENOMEM, s->copy, (u32)data.left);
}

/* ---- files */
static void load_kept(struct session *s)
{
	struct kept *kept = &s->keeper->kept[s->file];

	if (kept->there)
		answer_copy(s, bytes_of(kept->data, kept->len));
	else
		answer(s, -ENOENT, NULL, 0);
}

static void store_kept(struct session *s)
{
	struct kept *kept = &s->keeper->kept[s->file];

	wipe(&kept->data, kept->len);
	*kept = (struct kept){ true, s->in, s->request.len };
	s->in = NULL;
	answer(s, 0, NULL, 0);
}

/* -ENODATA: nothing lasts here. Any other failure is one: a store that was there and cannot be read is not an empty one. */
static void stored(struct store_request *r, int error, struct bytes data)
{
	struct session *s = container_of(r, struct session, store);

	if (error == -ENODATA && r->write)
		store_kept(s);
	else if (error == -ENODATA)
		load_kept(s);
	else if (error || r->write)
		answer(s, error, NULL, 0);
	else
		answer_copy(s, data);
}

static void do_file(struct session *s)
{
	struct keeper *k = s->keeper;
	bool write = s->request.operation == KEEP_STORE;

	for (s->file = 0; s->file < k->config.file_count && k->config.files[s->file] != s->request.file;)
		s->file++;
	if (s->file == k->config.file_count) {
		refuse(s, "a file that is not its own");
		return;
	}
	k->loads += !write;
	k->stores += write;
	s->store = (struct store_request){ .id = s->request.file, .write = write, .data = s->in,
					   .len = write ? s->request.len : KEEP_LEN_MAX, .done = stored };
	if (k->config.store)
		store_submit(k->config.store, &s->store);
	else
		stored(&s->store, -ENODATA, bytes_of(NULL, 0));
}

static void say(struct session *s)
{
	struct keeper *k = s->keeper;

	k->said++;
	for (u32 i = 0; i < s->request.len; i++)
		if (s->in[i] < ' ' || s->in[i] > '~')
			s->in[i] = '?';
	if (s->request.file <= LOG_WARN)
		log_guest("%s: %.*s", k->config.name, (int)s->request.len, (const char *)s->in);
	else
		log_at(LOG_INFO, "%s: %.*s", k->config.name, (int)s->request.len, (const char *)s->in);
	wipe(&s->in, s->request.len);
	next_request(s);
}

static void do_request(struct session *s)
{
	struct keeper *k = s->keeper;
	u32 before = k->starts - 1;

	switch (s->request.operation) {
	case KEEP_HELLO:
		memcpy(s->reply.data, &before, sizeof(before));
		answer(s, 0, s->reply.data, sizeof(before));
		return;
	case KEEP_LOAD:
	case KEEP_STORE: do_file(s); return;
	case KEEP_SAY: say(s); return;
	}
	/* ready: the answer goes first, what follows may end this */
	answer(s, 0, NULL, 0);
	k->config.ready(k->config.context);
}

/* ---- questions */
static bool makes_sense(const struct keep_request *r)
{
	switch (r->operation) {
	case KEEP_STORE: return r->len <= KEEP_LEN_MAX;
	case KEEP_SAY: return r->len <= KEEP_TEXT_MAX && r->file < LOG_LEVELS;
	case KEEP_HELLO:
	case KEEP_LOAD:
	case KEEP_READY: return !r->len;
	}
	return false;
}

static void read_rest(struct session *s)
{
	bool head = !s->in;

	s->iov[0] = (struct iovec){ (head ? (u8 *)&s->request : s->in) + s->have, s->want - s->have };
	op_readv(s->keeper->config.exec, &s->op, s->fd, s->iov, 1, ~0ull);
}

static void came(struct op *op, int result)
{
	struct session *s = container_of(op, struct session, op);

	if (result <= 0) {
		s->request.len = s->in ? s->request.len : 0;
		end_session(s);
		return;
	}
	s->have += (size_t)result;
	if (s->have < s->want) {
		read_rest(s);
	} else if (s->in) {
		do_request(s);
	} else if (!makes_sense(&s->request)) {
		s->reply.head.len = 0;
		refuse(s, "a request that makes no sense");
	} else if (!s->request.len) {
		do_request(s);
	} else {
		s->in = malloc(s->request.len);
		if (!s->in) {
			refuse(s, "no memory for a request");
			return;
		}
		s->have = 0;
		s->want = s->request.len;
		read_rest(s);
	}
}

static void next_request(struct session *s)
{
	s->have = 0;
	s->want = sizeof(s->request);
	s->op.done = came;
	read_rest(s);
}

/* ---- */
struct keeper *keeper_create(const struct keeper_config *config)
{
	struct keeper *k = calloc(1, sizeof(*k));

	if (k)
		k->config = *config;
	return k;
}

void keeper_destroy(struct keeper *k)
{
	for (unsigned i = 0; k && i < KEEPER_FILES_MAX; i++)
		wipe(&k->kept[i].data, k->kept[i].len);
	free(k);
}

int keeper_attach(struct keeper *k, int fd)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s) {
		fd_close(&fd);
		return -ENOMEM;
	}
	s->keeper = k;
	s->fd = fd;
	k->starts++;
	k->sessions++;
	next_request(s);
	return 0;
}

bool keeper_idle(const struct keeper *k)
{
	return !k->sessions;
}

void keeper_inspect(void *object, struct inspect *in)
{
	struct keeper *k = object;

	inspect_bool(in, "persists", k->config.store && store_persists(k->config.store));
	inspect_u64(in, "starts", k->starts);
	inspect_count(in, "loads", k->loads);
	inspect_count(in, "stores", k->stores);
	inspect_count(in, "failures", k->failures);
	inspect_count(in, "said", k->said);
}
