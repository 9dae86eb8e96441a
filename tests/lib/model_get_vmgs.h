/*
 * A host behind GET that has a guest-state device, written from get_protocol's layouts byte by byte; knows nothing of
 * host/vmbus. The device itself is tests/lib/model_vmgs_device.h.
 */
#pragma once

#include "lib/task/exec_sim.h"
#include "tests/lib/model_vmgs_device.h"
#include "vmm/get/vmgs.h"

#define MODEL_TRANSFER_MAX 8192u

struct model_host {
	struct sim *sim;
	struct get *get;
	struct model_device device;
	/* what is next to be answered; one at a time, as GET asks */
	u8 asked[GET_MESSAGE_MAX];
	size_t asked_len;
	/* what goes wrong */
	bool absent, silent, gone, wrong_length;
	u32 status;                   /* of everything, when not 0 */
	unsigned retries;             /* so often before it does it */
	u32 transfer_max;
	u16 sector, physical_sector;
	unsigned questions, events;
	u32 event;
};

static u64 model_le(const u8 *at, unsigned bytes)
{
	u64 value = 0;

	while (bytes--)
		value = value << 8 | at[bytes];
	return value;
}

static void model_put_le(u8 *at, u64 value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (u8)(value >> 8 * i);
}

static int model_host_send(void *context, const void *data, size_t len)
{
	struct model_host *h = context;
	const u8 *m = data;

	if (h->gone)
		return -EPIPE;
	CHECK(len >= 4 && len <= sizeof(h->asked) && m[0] == 1);
	if (m[1] == 1) { /* a notification: 3 is EVENT_LOG */
		CHECK(m[2] == 3 && len == 8);
		h->events++;
		h->event = (u32)model_le(m + 4, 4);
		return 0;
	}
	CHECK(m[1] == 2 && !h->asked_len);
	memcpy(h->asked, data, len);
	h->asked_len = len;
	h->questions++;
	return 0;
}

/* read 5 and write 6: flags u32, sector u64, count u32, pad u32, then data */
static size_t model_transfer(struct model_host *h, u8 *answer, u8 what, const u8 *m, size_t len)
{
	u64 sector = model_le(m + 8, 8), count = model_le(m + 16, 4), bytes = count * h->sector;

	CHECK(len == 24 + (what == 6 ? bytes : 0) && bytes && bytes <= h->transfer_max && !model_le(m + 20, 4));
	int r = what == 6 ? model_write(&h->device, sector * h->sector, m + 24, bytes)
			  : model_read(&h->device, sector * h->sector, answer + 8, bytes);

	model_put_le(answer + 4, r ? 2 : 0, 4);
	return 8 + (!r && what == 5 ? bytes : 0);
}

static size_t model_answer(struct model_host *h, u8 *answer, const u8 *m, size_t len)
{
	u8 what = m[2];

	memcpy(answer, (u8[]){ 1, 3, what, 0 }, 4);
	u32 status = h->retries ? 3 : h->status ? h->status : h->absent ? 2 : 0;

	if (h->retries)
		h->retries--;
	memset(answer + 4, 0, 20);
	model_put_le(answer + 4, status, 4);
	if (what == 4) {
		CHECK(len == 4);
		if (!status) {
			model_put_le(answer + 8, h->device.device.capacity / h->sector, 8);
			model_put_le(answer + 16, h->sector, 2);
			model_put_le(answer + 18, h->physical_sector, 2);
			model_put_le(answer + 20, h->transfer_max, 4);
		}
		return 24;
	}
	if (status)
		return 8;
	if (what == 5 || what == 6)
		return model_transfer(h, answer, what, m, len);
	CHECK(what == 7 && len == 4);
	model_put_le(answer + 4, model_flush(&h->device) ? 2 : 0, 4);
	return 8;
}

/* answers until nobody asks */
static inline void model_host_run(struct model_host *h)
{
	while (h->asked_len && !h->silent) {
		u8 m[GET_MESSAGE_MAX], answer[GET_MESSAGE_MAX];
		size_t len = h->asked_len;

		memcpy(m, h->asked, len);
		h->asked_len = 0;
		len = model_answer(h, answer, m, len);
		get_received(h->get, answer, len - h->wrong_length);
	}
}

static void model_ready(void *context, int error)
{
}

static void model_notified(void *context, u16 id, struct bytes body)
{
}

static inline void model_host_init(struct model_host *h, u64 capacity, u16 sector)
{
	static const struct get_port port = { .send = model_host_send };
	static const struct get_events events = { model_ready, model_notified };

	memset(h, 0, sizeof(*h));
	model_init(&h->device, capacity, sector, 1);
	h->sector = h->physical_sector = sector;
	h->transfer_max = MODEL_TRANSFER_MAX;
	h->sim = sim_create(1);
	h->get = get_create(sim_exec(h->sim, "get"), &port, h, &events, h);
	CHECK(h->sim && h->get);
}

static inline void model_host_fini(struct model_host *h)
{
	get_destroy(h->get);
	sim_destroy(h->sim);
	model_fini(&h->device);
}
