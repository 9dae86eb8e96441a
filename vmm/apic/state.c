/* A local APIC and a SynIC as saved state. Times are kept as what is left of them. */
#include <errno.h>

#include "vmm/apic/internal.h"

#define TAG_LAPIC STATE_TAG('L', 'A', 'P', 'I')
#define TAG_SYNIC STATE_TAG('S', 'Y', 'N', 'I')
#define NONE 0xffffu /* no start-up interrupt waits */

struct saved_lapic {
	u32 id, tpr, ldr, dfr, svr, esr, esr_next, lvt[6], cmci, divide, timer_initial;
	u64 icr, irr[4], level[4], auto_eoi[4], isr[4];
	u64 timer_gone_ns; /* since the timer began to count */
	u64 tsc_deadline, assist_page;
	u16 sipi;
	u8 x2apic, disabled, nmi, init, reserved[2];
};

struct saved_synic {
	u64 scontrol, siefp, simp, sint[HV_SINT_COUNT];
	struct { u64 config, count, next, undelivered; } timers[HV_STIMER_COUNT];
};

static void save_lapic(struct vapic *v, struct saver *s)
{
	struct lapic *a = &v->lapic;
	int sipi = atomic_load(&a->sipi_vector);
	struct saved_lapic out = {
		.id = a->id, .tpr = a->tpr, .ldr = a->ldr, .dfr = a->dfr, .svr = a->svr, .esr = a->esr, .esr_next = a->esr_next,
		.cmci = a->cmci, .divide = a->divide, .timer_initial = a->timer_initial, .icr = a->icr,
		.timer_gone_ns = a->timer_initial ? exec_now_ns(v->exec) - a->timer_start_ns : 0,
		.tsc_deadline = a->tsc_deadline, .assist_page = v->assist_page, .sipi = sipi < 0 ? NONE : (u16)sipi,
		.x2apic = a->x2apic, .disabled = a->disabled, .nmi = atomic_load(&a->nmi_pending),
		.init = atomic_load(&a->init_pending),
	};

	for (unsigned i = 0; i < ARRAY_SIZE(out.lvt); i++)
		out.lvt[i] = a->lvt[i];
	for (unsigned i = 0; i < ARRAY_SIZE(out.irr); i++) {
		out.irr[i] = atomic_load(&a->irr[i]);
		out.level[i] = atomic_load(&a->level[i]);
		out.auto_eoi[i] = atomic_load(&a->auto_eoi[i]);
		out.isr[i] = a->isr[i];
	}
	size_t mark = saver_open(s, TAG_LAPIC, 1, 0);

	saver_put(s, &out, sizeof(out));
	saver_close(s, mark);
}

/*
 * Not everybody who asks a VP for interrupts is held with it (a serial channel's input): what came since the save is kept, and so
 * nothing is cleared here that any thread may set. The 8259s' output is theirs to restore.
 */
static int restore_lapic(struct vapic *v, struct bytes b)
{
	struct lapic *a = &v->lapic;
	struct saved_lapic in;

	if (!bytes_copy(&b, &in, sizeof(in)) || in.id != a->id || (in.sipi > 0xff && in.sipi != NONE) ||
	    (in.x2apic && in.disabled))
		return -EPROTO;
	lapic_withdraw(a);
	a->x2apic = in.x2apic;
	a->disabled = in.disabled;
	a->tpr = in.tpr & 0xff;
	a->ldr = in.ldr;
	a->dfr = in.dfr;
	a->svr = in.svr & 0x1ff;
	a->esr = in.esr;
	a->esr_next = in.esr_next;
	a->cmci = in.cmci;
	a->divide = in.divide & 0xb;
	a->icr = in.icr;
	a->timer_initial = in.timer_initial;
	a->timer_start_ns = exec_now_ns(v->exec) - in.timer_gone_ns;
	a->tsc_deadline = in.tsc_deadline;
	for (unsigned i = 0; i < ARRAY_SIZE(in.lvt); i++)
		a->lvt[i] = in.lvt[i];
	for (unsigned i = 0; i < ARRAY_SIZE(in.irr); i++) {
		atomic_fetch_or(&a->level[i], in.level[i]);
		atomic_fetch_or(&a->auto_eoi[i], in.auto_eoi[i]);
		atomic_fetch_or(&a->irr[i], in.irr[i]);
		a->isr[i] = in.isr[i];
	}
	if (in.nmi)
		lapic_request_nmi(a);
	if (in.init)
		lapic_request_init(a);
	if (in.sipi != NONE)
		lapic_request_sipi(a, (u8)in.sipi);
	vapic_set_assist_page(v, in.assist_page);
	return 0;
}

static void save_synic(struct synic *y, struct saver *s)
{
	struct saved_synic out = { .scontrol = y->scontrol, .siefp = y->siefp, .simp = y->simp };

	for (unsigned i = 0; i < HV_SINT_COUNT; i++)
		out.sint[i] = y->sint[i];
	for (unsigned i = 0; i < HV_STIMER_COUNT; i++) {
		const struct stimer *t = &y->timers[i];

		out.timers[i].config = t->config;
		out.timers[i].count = t->count;
		out.timers[i].next = t->next;
		out.timers[i].undelivered = t->undelivered;
	}
	size_t mark = saver_open(s, TAG_SYNIC, 1, 0);

	saver_put(s, &out, sizeof(out));
	/* messages that wait for their slot: {sint, message} */
	for (u8 sint = 0; sint < HV_SINT_COUNT; sint++)
		for (u32 i = 0; i < y->queue[sint].count; i++) {
			saver_u8(s, sint);
			saver_put(s, &y->waiting[sint][(y->queue[sint].first + i) % SYNIC_QUEUE_MAX],
				  sizeof(struct hv_message));
		}
	saver_close(s, mark);
}

static int restore_messages(struct synic *y, struct bytes b)
{
	u8 sint;

	for (unsigned i = 0; i < HV_SINT_COUNT; i++)
		y->queue[i] = (struct synic_queue){ 0 };
	while (bytes_u8(&b, &sint)) {
		struct synic_queue *q = &y->queue[sint % HV_SINT_COUNT];

		if (sint >= HV_SINT_COUNT || q->count == SYNIC_QUEUE_MAX ||
		    !bytes_copy(&b, &y->waiting[sint][q->count], sizeof(struct hv_message)))
			return -EPROTO;
		q->count++;
	}
	return 0;
}

/* in one piece: whoever signals or posts meanwhile finds pages and SINTs as they were, or as they are to be */
static int restore_synic(struct synic *y, struct bytes b)
{
	struct saved_synic in;

	if (!bytes_copy(&b, &in, sizeof(in)))
		return -EPROTO;
	pthread_mutex_lock(&y->lock);
	y->scontrol = in.scontrol;
	y->siefp = in.siefp;
	y->simp = in.simp;
	for (unsigned i = 0; i < HV_SINT_COUNT; i++)
		y->sint[i] = in.sint[i];
	for (unsigned i = 0; i < HV_STIMER_COUNT; i++)
		y->timers[i] = (struct stimer){ in.timers[i].config, in.timers[i].count, in.timers[i].next,
						in.timers[i].undelivered != 0 };
	int r = restore_messages(y, b);

	pthread_mutex_unlock(&y->lock);
	return r;
}

void vapic_save(struct vapic *v, struct saver *s)
{
	lapic_withdraw(&v->lapic); /* the mark in the guest's memory is not ours to restore */
	save_lapic(v, s);
	save_synic(&v->synic, s);
}

int vapic_restore(struct vapic *v, struct loader l)
{
	struct record record;
	int r = loader_find(l, TAG_LAPIC, 1, &record);

	if (!r)
		r = restore_lapic(v, record.body);
	if (!r)
		r = loader_find(l, TAG_SYNIC, 1, &record);
	if (!r)
		r = restore_synic(&v->synic, record.body);
	if (!r)
		vapic_arm(v);
	return r;
}
