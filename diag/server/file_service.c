/* diag.UnderhillDiag: the kernel's log and files of VTL2, copied to a data connection */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "diag/server/relay.h"
#include "diag/server/service.h"

#define FILES_MAX 16
#define FOLLOW_NS 200000000ull

/* KmsgRequest {follow 1, conn 2}; FileRequest {follow 1, conn 2, file_path 3} */
enum { FOLLOW = 1, CONN, FILE_PATH };

struct file_request {
	bool follow;
	u64 conn;
	char path[512];
};

struct file_read {
	struct relay relay;
	struct control *control;
};

static bool decode(struct bytes payload, struct file_request *ret)
{
	bool bad = false, good = true;
	struct pb_field f;

	*ret = (struct file_request){ 0 };
	while (good && pb_next(&payload, &f, &bad)) {
		if (f.number == FOLLOW && f.wire == PB_VARINT)
			ret->follow = f.value != 0;
		else if (f.number == CONN && f.wire == PB_VARINT)
			ret->conn = f.value;
		else if (f.number == FILE_PATH && f.wire == PB_BYTES)
			good = pb_text(f.body, ret->path, sizeof(ret->path));
	}
	return good && !bad;
}

static void read_ended(struct relay *r)
{
	struct file_read *f = r->context;

	f->control->files_open--;
	free(f);
}

/* takes both descriptors over, also on failure */
static int copy_file(struct control *c, int source, int conn, bool follow)
{
	struct file_read *f = c->files_open < FILES_MAX ? calloc(1, sizeof(*f)) : NULL;

	if (!f) {
		close(source);
		close(conn);
		return c->files_open < FILES_MAX ? -ENOMEM : -EBUSY;
	}
	f->control = c;
	f->relay = (struct relay){ .exec = c->exec, .ended = read_ended, .context = f, .follow_ns = follow ? FOLLOW_NS : 0 };
	c->files_open++;
	relay_start(&f->relay, source, conn);
	return 0;
}

static int start_copy(struct control *c, const char *path, int conn, bool follow,
		      bool records)
{
	/* a FIFO without a writer must not stop this thread */
	int source = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	struct stat s;
	int r = source < 0 || fstat(source, &s) ? -errno : S_ISDIR(s.st_mode) ? -EISDIR : 0;

	if (r) {
		if (source >= 0)
			close(source);
		close(conn);
		return r;
	}
	/* a device gives records, and keeps their limits on the way (facts B6) */
	if (records || S_ISCHR(s.st_mode))
		return stream_start(&c->streams, source, conn, follow);
	return copy_file(c, source, conn, follow);
}

static void answer(struct control *c, struct ttrpc_call *call, const struct file_request *q, const char *path,
		   bool records)
{
	int conn = data_claim(c->data, q->conn);

	if (conn < 0) {
		ttrpc_fail(call, TTRPC_UNKNOWN, "invalid connection id");
		return;
	}
	int r = start_copy(c, path, conn, q->follow, records);

	if (r)
		ttrpc_fail(call, r == -ENOENT ? TTRPC_NOT_FOUND : TTRPC_UNKNOWN, "%s: %s", path, strerror(-r));
	else
		ttrpc_reply(call, NULL, 0);
}

void file_service_kmsg(void *context, struct ttrpc_call *call, struct bytes payload)
{
	struct control *c = context;
	struct file_request q;

	c->kmsg_requests++;
	if (decode(payload, &q))
		answer(c, call, &q, c->kmsg_path, true);
	else
		ttrpc_fail(call, TTRPC_INVALID_ARGUMENT, "malformed request");
}

void file_service_read(void *context, struct ttrpc_call *call, struct bytes payload)
{
	struct control *c = context;
	struct file_request q;

	c->file_requests++;
	if (service_restricted(c, call, "ReadFile"))
		return;
	if (!decode(payload, &q) || !*q.path)
		ttrpc_fail(call, TTRPC_INVALID_ARGUMENT, "malformed request, or a path that is empty or too long");
	else
		answer(c, call, &q, q.path, false);
}
