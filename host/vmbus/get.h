/* The host's side of GET: answers VTL2's requests, acts on its notifications. Loop thread. */
#pragma once

#include "host/vmbus/channel.h"
#include "host/vmbus/guest_state.h"

enum get_event { GET_EVENT_POWER_OFF, GET_EVENT_RESET, GET_EVENT_VTL0_STARTED, GET_EVENT_START_FAILED, GET_EVENT_CRASH,
		 GET_EVENT_GUEST_CRASH, GET_EVENT_TRIPLE_FAULT };

struct get_config {
	const char *settings; /* device platform settings, JSON; kept by the caller, until get_set_settings() */
	u64 (*reference_time)(void *ctx);
	/* text has lines, printable */
	void (*event)(void *ctx, enum get_event event, const char *text);
	/* VTL0's memory, for what a crashed guest points at; NULL: not, or not all, its RAM */
	const void *(*guest_memory)(void *ctx, u64 gpa, u64 len);
	void *ctx;
	struct guest_state *guest_state; /* NULL: this host keeps none; the caller's */
};

struct get;

int get_server_create(struct vmbus *bus, const struct get_config *config, struct get **ret) __must_check;
void get_server_destroy(struct get *g);
/* what the next asking for settings gets */
void get_set_settings(struct get *g, const char *settings);
/*
 * Asks the firmware for other VTL2 settings while it runs. 0: done() comes once, with 0, -EINVAL and the result document, or
 * -ECONNRESET. -EBUSY, -ENOTCONN (the firmware does not speak GET yet), -ENOBUFS (it does not read).
 */
int get_modify_settings(struct get *g, const void *document, size_t len, void (*done)(void *ctx, int result, const char *text),
			void *ctx) __must_check;
/* tells the firmware another generation ID, low half first. -ENOTCONN, -ENOBUFS as above. */
int get_update_generation_id(struct get *g, const u64 id[2]) __must_check;
/* reference time of the firmware's first request, which is its user space's first sign; 0: none yet */
u64 get_first_request(const struct get *g);
void get_counts(const struct get *g, u64 *ret_requests, u64 *ret_notifications);
