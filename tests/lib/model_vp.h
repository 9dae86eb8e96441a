/* A VP over the fake hypervisor: a script of exits, and a device that answers late. For one test at a time. */
#pragma once

#include <errno.h>
#include <stdlib.h>

#include "lib/task/exec_sim.h"
#include "vmm/hcl/fake.h"
#include "vmm/vp/vp.h"

/* at port 500h and at d0000000h: reads wait for io_complete(token) where the caller can wait, writes if slow_writes */
struct model_slow {
	struct device dev;
	struct io_token *token;
	u64 written;
	bool slow_writes;
	unsigned size;
};

struct model_vp {
	struct sim *sim;
	struct hcl_fake fake;
	struct machine machine;
	struct bus bus;
	struct ioapic ioapic;
	struct model_slow slow;
	struct vp vp;
	struct hv_message script[8];
	unsigned next, count, events;
	enum vp_event last_event;
	struct vp_registers last_registers;
};
static struct model_vp *bed;

static inline enum io_status model_slow_access(struct device *dev, unsigned region, struct io_access *io)
{
	struct model_slow *s = container_of(dev, struct model_slow, dev);

	s->size = io->size;
	if (io->write) {
		s->written = io->value;
		s->token = io->token;
		return s->slow_writes ? IO_PENDING : IO_OK;
	}
	if (!io->token) {
		io->value = 0x5a;
		return IO_OK;
	}
	s->token = io->token;
	return IO_PENDING;
}

static const struct device_ops model_slow_ops = { .access = model_slow_access };
static const struct region model_slow_regions[] = { { "p", SPACE_PIO, 0x500, 4 }, { "m", SPACE_MMIO, 0xd0000000, 0x1000 } };

static inline void model_deliver(struct ioapic *a, const struct ioapic_message *m)
{
}

static inline void model_event(struct machine *m, enum vp_event e, unsigned vp, const char *text,
			       const struct vp_registers *registers)
{
	bed->last_registers = registers ? *registers : (struct vp_registers){ 0 };
	bed->events++;
	bed->last_event = e;
}

static inline int model_run(struct hcl_fake *f)
{
	if (bed->next == bed->count)
		return -EINTR;
	f->run.exit_message = bed->script[bed->next++];
	return 0;
}

static inline int model_vp_create(void **state)
{
	bed = calloc(1, sizeof(*bed));
	bed->sim = sim_create(1);
	hcl_fake_init(&bed->fake, true);
	bed->fake.on_run = model_run;
	bed->fake.page.efer = BIT(10);
	bed->fake.page.cs.attributes = 0x209b;
	bus_init(&bed->bus);
	ioapic_init(&bed->ioapic);
	bed->ioapic.deliver = model_deliver;
	bed->slow.dev = (struct device){ .name = "slow", .ops = &model_slow_ops, .regions = model_slow_regions,
					 .region_count = ARRAY_SIZE(model_slow_regions) };
	bed->machine = (struct machine){ .hcl = &bed->fake.hcl, .bus = &bed->bus, .ioapic = &bed->ioapic, .event = model_event };
	if (guest_create_fake(MiB, 0, &bed->machine.guest) || bus_attach(&bed->bus, &bed->slow.dev) ||
	    bus_attach(&bed->bus, &bed->ioapic.dev))
		return -1;
	vp_init(&bed->vp, &bed->machine, 0, sim_exec(bed->sim, "vp0"));
	return vp_open(&bed->vp);
}

static inline int model_vp_destroy(void **state)
{
	guest_destroy(bed->machine.guest);
	sim_destroy(bed->sim);
	free(bed);
	return 0;
}

/* the next exit of the script; its payload, to be filled in */
static inline void *model_exit(u32 type)
{
	struct hv_message *m = &bed->script[bed->count++];
	struct hv_intercept_header *h = (void *)m->payload;

	m->type = type;
	h->rip = 0x1000;
	h->cs.attributes = 0x209b;
	h->instruction_length = 1;
	return m->payload;
}

/* until the script is used up: the idle work has one turn each time */
static inline void model_play(void)
{
	vp_start(&bed->vp);
	for (int i = 0; i < 20; i++)
		sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
}
