/*
 * A synthetic interrupt controller and its four timers: message slots, event flags, stimers of one VTL of one VP (TLFS
 * chapters 11 and 12.4). Who plays a hypervisor embeds it: pvhost for both VTLs, the firmware for VTL0 where its host offers
 * none.
 *
 * Threads: synic_post(), synic_post_direct(), synic_signal() and synic_free_slots() from any; everything else on the VP's own.
 */
#pragma once

#include <pthread.h>

#include "spec/hv_msr.h"
#include "spec/hv_synic.h"

#define SYNIC_QUEUE_MAX 64u
#define SYNIC_EVENT_FLAGS 2048u

struct synic_ops {
	/* the page of the VTL's memory with this GPA, or NULL: not memory. The lock is held; must not call back. */
	void *(*page)(void *ctx, u64 gpa);
	/* a fixed, edge-triggered interrupt for the VP. auto_eoi: without an in-service bit. Any thread, the lock may be held. */
	void (*interrupt)(void *ctx, u8 vector, bool auto_eoi);
	/* 100 ns units, as the guest's reference counter */
	u64 (*reference_time)(void *ctx);
	/* synic_timer_deadline() may have changed; the VP's thread */
	void (*timers_changed)(void *ctx);
};

struct stimer {
	u64 config, count; /* count: absolute expiry (one-shot) or period */
	u64 next;          /* when it expires, reference time */
	bool undelivered;  /* message mode: the queue was full */
};

struct synic {
	const struct synic_ops *ops;
	void *ctx;
	pthread_mutex_t lock; /* queues and pages */
	u64 scontrol, siefp, simp, sint[HV_SINT_COUNT];
	struct synic_queue {
		u32 first, count;
	} queue[HV_SINT_COUNT];
	struct stimer timers[HV_STIMER_COUNT];
	u64 messages, events; /* delivered or queued, and flags set */
	struct hv_message waiting[HV_SINT_COUNT][SYNIC_QUEUE_MAX]; /* last, since rarely touched */
};

void synic_init(struct synic *s, const struct synic_ops *ops, void *ctx);
void synic_fini(struct synic *s);
/* power-on state; what was queued is gone */
void synic_reset(struct synic *s);

/* queues a message, at most HV_MESSAGE_PAYLOAD_LEN bytes; false: 64 are waiting for that SINT already */
bool synic_post(struct synic *s, u8 sint, u32 type, const void *payload, u32 len);
/* into the slot now or not at all: HV_STATUS_SUCCESS; OBJECT_IN_USE asks the guest for an EOM; INVALID_SYNIC_STATE: no slots */
u16 synic_post_direct(struct synic *s, u8 sint, const struct hv_message *m);
/* sets an event flag below SYNIC_EVENT_FLAGS; true: it was clear before, and the interrupt comes */
bool synic_signal(struct synic *s, u8 sint, u16 flag);
/* those of the SINTs whose slots are free; the guest is asked for an EOM on the others */
u16 synic_free_slots(struct synic *s, u16 sints);

/* HV_MSR_SCONTROL to HV_MSR_EOM, the SINTs and the timers; false: another MSR, or a value that must fault */
bool synic_read(struct synic *s, u32 msr, u64 *ret) __must_check;
bool synic_write(struct synic *s, u32 msr, u64 value) __must_check;

/* reference time of the next expiry; 0: none */
u64 synic_timer_deadline(const struct synic *s);
/* expires what is due */
void synic_timer_check(struct synic *s);
