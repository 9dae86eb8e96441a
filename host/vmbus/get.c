#include "host/vmbus/get.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/core/bytes.h"
#include "lib/log/log.h"
#include "spec/get.h"
#include "spec/hv.h"
#include "spec/hv_msr.h"

LOG_DOMAIN("get");

#define EPOCH_1601_TO_1970_S 11644473600ll
#define REVISION_CHUNK (GET_PAYLOAD_MAX - 64)
#define RESULT_TEXT 1024
#define CRASH_TEXT_MAX 4096

struct get {
	struct get_config config;
	struct channel channel;
	u32 version; /* agreed; 0: none yet */
	u64 requests, notifications, first_request;
	void (*modified)(void *ctx, int result, const char *text); /* NULL: nothing was asked */
	void *modified_ctx;
	u8 buffer[GET_MESSAGE_MAX + 64];
};

static void reply(struct get *g, const void *message, u32 len)
{
	if (channel_send_pipe(&g->channel, message, len) != RING_OK)
		log_guest("the guest's ring takes no answer of %u bytes", len);
}

static struct get_header response(u16 id)
{
	return (struct get_header){ GET_HEADER_VERSION, GET_HOST_RESPONSE, id };
}

static void on_version(struct get *g, struct bytes b)
{
	struct get_version_response r = { .header = response(GET_VERSION) };
	u32 version;

	if (!bytes_u32(&b, &version))
		return;
	r.accepted = version == GET_VERSION_NICKEL || version == GET_VERSION_IRON || version == GET_VERSION_RS5;
	if (r.accepted)
		g->version = version;
	reply(g, &r, sizeof(r));
}

static void on_time(struct get *g)
{
	struct get_time_response r = { .header = response(GET_TIME), .reference_time = g->config.reference_time(g->config.ctx) };
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	r.utc = (now.tv_sec + EPOCH_1601_TO_1970_S) * 10000000ll + now.tv_nsec / 100;
	reply(g, &r, sizeof(r));
}

static void on_settings(struct get *g)
{
	const char *at = g->config.settings;
	size_t left = strlen(at);

	do {
		struct {
			struct get_dps_v2_response head;
			char text[REVISION_CHUNK];
		} r = { .head.header = response(GET_DEVICE_PLATFORM_SETTINGS_V2_REV1) };

		r.head.size = (u32)MIN(left, sizeof(r.text));
		memcpy(r.text, at, r.head.size);
		at += r.head.size;
		left -= r.head.size;
		r.head.payload_state = left ? GET_PAYLOAD_MORE : GET_PAYLOAD_END;
		reply(g, &r, (u32)sizeof(r.head) + r.head.size);
	} while (left);
}

static void on_guest_state(struct get *g, u16 id, struct bytes b)
{
	u8 answer[GET_MESSAGE_MAX];

	reply(g, answer, guest_state_answer(g->config.guest_state, id, b, answer));
}

static void on_request(struct get *g, u16 id, struct bytes b)
{
	if (!g->requests++)
		g->first_request = g->config.reference_time(g->config.ctx);
	switch (id) {
	case GET_VERSION: on_version(g, b); return;
	case GET_TIME: on_time(g); return;
	case GET_DEVICE_PLATFORM_SETTINGS_V2: on_settings(g); return;
	case GET_VMGS_DEVICE_INFO:
	case GET_VMGS_READ:
	case GET_VMGS_WRITE:
	case GET_VMGS_FLUSH: on_guest_state(g, id, b); return;
	}
	log_guest("request %u is not answered by this host", id);
}

static void tell(struct get *g, enum get_event event, const char *text)
{
	g->config.event(g->config.ctx, event, text);
}

/* a status and a document for people, cut to what is shown; false: malformed */
static bool take_result(struct bytes b, u32 *ret_status, char ret_text[RESULT_TEXT])
{
	struct bytes document;
	u32 len;

	if (!bytes_u32(&b, ret_status) || !bytes_u32(&b, &len) || !bytes_take(&b, MIN(len, (u32)b.left), &document))
		return false;
	snprintf(ret_text, RESULT_TEXT, "%.*s", (int)document.left, (const char *)document.at);
	return true;
}

static void on_started(struct get *g, struct bytes b)
{
	char text[RESULT_TEXT];
	u32 status;

	if (!take_result(b, &status, text))
		return;
	tell(g, status ? GET_EVENT_START_FAILED : GET_EVENT_VTL0_STARTED, text);
}

/* the guest's own words: they lie in its memory, where it may still write */
static void add_crash_text(struct get *g, const struct get_vtl_crash *m, char *out, size_t size)
{
	u64 len = MIN(m->parameters[4], (u64)size - 2);
	const void *from = g->config.guest_memory ? g->config.guest_memory(g->config.ctx, m->parameters[3], len) : NULL;

	if (!from || !len)
		return;
	*out++ = '\n';
	memcpy(out, from, len);
	out[len] = 0;
	for (u64 i = 0; i < len && out[i]; i++)
		if (out[i] != '\n' && (out[i] < ' ' || out[i] > '~'))
			out[i] = '.';
}

static void on_crash(struct get *g, struct bytes b)
{
	struct get_vtl_crash m;
	char text[200 + CRASH_TEXT_MAX];

	if (!bytes_copy(&b, (u8 *)&m + sizeof(m.header), sizeof(m) - sizeof(m.header)))
		return;
	int at = snprintf(text, 200, "VP %u, VTL%u, control %#lx, parameters %#lx %#lx %#lx %#lx %#lx", m.vp_index, m.last_vtl,
			  m.control, m.parameters[0], m.parameters[1], m.parameters[2], m.parameters[3], m.parameters[4]);

	if (!m.last_vtl && m.control & HV_CRASH_CTL_MESSAGE)
		add_crash_text(g, &m, text + at, sizeof(text) - (size_t)at);
	tell(g, m.last_vtl ? GET_EVENT_CRASH : GET_EVENT_GUEST_CRASH, text);
}

static const char *register_name(u32 name)
{
	static const struct { u32 name; const char *text; } names[] = {
		{ HV_X64_REGISTER_RIP, "rip" }, { HV_X64_REGISTER_RFLAGS, "rflags" }, { HV_X64_REGISTER_CR0, "cr0" },
		{ HV_X64_REGISTER_CR2, "cr2" }, { HV_X64_REGISTER_CR3, "cr3" }, { HV_X64_REGISTER_CR4, "cr4" },
		{ HV_X64_REGISTER_CR8, "cr8" }, { HV_X64_REGISTER_EFER, "efer" },
	};
	static const char *const general[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					       "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };
	static const char *const segments[] = { "es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr" };

	if (name >= HV_X64_REGISTER_RAX && name <= HV_X64_REGISTER_R15)
		return general[name - HV_X64_REGISTER_RAX];
	if (name >= HV_X64_REGISTER_ES && name <= HV_X64_REGISTER_TR)
		return segments[name - HV_X64_REGISTER_ES];
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].name == name)
			return names[i].text;
	return name == HV_X64_REGISTER_IDTR ? "idtr" : name == HV_X64_REGISTER_GDTR ? "gdtr" : NULL;
}

static int print_register(char *out, size_t size, const struct get_register *r)
{
	const char *name = register_name(r->name);
	union hv_register_value v;

	memcpy(&v, r->value, sizeof(v));
	if (!name)
		return snprintf(out, size, "%#x=%#lx", r->name, r->value[0]);
	if (r->name >= HV_X64_REGISTER_ES && r->name <= HV_X64_REGISTER_TR)
		return snprintf(out, size, "%s=%#x base %#lx limit %#x attributes %#x", name, v.segment.selector,
				v.segment.base, v.segment.limit, v.segment.attributes);
	if (r->name == HV_X64_REGISTER_IDTR || r->name == HV_X64_REGISTER_GDTR)
		return snprintf(out, size, "%s=%#lx limit %#x", name, v.table.base, v.table.limit);
	return snprintf(out, size, "%s=%#lx", name, r->value[0]);
}

/* four registers a line, a segment alone */
static void on_triple_fault(struct get *g, struct bytes b)
{
	u32 vp, type, count, in_line = 0;
	struct get_register r;
	char text[4096];

	if (!bytes_u32(&b, &vp) || !bytes_u32(&b, &type) || !bytes_u32(&b, &count))
		return;
	int at = snprintf(text, sizeof(text), "VP %u", vp);

	for (u32 i = 0; i < count && at < (int)sizeof(text) - 120 && bytes_copy(&b, &r, sizeof(r)); i++) {
		bool wide = r.name >= HV_X64_REGISTER_ES && r.name <= HV_X64_REGISTER_GDTR;
		bool line = !i || wide || in_line == 4;

		at += snprintf(text + at, sizeof(text) - (size_t)at, line ? "\n  " : " ");
		in_line = wide ? 4 : line ? 1 : in_line + 1;
		at += print_register(text + at, sizeof(text) - (size_t)at, &r);
	}
	tell(g, GET_EVENT_TRIPLE_FAULT, text);
}

/* ---- other settings */
void get_set_settings(struct get *g, const char *settings)
{
	g->config.settings = settings;
}

static int send_piece(struct get *g, const u8 *data, u32 len, bool more)
{
	struct {
		struct get_modify_settings_rev1 head;
		u8 data[REVISION_CHUNK];
	} m = { .head = { { GET_HEADER_VERSION, GET_GUEST_NOTIFICATION, GET_MODIFY_VTL2_SETTINGS_REV1 }, len,
			  more ? GET_PAYLOAD_MORE : GET_PAYLOAD_END } };

	memcpy(m.data, data, len);
	return channel_send_pipe(&g->channel, &m, (u32)sizeof(m.head) + len) == RING_OK ? 0 : -ENOBUFS;
}

/* what fits in one message goes in the first form of it, as Hyper-V does */
static int send_whole(struct get *g, const void *data, u32 len)
{
	struct {
		struct get_modify_settings head;
		u8 data[REVISION_CHUNK];
	} m = { .head = { { GET_HEADER_VERSION, GET_GUEST_NOTIFICATION, GET_MODIFY_VTL2_SETTINGS }, len } };

	memcpy(m.data, data, len);
	return channel_send_pipe(&g->channel, &m, (u32)sizeof(m.head) + len) == RING_OK ? 0 : -ENOBUFS;
}

int get_modify_settings(struct get *g, const void *document, size_t len, void (*done)(void *ctx, int result, const char *text),
			void *ctx)
{
	int r = g->modified ? -EBUSY : !g->version ? -ENOTCONN : 0;

	if (!r && len <= REVISION_CHUNK)
		r = send_whole(g, document, (u32)len);
	for (size_t at = 0; !r && len > REVISION_CHUNK && at < len; at += REVISION_CHUNK)
		r = send_piece(g, (const u8 *)document + at, (u32)MIN(len - at, (size_t)REVISION_CHUNK),
			       len - at > REVISION_CHUNK);
	if (r)
		return r;
	g->modified = done;
	g->modified_ctx = ctx;
	return 0;
}

int get_update_generation_id(struct get *g, const u64 id[2])
{
	struct get_update_generation_id m = {
		.header = { GET_HEADER_VERSION, GET_GUEST_NOTIFICATION, GET_UPDATE_GENERATION_ID },
	};

	if (!g->version)
		return -ENOTCONN;
	memcpy(m.generation_id, id, sizeof(m.generation_id));
	return channel_send_pipe(&g->channel, &m, sizeof(m)) == RING_OK ? 0 : -ENOBUFS;
}

static void end_modify(struct get *g, int result, const char *text)
{
	void (*done)(void *, int, const char *) = g->modified;

	g->modified = NULL;
	if (done)
		done(g->modified_ctx, result, text);
}

static void on_modified(struct get *g, struct bytes b)
{
	char text[RESULT_TEXT];
	u32 status;

	if (!take_result(b, &status, text))
		return;
	end_modify(g, status == GET_MODIFY_SUCCESS ? 0 : -EINVAL, text);
}

static void on_notification(struct get *g, u16 id, struct bytes b)
{
	u32 event;

	g->notifications++;
	switch (id) {
	case GET_POWER_OFF: tell(g, GET_EVENT_POWER_OFF, ""); return;
	case GET_RESET: tell(g, GET_EVENT_RESET, ""); return;
	case GET_START_VTL0_COMPLETED: on_started(g, b); return;
	case GET_VTL_CRASH: on_crash(g, b); return;
	case GET_TRIPLE_FAULT: on_triple_fault(g, b); return;
	case GET_EVENT_LOG:
		if (!bytes_u32(&b, &event))
			return;
		if (event == GET_EVENT_WATCHDOG_TIMEOUT_RESET)
			log_at(LOG_NOTICE, "the guest's watchdog expired: it is reset");
		else
			log_at(LOG_INFO, "event log: %u", event);
		return;
	case GET_LOG_TRACE:
	case GET_RESTORE_COMPLETED: return;
	case GET_MODIFY_VTL2_SETTINGS_COMPLETED: on_modified(g, b); return;
	}
	log_guest("notification %u ignored", id);
}

static void handle(struct get *g, u32 len)
{
	struct bytes b = bytes_of(g->buffer, len), payload;
	struct vmbus_pipe_header pipe;
	struct get_header header;

	if (!bytes_copy(&b, &pipe, sizeof(pipe)) || pipe.type != VMBUS_PIPE_DATA || !bytes_take(&b, pipe.length, &payload) ||
	    !bytes_copy(&payload, &header, sizeof(header)) || header.version != GET_HEADER_VERSION) {
		log_guest("a malformed message of %u bytes", len);
		return;
	}
	if (header.type == GET_HOST_REQUEST)
		on_request(g, header.id, payload);
	else if (header.type == GET_HOST_NOTIFICATION)
		on_notification(g, header.id, payload);
	else
		log_guest("message type %u ignored", header.type);
}

static void signalled(struct channel *c)
{
	struct get *g = container_of(c, struct get, channel);
	struct ring_received got;

	for (u32 left = CHANNEL_PACKETS_PER_TURN; channel_receive(c, g->buffer, sizeof(g->buffer), &got) == RING_OK;) {
		handle(g, got.len);
		if (!--left) {
			channel_again(c);
			break;
		}
	}
}

static void closed(struct channel *c)
{
	struct get *g = container_of(c, struct get, channel);

	g->version = 0;
	g->requests = g->first_request = 0;
	end_modify(g, -ECONNRESET, "");
}

u64 get_first_request(const struct get *g)
{
	return g->first_request;
}

int get_server_create(struct vmbus *bus, const struct get_config *config, struct get **ret)
{
	static const struct channel_ops ops = { .opened = signalled, .signalled = signalled, .closed = closed };
	struct get *g = calloc(1, sizeof(*g));

	if (!g)
		return log_err(-ENOMEM, "GET");
	g->config = *config;
	g->channel = (struct channel){
		.name = "get", .interface = GET_INTERFACE, .instance = GET_INSTANCE, .flags = VMBUS_OFFER_NAMED_PIPE, .ops = &ops,
	};
	g->channel.user[0] = VMBUS_PIPE_MODE_MESSAGE;
	int r = channel_offer(bus, &g->channel);

	if (r)
		free(g);
	else
		*ret = g;
	return r;
}

void get_server_destroy(struct get *g)
{
	free(g);
}

void get_counts(const struct get *g, u64 *ret_requests, u64 *ret_notifications)
{
	*ret_requests = g->requests;
	*ret_notifications = g->notifications;
}
