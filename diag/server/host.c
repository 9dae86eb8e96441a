#include <errno.h>
#include <string.h>
#include <time.h>

#include "diag/server/control.h"
#include "lib/log/log.h"
#include "vmm/settings/settings.h"

LOG_DOMAIN("host");

#define CHANNEL_WAIT_NS 3000000000ull /* the host offers it while the kernel boots; one that has not by then will not */
#define CHANNEL_RETRY_NS 10000000ull
#define TIME_TIMEOUT_NS 2000000000ull
#define HUNDRED_NS_PER_S 10000000ll
#define EPOCH_1601_TO_1970 (11644473600ll * HUNDRED_NS_PER_S)

static int port_send(void *context, const void *data, size_t len)
{
	struct control *c = context;

	return c->channel ? uio_send(c->channel, data, len) : -EPIPE;
}

static void port_inspect(void *context, struct inspect *in)
{
	struct control *c = context;

	if (c->channel)
		uio_inspect(c->channel, in);
}

static void channel_receive(void *context, const u8 *data, size_t len)
{
	get_received(((struct control *)context)->get, data, len);
}

static void channel_writable(void *context)
{
	get_writable(((struct control *)context)->get);
}

static void channel_closed(void *context, int error)
{
	struct control *c = context;
	struct uio_channel *channel = c->channel;

	c->channel = NULL;
	get_closed(c->get, error);
	uio_close(channel);
}

static int time_came(struct get_question *q, struct bytes answer)
{
	struct get_time_response t;

	if (!bytes_copy(&answer, &t, sizeof(t)) || t.utc < EPOCH_1601_TO_1970)
		return -EPROTO;
	struct control *c = container_of(q, struct control, time_question);

	boot_reference(&c->boot, t.reference_time, exec_now_ns(c->exec));
	struct timespec now = {
		.tv_sec = (time_t)((t.utc - EPOCH_1601_TO_1970) / HUNDRED_NS_PER_S),
		.tv_nsec = (long)((t.utc - EPOCH_1601_TO_1970) % HUNDRED_NS_PER_S * 100),
	};

	return clock_settime(CLOCK_REALTIME, &now) ? -errno : 0;
}

static void boot_status_known(void *context)
{
	struct control *c = context;

	machine_settings_boot_status(c->boot_status.watchdog);
	host_ready(c);
}

/* for a guest with a watchdog VTL0 waits until it is open, else it starts meanwhile */
static void open_store(struct control *c)
{
	enum store_lifetime lifetime = STORE_DEFAULT;
	char word[32];

	if (settings_platform_text(get_settings(c->get), "GuestStateLifetime", word, sizeof(word)) &&
	    !store_parse_lifetime(word, &lifetime))
		log_at(LOG_WARN, "GuestStateLifetime \"%s\" of the host's settings is not known; Default it is", word);
	c->store = store_create(c->get, lifetime, NULL, NULL);
	if (c->store)
		store_start(c->store);
	else
		log_at(LOG_ERROR, "no memory for the guest state");
}

static void time_done(struct get_question *q, int error)
{
	struct control *c = container_of(q, struct control, time_question);

	if (error)
		log_at(LOG_NOTICE, "the host did not tell the time (%s): the guest's clock begins at 1970", strerror(-error));
	open_store(c);
	if (machine_settings_watchdog())
		boot_status_take(&c->boot_status, c->store, boot_status_known, c);
	else
		host_ready(c);
}

/* VTL2 has no clock of its own; the guest's RTC shows what is set here */
static void ask_time(struct control *c)
{
	const struct get_header request = { GET_HEADER_VERSION, GET_HOST_REQUEST, GET_TIME };

	c->time_question = (struct get_question){
		.accept = time_came, .done = time_done, .answer_id = GET_TIME, .message_len = sizeof(request),
		.timeout_ns = TIME_TIMEOUT_NS,
	};
	memcpy(c->time_question.message, &request, sizeof(request));
	get_ask(c->get, &c->time_question);
}

static void host_answered(void *context, int error)
{
	struct control *c = context;

	if (error) {
		host_ready(c);
		return;
	}
	log_at(LOG_INFO, "the host speaks GET %#x and sent %zu bytes of settings", get_version(c->get),
	       strlen(get_settings(c->get)));
	machine_settings_start(c);
	ask_time(c);
}

static void host_notified(void *context, u16 id, struct bytes body)
{
	if (settings_notified(context, id, body) || machine_settings_notified(context, id, body))
		return;
	log_at(LOG_INFO, "the host's notification %u (%zu bytes) asks for nothing this firmware does", id, body.left);
}

static const struct get_port port = { port_send, port_inspect };
static const struct get_events events = { host_answered, host_notified };
static const struct uio_ops channel_ops = { channel_receive, channel_writable, channel_closed };

static void without_host(struct control *c, const char *why)
{
	get_destroy(c->get);
	c->get = NULL;
	c->get_missing = why;
	log_at(LOG_NOTICE, "%s; going on without it", why);
	host_ready(c);
}

static void try_open(struct timer *timer)
{
	struct control *c = container_of(timer, struct control, get_retry);
	const struct guid instance = GET_INSTANCE;
	int r = uio_open(&instance, c->exec, &channel_ops, c, &c->channel);

	if (!r)
		get_start(c->get);
	else if (r == -ENOENT && exec_now_ns(c->exec) < c->get_deadline_ns)
		timer_arm(c->exec, &c->get_retry, exec_now_ns(c->exec) + CHANNEL_RETRY_NS);
	else
		without_host(c, r == -ENOENT ? "the host offers no GET channel" : "the GET channel cannot be opened");
}

void host_start(struct control *c)
{
	c->state = CONTROL_ASKING_HOST;
	boot_begins(&c->boot, BOOT_HOST, exec_now_ns(c->exec));
	c->get = get_create(c->exec, &port, c, &events, c);
	if (!c->get) {
		without_host(c, "out of memory for GET");
		return;
	}
	c->get_retry.fire = try_open;
	c->get_deadline_ns = exec_now_ns(c->exec) + CHANNEL_WAIT_NS;
	try_open(&c->get_retry);
}
