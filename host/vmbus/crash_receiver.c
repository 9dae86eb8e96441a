#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/vmbus/crash.h"
#include "lib/log/log.h"
#include "spec/crash.h"

LOG_DOMAIN("crash");

#define STATUS_FAIL ((s32)0x80004005) /* E_FAIL */
#define NUMBER_MAX 1000000u

enum state {
	IDLE,    /* nothing under way */
	WRITING, /* a dump: a header is next */
	REFUSED, /* its writes fail; it ends with its COMPLETE or with the channel */
	DEAF,    /* nonsense came; nothing is read until the channel is opened anew */
};

struct crash_receiver {
	struct crash_config config;
	void (*answer)(void *ctx, const void *data, u32 len);
	void *ctx;
	int folder, file;
	enum state state;
	bool payload;             /* the next message is what WRITE announced */
	u64 offset, end;
	u32 size, number, dumps;
	struct guid activity;
	char name[128];
};

static struct crash_header reply_header(const struct crash_header *request)
{
	return (struct crash_header){ request->activity, request->type | CRASH_RESPONSE };
}

static void reply_status(struct crash_receiver *r, u64 type, s32 status)
{
	const struct crash_header request = { r->activity, type };
	struct crash_status_response m = { reply_header(&request), status };

	r->answer(r->ctx, &m, sizeof(m));
}

/* ---- files: NAME-N.partial while it comes, NAME-N.core when it is whole */

static void file_name(const struct crash_receiver *r, const char *suffix, char *out, size_t size)
{
	snprintf(out, size, "%s-%u.%s", r->config.name, r->number, suffix);
}

/* a number that no file has, and that this machine has not given before: a file may have been taken away */
static int open_file(struct crash_receiver *r)
{
	char whole[sizeof(r->name)];

	for (r->number++; r->number < NUMBER_MAX; r->number++) {
		file_name(r, "core", whole, sizeof(whole));
		if (!faccessat(r->folder, whole, F_OK, 0))
			continue;
		file_name(r, "partial", r->name, sizeof(r->name));
		r->file = openat(r->folder, r->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (r->file >= 0)
			return 0;
		if (errno != EEXIST)
			return log_err(-errno, "%s/%s", r->config.folder, r->name);
	}
	return log_err(-ENOSPC, "%s has no free number for a core", r->config.folder);
}

static void close_file(struct crash_receiver *r)
{
	if (r->file >= 0)
		close(r->file);
	r->file = -1;
}

static void keep_partial(struct crash_receiver *r, const char *why)
{
	if (r->file < 0)
		return;
	close_file(r);
	log_at(LOG_NOTICE, "a core is not whole (%s): %lu bytes of it are in %s/%s", why, r->end, r->config.folder, r->name);
}

static void keep_whole(struct crash_receiver *r, const char *kernel)
{
	char whole[sizeof(r->name)];

	close_file(r);
	file_name(r, "core", whole, sizeof(whole));
	if (renameat(r->folder, r->name, r->folder, whole)) {
		log_err(-errno, "%s/%s", r->config.folder, whole);
		return;
	}
	log_at(LOG_NOTICE, "a process of the firmware crashed: %s/%s, %lu bytes%s; kernel: %s", r->config.folder, whole, r->end,
	       r->end >= r->config.max_size ? ", cut at the limit" : "", kernel);
}

/* ---- messages */

static void nonsense(struct crash_receiver *r, const char *what)
{
	log_guest("%s; the channel rests until it is opened anew", what);
	keep_partial(r, what);
	r->payload = false;
	r->state = DEAF;
}

static void on_capabilities(struct crash_receiver *r, const struct crash_header *h)
{
	struct crash_capabilities_response m = { reply_header(h), CRASH_CAPABILITY_LINUX_CONFIG_V1 };

	r->answer(r->ctx, &m, sizeof(m));
}

static void on_config(struct crash_receiver *r, const struct crash_header *h)
{
	struct crash_config_response m = { reply_header(h), r->config.max_size, CRASH_DUMP_ELF };

	r->answer(r->ctx, &m, sizeof(m));
}

static void on_start(struct crash_receiver *r, const struct crash_header *h)
{
	int error = 0;

	r->activity = h->activity;
	r->offset = r->end = 0;
	if (r->dumps >= r->config.max_count) {
		log_guest("a core is refused: %u were taken, and that is the limit", r->dumps);
		error = -EDQUOT;
	} else {
		error = open_file(r);
		r->dumps += !error;
	}
	r->state = error ? REFUSED : WRITING;
	reply_status(r, CRASH_NIX_DUMP_START, error ? STATUS_FAIL : 0);
}

static void fail_write(struct crash_receiver *r, const char *why)
{
	keep_partial(r, why);
	r->state = REFUSED;
	reply_status(r, CRASH_NIX_DUMP_WRITE, STATUS_FAIL);
}

static void on_write(struct crash_receiver *r, struct bytes b)
{
	if (!bytes_u64(&b, &r->offset) || !bytes_u32(&b, &r->size) || !r->size || r->size > CRASH_CHUNK_MAX) {
		nonsense(r, "a malformed write");
		return;
	}
	r->payload = true;
}

static void on_payload(struct crash_receiver *r, struct bytes b)
{
	r->payload = false;
	if (b.left != r->size) {
		nonsense(r, "a write of another length than announced");
	} else if (r->state == REFUSED) {
		reply_status(r, CRASH_NIX_DUMP_WRITE, STATUS_FAIL);
	} else if (!range_within(r->offset, b.left, 0, r->config.max_size)) {
		fail_write(r, "it is larger than allowed");
	} else {
		ssize_t n = pwrite(r->file, b.at, b.left, (off_t)r->offset);

		if (n != (ssize_t)b.left) {
			log_err(n < 0 ? -errno : -ENOSPC, "%s/%s", r->config.folder, r->name);
			fail_write(r, "it could not be written");
		} else {
			r->end = MAX(r->end, r->offset + b.left);
		}
	}
}

static void on_complete(struct crash_receiver *r, struct bytes b)
{
	char banner[sizeof(((struct crash_complete_request *)0)->version_banner) + 1] = "";

	if (r->state == WRITING) {
		/* major and minor are in the banner too */
		if (!bytes_skip(&b, 8) || !bytes_copy(&b, banner, sizeof(banner) - 1)) {
			nonsense(r, "a malformed end of a core");
			return;
		}
		banner[strcspn(banner, "(\n")] = 0;
		for (char *at = banner; *at; at++)
			if (*at < ' ' || *at > '~')
				*at = '?';
		keep_whole(r, banner);
	}
	r->state = IDLE;
}

void crash_receiver_take(struct crash_receiver *r, struct bytes b)
{
	struct crash_header h;

	if (r->state == DEAF)
		return;
	if (r->payload) {
		on_payload(r, b);
		return;
	}
	if (!bytes_copy(&b, &h, sizeof(h))) {
		nonsense(r, "a message without a header");
		return;
	}
	bool dumping = r->state == WRITING || r->state == REFUSED;

	if (h.type == CRASH_GET_CAPABILITIES && !dumping)
		on_capabilities(r, &h);
	else if (h.type == CRASH_GET_NIX_DUMP_CONFIG && !dumping)
		on_config(r, &h);
	else if (h.type == CRASH_NIX_DUMP_START && !dumping)
		on_start(r, &h);
	else if (h.type == CRASH_NIX_DUMP_WRITE && dumping)
		on_write(r, b);
	else if (h.type == CRASH_NIX_DUMP_COMPLETE && dumping)
		on_complete(r, b);
	else
		nonsense(r, dumping ? "no message that belongs into a core" : "no message that begins a core");
}

void crash_receiver_end(struct crash_receiver *r, const char *why)
{
	keep_partial(r, why);
	r->payload = false;
	r->state = IDLE;
}

int crash_receiver_create(const struct crash_config *config, void (*answer)(void *ctx, const void *data, u32 len), void *ctx,
			  struct crash_receiver **ret)
{
	struct crash_receiver *r = calloc(1, sizeof(*r));

	if (!r)
		return log_err(-ENOMEM, "crash channel");
	r->config = *config;
	r->answer = answer;
	r->ctx = ctx;
	r->file = -1;
	r->folder = open(config->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = r->folder < 0 ? log_err(-errno, "--crash-dumps %s", config->folder) : 0;

	if (!error && (strchr(config->name, '/') || strlen(config->name) > sizeof(r->name) - 20))
		error = log_err(-EINVAL, "cores cannot be named after '%s'", config->name);
	if (error) {
		crash_receiver_destroy(r);
		return error;
	}
	*ret = r;
	return 0;
}

void crash_receiver_destroy(struct crash_receiver *r)
{
	if (!r)
		return;
	keep_partial(r, "the machine ended");
	if (r->folder >= 0)
		close(r->folder);
	free(r);
}
