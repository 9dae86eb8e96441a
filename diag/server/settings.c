/* The host's VTL2 settings on their way to the worker: the first document out of the platform settings, later ones by GET. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "diag/server/control.h"
#include "lib/log/log.h"
#include "vmm/settings/settings.h"

LOG_DOMAIN("settings");

#define CHANGE_TIMEOUT_NS 10000000000ull
#define RESULT_MAX (GET_MESSAGE_MAX - sizeof(struct get_modify_settings_completed))

static int store(struct control *c, const void *data, size_t len)
{
	if (ftruncate(c->fds.settings, 0) || (len && pwrite(c->fds.settings, data, len, 0) != (ssize_t)len))
		return log_err(-errno, "settings");
	return 0;
}

int settings_start(struct control *c)
{
	struct settings_error error;
	void *document = NULL;
	size_t len = 0;

	c->fds.settings = memfd_create("settings", MFD_CLOEXEC);
	if (c->fds.settings < 0)
		return log_err(-errno, "settings");
	if (c->get && *get_settings(c->get) && settings_of_platform(get_settings(c->get), &document, &len, &error))
		log_at(LOG_ERROR, "%s: %s; VTL0 gets no devices by settings", error.id, error.text);
	int r = store(c, document, len);

	free(document);
	return r;
}

/* ---- a change */
static void answer(struct control *c, const void *document, size_t len)
{
	struct {
		struct get_modify_settings_completed head;
		u8 document[RESULT_MAX];
	} m = { .head = { { GET_HEADER_VERSION, GET_HOST_NOTIFICATION, GET_MODIFY_VTL2_SETTINGS_COMPLETED },
			  len ? GET_MODIFY_FAILURE : GET_MODIFY_SUCCESS, (u32)MIN(len, RESULT_MAX) } };

	memcpy(m.document, document, m.head.document_size);
	get_notify(c->get, &m, sizeof(m.head) + m.head.document_size);
}

static void refuse(struct control *c, const char *why)
{
	struct settings_error error = { .id = "Underhill.InternalFailure" };
	struct pb_writer w;

	log_at(LOG_WARN, "a change of the settings is refused: %s", why);
	memcpy(error.text, why, MIN(strlen(why), sizeof(error.text) - 1));
	pb_init(&w);
	settings_error_json(&error, &w);
	answer(c, w.failed ? "[]" : (char *)w.data, w.failed ? 2 : w.len);
	pb_fini(&w);
}

static void worker_answered(struct link_query *q, int error, struct bytes body)
{
	struct control *c = container_of(q, struct control, change.query);

	c->change.busy = false;
	if (!c->get)
		return;
	if (error)
		refuse(c, error == -ETIMEDOUT ? "the worker does not answer" : "the worker cannot take it");
	else
		answer(c, body.at, body.left);
}

static void change(struct control *c)
{
	struct settings_change *s = &c->change;

	if (s->busy || !c->worker.link) {
		refuse(c, s->busy ? "another change is under way" : "there is no worker");
	} else if (store(c, s->data, s->len) || link_query_set(&s->query, LINK_SETTINGS, "", 0, NULL)) {
		refuse(c, "out of memory");
	} else {
		s->busy = true;
		s->query.done = worker_answered;
		link_ask(c->worker.link, &s->query, CHANGE_TIMEOUT_NS);
	}
	free(s->data);
	s->data = NULL;
	s->len = 0;
}

static bool take_piece(struct settings_change *s, struct bytes piece)
{
	u8 *grown = s->len + piece.left > SETTINGS_MAX_BYTES ? NULL : realloc(s->data, s->len + piece.left + 1);

	if (!grown)
		return false;
	memcpy(grown + s->len, piece.at, piece.left);
	s->data = grown;
	s->len += piece.left;
	return true;
}

bool settings_notified(struct control *c, u16 id, struct bytes body)
{
	u32 size, state = GET_PAYLOAD_END;

	if (id != GET_MODIFY_VTL2_SETTINGS && id != GET_MODIFY_VTL2_SETTINGS_REV1)
		return false;
	if (!bytes_u32(&body, &size) || (id == GET_MODIFY_VTL2_SETTINGS_REV1 && !bytes_u32(&body, &state)) || size != body.left ||
	    state > GET_PAYLOAD_MORE) {
		refuse(c, "the host's message is malformed");
	} else if (!take_piece(&c->change, body)) {
		refuse(c, "the document is too long");
	} else {
		if (state == GET_PAYLOAD_END)
			change(c);
		return true;
	}
	free(c->change.data);
	c->change.data = NULL;
	c->change.len = 0;
	return true;
}
