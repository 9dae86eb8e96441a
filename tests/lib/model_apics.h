/* Two VPs whose local APICs and SynICs are played in their own process, each over a fake hypervisor. For one test at a time. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/task/exec_sim.h"
#include "vmm/hcl/fake.h"
#include "vmm/vp/vp.h"

#define MODEL_VPS 2u
#define MODEL_SCRIPT 16u
#define MODEL_IF BIT(9)
/* pages of VTL0 for its SynIC */
#define MODEL_ASSIST 0x5000u
#define MODEL_SLOTS 0x6000u
#define MODEL_FLAGS 0x7000u

static const u32 model_apic_ids[MODEL_VPS] = { 0, 1 };

struct model_cpu {
	struct hcl_fake fake;
	struct hv_message script[MODEL_SCRIPT];
	unsigned next, count, runs;
	struct vp vp;
};

struct model_apics {
	struct sim *sim;
	struct machine machine;
	struct bus bus;
	struct ioapic ioapic;
	struct pic pic;
	struct model_cpu cpus[MODEL_VPS];
	unsigned deliverable;
};
static struct model_apics *bed;

static inline void model_deliver(struct ioapic *a, const struct ioapic_message *m)
{
	vp_assert_interrupt(&bed->machine, m);
}

static inline void model_pic_output(struct pic *p, bool level)
{
	vapics_set_intr(bed->machine.apics, level);
}

static inline void model_event(struct machine *m, enum vp_event e, unsigned vp, const char *text,
			       const struct vp_registers *registers)
{
	fail_msg("%s", text);
}

static inline void model_sints(struct machine *m, unsigned vp, u16 which)
{
	bed->deliverable |= which;
}

static inline struct vp *model_vp_of(struct machine *m, unsigned index)
{
	return &bed->cpus[index].vp;
}

/* VTL0 takes what was injected, and leaves with the next message of the script */
static inline int model_run(struct hcl_fake *f)
{
	struct model_cpu *c = container_of(f, struct model_cpu, fake);

	c->runs++;
	if (c->next == c->count)
		return -EINTR;
	f->run.exit_message = c->script[c->next++ % MODEL_SCRIPT];
	return 0;
}

static inline void model_set(struct model_cpu *c, u32 name, u64 value)
{
	assert_int_equal(hcl_set64(&c->vp.hcl, name, value), 0);
}

static inline u64 model_get(struct model_cpu *c, u32 name)
{
	return hcl_fake_register(&c->fake, name);
}

static inline int model_apics_create(void **state)
{
	bed = calloc(1, sizeof(*bed));
	bed->sim = sim_create(1);
	bus_init(&bed->bus);
	ioapic_init(&bed->ioapic);
	bed->ioapic.deliver = model_deliver;
	pic_init(&bed->pic);
	bed->pic.set_output = model_pic_output;
	bed->machine = (struct machine){ .bus = &bed->bus, .ioapic = &bed->ioapic, .pic = &bed->pic, .event = model_event,
					 .sint_deliverable = model_sints, .vp = model_vp_of };
	if (guest_create_fake(MiB, 0, &bed->machine.guest) || bus_attach(&bed->bus, &bed->ioapic.dev) ||
	    bus_attach(&bed->bus, &bed->pic.dev) || vp_create_apics(&bed->machine, MODEL_VPS, model_apic_ids))
		return -1;
	for (unsigned i = 0; i < MODEL_VPS; i++) {
		struct model_cpu *c = &bed->cpus[i];
		struct machine *m = &bed->machine;

		hcl_fake_init(&c->fake, true);
		c->fake.on_run = model_run;
		c->fake.page.efer = BIT(10);
		c->fake.page.cs.attributes = 0x209b;
		c->fake.page.rflags = 2 | MODEL_IF;
		m->hcl = &c->fake.hcl; /* each VP has a fake of its own */
		vp_init(&c->vp, m, i, sim_exec(bed->sim, i ? "vp1" : "vp0"));
		if (vp_open(&c->vp))
			return -1;
	}
	return 0;
}

static inline int model_apics_destroy(void **state)
{
	vapics_destroy(bed->machine.apics);
	guest_destroy(bed->machine.guest);
	sim_destroy(bed->sim);
	free(bed);
	return 0;
}

static inline void *model_exit(struct model_cpu *c, u32 type)
{
	struct hv_message *m = &c->script[c->count++ % MODEL_SCRIPT];
	struct hv_intercept_header *h = (void *)m->payload;

	memset(m, 0, sizeof(*m));
	m->type = type;
	h->rip = 0x1000;
	h->cs.attributes = 0x209b;
	h->instruction_length = type == HVMSG_X64_HALT ? 0 : 2;
	return m->payload;
}

/* until the VP has nothing left to leave VTL0 with, and has been in it once more */
static inline void model_play(struct model_cpu *c)
{
	vp_start(&c->vp);
	do /* the idle work has one turn each time */
		sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	while (c->next != c->count);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
}

static inline void model_wrmsr(struct model_cpu *c, u32 msr, u64 value)
{
	struct hv_msr_intercept *m = model_exit(c, HVMSG_X64_MSR);

	m->header.access_type = HV_INTERCEPT_ACCESS_WRITE;
	m->msr = msr;
	c->fake.run.context.rax = (u32)value;
	c->fake.run.context.rdx = value >> 32;
	model_play(c);
}

static inline u64 model_rdmsr(struct model_cpu *c, u32 msr)
{
	struct hv_msr_intercept *m = model_exit(c, HVMSG_X64_MSR);

	m->msr = msr;
	model_play(c);
	return (u32)c->fake.run.context.rax | c->fake.run.context.rdx << 32;
}

static inline void model_x2apic(struct model_cpu *c)
{
	model_wrmsr(c, 0x1b, 0xfee00c00);
	model_wrmsr(c, 0x80f, 0x1ff);
}

/* what the hypervisor was told to inject; as if VTL0 had taken it */
static inline int model_injected(struct model_cpu *c)
{
	u64 e = model_get(c, HV_REGISTER_PENDING_EVENT0);

	if (!(e & HV_EVENT_PENDING))
		return -1;
	assert_int_equal(FIELD_GET(HV_EVENT_TYPE, e), HV_EVENT_TYPE_EXTINT);
	model_set(c, HV_REGISTER_PENDING_EVENT0, 0);
	return FIELD_GET(HV_EVENT_EXTINT_VECTOR, e);
}

static inline void model_assert_vector(u8 vector, u32 destination)
{
	vp_assert_interrupt(&bed->machine, &(struct ioapic_message){ .destination = destination, .vector = vector });
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
}
