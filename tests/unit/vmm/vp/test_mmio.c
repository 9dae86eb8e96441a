/* Instructions of VTL0 that meet a device, page or fault where they touch memory */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/model_vp.h"

static struct hv_memory_intercept *add_mmio(const char *bytes, u8 count, u64 gpa, u8 access)
{
	struct hv_memory_intercept *m = model_exit(HVMSG_UNMAPPED_GPA);

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
	model_play();
	assert_int_equal(bed->slow.written, 0x99);
	assert_non_null(bed->slow.token);
	io_complete(bed->slow.token, 0x12345678);
	model_play();
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
	model_play();
	assert_int_equal(bed->slow.written, 0x42);
	add_mmio("\x89", 1, 0xd0000000, 1); /* or not all of it */
	bed->slow.written = 0;
	model_play();
	assert_int_equal(bed->slow.written, 0x42);
	add_mmio("\x0f\x0b", 2, 0xd0000000, 1);
	model_play();
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
	model_play();
	assert_int_equal(bed->slow.size, 2);
	io_complete(bed->slow.token, 0x1234);
	model_play();
	assert_int_equal(bed->fake.run.context.rax, 0x56781234);
	bed->fake.run.context.rax = 0xaabbccdd;
	add_paged("\x89\x01", 2, 0xffd, 1); /* 3 bytes for the device: no size it knows */
	model_play();
	assert_int_equal(bed->slow.dev.writes, 2);
	assert_int_equal(bed->slow.written, 0xbbcc);
	assert_int_equal(guest_read(bed->machine.guest, 0x5000, &word, 2), 0);
	assert_int_equal(word, 0x56aa);
	/* the second page may not be written: nothing is */
	struct hv_memory_intercept *m = add_paged("\x89\x01", 2, 0x1ffe, 1);

	m->access_info = 0; /* the intercept does not say where */
	model_play();
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
	model_play();
	io_complete(bed->slow.token, 5);
	model_play();
	assert_int_equal(bed->slow.written, 6);
	assert_int_equal(bed->fake.page.rip, 0);
	io_complete(bed->slow.token, 0);
	model_play();
	assert_int_equal(bed->fake.page.rip, 0x1003);
	assert_int_equal(bed->slow.dev.reads, 1);
	assert_int_equal(bed->slow.dev.writes, 1);
	/* each iteration of a rep stands as it is done */
	bed->slow.slow_writes = false;
	bed->fake.run.context.rsi = 0xd0000000;
	bed->fake.run.context.rdi = 0x5000;
	bed->fake.run.context.rcx = 2;
	add_mmio("\xf3\xa4", 2, 0xd0000000, 0); /* rep movsb */
	model_play();
	io_complete(bed->slow.token, 0x41);
	model_play();
	assert_int_equal(bed->fake.run.context.rcx, 1);
	io_complete(bed->slow.token, 0x42);
	model_play();
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
	model_play();
	assert_int_equal(injected(), 1 | 1 << 8 | 13 << 16);
	bed->fake.run.context.rcx = 0xd0000000;
	add_mmio("\xf0\x89\x01", 3, 0xd0000000, 1); /* lock mov */
	model_play();
	assert_int_equal(injected(), 1 | 6 << 16);
	assert_int_equal(bed->slow.dev.writes, 0);
	/* single step: after the instruction, after each iteration of a rep */
	m = add_mmio("\x89\x01", 2, 0xd0000000, 1);
	m->header.rflags = 0x10102;
	model_play();
	assert_int_equal(injected(), 1 | 1 << 16);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_DR6), 0x4000);
	assert_int_equal(bed->fake.page.rip, 0x1002);
	assert_int_equal(bed->fake.page.rflags, 0x102); /* RF is gone */
	bed->fake.run.context.rdi = 0xd0000000;
	bed->fake.run.context.rcx = 3;
	m = add_mmio("\xf3\xaa", 2, 0xd0000000, 1);
	m->header.rflags = 0x102;
	model_play();
	assert_int_equal(bed->fake.run.context.rcx, 2);
}

static void wide_and_locked_operands(void **state)
{
	u64 xmm[2] = { 0x1111222233334444, 0x5555666677778888 };
	u32 count = 7;

	bed->fake.run.context.rcx = 0xd0000000;
	memcpy(bed->fake.run.context.fx_state + 160 + 16, xmm, 16);
	add_mmio("\x0f\x11\x09", 3, 0xd0000000, 1); /* movups [rcx],xmm1 */
	model_play();
	assert_int_equal(bed->slow.dev.writes, 2);
	assert_int_equal(bed->slow.written, xmm[1]);
	assert_int_equal(guest_write(bed->machine.guest, 0x5000, xmm, 16), 0);
	bed->fake.run.context.rcx = 0x5000;
	add_mmio("\x0f\x28\x39", 3, 0x5000, 0); /* movaps xmm7,[rcx] */
	model_play();
	assert_memory_equal(bed->fake.run.context.fx_state + 160 + 7 * 16, xmm, 16);
	assert_int_equal(guest_write(bed->machine.guest, 0x5000, &count, 4), 0);
	add_mmio("\xf0\xff\x01", 3, 0x5000, 1); /* lock inc dword [rcx] */
	model_play();
	assert_int_equal(guest_read(bed->machine.guest, 0x5000, &count, 4), 0);
	assert_int_equal(count, 8);
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
	model_play();
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_RSP), 0x6ff8);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_RIP), 0x1002);
	assert_int_equal(guest_read(bed->machine.guest, 0x6ff8, &pushed, 8), 0);
	assert_int_equal(pushed, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, model_vp_create, model_vp_destroy)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(mmio_is_emulated), TEST(instructions_are_fetched_when_the_message_has_none),
		TEST(an_operand_may_lie_in_two_pages), TEST(a_device_may_answer_late_twice),
		TEST(faults_and_traps_of_instructions), TEST(wide_and_locked_operands),
		TEST(a_push_without_a_register_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
