#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/emul/emul.h"

struct bed { u64 last_address, value; unsigned size, reads, writes; u8 ram[64]; u64 fault_at; bool again; };

static enum emul_access touch(void *context, u64 linear, u64 *value, unsigned size, bool write)
{
	struct bed *b = context;

	if (b->again)
		return EMUL_ACCESS_AGAIN;
	if (linear == b->fault_at)
		return EMUL_ACCESS_FAULT;
	b->last_address = linear;
	b->size = size;
	if (linear >= 0x5000 && linear + size <= 0x5040) {
		if (write)
			memcpy(&b->ram[linear - 0x5000], value, size);
		else
			memcpy(value, &b->ram[linear - 0x5000], size);
		return EMUL_ACCESS_OK;
	}
	if (write) {
		b->value = *value;
		b->writes++;
	} else {
		*value = b->value;
		b->reads++;
	}
	return EMUL_ACCESS_OK;
}

static struct bed bed;
static struct emul_state s;

static enum emul_result run(unsigned mode, const char *bytes, size_t len)
{
	struct emul_memory m = { touch, &bed };

	s.mode = mode;
	return emul_run(&s, (const u8 *)bytes, len, &m);
}
#define RUN(mode, text) run(mode, text, sizeof(text) - 1)

static int fresh(void **state)
{
	bed = (struct bed){ .fault_at = ~0ull };
	s = (struct emul_state){ .rip = 0x1000, .rflags = 2 };
	return 0;
}

static void moves(void **state)
{
	s.gpr[0] = 0x1122334455667788;
	s.gpr[1] = 0xfec00000;
	assert_int_equal(RUN(64, "\x89\x01"), EMUL_DONE); /* mov [rcx],eax */
	assert_int_equal(bed.value, 0x55667788);
	assert_int_equal(bed.size, 4);
	assert_int_equal(s.rip, 0x1002);
	assert_int_equal(RUN(64, "\x48\x8b\x51\x10"), EMUL_DONE); /* mov rdx,[rcx+0x10] */
	assert_int_equal(bed.last_address, 0xfec00010);
	assert_int_equal(s.gpr[2], 0x55667788);
	bed.value = 0xdeadbeefcafebabe;
	assert_int_equal(RUN(64, "\x8b\x11"), EMUL_DONE); /* mov edx,[rcx]: clears the upper half */
	assert_int_equal(s.gpr[2], 0xcafebabe);
	assert_int_equal(RUN(64, "\x66\x8b\x11"), EMUL_DONE); /* mov dx,[rcx] */
	assert_int_equal(s.gpr[2], 0xcafebabe);
	assert_int_equal(RUN(64, "\x8a\x21"), EMUL_DONE); /* mov ah,[rcx] */
	assert_int_equal(s.gpr[0], 0x112233445566be88);
	assert_int_equal(RUN(64, "\xc7\x01\x78\x56\x34\x92"), EMUL_DONE); /* mov dword [rcx],imm */
	assert_int_equal(bed.value, 0x92345678);
	assert_int_equal(RUN(64, "\x48\xc7\x01\x78\x56\x34\x92"), EMUL_DONE); /* sign-extended */
	assert_int_equal(bed.value, 0xffffffff92345678);
	assert_int_equal(RUN(32, "\xa3\x00\x00\xd0\xfe"), EMUL_DONE); /* mov [moffs],eax */
	assert_int_equal(bed.last_address, 0xfed00000);
}

static void addressing(void **state)
{
	s.gpr[3] = 0x100;
	s.gpr[9] = 4;
	s.base[EMUL_GS] = 0x10000;
	assert_int_equal(RUN(64, "\x65\x42\x8b\x44\x8b\xf0"), EMUL_DONE); /* mov eax, gs:[rbx+r9*4-0x10] */
	assert_int_equal(bed.last_address, 0x10000 + 0x100 + 16 - 16);
	s.rip = 0x2000;
	assert_int_equal(RUN(64, "\x8b\x05\x00\x10\x00\x00"), EMUL_DONE); /* mov eax,[rip+0x1000] */
	assert_int_equal(bed.last_address, 0x3006);
	s.rip = 0x2000;
	assert_int_equal(RUN(64, "\xc7\x05\x00\x10\x00\x00\x01\x00\x00\x00"), EMUL_DONE); /* with an immediate behind */
	assert_int_equal(bed.last_address, 0x300a);
	s.gpr[3] = 0x10;
	s.gpr[6] = 0x20;
	s.base[EMUL_DS] = 0x500;
	assert_int_equal(RUN(16, "\x8a\x40\x02"), EMUL_DONE); /* mov al,[bx+si+2] */
	assert_int_equal(bed.last_address, 0x532);
	s.gpr[5] = 0x40;
	s.base[EMUL_SS] = 0x700;
	assert_int_equal(RUN(32, "\x8b\x45\x04"), EMUL_DONE); /* mov eax,[ebp+4]: SS */
	assert_int_equal(bed.last_address, 0x744);
}

static void arithmetic(void **state)
{
	s.gpr[1] = 0xfec00000;
	bed.value = 0x80000000;
	assert_int_equal(RUN(64, "\x0f\xb7\x01"), EMUL_DONE); /* movzx eax, word */
	assert_int_equal(s.gpr[0], 0);
	bed.value = 0x80;
	assert_int_equal(RUN(64, "\x48\x0f\xbe\x01"), EMUL_DONE); /* movsx rax, byte */
	assert_int_equal(s.gpr[0], 0xffffffffffffff80);
	bed.value = 0xf0;
	assert_int_equal(RUN(64, "\x80\x21\x0f"), EMUL_DONE); /* and byte [rcx],0x0f */
	assert_int_equal(bed.value, 0);
	assert_true(s.rflags & BIT(6));
	assert_int_equal(RUN(64, "\x83\x09\xff"), EMUL_DONE); /* or dword [rcx],-1 */
	assert_int_equal(bed.value, 0xffffffff);
	assert_int_equal(RUN(64, "\x83\x01\x01"), EMUL_DONE); /* add dword [rcx],1 → 0, CF */
	assert_int_equal(bed.value, 0);
	assert_true((s.rflags & (BIT(0) | BIT(6))) == (BIT(0) | BIT(6)));
	bed.value = 5;
	unsigned writes = bed.writes;

	s.gpr[2] = 6;
	assert_int_equal(RUN(64, "\x39\x11"), EMUL_DONE); /* cmp [rcx],edx: no write */
	assert_int_equal(bed.writes, writes);
	assert_true(s.rflags & BIT(0));
	assert_int_equal(RUN(64, "\xf0\x87\x11"), EMUL_DONE); /* lock xchg [rcx],edx */
	assert_int_equal(s.gpr[2], 5);
	assert_int_equal(bed.value, 6);
	assert_int_equal(RUN(64, "\xf7\x01\x02\x00\x00\x00"), EMUL_DONE); /* test dword [rcx],2 */
	assert_false(s.rflags & BIT(6));
	assert_int_equal(RUN(64, "\x0f\xba\x21\x01"), EMUL_DONE); /* bt dword [rcx],1 */
	assert_true(s.rflags & BIT(0));
	s.gpr[2] = 33;
	assert_int_equal(RUN(64, "\x0f\xab\x11"), EMUL_DONE); /* bts [rcx],edx: bit 1 of the next dword */
	assert_int_equal(bed.last_address, 0xfec00004);
	assert_int_equal(RUN(64, "\xff\x01"), EMUL_DONE); /* inc */
	assert_int_equal(bed.value, 7);
}

static void strings(void **state)
{
	memcpy(bed.ram, "abcdefghijklmnop", 16);
	s.gpr[6] = 0x5000;
	s.gpr[7] = 0xfec00000;
	s.gpr[1] = 3;
	assert_int_equal(RUN(64, "\xf3\xa4"), EMUL_DONE); /* rep movsb */
	assert_int_equal(bed.writes, 3);
	assert_int_equal(bed.value, 'c');
	assert_int_equal(s.gpr[1], 0);
	assert_int_equal(s.rip, 0x1002);
	s.gpr[1] = 100;
	assert_int_equal(RUN(64, "\xf3\xab"), EMUL_DONE); /* rep stosd: a batch at a time */
	assert_int_equal(s.gpr[1], 100 - EMUL_REP_BATCH);
	assert_int_equal(s.rip, 0x1002);
	bed.fault_at = s.gpr[7] + 8;
	assert_int_equal(RUN(64, "\xf3\xab"), EMUL_FAULT);
	assert_int_equal(s.gpr[1], 100 - EMUL_REP_BATCH - 2);
	assert_int_equal(s.rip, 0x1002);
}

static void refusals_change_nothing(void **state)
{
	struct emul_state before;

	s.gpr[1] = 0xfec00000;
	before = s;
	before.mode = 64;
	assert_int_equal(RUN(64, "\x89\xc8"), EMUL_UNSUPPORTED); /* mov eax,ecx */
	assert_int_equal(RUN(64, "\xf4"), EMUL_UNSUPPORTED);
	assert_int_equal(RUN(64, "\xc7\x01\x78"), EMUL_TRUNCATED);
	assert_int_equal(RUN(64, "\x66"), EMUL_TRUNCATED);
	assert_int_equal(RUN(64, ""), EMUL_TRUNCATED);
	bed.again = true;
	assert_int_equal(RUN(64, "\x8b\x01"), EMUL_AGAIN);
	bed.again = false;
	bed.fault_at = 0xfec00000;
	assert_int_equal(RUN(64, "\x83\x01\x01"), EMUL_FAULT);
	assert_memory_equal(&s, &before, sizeof(s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(moves, fresh), cmocka_unit_test_setup(addressing, fresh),
		cmocka_unit_test_setup(arithmetic, fresh), cmocka_unit_test_setup(strings, fresh),
		cmocka_unit_test_setup(refusals_change_nothing, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
