#include "vmm/get/get.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/check.h"
#include "lib/log/log.h"

LOG_DOMAIN("get");

#define ANSWER_TIMEOUT_NS 5000000000ull
#define QUEUE_MAX 32
#define SETTINGS_MAX (1u << 20)
#define FAULT_REGISTERS_MAX 64u

enum get_state { GET_IDLE, GET_ASKING_VERSION, GET_ASKING_SETTINGS, GET_READY, GET_GONE };

struct queued {
	struct list_node link;
	size_t len;
	u8 data[];
};

struct get {
	struct exec *exec;
	const struct get_port *port;
	void *port_context, *context;
	const struct get_events *events;
	enum get_state state;
	struct list_node asked;  /* waiting, first one in flight */
	bool in_flight;
	struct timer timer;
	struct list_node queue;  /* messages that found the ring full */
	unsigned queue_len;
	u32 version, version_tried;
	char *settings;
	size_t settings_len;
	struct get_question version_request, settings_request;
	u64 requests, answers, timeouts, notifications_out, notifications_in, malformed, unexpected, dropped;
};

/* ---- towards the host */
static void enqueue(struct get *g, const void *data, size_t len)
{
	struct queued *q = g->queue_len < QUEUE_MAX ? malloc(sizeof(*q) + len) : NULL;

	if (!q) {
		g->dropped++;
		log_guest("the host does not read: a message is dropped");
		return;
	}
	q->len = len;
	memcpy(q->data, data, len);
	list_push(&g->queue, &q->link);
	g->queue_len++;
}

/* a file of the guest state may be in it */
static void drop_queued(struct queued *q)
{
	explicit_bzero(q->data, q->len);
	free(q);
}

static void post(struct get *g, const void *data, size_t len)
{
	int r = g->state == GET_GONE ? -EPIPE : g->queue_len ? -EAGAIN : g->port->send(g->port_context, data, len);

	if (r == -EAGAIN)
		enqueue(g, data, len);
	else if (r)
		g->dropped++;
}

void get_writable(struct get *g)
{
	while (!list_empty(&g->queue)) {
		struct queued *q = container_of(g->queue.next, struct queued, link);
		int r = g->port->send(g->port_context, q->data, q->len);

		if (r == -EAGAIN)
			return;
		if (r)
			g->dropped++;
		list_remove(&q->link);
		g->queue_len--;
		drop_queued(q);
	}
}

/* a channel's message is one piece */
static void post_with_body(struct get *g, const struct get_question *r)
{
	u8 whole[sizeof(r->message) + GET_PAYLOAD_MAX];

	CHECK(r->body_len <= GET_PAYLOAD_MAX);
	memcpy(whole, r->message, r->message_len);
	memcpy(whole + r->message_len, r->body, r->body_len);
	post(g, whole, r->message_len + r->body_len);
	explicit_bzero(whole, sizeof(whole)); /* a machine's own state passes here */
}

static void ask_next(struct get *g)
{
	if (g->in_flight || list_empty(&g->asked))
		return;
	struct get_question *r = container_of(g->asked.next, struct get_question, link);

	g->in_flight = true;
	g->requests++;
	timer_arm(g->exec, &g->timer, exec_now_ns(g->exec) + (r->timeout_ns ? r->timeout_ns : ANSWER_TIMEOUT_NS));
	if (r->body_len)
		post_with_body(g, r);
	else
		post(g, r->message, r->message_len);
}

static void request_end(struct get *g, int error)
{
	struct get_question *r = container_of(g->asked.next, struct get_question, link);

	timer_disarm(g->exec, &g->timer);
	g->in_flight = false;
	list_remove(&r->link);
	r->done(r, error);
	ask_next(g);
}

static void timed_out(struct timer *timer)
{
	struct get *g = container_of(timer, struct get, timer);

	g->timeouts++;
	request_end(g, -ETIMEDOUT);
}

void get_ask(struct get *g, struct get_question *request)
{
	if (g->state == GET_GONE) {
		request->done(request, -EPIPE);
		return;
	}
	list_push(&g->asked, &request->link);
	ask_next(g);
}

void get_notify(struct get *g, const void *message, size_t len)
{
	g->notifications_out++;
	post(g, message, len);
}

/* ---- from the host */
static void on_answer(struct get *g, u16 id, struct bytes message)
{
	struct get_question *r = g->in_flight ? container_of(g->asked.next, struct get_question, link) : NULL;

	if (!r || r->answer_id != id) {
		g->unexpected++;
		log_guest("answer %u was not asked for", id);
		return;
	}
	g->answers++;
	int more = r->accept(r, message);

	if (more < 0)
		g->malformed++;
	if (more <= 0)
		request_end(g, more);
}

void get_received(struct get *g, const void *data, size_t len)
{
	struct bytes b = bytes_of(data, len);
	struct get_header h;

	if (len > GET_MESSAGE_MAX || !bytes_copy(&b, &h, sizeof(h)) || h.version != GET_HEADER_VERSION) {
		g->malformed++;
		log_guest("a malformed message of %zu bytes", len);
	} else if (h.type == GET_HOST_RESPONSE) {
		on_answer(g, h.id, bytes_of(data, len));
	} else if (h.type == GET_GUEST_NOTIFICATION) {
		g->notifications_in++;
		g->events->notified(g->context, h.id, b);
	} else {
		g->unexpected++;
		log_guest("message type %u ignored", h.type);
	}
}

static void drop_all(struct get *g)
{
	struct list_node *node;

	g->state = GET_GONE;
	while (!list_empty(&g->asked))
		request_end(g, -EPIPE);
	while ((node = list_pop(&g->queue)))
		drop_queued(container_of(node, struct queued, link));
	g->queue_len = 0;
}

void get_closed(struct get *g, int error)
{
	log_err(error, "the channel is gone");
	drop_all(g);
}

/* ---- version, then settings */
static void give_up(struct get *g, int error)
{
	if (g->state != GET_GONE)
		g->state = GET_READY;
	g->events->ready(g->context, error);
}

static void ask_version(struct get *g, u32 version)
{
	struct get_version_request m = { { GET_HEADER_VERSION, GET_HOST_REQUEST, GET_VERSION }, version };

	g->state = GET_ASKING_VERSION;
	g->version_tried = version;
	g->version_request.message_len = sizeof(m);
	memcpy(g->version_request.message, &m, sizeof(m));
	get_ask(g, &g->version_request);
}

static int version_accept(struct get_question *r, struct bytes b)
{
	struct get *g = container_of(r, struct get, version_request);
	struct get_version_response a;

	if (b.left != sizeof(a) || !bytes_copy(&b, &a, sizeof(a)) || a.accepted > 1)
		return -EPROTO;
	g->version = a.accepted ? g->version_tried : 0;
	return 0;
}

static void version_done(struct get_question *r, int error)
{
	struct get *g = container_of(r, struct get, version_request);
	struct get_header m = { GET_HEADER_VERSION, GET_HOST_REQUEST, GET_DEVICE_PLATFORM_SETTINGS_V2 };

	if (error) {
		give_up(g, log_err(error, "version"));
	} else if (!g->version && g->version_tried != GET_VERSION_RS5) {
		ask_version(g, g->version_tried == GET_VERSION_NICKEL ? GET_VERSION_IRON : GET_VERSION_RS5);
	} else if (!g->version) {
		give_up(g, log_err(-EPROTONOSUPPORT, "the host accepts no version"));
	} else {
		g->state = GET_ASKING_SETTINGS;
		g->settings_request.message_len = sizeof(m);
		memcpy(g->settings_request.message, &m, sizeof(m));
		get_ask(g, &g->settings_request);
	}
}

static int settings_accept(struct get_question *r, struct bytes b)
{
	struct get *g = container_of(r, struct get, settings_request);
	struct get_dps_v2_response a;

	if (!bytes_copy(&b, &a, sizeof(a)) || a.size != b.left || a.payload_state > GET_PAYLOAD_MORE)
		return -EPROTO;
	/* an empty piece that promises more would let the host keep us here for ever */
	if (g->settings_len + a.size > SETTINGS_MAX || (!a.size && a.payload_state == GET_PAYLOAD_MORE))
		return -E2BIG;
	char *grown = realloc(g->settings, g->settings_len + a.size + 1);

	if (!grown)
		return -ENOMEM;
	memcpy(grown + g->settings_len, b.at, a.size);
	g->settings = grown;
	g->settings_len += a.size;
	grown[g->settings_len] = 0;
	return a.payload_state == GET_PAYLOAD_MORE;
}

static void settings_done(struct get_question *r, int error)
{
	struct get *g = container_of(r, struct get, settings_request);

	if (error) {
		/* half of a document is none */
		free(g->settings);
		g->settings = NULL;
		g->settings_len = 0;
		log_err(error, "device platform settings");
	}
	give_up(g, error);
}

void get_start(struct get *g)
{
	ask_version(g, GET_VERSION_NICKEL);
}

struct get *get_create(struct exec *exec, const struct get_port *port, void *port_context, const struct get_events *events,
		       void *context)
{
	struct get *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	*g = (struct get){ .exec = exec, .port = port, .port_context = port_context, .events = events, .context = context,
			   .timer.fire = timed_out };
	g->version_request = (struct get_question){ .accept = version_accept, .done = version_done, .answer_id = GET_VERSION };
	g->settings_request = (struct get_question){ .accept = settings_accept, .done = settings_done,
						    .answer_id = GET_DEVICE_PLATFORM_SETTINGS_V2_REV1 };
	list_init(&g->asked);
	list_init(&g->queue);
	return g;
}

void get_destroy(struct get *g)
{
	if (!g)
		return;
	drop_all(g);
	free(g->settings);
	free(g);
}

/* ---- notifications */
static struct get_header notification(enum get_notification id)
{
	return (struct get_header){ GET_HEADER_VERSION, GET_HOST_NOTIFICATION, (u16)id };
}

void get_notify_power_off(struct get *g)
{
	struct get_power_off m = { .header = notification(GET_POWER_OFF) };

	get_notify(g, &m, sizeof(m));
}

void get_notify_reset(struct get *g)
{
	struct get_header m = notification(GET_RESET);

	get_notify(g, &m, sizeof(m));
}

void get_notify_event(struct get *g, enum get_event_log_id event)
{
	struct get_event_log m = { notification(GET_EVENT_LOG), event };

	get_notify(g, &m, sizeof(m));
}

void get_notify_started(struct get *g, int error, const char *text)
{
	struct {
		struct get_start_vtl0_completed head;
		char text[512];
	} m = { .head = { notification(GET_START_VTL0_COMPLETED), error ? 1 : 0, 0 } };

	m.head.document_size = (u32)MIN(strlen(text), sizeof(m.text));
	memcpy(m.text, text, m.head.document_size);
	get_notify(g, &m, sizeof(m.head) + m.head.document_size);
}

void get_notify_crash(struct get *g, unsigned vp, unsigned vtl, u64 control, const u64 parameters[5])
{
	struct get_vtl_crash m = { .header = notification(GET_VTL_CRASH), .vp_index = vp, .last_vtl = (u8)vtl,
				   .control = control };

	memcpy(m.parameters, parameters, sizeof(m.parameters));
	get_notify(g, &m, sizeof(m));
}

void get_notify_triple_fault(struct get *g, unsigned vp, const struct get_register *registers, unsigned count)
{
	struct {
		struct get_triple_fault head;
		struct get_register registers[FAULT_REGISTERS_MAX];
	} m = { .head = { notification(GET_TRIPLE_FAULT), vp, GET_FAULT_UNRECOVERABLE_EXCEPTION,
			  MIN(count, FAULT_REGISTERS_MAX) } };
	size_t len = m.head.register_count * sizeof(*registers);

	if (len)
		memcpy(m.registers, registers, len);
	get_notify(g, &m, sizeof(m.head) + len);
}

/* ---- what it is */
u32 get_version(const struct get *g)
{
	return g->version;
}

const char *get_settings(const struct get *g)
{
	return g->settings ? g->settings : "";
}

void get_inspect(void *object, struct inspect *in)
{
	static const char *const states[] = { "idle", "asking version", "asking settings", "ready", "gone" };
	struct get *g = object;

	inspect_str(in, "state", states[g->state]);
	inspect_hex(in, "version", g->version);
	inspect_count(in, "requests", g->requests);
	inspect_count(in, "answers", g->answers);
	inspect_count(in, "timeouts", g->timeouts);
	inspect_count(in, "notifications_out", g->notifications_out);
	inspect_count(in, "notifications_in", g->notifications_in);
	inspect_count(in, "malformed", g->malformed);
	inspect_count(in, "unexpected", g->unexpected);
	inspect_count(in, "dropped", g->dropped);
	inspect_u64(in, "queued", g->queue_len);
	if (g->port->inspect)
		inspect_child(in, "channel", g->port->inspect, g->port_context);
	inspect_sensitivity(in, NODE_SENSITIVE);
	inspect_str(in, "settings", get_settings(g));
}
