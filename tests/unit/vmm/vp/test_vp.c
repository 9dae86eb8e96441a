#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/log/log.h"
#include "lib/task/exec_sim.h"
#include "vmm/hcl/fake.h"
#include "vmm/vp/vp.h"

struct slow { struct device dev; struct io_token *token; u64 written; bool slow_writes; unsigned size; };

struct bed {
	struct sim *sim;
	struct hcl_fake fake;
	struct machine machine;
	struct bus bus;
	struct ioapic ioapic;
	struct slow slow;
	struct vp vp;
	struct hv_message script[8];
	unsigned next, count, events;
	enum vp_event last_event;
	struct vp_registers last_registers;
};
static struct bed *bed;

static enum io_status slow_access(struct device *dev, unsigned region, struct io_access *io)
{
	struct slow *s = container_of(dev, struct slow, dev);

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
static const struct device_ops slow_ops = { .access = slow_access };
static const struct region slow_regions[] = { { "p", SPACE_PIO, 0x500, 4 }, { "m", SPACE_MMIO, 0xd0000000, 0x1000 } };

static void deliver(struct ioapic *a, const struct ioapic_message *m) {}
static void event(struct machine *m, enum vp_event e, unsigned vp, const char *text, const struct vp_registers *registers)
{
	bed->last_registers = registers ? *registers : (struct vp_registers){ 0 };
	bed->events++;
	bed->last_event = e;
}

static int on_run(struct hcl_fake *f)
{
	if (bed->next == bed->count)
		return -EINTR;
	f->run.exit_message = bed->script[bed->next++];
	return 0;
}

static int set_up(void **state)
{
	bed = calloc(1, sizeof(*bed));
	bed->sim = sim_create(1);
	hcl_fake_init(&bed->fake, true);
	bed->fake.on_run = on_run;
	bed->fake.page.efer = BIT(10);
	bed->fake.page.cs.attributes = 0x209b;
	bus_init(&bed->bus);
	ioapic_init(&bed->ioapic);
	bed->ioapic.deliver = deliver;
	bed->slow.dev = (struct device){ .name = "slow", .ops = &slow_ops, .regions = slow_regions, .region_count = 2 };
	bed->machine = (struct machine){ .hcl = &bed->fake.hcl, .bus = &bed->bus, .ioapic = &bed->ioapic, .event = event };
	if (guest_create_fake(MiB, 0, &bed->machine.guest) || bus_attach(&bed->bus, &bed->slow.dev) ||
	    bus_attach(&bed->bus, &bed->ioapic.dev))
		return -1;
	vp_init(&bed->vp, &bed->machine, 0, sim_exec(bed->sim, "vp0"));
	return vp_open(&bed->vp);
}

static int tear_down(void **state)
{
	guest_destroy(bed->machine.guest);
	sim_destroy(bed->sim);
	free(bed);
	return 0;
}

static void *add(u32 type)
{
	struct hv_message *m = &bed->script[bed->count++];
	struct hv_intercept_header *h = (void *)m->payload;

	m->type = type;
	h->rip = 0x1000;
	h->cs.attributes = 0x209b;
	h->instruction_length = 1;
	return m->payload;
}

/* one run() per idle wait: wait for the script to be used up */
static void play(void)
{
	vp_start(&bed->vp);
	for (int i = 0; i < 20; i++)
		sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
}

static void port_io_costs_no_hypercall(void **state)
{
	struct hv_io_port_intercept *m = add(HVMSG_X64_IO_PORT);

	m->port = 0x500;
	m->access_info = 1;
	m->header.access_type = HV_INTERCEPT_ACCESS_WRITE;
	bed->fake.run.context.rax = 0x1177;
	m = add(HVMSG_X64_IO_PORT);
	m->port = 0x1234;
	m->access_info = 2;
	play();
	assert_int_equal(bed->slow.written, 0x77);
	assert_int_equal(bed->fake.run.context.rax, 0xffff);
	assert_int_equal(bed->fake.page.rip, 0x1001);
	assert_true(bed->fake.page.dirty & HV_REGISTER_CLASS_IP);
	assert_int_equal(bed->vp.hcl.register_calls, 0);
	assert_int_equal(bed->fake.call_count, 0);
	assert_int_equal(bed->vp.exits[EXIT_IO], 2);
}

static void a_slow_device_parks_the_vp(void **state)
{
	struct hv_io_port_intercept *m = add(HVMSG_X64_IO_PORT);

	m->port = 0x500;
	m->access_info = 4;
	add(HVMSG_X64_CPUID);
	play();
	assert_int_equal(bed->next, 1);
	io_complete(bed->slow.token, 0xabcd);
	play();
	assert_int_equal(bed->next, 2);
	assert_int_equal(bed->vp.exits[EXIT_CPUID], 1);
}

static struct hv_memory_intercept *add_mmio(const char *bytes, u8 count, u64 gpa, u8 access)
{
	struct hv_memory_intercept *m = add(HVMSG_UNMAPPED_GPA);

	m->gpa = m->gva = gpa;
	m->access_info = 3;
	m->instruction_byte_count = count;
	m->header.access_type = access;
	memcpy(m->instruction_bytes, bytes, count);
	return m;
}

static void mmio_is_emulated(void **state)
{
	bed->fake.run.context.rcx = 0xd0000000;
	bed->fake.run.context.rax = 0x99;
	add_mmio("\x89\x01", 2, 0xd0000000, 1);
	add_mmio("\x8b\x01", 2, 0xd0000000, 0); /* waits */
	play();
	assert_int_equal(bed->slow.written, 0x99);
	assert_non_null(bed->slow.token);
	io_complete(bed->slow.token, 0x12345678);
	play();
	assert_int_equal(bed->fake.run.context.rax, 0x12345678);
	assert_int_equal(bed->fake.page.rip, 0x1002);
	assert_int_equal(bed->vp.hcl.register_calls, 0);
}

static void instructions_are_fetched_when_the_message_has_none(void **state)
{
	const u8 code[] = { 0x89, 0x01 };

	bed->fake.run.context.rcx = 0xd0000000;
	bed->fake.run.context.rax = 0x42;
	assert_int_equal(guest_write(bed->machine.guest, 0x1000, code, 2), 0); /* paging is off in this bed */
	add_mmio("", 0, 0xd0000000, 1);
	play();
	assert_int_equal(bed->slow.written, 0x42);
	add_mmio("\x89", 1, 0xd0000000, 1); /* or not all of it */
	bed->slow.written = 0;
	play();
	assert_int_equal(bed->slow.written, 0x42);
	add_mmio("\x0f\x0b", 2, 0xd0000000, 1);
	play();
	assert_int_equal(bed->vp.not_emulated, 1);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_REGISTER_PENDING_EVENT0) >> 16 & 0xff, 6);
}

/* linear 40000000h: the device, RAM at 5000h, nothing, RAM at 6000h that may only be read */
static void with_paging(void)
{
	static const u64 tables[][3] = { { 0x10000, 0, 0x11003 }, { 0x11000, 1, 0x12003 }, { 0x12000, 0, 0x13003 },
					 { 0x13000, 0, 0xd0000003 }, { 0x13000, 1, 0x5003 }, { 0x13000, 3, 0x6001 } };

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		assert_int_equal(guest_write(bed->machine.guest, tables[i][0] + tables[i][1] * 8, &tables[i][2], 8), 0);
	bed->fake.page.cr0 = 0x80010001u;
	bed->fake.page.cr3 = 0x10000;
}

/* at linear 40000000h + offset */
static struct hv_memory_intercept *add_paged(const char *bytes, u8 count, u64 offset, u8 access)
{
	struct hv_memory_intercept *m = add_mmio(bytes, count, 0xd0000000 + (offset & 0xfff), access);

	m->gva = 0x40000000 + offset;
	bed->fake.run.context.rcx = m->gva;
	return m;
}

static u64 injected(void)
{
	return hcl_fake_register(&bed->fake, HV_REGISTER_PENDING_EVENT0);
}

static void an_operand_may_lie_in_two_pages(void **state)
{
	u16 word = 0x5678;

	with_paging();
	assert_int_equal(guest_write(bed->machine.guest, 0x5000, &word, 2), 0);
	add_paged("\x8b\x01", 2, 0xffe, 0); /* mov eax,[rcx]: half device, half RAM */
	play();
	assert_int_equal(bed->slow.size, 2);
	io_complete(bed->slow.token, 0x1234);
	play();
	assert_int_equal(bed->fake.run.context.rax, 0x56781234);
	bed->fake.run.context.rax = 0xaabbccdd;
	add_paged("\x89\x01", 2, 0xffd, 1); /* 3 bytes for the device: no size it knows */
	play();
	assert_int_equal(bed->slow.dev.writes, 2);
	assert_int_equal(bed->slow.written, 0xbbcc);
	assert_int_equal(guest_read(bed->machine.guest, 0x5000, &word, 2), 0);
	assert_int_equal(word, 0x56aa);
	/* the second page may not be written: nothing is */
	struct hv_memory_intercept *m = add_paged("\x89\x01", 2, 0x1ffe, 1);

	m->access_info = 0; /* the intercept does not say where */
	play();
	assert_int_equal(injected(), 1 | 1 << 8 | 14 << 16 | 2ull << 32);
	assert_int_equal(bed->fake.run.context.cr2, 0x40002000);
	assert_int_equal(guest_read(bed->machine.guest, 0x5ffe, &word, 2), 0);
	assert_int_equal(word, 0);
}

/* its read and its write are answered late, and each is made once */
static void a_device_may_answer_late_twice(void **state)
{
	bed->slow.slow_writes = true;
	bed->fake.run.context.rcx = 0xd0000000;
	add_mmio("\x83\x01\x01", 3, 0xd0000000, 1); /* add dword [rcx],1 */
	play();
	io_complete(bed->slow.token, 5);
	play();
	assert_int_equal(bed->slow.written, 6);
	assert_int_equal(bed->fake.page.rip, 0);
	io_complete(bed->slow.token, 0);
	play();
	assert_int_equal(bed->fake.page.rip, 0x1003);
	assert_int_equal(bed->slow.dev.reads, 1);
	assert_int_equal(bed->slow.dev.writes, 1);
	/* each iteration of a rep stands as it is done */
	bed->slow.slow_writes = false;
	bed->fake.run.context.rsi = 0xd0000000;
	bed->fake.run.context.rdi = 0x5000;
	bed->fake.run.context.rcx = 2;
	add_mmio("\xf3\xa4", 2, 0xd0000000, 0); /* rep movsb */
	play();
	io_complete(bed->slow.token, 0x41);
	play();
	assert_int_equal(bed->fake.run.context.rcx, 1);
	io_complete(bed->slow.token, 0x42);
	play();
	u16 word = 0;

	assert_int_equal(guest_read(bed->machine.guest, 0x5000, &word, 2), 0);
	assert_int_equal(word, 0x4241);
	assert_int_equal(bed->fake.run.context.rcx, 0);
	assert_int_equal(bed->slow.dev.reads, 3);
	assert_int_equal(bed->fake.page.rip, 0x1002);
}

static void faults_and_traps_of_instructions(void **state)
{
	struct hv_memory_intercept *m;

	bed->fake.run.context.rcx = 1ull << 63;
	add_mmio("\x89\x01", 2, 0xd0000000, 1);
	play();
	assert_int_equal(injected(), 1 | 1 << 8 | 13 << 16);
	bed->fake.run.context.rcx = 0xd0000000;
	add_mmio("\xf0\x89\x01", 3, 0xd0000000, 1); /* lock mov */
	play();
	assert_int_equal(injected(), 1 | 6 << 16);
	assert_int_equal(bed->slow.dev.writes, 0);
	/* single step: after the instruction, after each iteration of a rep */
	m = add_mmio("\x89\x01", 2, 0xd0000000, 1);
	m->header.rflags = 0x10102;
	play();
	assert_int_equal(injected(), 1 | 1 << 16);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_DR6), 0x4000);
	assert_int_equal(bed->fake.page.rip, 0x1002);
	assert_int_equal(bed->fake.page.rflags, 0x102); /* RF is gone */
	bed->fake.run.context.rdi = 0xd0000000;
	bed->fake.run.context.rcx = 3;
	m = add_mmio("\xf3\xaa", 2, 0xd0000000, 1);
	m->header.rflags = 0x102;
	play();
	assert_int_equal(bed->fake.run.context.rcx, 2);
}

static void wide_and_locked_operands(void **state)
{
	u64 xmm[2] = { 0x1111222233334444, 0x5555666677778888 };
	u32 count = 7;

	bed->fake.run.context.rcx = 0xd0000000;
	memcpy(bed->fake.run.context.fx_state + 160 + 16, xmm, 16);
	add_mmio("\x0f\x11\x09", 3, 0xd0000000, 1); /* movups [rcx],xmm1 */
	play();
	assert_int_equal(bed->slow.dev.writes, 2);
	assert_int_equal(bed->slow.written, xmm[1]);
	assert_int_equal(guest_write(bed->machine.guest, 0x5000, xmm, 16), 0);
	bed->fake.run.context.rcx = 0x5000;
	add_mmio("\x0f\x28\x39", 3, 0x5000, 0); /* movaps xmm7,[rcx] */
	play();
	assert_memory_equal(bed->fake.run.context.fx_state + 160 + 7 * 16, xmm, 16);
	assert_int_equal(guest_write(bed->machine.guest, 0x5000, &count, 4), 0);
	add_mmio("\xf0\xff\x01", 3, 0x5000, 1); /* lock inc dword [rcx] */
	play();
	assert_int_equal(guest_read(bed->machine.guest, 0x5000, &count, 4), 0);
	assert_int_equal(count, 8);
}

static void msrs(void **state)
{
	struct hv_msr_intercept *m = add(HVMSG_X64_MSR);

	m->msr = 0x8b;
	m->header.instruction_length = 0; /* a host that does not say */
	play();
	assert_int_equal(bed->fake.page.rip, 0x1002);
	m = add(HVMSG_X64_MSR);
	m->msr = 0x8b;
	m->header.instruction_length = 3; /* RDMSR with a prefix */
	play();
	assert_int_equal(bed->fake.page.rip, 0x1003);
	assert_int_equal(bed->fake.run.context.rdx, 0xffffffff);
	m = add(HVMSG_X64_MSR);
	m->msr = 0x12345;
	play();
	u64 e = hcl_fake_register(&bed->fake, HV_REGISTER_PENDING_EVENT0);

	assert_int_equal(e & 0xffffff, 1 | 1 << 8 | 13 << 16);
	bed->fake.run.context.rax = 0;
	bed->fake.run.context.rdx = 0x80000000;
	m = add(HVMSG_X64_MSR);
	m->msr = 0x40000105;
	m->header.access_type = 1;
	play();
	assert_int_equal(bed->last_event, VP_GUEST_CRASH);
	assert_int_equal(bed->last_registers.count, 6);
	assert_int_equal(bed->last_registers.all[5].name, HV_REGISTER_GUEST_CRASH_CTL);
	assert_int_equal(bed->last_registers.all[5].value[0], 1ull << 63);
	/* again at once: counted, not told */
	unsigned events = bed->events;

	m = add(HVMSG_X64_MSR);
	m->msr = 0x40000105;
	m->header.access_type = 1;
	play();
	assert_int_equal(bed->events, events);
	assert_int_equal(bed->vp.crashes, 2);
}

static char crash_log[16][128];
static unsigned crash_lines;

static void keep_line(enum log_level level, const char *domain, const char *text)
{
	if (!strncmp(text, "guest: ", 7) || strstr(text, "crash text"))
		snprintf(crash_log[crash_lines++ % 16], sizeof(crash_log[0]), "%s", text);
}

static void crash_with_a_text(u64 gpa, u64 len)
{
	struct hv_msr_intercept *m;

	usleep(1010000); /* reports come once a second at most */
	crash_lines = 0;
	bed->machine.crash[3] = gpa;
	bed->machine.crash[4] = len;
	bed->fake.run.context.rax = 0;
	bed->fake.run.context.rdx = 0xc0000000;
	m = add(HVMSG_X64_MSR);
	m->msr = 0x40000105;
	m->header.access_type = 1;
	play();
}

static void a_guests_last_words(void **state)
{
	static const char words[] = "Oops\n\nat \033[1m here\nend";

	log_set_sink(keep_line);
	assert_int_equal(guest_write(bed->machine.guest, 0x3000, words, sizeof(words)), 0);
	crash_with_a_text(0x3000, sizeof(words));
	assert_int_equal(crash_lines, 3);
	assert_string_equal(crash_log[0], "guest: Oops");
	assert_string_equal(crash_log[1], "guest: at .[1m here");
	assert_string_equal(crash_log[2], "guest: end");
	crash_with_a_text(0x3000, ~0ull); /* a page of it, no more */
	assert_int_equal(crash_lines, 3);
	crash_with_a_text(~0ull - 5, 10);
	assert_int_equal(crash_lines, 1);
	assert_non_null(strstr(crash_log[0], "not in the guest's memory"));
}

static void hypercalls_and_the_end(void **state)
{
	struct hv_hypercall_intercept *m = add(HVMSG_HYPERCALL_INTERCEPT);

	m->rcx = HVCALL_POST_MESSAGE;
	m->header.instruction_length = 0; /* not told: VMCALL has 3 bytes */
	play();
	assert_int_equal(bed->fake.run.context.rax, HV_STATUS_INVALID_CONNECTION_ID);
	assert_int_equal(bed->fake.page.rip, 0x1003);
	m = add(HVMSG_HYPERCALL_INTERCEPT);
	m->header.instruction_length = 2; /* a hypercall page without VMCALL */
	m->rcx = HVCALL_POST_MESSAGE;
	play();
	assert_int_equal(bed->fake.page.rip, 0x1002);
	struct hv_apic_eoi *eoi = add(HVMSG_X64_APIC_EOI);

	*eoi = (struct hv_apic_eoi){ 0, 0x30 };
	add(HVMSG_UNRECOVERABLE_EXCEPTION);
	add(HVMSG_X64_CPUID);
	play();
	assert_int_equal(bed->ioapic.eois, 1);
	assert_int_equal(bed->last_event, VP_TRIPLE_FAULT);
	assert_true(bed->last_registers.count >= 28);
	assert_int_equal(bed->last_registers.all[0].name, HV_X64_REGISTER_RIP);
	assert_int_equal(bed->last_registers.all[0].value[0], bed->fake.page.rip);
	bed->vp.stopped = true;
	assert_int_equal(bed->next, 4);
}

static struct hv_post_message last_post;
static u64 last_signal;

static u16 take_post(struct machine *m, const struct hv_post_message *message)
{
	last_post = *message;
	return HV_STATUS_SUCCESS;
}

static u16 take_signal(struct machine *m, u32 connection, u16 flag)
{
	last_signal = (u64)flag << 32 | connection;
	return HV_STATUS_SUCCESS;
}

static u16 last_sints;
static void take_sints(struct machine *m, unsigned vp, u16 sints)
{
	last_sints = sints;
}

static u64 hypercall(u64 control, u64 rdx)
{
	struct hv_hypercall_intercept *m = add(HVMSG_HYPERCALL_INTERCEPT);

	m->rcx = control;
	m->rdx = rdx;
	play();
	return bed->fake.run.context.rax;
}

static void posts_and_signals_reach_the_machine(void **state)
{
	const struct hv_post_message message = { .connection_id = 4, .message_type = 1, .payload_size = 8, .payload = "payload" };
	struct hv_post_message too_long = { .payload_size = 241 };

	bed->machine.post_message = take_post;
	bed->machine.signal_event = take_signal;
	bed->machine.sint_deliverable = take_sints;
	assert_int_equal(guest_write(bed->machine.guest, 0x3000, &message, sizeof(message)), 0);
	assert_int_equal(guest_write(bed->machine.guest, 0x4000, &too_long, sizeof(too_long)), 0);
	assert_int_equal(hypercall(HVCALL_POST_MESSAGE, 0x3000), 0);
	assert_memory_equal(&last_post, &message, sizeof(message));
	assert_int_equal(hypercall(HVCALL_SIGNAL_EVENT | HV_HYPERCALL_FAST, 0x700002001), 0);
	assert_int_equal(last_signal, 0x700002001);
	/* wrong in turn: a length, alignment, a page crossed, no memory, fast input */
	assert_int_equal(hypercall(HVCALL_POST_MESSAGE, 0x4000), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(hypercall(HVCALL_POST_MESSAGE, 0x3004), HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(hypercall(HVCALL_POST_MESSAGE, 0x3f08), HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(hypercall(HVCALL_POST_MESSAGE, GiB), HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(hypercall(HVCALL_POST_MESSAGE | HV_HYPERCALL_FAST, 0x3000), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

static void free_slots_are_asked_for_and_told(void **state)
{
	struct hv_sint_deliverable *m = add(HVMSG_SYNIC_SINT_DELIVERABLE);
	const struct hv_message message = { .type = HVMSG_VMBUS, .payload_size = 8 };
	struct hv_post_message_direct in;

	bed->machine.sint_deliverable = take_sints;
	vp_want_sint(&bed->vp, 2);
	m->sints = 4;
	play();
	assert_int_equal(hcl_fake_register(&bed->fake, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), 4ull << 48);
	assert_int_equal(last_sints, 4);
	assert_int_equal(vp_post_message(&bed->machine, 3, 2, &message), 0);
	memcpy(&in, hcl_fake_last(&bed->fake, HVCALL_POST_MESSAGE_DIRECT)->in, sizeof(in));
	assert_int_equal(in.vp_index, 3);
	assert_int_equal(in.sint, 2);
	assert_memory_equal(in.message, &message, sizeof(message));
	bed->fake.status = HV_STATUS_OBJECT_IN_USE;
	assert_int_equal(vp_post_message(&bed->machine, 3, 2, &message), HV_STATUS_OBJECT_IN_USE);
	bed->fake.status = 0;
	vp_signal_event(&bed->machine, 1, 2, 77);
	assert_int_equal(((struct hv_signal_event_direct *)hcl_fake_last(&bed->fake, HVCALL_SIGNAL_EVENT_DIRECT)->in)->flag, 77);
}

static void string_output(void **state)
{
	struct hv_io_port_intercept *m = add(HVMSG_X64_IO_PORT);

	assert_int_equal(guest_write(bed->machine.guest, 0x2000, "abc", 3), 0);
	m->port = 0x500;
	m->access_info = 1 | HV_IO_STRING | HV_IO_REP;
	m->header.access_type = 1;
	m->header.instruction_length = 2;
	bed->fake.run.context.rsi = 0x2000;
	bed->fake.run.context.rcx = 3;
	play();
	assert_int_equal(bed->slow.written, 'c');
	assert_int_equal(bed->fake.run.context.rsi, 0x2003);
	assert_int_equal(bed->fake.run.context.rcx, 0);
	assert_int_equal(bed->fake.page.rip, 0x1002);
}

/* what the port gave goes nowhere while there is no place for it: a data port would have lost it */
static void string_input(void **state)
{
	struct hv_io_port_intercept *m = add(HVMSG_X64_IO_PORT);
	u8 got[3] = { 0 };

	m->port = 0x500;
	m->access_info = 1 | HV_IO_STRING | HV_IO_REP;
	m->header.instruction_length = 2;
	bed->fake.run.context.rdi = 0x2000;
	bed->fake.run.context.rcx = 3;
	play();
	assert_int_equal(guest_read(bed->machine.guest, 0x2000, got, 3), 0);
	assert_int_equal(got[0] & got[1] & got[2], 0x5a);
	assert_int_equal(bed->fake.run.context.rdi, 0x2003);
	assert_int_equal(bed->fake.run.context.rcx, 0);
	assert_int_equal(bed->slow.dev.reads, 3);

	m = add(HVMSG_X64_IO_PORT);
	m->port = 0x500;
	m->access_info = 1 | HV_IO_STRING | HV_IO_REP;
	m->header.instruction_length = 2;
	bed->fake.page.cr0 = 0x80000001u; /* its tables at 4000h are empty */
	bed->fake.page.cr3 = 0x4000;
	bed->fake.run.context.rcx = 3;
	u64 injected = bed->vp.injected;

	play();
	assert_int_equal(bed->vp.injected, injected + 1);
	assert_int_equal(bed->slow.dev.reads, 3);
	assert_int_equal(bed->fake.run.context.rcx, 3);
}

static void set_up_calls(void **state)
{
	assert_int_equal(vp_install_intercepts(&bed->fake.hcl, false), 0);
	assert_int_equal(bed->fake.call_count, 5);
	struct hv_install_intercept *in = (void *)bed->fake.calls[0].in;

	assert_int_equal(in->intercept_type, HV_INTERCEPT_IO_PORT_RANGE);
	assert_int_equal(in->parameter, 0xffff0000);
	bed->fake.refuse_code = HVCALL_REGISTER_INTERCEPT_RESULT;
	struct cpuid_changes cpuid;
	char why[160];

	assert_int_equal(vp_configure_cpuid(false, NULL, &cpuid, why, sizeof(why)), 0);
	assert_int_equal(vp_register_cpuid(&bed->fake.hcl, &cpuid), 0); /* VTL0 sees more than it needs to */
	assert_int_equal(vp_configure_cpuid(true, NULL, &cpuid, why, sizeof(why)), 0);
	assert_int_equal(vp_register_cpuid(&bed->fake.hcl, &cpuid), -EIO); /* VTL0 would lack what it is promised */
	bed->fake.refuse_code = 0;
	assert_int_equal(vp_configure_cpuid(true, "-x2apic,-avx2", &cpuid, why, sizeof(why)), 0);
	assert_int_equal(vp_register_cpuid(&bed->fake.hcl, &cpuid), 0);
	struct hv_register_intercept_result *leaf = (void *)hcl_fake_last(&bed->fake, HVCALL_REGISTER_INTERCEPT_RESULT)->in;

	assert_int_equal(leaf->parameters.eax, 7);
	assert_int_equal(leaf->parameters.subleaf_specific, 1);
	assert_int_equal(leaf->parameters.result.ebx_mask, 1 << 5);
	assert_int_equal(leaf->parameters.result.ebx, 0);
	/* the policy's word counts, not that of the APIC played here */
	assert_int_equal(cpuid.all[0].leaf, 1);
	assert_int_equal(cpuid.all[0].mask[CPUID_ECX], 1 << 21 | 1 << 24);
	assert_int_equal(cpuid.all[0].value[CPUID_ECX], 1 << 24);
	assert_int_equal(vp_configure_cpuid(false, "-lm", &cpuid, why, sizeof(why)), -EINVAL);
	struct ioapic_message m = { .destination = 2, .vector = 0x31, .level = true };

	vp_assert_interrupt(&bed->machine, &m);
	struct hv_assert_virtual_interrupt *a = (void *)hcl_fake_last(&bed->fake, HVCALL_ASSERT_VIRTUAL_INTERRUPT)->in;

	assert_int_equal(a->destination, 2);
	assert_int_equal(a->control, 1);
}

/* on a running VP's thread a signal waits for the next entry; a VP that stops sends what waits */
static void signals_go_with_the_return(void **state)
{
	const struct hv_vtl_return_signal_event *first = (const void *)bed->fake.run.vtl_ret_actions;

	bed->fake.registers[bed->fake.register_count].name = HV_REGISTER_VSM_CAPABILITIES;
	bed->fake.registers[bed->fake.register_count++].value.u64[0] = HV_VSM_CAP_RETURN_ACTION;
	assert_int_equal(vp_open(&bed->vp), 0);
	vp_signal_event(&bed->machine, 3, 2, 7);
	assert_int_equal(bed->fake.call_count, 1); /* VTL0 does not run yet */
	vp_start(&bed->vp);
	vp_signal_event(&bed->machine, 3, 2, 7);
	vp_signal_event(&bed->machine, 3, 2, 7);
	vp_signal_event(&bed->machine, 1, 2, 9);
	assert_int_equal(bed->fake.call_count, 1);
	assert_int_equal(bed->fake.run.vtl_ret_action_size, 32);
	assert_int_equal(first[0].action_type, HV_VTL_RETURN_SIGNAL_EVENT);
	assert_int_equal(first[0].vp_index, 3);
	assert_int_equal(first[0].sint, 2);
	assert_int_equal(first[0].flag, 7);
	assert_int_equal(first[1].vp_index, 1);
	vp_stop(&bed->vp);
	assert_int_equal(bed->fake.run.vtl_ret_action_size, 0);
	assert_int_equal(bed->fake.call_count, 3);
	vp_start(&bed->vp);
	for (u16 i = 0; i < 20; i++)
		vp_signal_event(&bed->machine, 0, 2, i);
	assert_int_equal(bed->fake.call_count, 3 + 4); /* there is room for 16 */
}

/* a hypervisor that fills none is asked for each, the stack pointer as well */
static void a_push_without_a_register_page(void **state)
{
	const union hv_register_value code = { .segment = { .attributes = 0x209b } };
	u64 pushed = 1;

	bed->fake.page.valid = 0;
	assert_int_equal(hcl_set64(&bed->vp.hcl, HV_X64_REGISTER_EFER, BIT(10)), 0);
	assert_int_equal(hcl_set(&bed->vp.hcl, HV_X64_REGISTER_CS, &code), 0);
	assert_int_equal(hcl_set64(&bed->vp.hcl, HV_X64_REGISTER_RSP, 0x7000), 0);
	bed->fake.run.context.rcx = 0xfec00000;
	add_mmio("\xff\x31", 2, 0xfec00000, 0); /* push qword [rcx] */
	play();
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_RSP), 0x6ff8);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_RIP), 0x1002);
	assert_int_equal(guest_read(bed->machine.guest, 0x6ff8, &pushed, 8), 0);
	assert_int_equal(pushed, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(signals_go_with_the_return), TEST(port_io_costs_no_hypercall), TEST(a_slow_device_parks_the_vp),
			TEST(mmio_is_emulated),
		TEST(a_push_without_a_register_page),
		TEST(an_operand_may_lie_in_two_pages), TEST(a_device_may_answer_late_twice),
		TEST(faults_and_traps_of_instructions), TEST(wide_and_locked_operands),
		TEST(instructions_are_fetched_when_the_message_has_none), TEST(msrs), TEST(a_guests_last_words),
		TEST(hypercalls_and_the_end),
		TEST(posts_and_signals_reach_the_machine), TEST(free_slots_are_asked_for_and_told),
		TEST(string_output), TEST(string_input), TEST(set_up_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
