/*
 * The guest's side of pvhost's VMBus (host/vmbus/channel.h), played by a test: one channel at a time; the loop runs on a
 * thread of its own.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/vmbus/channel.h"

#define VMBUS_GUEST_PAGES 64u /* of memory: at most so many for a channel's two rings */
#define VMBUS_GUEST_GPADL 0x77u
#define VMBUS_GUEST_WAIT_MS 5000u

static u8 guest_memory[VMBUS_GUEST_PAGES][PAGE_SIZE] __attribute__((aligned(4096)));
static struct {
	struct loop *loop;
	struct vmbus *vmbus;
	pthread_t thread;
	pthread_mutex_t lock; /* for what follows, and for what a test counts on the loop's thread */
	u32 offers, opened, rescinds;
	u32 relid;            /* of the last offer */
	struct ring out, in;  /* of the channel that is open */
} guest = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void *guest_map(void *ctx, u64 gpa, u64 len)
{
	return range_within(gpa, len, 0, sizeof(guest_memory)) ? (u8 *)guest_memory + gpa : NULL;
}

static bool guest_post(void *ctx, u32 vp, u8 sint, const void *message, u32 len)
{
	const struct vmbus_relid *m = message;

	pthread_mutex_lock(&guest.lock);
	if (m->header.type == VMBUS_OFFER) {
		guest.offers++;
		guest.relid = ((const struct vmbus_offer *)message)->relid;
	}
	guest.opened += m->header.type == VMBUS_OPEN_RESULT && !((const struct vmbus_open_result *)message)->status;
	guest.rescinds += m->header.type == VMBUS_RESCIND;
	pthread_mutex_unlock(&guest.lock);
	return true;
}

static void guest_signal(void *ctx, u32 vp, u8 sint, u16 flag)
{
}

static void *guest_run_loop(void *arg)
{
	loop_run(guest.loop);
	return NULL;
}

/* a counter under guest.lock has come to value */
static void guest_until(const u32 *counter, u32 value)
{
	for (u32 i = 0; i < VMBUS_GUEST_WAIT_MS; i++, usleep(1000)) {
		pthread_mutex_lock(&guest.lock);
		bool reached = *counter >= value;

		pthread_mutex_unlock(&guest.lock);
		if (reached)
			return;
	}
	fail_msg("nothing came in 5 s");
}

static void guest_send(const void *payload, u32 len)
{
	struct hv_post_message m = { .connection_id = VMBUS_CONNECTION_REDIRECT_VTL2, .payload_size = len };

	memcpy(m.payload, payload, len);
	assert_int_equal(vmbus_post_message(guest.vmbus, &m), 0);
}

/* loop and bus; what the test looks at is made between this and guest_connect() */
static void guest_create(u32 vp_count)
{
	struct vmbus_io io = { guest_map, guest_post, guest_signal, vp_count, NULL };

	guest.offers = guest.opened = guest.rescinds = guest.relid = 0;
	guest.loop = loop_create();
	guest.vmbus = vmbus_create(guest.loop, &io);
}

static void guest_connect(void)
{
	struct vmbus_initiate_contact contact = { .header = { VMBUS_INITIATE_CONTACT, 0 }, .version = VMBUS_VERSION_COPPER };
	struct vmbus_header offers = { VMBUS_REQUEST_OFFERS, 0 };

	pthread_create(&guest.thread, NULL, guest_run_loop, NULL);
	guest_send(&contact, sizeof(contact));
	guest_send(&offers, sizeof(offers));
}

static void guest_send_pages(u32 count)
{
	struct vmbus_gpadl_header head = { .header = { VMBUS_GPADL_HEADER, 0 }, .relid = guest.relid, .gpadl = VMBUS_GUEST_GPADL,
					   .range_len = (u16)(8 + 8 * count), .range_count = 1,
					   .byte_count = count * PAGE_SIZE };
	u32 page = 0;

	for (; page < ARRAY_SIZE(head.pages) && page < count; page++)
		head.pages[page] = page;
	guest_send(&head, offsetof(struct vmbus_gpadl_header, pages) + page * sizeof(u64));
	for (u32 number = 1; page < count; number++) {
		struct vmbus_gpadl_body body = { { VMBUS_GPADL_BODY, 0 }, number, VMBUS_GUEST_GPADL, { 0 } };
		u32 n = 0;

		while (n < ARRAY_SIZE(body.pages) && page < count)
			body.pages[n++] = page++;
		guest_send(&body, offsetof(struct vmbus_gpadl_body, pages) + n * sizeof(u64));
	}
}

/* opens what is offered last, the times-th of all; out_pages are the ring to the host, in_pages behind them the other */
static void guest_open(u32 times, u32 out_pages, u32 in_pages)
{
	static u8 *pages[VMBUS_GUEST_PAGES];
	struct vmbus_open o = { .header = { VMBUS_OPEN, 0 }, .open_id = 9, .gpadl = VMBUS_GUEST_GPADL,
				.downstream_page = out_pages };

	assert_true(out_pages + in_pages <= VMBUS_GUEST_PAGES);
	guest_until(&guest.offers, times);
	o.relid = guest.relid;
	memset(guest_memory, 0, sizeof(guest_memory));
	for (u32 i = 0; i < VMBUS_GUEST_PAGES; i++)
		pages[i] = guest_memory[i];
	guest_send_pages(out_pages + in_pages);
	guest_send(&o, sizeof(o));
	guest_until(&guest.opened, times);
	assert_int_equal(ring_init(&guest.out, pages, out_pages, false), 0);
	assert_int_equal(ring_init(&guest.in, pages + out_pages, in_pages, true), 0);
}

static void guest_signal_host(void)
{
	assert_int_equal(vmbus_signal_event(guest.vmbus, VMBUS_CHANNEL_CONNECTION(guest.relid, VMBUS_SINT, 2)), 0);
}

/* the loop rests; then the bus is gone, and what hung on it may go before guest_destroy() */
static void guest_disconnect(void)
{
	loop_stop(guest.loop);
	pthread_join(guest.thread, NULL);
	vmbus_destroy(guest.vmbus);
}

static void guest_destroy(void)
{
	loop_destroy(guest.loop);
}
