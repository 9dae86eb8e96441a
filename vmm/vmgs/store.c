#include "vmm/vmgs/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log/log.h"
#include "lib/vmgs/vmgs.h"
#include "vmm/get/vmgs.h"

LOG_DOMAIN("vmgs");

enum store_state { STORE_IDLE, STORE_ASKING, STORE_OPENING, STORE_FORMATTING, STORE_MARKING, STORE_READY, STORE_REOPENING,
		   STORE_GONE, STORE_NONE };

struct store {
	enum store_state state;
	enum store_lifetime lifetime;
	struct get *get;
	struct get_vmgs device;
	struct vmgs vmgs;
	struct vmgs_operation op;
	struct list_node waiting;
	struct store_request *current;
	void (*ready)(void *context);
	void *context;
	char reason[VMGS_PROBLEM_LEN + 40]; /* why there is none, or none any more */
	bool formatted;
	u64 reads, writes, failures, reopened;
};

static void serve(struct store *s);
static void over(struct store *s);

bool store_parse_lifetime(const char *text, enum store_lifetime *ret)
{
	static const char *const names[] = { "Default", "ReprovisionOnFailure", "Reprovision", "Ephemeral" };

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(text, names[i])) {
			*ret = (enum store_lifetime)i;
			return true;
		}
	return false;
}

/* ---- an operation's steps, over the host's device */
static void advance(struct store *s);

static void stepped(void *context, int error)
{
	struct store *s = context;

	vmgs_stepped(&s->op, error);
	advance(s);
}

static void advance(struct store *s)
{
	static const enum get_vmgs_kind kinds[] = { [VMGS_READ] = GET_VMGS_KIND_READ, [VMGS_WRITE] = GET_VMGS_KIND_WRITE,
						    [VMGS_FLUSH] = GET_VMGS_KIND_FLUSH };
	struct vmgs_step step;

	if (vmgs_next(&s->op, &step))
		get_vmgs_submit(&s->device, kinds[step.kind], step.offset, step.data, step.len, stepped, s);
	else
		over(s);
}

/* an operation that begins with an error has no steps */
static void run(struct store *s, int begun)
{
	if (begun) {
		s->op.error = begun;
		over(s);
	} else {
		advance(s);
	}
}

/* ---- from the start to ready */
static void settle(struct store *s, enum store_state state)
{
	bool first = s->state < STORE_READY;

	s->state = state;
	if (first && s->ready)
		s->ready(s->context);
	serve(s);
}

static void give_up(struct store *s, int error)
{
	static const struct { int error; enum get_event_log_id event; } events[] = {
		{ -EINVAL, GET_EVENT_VMGS_INVALID_FORMAT }, { -EPROTONOSUPPORT, GET_EVENT_VMGS_INVALID_FORMAT },
		{ -EBADMSG, GET_EVENT_VMGS_CORRUPT_FORMAT }, { -EIO, GET_EVENT_VMGS_ACCESS_FAILED },
	};
	enum get_event_log_id event = GET_EVENT_VMGS_INIT_FAILED;

	for (unsigned i = 0; i < ARRAY_SIZE(events); i++)
		if (events[i].error == error)
			event = events[i].event;
	snprintf(s->reason, sizeof(s->reason), "%s", s->vmgs.problem[0] ? s->vmgs.problem : strerror(-error));
	log_at(LOG_ERROR, "the guest state that the host keeps cannot be used: %s. It is left as it is; nothing will be kept. "
	       "Give the host another file, or look at this one with pvvmgs check", s->reason);
	get_notify_event(s->get, event);
	settle(s, STORE_GONE);
}

static void now_ready(struct store *s)
{
	log_at(LOG_INFO, "guest state: %lu KiB at the host, sequence %u%s", s->vmgs.capacity / KiB, s->vmgs.header.sequence,
	       s->formatted ? ", new" : "");
	settle(s, STORE_READY);
}

static void format(struct store *s, const char *why)
{
	log_at(LOG_NOTICE, "the guest state is made anew: %s", why);
	s->state = STORE_FORMATTING;
	s->formatted = true;
	run(s, vmgs_begin_format(&s->op, &s->vmgs, s->device.capacity, s->device.sector_size));
}

/* the mark keeps a request to make the store anew from being granted at every reset; it goes when nobody asks any more */
static void mark(struct store *s, bool on)
{
	s->state = STORE_MARKING;
	run(s, vmgs_begin_mark(&s->op, &s->vmgs, on));
}

static bool is_damage(int error)
{
	return error == -EINVAL || error == -EPROTONOSUPPORT || error == -EBADMSG;
}

static void refuse_encrypted(struct store *s)
{
	snprintf(s->vmgs.problem, sizeof(s->vmgs.problem), "it is encrypted, with a key that this firmware does not have");
	give_up(s, -ENOKEY);
}

static void opened(struct store *s, int error)
{
	bool marked = !error && s->vmgs.header.markers & VMGS_MARKER_REPROVISIONED;

	if (s->lifetime == STORE_REPROVISION && !marked && (!error || error == -ENODATA || is_damage(error)))
		format(s, "the host asks for it");
	else if (error == -ENODATA)
		format(s, "it is empty");
	else if (s->lifetime == STORE_REPROVISION_ON_FAILURE && is_damage(error))
		format(s, s->vmgs.problem);
	else if (error)
		give_up(s, error);
	else if (s->vmgs.header.encryption_algorithm != VMGS_ENCRYPTION_NONE)
		refuse_encrypted(s);
	else if (marked && s->lifetime != STORE_REPROVISION)
		mark(s, false);
	else
		now_ready(s);
}

/* ---- requests */
static void end_request(struct store *s, int error)
{
	struct store_request *r = s->current;
	struct bytes data = !error && !r->write ? bytes_of(s->op.data, s->op.len) : bytes_of(NULL, 0);

	s->failures += error != 0;
	if (error && error != -ENOENT)
		log_at(LOG_WARN, "file %u of the guest state, %s: %s", r->id, r->write ? "writing" : "reading", s->vmgs.problem);
	/* current stays until then: what is asked for in there waits */
	r->done(r, error, data);
	vmgs_end(&s->op);
	s->current = NULL;
}

/* what a failed change left is found out by opening again; those who wait go on with that */
static void reopen(struct store *s)
{
	s->state = STORE_REOPENING;
	s->reopened++;
	run(s, vmgs_begin_open(&s->op, &s->vmgs, s->device.capacity, s->device.sector_size));
}

/* an operation ended: a request's, or one on the way to ready */
static void over(struct store *s)
{
	int error = s->op.error;

	if (s->current) {
		end_request(s, error);
		if (error == -EPIPE || s->device.silent)
			give_up(s, error); /* the host is gone, or as good as: what is asked for from now on is not kept */
		else if (s->vmgs.state == VMGS_DOUBT)
			reopen(s);
		else
			serve(s);
		return;
	}
	vmgs_end(&s->op);
	if (s->state == STORE_OPENING)
		opened(s, error);
	else if (error)
		give_up(s, error);
	else if (s->state == STORE_FORMATTING && s->lifetime == STORE_REPROVISION)
		mark(s, true);
	else
		now_ready(s);
}

/* it may be secret */
static void drop_copy(struct store_request *r)
{
	if (r->copy)
		explicit_bzero(r->copy, r->len);
	free(r->copy);
	r->copy = NULL;
}

static void refuse_all(struct store *s)
{
	struct list_node *node;

	while ((node = list_pop(&s->waiting))) {
		struct store_request *r = container_of(node, struct store_request, link);

		drop_copy(r);
		r->done(r, s->state == STORE_NONE ? -ENODATA : -EIO, bytes_of(NULL, 0));
	}
}

static void serve(struct store *s)
{
	if (s->state >= STORE_GONE)
		refuse_all(s);
	if (s->state != STORE_READY || s->current || list_empty(&s->waiting))
		return;
	struct store_request *r = container_of(list_pop(&s->waiting), struct store_request, link);
	int begun;

	s->current = r;
	if (r->write) {
		s->writes++;
		begun = vmgs_begin_write(&s->op, &s->vmgs, r->id, r->copy, r->len);
		drop_copy(r);
	} else {
		s->reads++;
		begun = vmgs_begin_read(&s->op, &s->vmgs, r->id, r->len);
	}
	run(s, begun);
}

void store_submit(struct store *s, struct store_request *r)
{
	r->copy = NULL;
	if (r->write) {
		r->copy = malloc(r->len + 1);
		if (!r->copy) {
			r->done(r, -ENOMEM, bytes_of(NULL, 0));
			return;
		}
		if (r->len)
			memcpy(r->copy, r->data, r->len);
	}
	list_push(&s->waiting, &r->link);
	serve(s);
}

/* ---- begin and end */
static void informed(void *context, int error)
{
	struct store *s = context;

	if (error == -ENODEV) {
		snprintf(s->reason, sizeof(s->reason), "the host keeps none");
		log_at(LOG_NOTICE, "no guest state at the host: what is kept in it ends with this machine");
		settle(s, STORE_NONE);
	} else if (error) {
		give_up(s, error);
	} else {
		s->state = STORE_OPENING;
		run(s, vmgs_begin_open(&s->op, &s->vmgs, s->device.capacity, s->device.sector_size));
	}
}

struct store *store_create(struct get *get, enum store_lifetime lifetime, void (*ready)(void *context), void *context)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->get = get;
	s->lifetime = lifetime;
	s->ready = ready;
	s->context = context;
	list_init(&s->waiting);
	get_vmgs_init(&s->device, get);
	return s;
}

void store_destroy(struct store *s)
{
	struct list_node *node;

	while (s && (node = list_pop(&s->waiting)))
		drop_copy(container_of(node, struct store_request, link));
	free(s);
}

void store_start(struct store *s)
{
	if (s->lifetime == STORE_EPHEMERAL) {
		snprintf(s->reason, sizeof(s->reason), "the host's settings say that it is ephemeral");
		log_at(LOG_NOTICE, "the guest state is ephemeral: what is kept in it ends with this machine");
		settle(s, STORE_NONE);
		return;
	}
	s->state = STORE_ASKING;
	get_vmgs_submit(&s->device, GET_VMGS_KIND_INFO, 0, NULL, 0, informed, s);
}

bool store_persists(const struct store *s)
{
	return s->state == STORE_READY || s->state == STORE_REOPENING;
}

/* ---- what it is */
static void files_inspect(void *object, struct inspect *in)
{
	struct store *s = object;
	struct vmgs_file f;
	char name[16];

	for (u32 id = 0; id < VMGS_FILE_COUNT; id++) {
		if (!vmgs_find(&s->vmgs, id, &f))
			continue;
		snprintf(name, sizeof(name), "%u", id);
		inspect_u64(in, vmgs_name(id) ? vmgs_name(id) : name, f.len);
	}
}

void store_inspect(void *object, struct inspect *in)
{
	static const char *const states[] = { "idle", "asking the host", "opening", "formatting", "marking", "ready",
					      "opening again", "failed", "ephemeral" };
	struct store *s = object;
	u32 free_blocks, largest;

	inspect_str(in, "state", states[s->state]);
	inspect_bool(in, "persists", store_persists(s));
	if (s->reason[0])
		inspect_str(in, "reason", s->reason);
	inspect_count(in, "reads", s->reads);
	inspect_count(in, "writes", s->writes);
	inspect_count(in, "failures", s->failures);
	inspect_count(in, "reopened", s->reopened);
	inspect_child(in, "device", get_vmgs_inspect, &s->device);
	if (s->vmgs.state == VMGS_CLOSED)
		return;
	vmgs_free_blocks(&s->vmgs, &free_blocks, &largest);
	inspect_bool(in, "formatted", s->formatted);
	inspect_u64(in, "sequence", s->vmgs.header.sequence);
	inspect_u64(in, "free_bytes", (u64)free_blocks * VMGS_BLOCK_SIZE);
	inspect_u64(in, "largest_free_bytes", (u64)largest * VMGS_BLOCK_SIZE);
	inspect_child(in, "files", files_inspect, s);
}
