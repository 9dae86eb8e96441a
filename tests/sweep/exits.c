/* What a VTL0 without sense may leave with: what a hypervisor would tell of it is consistent, the rest is not. */
#include <string.h>

#include "lib/core/check.h"
#include "spec/hv_msr.h"
#include "spec/msr.h"
#include "tests/sweep/sweep.h"
#include "vmm/chipset/pci.h"

/* one of ten values is anything; the others are what somebody looks at */
static u64 some_value(struct sweep *s)
{
	static const u64 values[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, 1ull << 63, ~0ull };

	switch (sweep_below(s, 10)) {
	case 0:
		return sweep_random(s);
	case 1: case 2: case 3:
		return values[sweep_below(s, ARRAY_SIZE(values))];
	case 4: case 5:
		return sweep_below(s, SWEEP_RAM);
	case 6:
		return sweep_below(s, 1 << sweep_below(s, 16));
	default:
		return sweep_random(s) >> sweep_below(s, 64);
	}
}

static u64 some_gpa(struct sweep *s)
{
	static const struct { u64 base, len; } places[] = {
		{ 0xfec00000, 0x20 }, { 0xfec00000, 0x1000 }, { 0xfee00000, 0x400 }, { 0xfee00000, 0x1000 },
		{ TESTDEV_MEMORY, TESTDEV_MEMORY_LEN }, { SWEEP_RAM - 0x20, 0x40 }, { SWEEP_RAM, 0x1000 },
		{ 0xd0000000, 0x1000000 }, { 0xfffffff0, 0x20 }, { 4 * GiB + SWEEP_HIGH_RAM - 0x20, 0x40 },
		{ 64 * GiB, 0x1000 }, { 0, SWEEP_RAM }, { (1ull << 52) - 0x20, 0x20 }, { 0, ~0ull },
	};
	size_t i = sweep_below(s, ARRAY_SIZE(places));

	return places[i].base + sweep_below(s, places[i].len);
}

/* ---- VTL0's state: real mode, protected mode without and with paging, long mode */
static void some_state(struct sweep *s, struct sweep_cpu *c)
{
	struct hv_register_page *p = &c->fake.page;
	unsigned mode = (unsigned)sweep_below(s, 4);
	u64 *gprs = &c->fake.run.context.rax;

	for (unsigned i = 0; i < 16; i++)
		gprs[i] = sweep_below(s, 4) ? some_value(s) : some_gpa(s);
	p->gpr[HV_RSP] = some_value(s);
	p->rflags = 2 | (sweep_random(s) & (BIT(0) | BIT(8) | BIT(9) | BIT(10) | BIT(14) | BIT(18)));
	p->cr0 = mode ? 1 | (mode > 1 ? BIT(31) : 0) : 0;
	p->cr3 = sweep_below(s, 20) ? SWEEP_TABLES : some_gpa(s) & ~0xfffull;
	p->cr4 = mode > 1 ? BIT(5) | (sweep_below(s, 8) ? 0 : sweep_random(s) & (BIT(4) | BIT(12) | BIT(20) | BIT(21))) : 0;
	p->cr8 = sweep_below(s, 4) ? 0 : sweep_below(s, 16);
	p->efer = mode == 3 ? BIT(8) | BIT(10) | BIT(11) : 0;
	p->cs.attributes = mode == 3 ? 0x209b : mode ? 0xc09b : 0x9b;
	p->cs.base = mode == 3 ? 0 : sweep_below(s, 3) ? 0 : some_value(s) & 0xffffffff;
	p->ds = p->es = p->ss = (struct hv_segment){ .base = p->cs.base, .limit = 0xffffffff, .attributes = 0xc093 };
	p->fs = p->gs = (struct hv_segment){ .base = some_value(s), .limit = 0xffffffff, .attributes = 0xc093 };
	p->rip = mode ? some_value(s) : sweep_below(s, 0x10000);
	if (mode != 3)
		p->rip &= 0xffffffff;
	p->pending_interruption = 0;
	p->interrupt_state = sweep_below(s, 8) ? 0 : sweep_below(s, 4);
}

static void *message(struct sweep *s, struct sweep_cpu *c, u32 type)
{
	struct hv_message *m = &c->fake.run.exit_message;
	struct hv_intercept_header *h = (void *)m->payload;
	const struct hv_register_page *p = &c->fake.page;

	memset(m, 0, sizeof(*m));
	m->type = type;
	h->vp_index = c->vp.index;
	h->instruction_length = (u8)(1 + sweep_below(s, 15));
	h->access_type = (u8)sweep_below(s, 2);
	h->cs = p->cs;
	h->rip = p->rip;
	h->rflags = p->rflags;
	h->execution_state = sweep_below(s, 4) ? 0 : 3;
	c->length_before = h->instruction_length;
	return h;
}

/* ---- ports */
static u16 some_port(struct sweep *s)
{
	static const struct { u16 base, len; } ports[] = {
		{ 0x20, 2 }, { 0xa0, 2 }, { 0x4d0, 2 }, { 0x40, 4 }, { 0x61, 1 }, { 0x60, 5 }, { 0x70, 4 }, { 0x80, 1 },
		{ 0x92, 1 }, { WATCHDOG_PORT, 8 }, { PCI_CONFIG_ADDRESS_PORT, 8 }, { PCI_CONFIG_ADDRESS_PORT, 8 },
		{ 0x3f8, 8 }, { 0x2f8, 8 }, { 0x1f0, 8 }, { 0x3f6, 1 }, { 0x170, 8 }, { 0x376, 1 },
		{ IDE_BUS_MASTER_PORT, IDE_BUS_MASTER_LEN }, { PM_BASE, PM_PORTS }, { TESTDEV_PORT, 32 },
		{ TESTDEV_LINES_PORT, 24 }, { PCI_IO_BASE, 0x100 }, { 0xfffc, 4 }, { SWEEP_MUTE_PORT, 8 }, { 0, 0xffff },
	};
	size_t i = sweep_below(s, ARRAY_SIZE(ports));

	return (u16)(ports[i].base + sweep_below(s, ports[i].len));
}

static void port_exit(struct sweep *s, struct sweep_cpu *c)
{
	struct hv_io_port_intercept *m = message(s, c, HVMSG_X64_IO_PORT);
	unsigned size = 1u << sweep_below(s, 3);
	u8 *code = m->instruction_bytes;

	m->port = some_port(s);
	m->access_info = (u8)size;
	m->rax = c->fake.run.context.rax;
	if (sweep_below(s, 4))
		return;
	m->access_info |= HV_IO_STRING;
	if (sweep_below(s, 2)) {
		m->access_info |= HV_IO_REP;
		*code++ = 0xf3;
	}
	for (u64 n = sweep_below(s, 3); n; n--)
		*code++ = (u8[]){ 0x66, 0x67, 0x26, 0x2e, 0x64, 0x65, 0x48 }[sweep_below(s, 7)];
	*code++ = (m->header.access_type ? 0x6e : 0x6c) | (size > 1);
	m->instruction_byte_count = (u8)(code - m->instruction_bytes);
	c->length_before = m->header.instruction_length = m->instruction_byte_count;
}

/* ---- memory: instructions as compilers make them, prefixes that they do not, and bytes */
static void some_instruction(struct sweep *s, u8 code[16])
{
	static const struct { u8 len, bytes[3]; } opcodes[] = {
		{ 1, { 0x8b } }, { 1, { 0x89 } }, { 1, { 0x8a } }, { 1, { 0x88 } }, { 1, { 0xc7 } }, { 1, { 0xc6 } },
		{ 2, { 0x0f, 0xb6 } }, { 2, { 0x0f, 0xb7 } }, { 2, { 0x0f, 0xbe } }, { 2, { 0x0f, 0xbf } }, { 1, { 0x63 } },
		{ 1, { 0xa4 } }, { 1, { 0xa5 } }, { 1, { 0xaa } }, { 1, { 0xab } }, { 1, { 0xac } }, { 1, { 0xad } },
		{ 1, { 0x21 } }, { 1, { 0x09 } }, { 1, { 0x31 } }, { 1, { 0x01 } }, { 1, { 0x29 } }, { 1, { 0x39 } },
		{ 1, { 0x3b } }, { 1, { 0x85 } }, { 1, { 0x87 } }, { 1, { 0x86 } }, { 2, { 0x0f, 0xab } },
		{ 2, { 0x0f, 0xb3 } }, { 2, { 0x0f, 0xbb } }, { 2, { 0x0f, 0xa3 } }, { 2, { 0x0f, 0xba } },
		{ 2, { 0x0f, 0xb1 } }, { 2, { 0x0f, 0xc1 } }, { 2, { 0x0f, 0xc7 } }, { 1, { 0x81 } }, { 1, { 0x83 } },
		{ 1, { 0x80 } }, { 1, { 0xf7 } }, { 1, { 0xf6 } }, { 1, { 0xff } }, { 1, { 0xfe } }, { 2, { 0x0f, 0x10 } },
		{ 2, { 0x0f, 0x11 } }, { 2, { 0x0f, 0x28 } }, { 2, { 0x0f, 0x29 } }, { 2, { 0x0f, 0x6f } },
		{ 2, { 0x0f, 0x7f } }, { 1, { 0xa0 } }, { 1, { 0xa3 } }, { 1, { 0xd1 } }, { 1, { 0x8f } }, { 1, { 0x6c } },
		{ 2, { 0x0f, 0xc3 } }, { 2, { 0x0f, 0x1f } },
	};
	unsigned n = 0;

	for (unsigned i = 0; i < 16; i++)
		code[i] = (u8)sweep_random(s);
	if (!sweep_below(s, 4))
		return;
	for (u64 prefixes = sweep_below(s, 3); prefixes; prefixes--)
		code[n++] = (u8[]){ 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x64, 0x65 }[sweep_below(s, 8)];
	if (sweep_below(s, 2))
		code[n++] = (u8)(0x40 | sweep_below(s, 16));
	size_t which = sweep_below(s, ARRAY_SIZE(opcodes));

	memcpy(code + n, opcodes[which].bytes, opcodes[which].len);
}

static void memory_exit(struct sweep *s, struct sweep_cpu *c)
{
	struct hv_memory_intercept *m = message(s, c, sweep_below(s, 8) ? HVMSG_UNMAPPED_GPA : HVMSG_GPA_INTERCEPT);
	u8 code[16];

	c->length_before = 0; /* the emulator finds out */
	m->gpa = some_gpa(s);
	m->gva = sweep_below(s, 3) ? m->gpa : some_value(s);
	m->access_info = (u8)sweep_below(s, 4);
	some_instruction(s, code);
	/* what is not in the message is fetched; RIP leads to it at times */
	if (!sweep_below(s, 4)) {
		c->fake.page.rip = m->header.rip = sweep_below(s, SWEEP_RAM);
		c->fake.page.cs.base = m->header.cs.base = 0;
		if (guest_write(s->board.machine.guest, m->header.rip, code,
				MIN(sizeof(code), (size_t)(SWEEP_RAM - m->header.rip))))
			sweep_wrong(s, "low RAM is not RAM");
		m->instruction_byte_count = (u8)sweep_below(s, 4);
	} else {
		m->instruction_byte_count = 15;
	}
	memcpy(m->instruction_bytes, code, sizeof(code));
	/* half of the time a pointer leads to where the message says that the access went */
	if (sweep_below(s, 2))
		(&c->fake.run.context.rax)[(u64[]){ 0, 1, 2, 3, 5, 6, 7 }[sweep_below(s, 7)]] = m->gva;
}

/* ---- the others */
static u32 some_msr(struct sweep *s)
{
	static const struct { u32 base, len; } msrs[] = {
		{ 0x800, 0x40 }, { 0x800, 0x400 }, { HV_MSR_FIRST, 0x120 }, { HV_MSR_SCONTROL, 0x40 },
		{ HV_MSR_STIMER0_CONFIG, 8 }, { HV_MSR_CRASH_P0, 6 }, { 0x1b, 1 }, { 0x6e0, 1 }, { 0x10, 1 }, { 0x200, 0x100 },
		{ MSR_STAR, 4 }, { MSR_SYSENTER_CS, 3 },
		{ 0, 0x2000 }, { 0xc0000080, 0x30 }, { 0xc0010000, 0x200 }, { 0xc0011020, 16 }, { 0, ~0u },
	};
	size_t i = sweep_below(s, ARRAY_SIZE(msrs));

	return msrs[i].base + (u32)sweep_below(s, msrs[i].len);
}

static void msr_exit(struct sweep *s, struct sweep_cpu *c)
{
	struct hv_msr_intercept *m = message(s, c, HVMSG_X64_MSR);

	m->msr = some_msr(s);
	if (!sweep_below(s, 8)) /* not every value is one for it */
		c->fake.refuse_register = HV_X64_REGISTER_SYSENTER_CS + (u32)sweep_below(s, 7); /* to SFMASK */
	m->rax = c->fake.run.context.rax;
	m->rdx = c->fake.run.context.rdx;
}

static void cpuid_exit(struct sweep *s, struct sweep_cpu *c)
{
	struct hv_cpuid_intercept *m = message(s, c, HVMSG_X64_CPUID);

	m->rax = sweep_below(s, 2) ? some_value(s) : 0x40000000 + sweep_below(s, 0x100);
	m->rcx = some_value(s);
	m->default_rax = m->default_rbx = some_value(s);
}

static void hypercall_exit(struct sweep *s, struct sweep_cpu *c)
{
	struct hv_hypercall_intercept *m = message(s, c, HVMSG_HYPERCALL_INTERCEPT);
	struct hv_post_message post = { .connection_id = sweep_below(s, 2) ? (u32)sweep_below(s, 8) : (u32)some_value(s),
					.message_type = (u32)sweep_below(s, 3), .payload_size = (u32)sweep_below(s, 260) };
	u64 codes[] = { HVCALL_POST_MESSAGE, HVCALL_SIGNAL_EVENT, sweep_below(s, 0x100), some_value(s) };
	u64 control = codes[sweep_below(s, ARRAY_SIZE(codes))] |
		      (sweep_below(s, 3) ? 0 : HV_HYPERCALL_FAST);
	u64 at = sweep_below(s, 8) ? sweep_below(s, SWEEP_RAM) & ~7ull : some_gpa(s);

	for (size_t i = 0; i < sizeof(post.payload); i += 8)
		memcpy(post.payload + i, &(u64){ sweep_below(s, 2) ? sweep_below(s, 30) : sweep_random(s) }, 8);
	if (at < SWEEP_RAM - sizeof(post) && guest_write(s->board.machine.guest, at, &post, sizeof(post)))
		sweep_wrong(s, "low RAM is not RAM");
	m->rax = m->rcx = control;
	m->rdx = at;
	if (!(m->header.cs.attributes & BIT(13))) { /* EDX:EAX, EBX:ECX */
		m->rdx = control >> 32;
		m->rbx = at >> 32;
		m->rcx = at & 0xffffffff;
	}
}

static void small_exit(struct sweep *s, struct sweep_cpu *c)
{
	switch (sweep_below(s, 6)) {
	case 0:
		message(s, c, HVMSG_X64_HALT);
		return;
	case 1: {
		struct hv_exception_intercept *m = message(s, c, HVMSG_X64_EXCEPTION);

		m->vector = (u16)sweep_below(s, 32);
		m->info = (u8)sweep_below(s, 2);
		m->error_code = (u32)some_value(s);
		m->parameter = some_value(s);
		c->length_before = 0;
		return;
	}
	case 2: {
		struct hv_apic_eoi *m = message(s, c, HVMSG_X64_APIC_EOI);

		*m = (struct hv_apic_eoi){ c->vp.index, (u32)sweep_below(s, 256) };
		c->length_before = 0;
		return;
	}
	case 3: {
		struct hv_sint_deliverable *m = message(s, c, HVMSG_SYNIC_SINT_DELIVERABLE);

		m->sints = (u16)sweep_random(s);
		c->length_before = 0;
		return;
	}
	case 4:
		message(s, c, HVMSG_X64_INTERRUPTION_DELIVERABLE);
		c->length_before = 0;
		return;
	default:
		cpuid_exit(s, c);
	}
}

void sweep_next_exit(struct sweep *s, struct sweep_cpu *c)
{
	some_state(s, c);
	switch (sweep_below(s, 10)) {
	case 0: case 1: case 2:
		port_exit(s, c);
		break;
	case 3: case 4: case 5:
		memory_exit(s, c);
		break;
	case 6: case 7:
		msr_exit(s, c);
		break;
	case 8:
		hypercall_exit(s, c);
		break;
	default:
		small_exit(s, c);
	}
}

void sweep_fill_memory(struct sweep *s)
{
	u64 page[PAGE_SIZE / 8];
	bool good = true;

	for (u64 gpa = 0; gpa < SWEEP_RAM; gpa += PAGE_SIZE) {
		for (size_t i = 0; i < ARRAY_SIZE(page); i++)
			page[i] = sweep_random(s);
		if (gpa >= SWEEP_TABLES && gpa < SWEEP_TABLES + 6 * PAGE_SIZE) {
			u64 which = (gpa - SWEEP_TABLES) / PAGE_SIZE;

			memset(page, 0, sizeof(page));
			for (size_t i = 0; i < (which ? which == 1 ? 4 : 512 : 1); i++)
				page[i] = which < 2 ? (gpa + PAGE_SIZE * (i + 1)) | 7 : ((which - 2) << 30) + (i << 21) + 0x87;
		}
		good = good && !guest_write(s->board.machine.guest, gpa, page, sizeof(page));
	}
	CHECK(good);
}
