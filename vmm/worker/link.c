#include <errno.h>
#include <string.h>

#include "lib/log/log.h"
#include "vmm/worker/worker.h"

LOG_DOMAIN("link");

#define DEFERRED_NS 3000000000ull /* a VP that does not answer costs its node, not the request; clients wait five seconds */

static void read_more(struct link_client *link);

static void die(struct link_client *link, const char *why)
{
	if (link->dead)
		return;
	link->dead = true;
	log_at(LOG_INFO, "control link ends: %s", why);
	link->stop(link);
}

static void flush(struct link_client *link);

static void written(struct op *op, int result)
{
	struct link_client *link = container_of(op, struct link_client, write_op);

	link->writing = false;
	if (result <= 0) {
		die(link, "cannot write");
		return;
	}
	link->sent += (size_t)result;
	if (link->sent == link->sending.len) {
		pb_fini(&link->sending);
		link->sent = 0;
	}
	flush(link);
}

static void flush(struct link_client *link)
{
	if (link->writing || link->dead)
		return;
	if (!link->sending.len) {
		link->sending = link->out;
		pb_init(&link->out);
	}
	if (link->sending.failed) {
		die(link, "out of memory for replies");
		return;
	}
	if (!link->sending.len)
		return;
	link->writing = true;
	link->write_iov = (struct iovec){ link->sending.data + link->sent, link->sending.len - link->sent };
	op_writev(link->exec, &link->write_op, link->fd, &link->write_iov, 1, ~0ull);
}

void link_reply(struct link_client *link, u32 id, int error, const struct bytes *body)
{
	size_t len = body && !error ? body->left : 0;
	struct link_reply r = { .len = (u32)(sizeof(r) - sizeof(r.len) + len), .id = id, .error = error };

	pb_raw(&link->out, &r, sizeof(r));
	if (len)
		pb_raw(&link->out, body->at, len);
	flush(link);
}

static void reply(struct link_client *link, u32 id, int error, const struct pb_writer *body)
{
	struct bytes b = body ? bytes_of(body->data, body->len) : bytes_of(NULL, 0);

	link_reply(link, id, error, &b);
}

static int update_error(const struct node *node)
{
	return node->kind != NODE_FAILED ? -EISDIR : node->error == NODE_NOT_FOUND ? -ENOENT :
	       node->error == NODE_IMMUTABLE ? -EPERM : node->error == NODE_NOT_A_DIRECTORY ? -ENOTDIR : -EINVAL;
}

static void evaluated(struct inspect_request *request, struct node *node)
{
	struct link_slot *slot = container_of(request, struct link_slot, request);
	struct pb_writer body;
	int error = node ? 0 : -ENOMEM;

	pb_init(&body);
	if (node && slot->op == LINK_INSPECT)
		node_encode(node, &body);
	else if (node && node_encode_value(node, &body))
		error = update_error(node);
	if (body.failed)
		error = -ENOMEM;
	slot->busy = false;
	reply(slot->link, slot->id, error, &body);
	pb_fini(&body);
	node_destroy(node);
}

static void start(struct link_client *link, const struct link_request *r, const u8 *body)
{
	struct link_slot *slot = NULL;

	link->requests++;
	for (unsigned i = 0; i < LINK_REQUESTS_MAX && !slot; i++)
		if (!link->slots[i].busy)
			slot = &link->slots[i];
	if (!slot || (r->op != LINK_INSPECT && r->op != LINK_UPDATE)) {
		link->refused++;
		reply(link, r->id, slot ? -EINVAL : -EBUSY, NULL);
		return;
	}
	*slot = (struct link_slot){ .link = link, .id = r->id, .op = r->op, .busy = true };
	memcpy(slot->text, body, r->path_len);
	memcpy(slot->text + r->path_len + 1, body + r->path_len, r->value_len);
	slot->request = (struct inspect_request){ .path = slot->text, .depth = r->depth,
						  .update = r->op == LINK_UPDATE ? slot->text + r->path_len + 1 : NULL,
						  .limit = (enum node_sensitivity)r->limit, .timeout_ns = DEFERRED_NS,
							  .done = evaluated };
	inspect_start(&slot->request, link->exec, link->root, link->object);
}

static void settings(struct link_client *link, u32 id)
{
	struct pb_writer body;

	link->requests++;
	pb_init(&body);
	link->settings(link, &body);
	reply(link, id, body.failed ? -ENOMEM : 0, &body);
	pb_fini(&body);
}

/* one request from the front of the buffer; false: more bytes are needed, or the link is dead */
static bool take(struct link_client *link)
{
	struct link_request r;
	size_t total;

	if (link->in_len < sizeof(r))
		return false;
	memcpy(&r, link->in, sizeof(r));
	total = sizeof(r) + r.path_len + r.value_len;
	if (r.len != total - sizeof(r.len) || total > sizeof(link->in)) {
		die(link, "malformed request");
		return false;
	}
	if (link->in_len < total)
		return false;
	if (r.op == LINK_STOP) {
		reply(link, r.id, 0, NULL);
		die(link, "asked to stop");
		return false;
	}
	if (r.op == LINK_SETTINGS && link->settings)
		settings(link, r.id);
	else if (r.op >= LINK_PAUSE && r.op <= LINK_SAVE && link->command)
		link->command(link, (enum link_op)r.op, r.id);
	else
		start(link, &r, link->in + sizeof(r));
	link->in_len -= total;
	memmove(link->in, link->in + total, link->in_len);
	return !link->dead;
}

static void have_read(struct op *op, int result)
{
	struct link_client *link = container_of(op, struct link_client, read_op);

	if (result <= 0) {
		die(link, result ? "cannot read" : "end of file");
		return;
	}
	link->in_len += (size_t)result;
	while (take(link))
		;
	if (!link->dead)
		read_more(link);
}

static void read_more(struct link_client *link)
{
	link->read_iov = (struct iovec){ link->in + link->in_len, sizeof(link->in) - link->in_len };
	op_readv(link->exec, &link->read_op, link->fd, &link->read_iov, 1, ~0ull);
}

void link_start(struct link_client *link, int fd, struct exec *exec, inspect_fn root, void *object)
{
	link->fd = fd;
	link->exec = exec;
	link->root = root;
	link->object = object;
	link->read_op.done = have_read;
	link->write_op.done = written;
	pb_init(&link->out);
	pb_init(&link->sending);
	read_more(link);
}
