/*
 * The guest emulation transport's client: what this firmware asks of its host and tells it (spec/get.h). Belongs to one
 * executor. The host's bytes are checked: a message that makes no sense is counted and dropped.
 */
#pragma once

#include "lib/inspect/inspect.h"
#include "lib/task/exec.h"
#include "spec/get.h"

struct get;

/* the channel below; the control process puts a UIO channel there. send: 0, -EAGAIN (get_writable() follows), other -errno. */
struct get_port {
	int (*send)(void *context, const void *data, size_t len);
	void (*inspect)(void *context, struct inspect *in);
};

struct get_events {
	/* version and settings are known, or (error) the host did not give them; once */
	void (*ready)(void *context, int error);
	/* the host tells something; the guest notification's number and what follows its header */
	void (*notified)(void *context, u16 id, struct bytes body);
};

/*
 * One question: message, then body, which is the caller's until done(). accept() judges each answer: 0 complete, 1 more will
 * come, -errno. done() once, with 0, -ETIMEDOUT, -EPIPE (channel gone) or what accept() said; the request is the caller's
 * again then.
 */
struct get_question {
	int (*accept)(struct get_question *, struct bytes answer); /* whole message, header included */
	void (*done)(struct get_question *, int error);
	u16 answer_id, message_len;
	u8 message[64];
	const void *body;    /* at most GET_PAYLOAD_MAX bytes */
	u32 body_len;
	u64 timeout_ns;      /* 0: 5 s */
	struct list_node link;
};

struct get *get_create(struct exec *exec, const struct get_port *port, void *port_context, const struct get_events *events,
		       void *context) __must_check;
/* open requests end with -EPIPE before this returns */
void get_destroy(struct get *get);
/* VERSION, then DPS_V2; then events->ready */
void get_start(struct get *get);

/* what the port has for us */
void get_received(struct get *get, const void *data, size_t len);
void get_writable(struct get *get);
void get_closed(struct get *get, int error);

void get_ask(struct get *get, struct get_question *request);
/* sends, or queues up to 32 messages while the ring is full; one more is dropped and counted */
void get_notify(struct get *get, const void *message, size_t len);
void get_notify_power_off(struct get *get);
void get_notify_reset(struct get *get);
/* for the host's event log */
void get_notify_event(struct get *get, enum get_event_log_id event);
/* error 0: VTL0 runs; else text says why it does not */
void get_notify_started(struct get *get, int error, const char *text);
void get_notify_crash(struct get *get, unsigned vp, unsigned vtl, u64 control, const u64 parameters[5]);
/* at most 64 registers */
void get_notify_triple_fault(struct get *get, unsigned vp, const struct get_register *registers, unsigned count);

/* agreed protocol version, 0: none */
u32 get_version(const struct get *get);
/* the device platform settings as the host sent them (JSON); "" before they came. NUL-terminated. */
const char *get_settings(const struct get *get);
void get_inspect(void *get, struct inspect *in);
