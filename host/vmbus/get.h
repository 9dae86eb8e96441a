/* The host's side of GET: answers VTL2's requests, acts on its notifications. Loop thread. */
#pragma once

#include "host/vmbus/channel.h"

enum get_event { GET_EVENT_POWER_OFF, GET_EVENT_RESET, GET_EVENT_VTL0_STARTED, GET_EVENT_START_FAILED, GET_EVENT_CRASH,
		 GET_EVENT_TRIPLE_FAULT };

struct get_config {
	const char *settings; /* device platform settings, JSON; kept by the caller */
	u64 (*reference_time)(void *ctx);
	void (*event)(void *ctx, enum get_event event, const char *text);
	void *ctx;
};

struct get;

int get_create(struct vmbus *bus, const struct get_config *config, struct get **ret) __must_check;
void get_destroy(struct get *g);
/* reference time of the firmware's first request, which is its user space's first sign; 0: none yet */
u64 get_first_request(const struct get *g);
void get_counts(const struct get *g, u64 *ret_requests, u64 *ret_notifications);
