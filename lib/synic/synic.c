#include "lib/synic/synic.h"

#include <string.h>

#include "lib/core/check.h"

void synic_init(struct synic *s, const struct synic_ops *ops, void *ctx)
{
	s->ops = ops;
	s->ctx = ctx;
	pthread_mutex_init(&s->lock, NULL);
	synic_reset(s);
}

void synic_fini(struct synic *s)
{
	pthread_mutex_destroy(&s->lock);
}

void synic_reset(struct synic *s)
{
	pthread_mutex_lock(&s->lock);
	s->scontrol = s->siefp = s->simp = 0;
	for (u32 i = 0; i < HV_SINT_COUNT; i++) {
		s->sint[i] = HV_SINT_MASKED;
		s->queue[i].first = s->queue[i].count = 0;
	}
	memset(s->timers, 0, sizeof(s->timers));
	pthread_mutex_unlock(&s->lock);
}

static void raise_sint(struct synic *s, u8 sint)
{
	u64 value = s->sint[sint];

	if (!(value & (HV_SINT_MASKED | HV_SINT_POLLING)))
		s->ops->interrupt(s->ctx, value & HV_SINT_VECTOR, value & HV_SINT_AUTO_EOI);
}

/*
 * Is the slot free? If not the guest is asked for an EOM; it may have freed the slot between the look and the flag, and then
 * sends none, so the second look decides. Lock held.
 */
static bool slot_free(struct hv_message *slot)
{
	if (__atomic_load_n(&slot->type, __ATOMIC_ACQUIRE) == HVMSG_NONE)
		return true;
	slot->flags |= HV_MESSAGE_FLAG_PENDING;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&slot->type, __ATOMIC_ACQUIRE) == HVMSG_NONE;
}

static struct hv_message *slot_of(struct synic *s, u8 sint)
{
	struct hv_message *slots = s->simp & HV_MSR_PAGE_ENABLE ? s->ops->page(s->ctx, s->simp & HV_MSR_PAGE_GPA) : NULL;

	return slots ? &slots[sint] : NULL;
}

static void fill(struct hv_message *slot, const struct hv_message *m, bool more)
{
	slot->payload_size = m->payload_size;
	slot->origin = m->origin;
	slot->flags = more ? HV_MESSAGE_FLAG_PENDING : 0;
	memcpy(slot->payload, m->payload, sizeof(m->payload));
	__atomic_store_n(&slot->type, m->type, __ATOMIC_RELEASE);
}

/* move the first waiting message into the slot if that is free; else ask for an EOM. Lock held. */
static void fill_slot(struct synic *s, u8 sint)
{
	struct synic_queue *q = &s->queue[sint];
	struct hv_message *slot = q->count ? slot_of(s, sint) : NULL;

	if (!slot || !slot_free(slot))
		return;
	const struct hv_message *m = &s->waiting[sint][q->first];

	q->first = (q->first + 1) % SYNIC_QUEUE_MAX;
	q->count--;
	fill(slot, m, q->count);
	raise_sint(s, sint);
}

bool synic_post(struct synic *s, u8 sint, u32 type, const void *payload, u32 len)
{
	struct synic_queue *q = &s->queue[sint];
	bool room;

	CHECK(sint < HV_SINT_COUNT && len <= HV_MESSAGE_PAYLOAD_LEN);
	pthread_mutex_lock(&s->lock);
	room = q->count < SYNIC_QUEUE_MAX;
	if (room) {
		struct hv_message *m = &s->waiting[sint][(q->first + q->count++) % SYNIC_QUEUE_MAX];

		memset(m, 0, sizeof(*m));
		m->type = type;
		m->payload_size = (u8)len;
		memcpy(m->payload, payload, len);
		s->messages++;
		fill_slot(s, sint);
	}
	pthread_mutex_unlock(&s->lock);
	return room;
}

u16 synic_post_direct(struct synic *s, u8 sint, const struct hv_message *m)
{
	u16 status = HV_STATUS_SUCCESS;

	CHECK(sint < HV_SINT_COUNT);
	pthread_mutex_lock(&s->lock);
	struct hv_message *slot = slot_of(s, sint);

	if (!slot) {
		status = HV_STATUS_INVALID_SYNIC_STATE;
	} else if (s->queue[sint].count || !slot_free(slot)) {
		status = HV_STATUS_OBJECT_IN_USE;
	} else {
		fill(slot, m, false);
		s->messages++;
		raise_sint(s, sint);
	}
	pthread_mutex_unlock(&s->lock);
	return status;
}

bool synic_signal(struct synic *s, u8 sint, u16 flag)
{
	bool fresh = false;

	CHECK(sint < HV_SINT_COUNT && flag < SYNIC_EVENT_FLAGS);
	pthread_mutex_lock(&s->lock);
	struct hv_synic_event_flags *page =
		s->siefp & HV_MSR_PAGE_ENABLE ? s->ops->page(s->ctx, s->siefp & HV_MSR_PAGE_GPA) : NULL;

	if (page) {
		u64 bit = 1ull << (flag & 63);

		fresh = !(__atomic_fetch_or(&page[sint].flags[flag >> 6], bit, __ATOMIC_SEQ_CST) & bit);
		s->events++;
		if (fresh)
			raise_sint(s, sint);
	}
	pthread_mutex_unlock(&s->lock);
	return fresh;
}

u16 synic_free_slots(struct synic *s, u16 sints)
{
	u16 result = 0;

	pthread_mutex_lock(&s->lock);
	for (u8 sint = 0; sint < HV_SINT_COUNT; sint++) {
		struct hv_message *slot = sints >> sint & 1 && !s->queue[sint].count ? slot_of(s, sint) : NULL;

		if (slot && slot_free(slot))
			result |= (u16)(1u << sint);
	}
	pthread_mutex_unlock(&s->lock);
	return result;
}

/* ---- timers, on reference time */

static u8 timer_sint(const struct stimer *t)
{
	return FIELD_GET(HV_STIMER_SINT, t->config);
}

/* a timer that would post to SINT 0 cannot be enabled (TLFS) */
static void enable_if_possible(struct stimer *t)
{
	if (t->config & HV_STIMER_DIRECT ? FIELD_GET(HV_STIMER_VECTOR, t->config) >= 16 : timer_sint(t) != 0)
		t->config |= HV_STIMER_ENABLE;
	else
		t->config &= ~HV_STIMER_ENABLE;
}

/* a guest's period may reach beyond the end of time: then it never comes */
static u64 later(u64 time, u64 ticks)
{
	return time + ticks < time ? ~0ull : time + ticks;
}

static void write_timer(struct synic *s, u32 index, bool is_count, u64 value)
{
	struct stimer *t = &s->timers[index];

	if (is_count) {
		t->count = value;
		if (!value)
			t->config &= ~HV_STIMER_ENABLE;
		else if (t->config & HV_STIMER_AUTO_ENABLE)
			enable_if_possible(t);
	} else {
		t->config = value;
		if (value & HV_STIMER_ENABLE)
			enable_if_possible(t);
	}
	t->undelivered = false;
	t->next = t->config & HV_STIMER_PERIODIC ? later(s->ops->reference_time(s->ctx), t->count) : t->count;
	s->ops->timers_changed(s->ctx);
}

u64 synic_timer_deadline(const struct synic *s)
{
	u64 best = 0;

	for (u32 i = 0; i < HV_STIMER_COUNT; i++) {
		const struct stimer *t = &s->timers[i];

		if (t->config & HV_STIMER_ENABLE && t->count && !t->undelivered && (!best || t->next < best))
			best = t->next;
	}
	return best;
}

static void expire(struct synic *s, u32 index, u64 now)
{
	struct stimer *t = &s->timers[index];

	if (t->config & HV_STIMER_DIRECT) {
		s->ops->interrupt(s->ctx, FIELD_GET(HV_STIMER_VECTOR, t->config), false);
	} else {
		struct hv_timer_expired m = { .timer_index = index, .expiration_time = t->next, .delivery_time = now };

		t->undelivered = !synic_post(s, timer_sint(t), HVMSG_TIMER_EXPIRED, &m, sizeof(m));
		if (t->undelivered)
			return;
	}
	if (t->config & HV_STIMER_PERIODIC)
		t->next = later(now - (now - t->next) % t->count, t->count); /* missed periods coalesce */
	else
		t->config &= ~HV_STIMER_ENABLE;
}

void synic_timer_check(struct synic *s)
{
	u64 now = 0;

	for (u32 i = 0; i < HV_STIMER_COUNT; i++) {
		struct stimer *t = &s->timers[i];

		if (!(t->config & HV_STIMER_ENABLE) || !t->count)
			continue;
		if (!now)
			now = s->ops->reference_time(s->ctx);
		if (now >= t->next)
			expire(s, i, now);
	}
}

/* ---- registers */

/* slots may have become free, or pages and SINTs usable */
static void retry(struct synic *s)
{
	pthread_mutex_lock(&s->lock);
	for (u8 sint = 0; sint < HV_SINT_COUNT; sint++)
		fill_slot(s, sint);
	pthread_mutex_unlock(&s->lock);
}

static void end_of_message(struct synic *s)
{
	retry(s);
	for (u32 i = 0; i < HV_STIMER_COUNT; i++)
		if (s->timers[i].undelivered) {
			synic_timer_check(s);
			s->ops->timers_changed(s->ctx);
			return;
		}
}

static u64 *register_of(struct synic *s, u32 msr)
{
	switch (msr) {
	case HV_MSR_SCONTROL: return &s->scontrol;
	case HV_MSR_SIEFP: return &s->siefp;
	case HV_MSR_SIMP: return &s->simp;
	case HV_MSR_SINT0 ... HV_MSR_SINT15: return &s->sint[msr - HV_MSR_SINT0];
	}
	return NULL;
}

bool synic_read(struct synic *s, u32 msr, u64 *ret)
{
	const u64 *place = register_of(s, msr);

	if (place) {
		*ret = *place;
		return true;
	}
	if (msr >= HV_MSR_STIMER0_CONFIG && msr <= HV_MSR_STIMER3_COUNT) {
		const struct stimer *t = &s->timers[(msr - HV_MSR_STIMER0_CONFIG) / 2];

		*ret = msr & 1 ? t->count : t->config;
		return true;
	}
	*ret = msr == HV_MSR_SVERSION;
	return msr == HV_MSR_SVERSION || msr == HV_MSR_EOM;
}

bool synic_write(struct synic *s, u32 msr, u64 value)
{
	u64 *place = register_of(s, msr);

	if (place) {
		pthread_mutex_lock(&s->lock);
		*place = value;
		pthread_mutex_unlock(&s->lock);
		retry(s);
		return true;
	}
	if (msr >= HV_MSR_STIMER0_CONFIG && msr <= HV_MSR_STIMER3_COUNT) {
		write_timer(s, (msr - HV_MSR_STIMER0_CONFIG) / 2, msr & 1, value);
		return true;
	}
	if (msr == HV_MSR_EOM)
		end_of_message(s);
	return msr == HV_MSR_EOM;
}
