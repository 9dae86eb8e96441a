/* Synthetic interrupt controller: message slots and event flags of each VTL of each VP (TLFS chapter 11). */
#include <string.h>

#include "host/vtl/vp.h"
#include "lib/core/check.h"

void synic_reset(struct synic *s)
{
	s->scontrol = s->siefp = s->simp = 0;
	for (int i = 0; i < HV_SINT_COUNT; i++) {
		s->sint[i] = HV_SINT_MASKED;
		s->queue[i].first = s->queue[i].count = 0;
	}
}

static void raise_sint(struct vp *vp, enum vtl vtl, u8 sint)
{
	u64 value = vp->per[vtl].synic.sint[sint];

	if (value & (HV_SINT_MASKED | HV_SINT_POLLING))
		return;
	lapic_request(&vp->per[vtl].apic, value & HV_SINT_VECTOR, false, value & HV_SINT_AUTO_EOI);
	vp->counters.interrupts[vtl]++;
	vp_kick(vp);
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

static struct hv_message *slot_of(struct vp *vp, enum vtl vtl, u8 sint)
{
	u64 simp = vp->per[vtl].synic.simp;
	struct hv_message *slots = NULL;

	if (simp & HV_MSR_PAGE_ENABLE)
		slots = partition_memory(vp->partition, simp & HV_MSR_PAGE_GPA, PAGE_SIZE, vtl == VTL2);
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
static void fill_slot(struct vp *vp, enum vtl vtl, u8 sint)
{
	struct synic *s = &vp->per[vtl].synic;
	struct synic_queue *q = &s->queue[sint];

	struct hv_message *slot = q->count ? slot_of(vp, vtl, sint) : NULL;

	if (!slot || !slot_free(slot))
		return;
	const struct hv_message *m = &q->messages[q->first];

	q->first = (q->first + 1) % SYNIC_QUEUE_MAX;
	q->count--;
	fill(slot, m, q->count);
	raise_sint(vp, vtl, sint);
}

bool partition_post(struct partition *p, u32 index, enum vtl vtl, u8 sint, u32 type, const void *payload, u32 len)
{
	struct vp *vp = &p->vps[index];
	struct synic *s = &vp->per[vtl].synic;
	struct synic_queue *q = &s->queue[sint];
	bool room;

	CHECK(index < p->vp_count && sint < HV_SINT_COUNT && len <= HV_MESSAGE_PAYLOAD_LEN);
	pthread_mutex_lock(&s->lock);
	room = q->count < SYNIC_QUEUE_MAX;
	if (room) {
		struct hv_message *m = &q->messages[(q->first + q->count++) % SYNIC_QUEUE_MAX];

		memset(m, 0, sizeof(*m));
		m->type = type;
		m->payload_size = (u8)len;
		memcpy(m->payload, payload, len);
		vp->counters.messages++;
		fill_slot(vp, vtl, sint);
	}
	pthread_mutex_unlock(&s->lock);
	return room;
}

bool partition_signal(struct partition *p, u32 index, enum vtl vtl, u8 sint, u16 flag)
{
	struct vp *vp = &p->vps[index];
	struct synic *s = &vp->per[vtl].synic;
	bool fresh = false;

	CHECK(index < p->vp_count && sint < HV_SINT_COUNT && flag < SYNIC_EVENT_FLAGS);
	pthread_mutex_lock(&s->lock);
	struct hv_synic_event_flags *page =
		s->siefp & HV_MSR_PAGE_ENABLE ?
			partition_memory(p, s->siefp & HV_MSR_PAGE_GPA, PAGE_SIZE, vtl == VTL2) : NULL;

	if (page) {
		u64 bit = 1ull << (flag & 63);
		u64 before = __atomic_fetch_or(&page[sint].flags[flag >> 6], bit, __ATOMIC_SEQ_CST);

		vp->counters.events++;
		fresh = !(before & bit);
		if (fresh)
			raise_sint(vp, vtl, sint);
	}
	pthread_mutex_unlock(&s->lock);
	return fresh;
}

u16 synic_post_direct(struct vp *vp, enum vtl vtl, u8 sint, const struct hv_message *m)
{
	struct synic *s = &vp->per[vtl].synic;
	u16 status = HV_STATUS_SUCCESS;

	pthread_mutex_lock(&s->lock);
	struct hv_message *slot = slot_of(vp, vtl, sint);

	if (!slot) {
		status = HV_STATUS_INVALID_SYNIC_STATE;
	} else if (s->queue[sint].count || !slot_free(slot)) {
		status = HV_STATUS_OBJECT_IN_USE;
	} else {
		fill(slot, m, false);
		vp->counters.messages++;
		raise_sint(vp, vtl, sint);
	}
	pthread_mutex_unlock(&s->lock);
	return status;
}

u16 synic_free_slots(struct vp *vp, enum vtl vtl, u16 sints)
{
	struct synic *s = &vp->per[vtl].synic;
	u16 result = 0;

	pthread_mutex_lock(&s->lock);
	for (u8 sint = 0; sint < HV_SINT_COUNT; sint++) {
		struct hv_message *slot = sints >> sint & 1 && !s->queue[sint].count ? slot_of(vp, vtl, sint) : NULL;

		if (slot && slot_free(slot))
			result |= (u16)(1u << sint);
	}
	pthread_mutex_unlock(&s->lock);
	return result;
}

/* slots may have become free, or pages and SINTs usable */
void synic_retry(struct vp *vp, enum vtl vtl)
{
	struct synic *s = &vp->per[vtl].synic;

	pthread_mutex_lock(&s->lock);
	for (u8 sint = 0; sint < HV_SINT_COUNT; sint++)
		fill_slot(vp, vtl, sint);
	pthread_mutex_unlock(&s->lock);
}

void synic_end_of_message(struct vp *vp, enum vtl vtl)
{
	synic_retry(vp, vtl);
	for (int i = 0; i < HV_STIMER_COUNT; i++)
		if (vp->per[vtl].stimers[i].undelivered)
			stimer_check(vp, vtl);
}
