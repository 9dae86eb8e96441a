/*
 * What an exit of VTL0 costs the worker: everything that its VP's thread does from one return of the run ioctl to the next, for
 * callgrind. Hypervisor and device are memory. usage: bench_exits port|rtc|mmio|msr|apic hypervisor|vmm COUNT
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/task/exec_sim.h"
#include "spec/hv_msr.h"
#include "vmm/hcl/fake.h"
#include "vmm/vp/vp.h"

#define PIC_MASK 0x21u
#define RTC_DATA 0x71u
#define IOAPIC_BASE 0xfec00000u
#define X2APIC_TPR 0x808u

struct bed {
	struct machine machine;
	struct bus bus;
	struct isa isa;
	struct ioapic ioapic;
	struct pic pic;
	struct rtc rtc;
	struct hcl_fake fake;
	struct vp vp;
	void (*exit)(struct bed *);
	long left;
};
static struct bed bed;

static void *message(u32 type, u8 length)
{
	struct hv_message *m = &bed.fake.run.exit_message;
	struct hv_intercept_header *h = (void *)m->payload;

	m->type = type;
	h->instruction_length = length;
	h->cs = bed.fake.page.cs;
	h->rip = bed.fake.page.rip;
	h->rflags = bed.fake.page.rflags;
	return h;
}

static void read_port(u16 port)
{
	struct hv_io_port_intercept *m = message(HVMSG_X64_IO_PORT, 1);

	m->port = port;
	m->access_info = 1;
}

static void pic_mask(struct bed *b)
{
	read_port(PIC_MASK);
}

/* its registers are made out of the host's calendar */
static void rtc_data(struct bed *b)
{
	read_port(RTC_DATA);
}

/* mov (%rbx),%eax */
static void mmio(struct bed *b)
{
	struct hv_memory_intercept *m = message(HVMSG_UNMAPPED_GPA, 0);

	m->gpa = m->gva = b->fake.run.context.rbx = IOAPIC_BASE;
	m->instruction_byte_count = 15;
	memcpy(m->instruction_bytes, "\x8b\x03", 2);
}

static void read_msr(u32 msr)
{
	struct hv_msr_intercept *m = message(HVMSG_X64_MSR, 2);

	m->msr = msr;
}

static void crash_msr(struct bed *b)
{
	read_msr(HV_MSR_CRASH_P0);
}

static void apic_msr(struct bed *b)
{
	read_msr(X2APIC_TPR);
}

static int on_run(struct hcl_fake *f)
{
	if (!bed.left)
		return -EINTR;
	bed.left--;
	bed.exit(&bed);
	return 0;
}

static void deliver(struct ioapic *a, const struct ioapic_message *m) {}
static void output(struct pic *p, bool level) {}

static void event(struct machine *m, enum vp_event e, unsigned vp, const char *text, const struct vp_registers *registers)
{
	fprintf(stderr, "bench_exits: VP %u stops: %s\n", vp, text);
	exit(1);
}

static struct vp *vp_of(struct machine *m, unsigned index)
{
	return &bed.vp;
}

static int set_up(struct sim *sim, bool apics)
{
	struct machine *m = &bed.machine;
	struct exec *exec = sim_exec(sim, "vp0");

	bus_init(&bed.bus);
	ioapic_init(&bed.ioapic);
	pic_init(&bed.pic);
	bed.ioapic.deliver = deliver;
	bed.pic.set_output = output;
	bed.isa = (struct isa){ &bed.ioapic, &bed.pic };
	rtc_init(&bed.rtc, exec, &bed.isa);
	hcl_fake_init(&bed.fake, true);
	bed.fake.on_run = on_run;
	bed.fake.page.efer = BIT(8) | BIT(10);
	bed.fake.page.cs.attributes = 0x209b;
	bed.fake.page.rflags = 2 | BIT(9);
	bed.fake.page.cr0 = 1;
	*m = (struct machine){ .bus = &bed.bus, .ioapic = &bed.ioapic, .pic = &bed.pic, .hcl = &bed.fake.hcl, .event = event,
			       .vp = vp_of };
	int r = guest_create_fake(MiB, 0, &m->guest);

	r = r ? r : bus_attach(&bed.bus, &bed.ioapic.dev);
	r = r ? r : bus_attach(&bed.bus, &bed.pic.dev);
	r = r ? r : bus_attach(&bed.bus, &bed.rtc.dev);
	if (!r && apics)
		r = vp_create_apics(m, 1, &(u32){ 0 });
	vp_init(&bed.vp, m, 0, exec);
	return r ? r : vp_open(&bed.vp);
}

int main(int argc, char **argv)
{
	static const struct { const char *name; void (*exit)(struct bed *); } kinds[] = {
		{ "port", pic_mask }, { "rtc", rtc_data }, { "mmio", mmio }, { "msr", crash_msr }, { "apic", apic_msr },
	};
	struct sim *sim = sim_create(1);

	for (size_t i = 0; argc == 4 && i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(argv[1], kinds[i].name))
			bed.exit = kinds[i].exit;
	bed.left = bed.exit ? strtol(argv[3], NULL, 10) : 0;
	if (bed.left < 1 || !sim || set_up(sim, !strcmp(argv[2], "vmm"))) {
		fprintf(stderr, "usage: bench_exits port|rtc|mmio|msr|apic hypervisor|vmm COUNT\n");
		return 2;
	}
	u64 value = BIT(11) | BIT(10) | 0xfee00000;

	if (bed.machine.apics && vapic_msr(vapics_get(bed.machine.apics, 0), 0x1b, true, &value) != VAPIC_DONE)
		return 1;
	vp_start(&bed.vp);
	for (long runs = bed.left; runs; runs--)
		sim_run(sim, sim_now_ns(sim) + 1000);
	if (bed.left || bed.vp.injected) {
		fprintf(stderr, "bench_exits: %ld exits are left, %llu faults injected\n", bed.left,
			(unsigned long long)bed.vp.injected);
		return 1;
	}
	return 0;
}
