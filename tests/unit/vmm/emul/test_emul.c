#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/emul/emul.h"

#define TF BIT(8)
#define RF BIT(16)

/* RAM at 5000h; everything else is one device register. Pages may be absent or read-only. */
struct bed {
	u64 last_address, value;
	unsigned size, reads, writes, exchanges, races;
	u8 ram[0x2000];
	u64 absent, read_only; /* a page each */
	bool again;
};
static struct bed bed;
static struct emul_state s;

static enum emul_access translate(void *context, u64 linear, unsigned size, unsigned access, u64 *ret_place,
				  struct emul_exception *ret)
{
	u64 page = linear & ~0xfffull;

	assert_true((linear & 0xfff) + size <= 0x1000);
	if (page == bed.absent || (page == bed.read_only && (access & EMUL_WRITE))) {
		*ret = (struct emul_exception){ EMUL_PF, true, access & EMUL_WRITE ? 2 : 0, linear };
		return EMUL_ACCESS_FAULT;
	}
	*ret_place = linear;
	return EMUL_ACCESS_OK;
}

static enum emul_access touch(void *context, u64 place, void *data, unsigned size, bool write)
{
	struct bed *b = context;

	if (b->again)
		return EMUL_ACCESS_AGAIN;
	b->last_address = place;
	b->size = size;
	b->writes += write;
	b->reads += !write;
	if (place >= 0x5000 && place + size <= 0x5000 + sizeof(b->ram)) {
		u8 *ram = &b->ram[place - 0x5000];

		memcpy(write ? ram : data, write ? data : ram, size);
	} else if (write) {
		b->value = 0;
		memcpy(&b->value, data, size > 8 ? 8 : size);
	} else {
		memset(data, 0, size);
		memcpy(data, &b->value, size > 8 ? 8 : size);
	}
	return EMUL_ACCESS_OK;
}

static enum emul_access exchange(void *context, u64 place, const void *expected, const void *desired, unsigned size)
{
	struct bed *b = context;
	u8 copy[16];

	b->exchanges++;
	if (b->races) {
		b->races--;
		return EMUL_ACCESS_CHANGED;
	}
	memcpy(copy, desired, size);
	return touch(context, place, copy, size, true);
}

static enum emul_result run(unsigned mode, const char *bytes, size_t len)
{
	struct emul_memory m = { translate, touch, exchange, &bed };

	s.mode = mode;
	return emul_run(&s, (const u8 *)bytes, len, &m);
}
#define RUN(mode, text) run(mode, text, sizeof(text) - 1)

static int fresh(void **state)
{
	bed = (struct bed){ .absent = ~0ull, .read_only = ~0ull };
	s = (struct emul_state){ .rip = 0x1000, .rflags = 2 };
	for (int i = 0; i < EMUL_SEGMENTS; i++)
		s.segment[i] = (struct hv_segment){ .limit = 0xffffffff, .selector = (u16)(8 * i), .attributes = 0xc093 };
	s.segment[EMUL_CS].attributes = 0xc09b;
	return 0;
}

/* and nothing has changed but the exception */
#define FAULTS(bits, text, v, e)                                                                           \
	do {                                                                                               \
		struct emul_state before_ = s;                                                             \
		struct bed bed_before_ = bed;                                                              \
		assert_int_equal(RUN(bits, text), EMUL_FAULT);                                             \
		assert_int_equal(s.exception.vector, v);                                                   \
		assert_int_equal(s.exception.error, e);                                                    \
		assert_int_equal(s.exception.has_error, (v) != EMUL_UD);                                   \
		before_.mode = s.mode;                                                                     \
		before_.exception = s.exception;                                                           \
		assert_memory_equal(&s, &before_, sizeof(s));                                              \
		assert_memory_equal(&bed, &bed_before_, sizeof(bed));                                      \
	} while (0)

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
	s.segment[EMUL_GS].base = 0x10000;
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
	s.segment[EMUL_DS].base = 0x500;
	assert_int_equal(RUN(16, "\x8a\x40\x02"), EMUL_DONE); /* mov al,[bx+si+2] */
	assert_int_equal(bed.last_address, 0x532);
	s.gpr[5] = 0x40;
	s.segment[EMUL_SS].base = 0x700;
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
	assert_int_equal(RUN(64, "\xf3\xa4"), EMUL_MORE); /* rep movsb: an iteration at a time */
	assert_int_equal(s.gpr[1], 2);
	assert_int_equal(s.rip, 0x1000);
	assert_int_equal(RUN(64, "\xf3\xa4"), EMUL_MORE);
	assert_int_equal(RUN(64, "\xf3\xa4"), EMUL_DONE);
	assert_int_equal(bed.writes, 3);
	assert_int_equal(bed.value, 'c');
	assert_int_equal(s.gpr[1], 0);
	assert_int_equal(s.rip, 0x1002);
	assert_int_equal(RUN(64, "\xf3\xa4"), EMUL_DONE); /* none left to do */
	assert_int_equal(bed.writes, 3);
	/* what is done of a rep stays when the next iteration faults */
	s.gpr[1] = 100;
	s.gpr[7] = 0x5ff8;
	bed.absent = 0x6000;
	assert_int_equal(RUN(64, "\xf3\xab"), EMUL_MORE); /* rep stosd */
	assert_int_equal(RUN(64, "\xf3\xab"), EMUL_MORE);
	assert_int_equal(s.gpr[1], 98);
	FAULTS(64, "\xf3\xab", EMUL_PF, 2);
	assert_int_equal(s.exception.address, 0x6000);
	/* what compares stops early */
	s.gpr[0] = 'c';
	s.gpr[1] = 5;
	s.gpr[7] = 0x5001;
	assert_int_equal(RUN(64, "\xf2\xae"), EMUL_MORE); /* repne scasb */
	assert_int_equal(RUN(64, "\xf2\xae"), EMUL_DONE);
	assert_int_equal(s.gpr[1], 3);
	assert_int_equal(s.gpr[7], 0x5003);
	assert_true(s.rflags & BIT(6));
}

static void page_crossings(void **state)
{
	for (unsigned i = 0; i < 16; i++)
		bed.ram[0xff8 + i] = (u8)(i + 1);
	s.gpr[1] = 0x5ffe;
	assert_int_equal(RUN(64, "\x8b\x01"), EMUL_DONE); /* mov eax,[rcx] */
	assert_int_equal(s.gpr[0], 0x0a090807);
	assert_int_equal(bed.reads, 2);
	assert_int_equal(RUN(64, "\xf0\x83\x01\x01"), EMUL_DONE); /* lock add [rcx],1: no atomic operation over two pages */
	assert_int_equal(bed.exchanges, 0);
	assert_int_equal(bed.ram[0xffe], 8);
	/* nothing was written of an operand whose second page is not there */
	s.gpr[0] = 0x55555555;
	bed.absent = 0x6000;
	FAULTS(64, "\x89\x01", EMUL_PF, 2);
	assert_int_equal(s.exception.address, 0x6000);
	/* what reads and writes faults as a write before it has read */
	bed.absent = ~0ull;
	bed.read_only = 0x6000;
	FAULTS(64, "\x83\x01\x01", EMUL_PF, 2);
	s.gpr[6] = 0xfec00000;
	s.gpr[7] = 0x5ffe;
	FAULTS(64, "\xa5", EMUL_PF, 2); /* movs: the device was not read */
	assert_int_equal(RUN(64, "\x3b\x01"), EMUL_DONE); /* cmp eax,[rcx] only reads */
	/* 32-bit addresses wrap */
	s.gpr[1] = 0xfffffffe;
	bed.read_only = 0;
	FAULTS(32, "\x89\x01", EMUL_PF, 2);
	assert_int_equal(s.exception.address, 0);
}

static void segments(void **state)
{
	s.gpr[1] = 0x1000;
	s.segment[EMUL_DS].limit = 0x1002;
	FAULTS(32, "\x8b\x01", EMUL_GP, 0); /* a byte beyond the limit */
	s.segment[EMUL_DS].limit = 0x1003;
	assert_int_equal(RUN(32, "\x8b\x01"), EMUL_DONE);
	s.gpr[5] = 0x2000;
	s.segment[EMUL_SS].limit = 0x1fff;
	FAULTS(32, "\x8b\x45\x00", EMUL_SS_FAULT, 0); /* mov eax,[ebp] */
	s.segment[EMUL_SS].attributes = 0xc097; /* expands down: what is above the limit */
	assert_int_equal(RUN(32, "\x8b\x45\x00"), EMUL_DONE);
	s.gpr[5] = 0x1fff;
	FAULTS(32, "\x8b\x45\x00", EMUL_SS_FAULT, 0);
	FAULTS(32, "\x2e\x89\x01", EMUL_GP, 0); /* mov cs:[ecx],eax */
	assert_int_equal(RUN(32, "\x2e\x8b\x01"), EMUL_DONE);
	s.segment[EMUL_CS].attributes = 0xc099; /* execute only */
	FAULTS(32, "\x2e\x8b\x01", EMUL_GP, 0);
	s.segment[EMUL_DS].attributes = 0xc091; /* read only */
	FAULTS(32, "\x89\x01", EMUL_GP, 0);
	s.segment[EMUL_DS].attributes = 0; /* null */
	FAULTS(32, "\x8b\x01", EMUL_GP, 0);
	s.real = true; /* has limits only */
	assert_int_equal(RUN(16, "\x67\x89\x01"), EMUL_DONE);
	s.gpr[3] = 0xffff;
	s.segment[EMUL_DS].limit = 0xffff;
	FAULTS(16, "\x8b\x07", EMUL_GP, 0); /* mov ax,[bx] over the end */
	assert_int_equal(RUN(16, "\x8a\x07"), EMUL_DONE);
}

static void canonical_addresses(void **state)
{
	s.gpr[1] = s.gpr[5] = 0x800000000000;
	FAULTS(64, "\x8b\x01", EMUL_GP, 0);
	FAULTS(64, "\x8b\x45\x00", EMUL_SS_FAULT, 0);
	FAULTS(64, "\x65\x8b\x45\x00", EMUL_GP, 0); /* gs: */
	s.gpr[1]--;
	FAULTS(64, "\x8b\x01", EMUL_GP, 0); /* its last byte */
	s.la57 = true;
	assert_int_equal(RUN(64, "\x8b\x01"), EMUL_DONE);
	s.gpr[4] = 0x5000;
	bed.value = ~0ull >> 1; /* a target */
	s.gpr[1] = 0xfec00000;
	FAULTS(64, "\x66\x0f\x6f\x41\x08", EMUL_GP, 0); /* movdqa xmm0,[rcx+8] */
	assert_int_equal(RUN(64, "\xf3\x0f\x6f\x41\x08"), EMUL_DONE); /* movdqu */
	FAULTS(64, "\x48\x0f\xc7\x49\x08", EMUL_GP, 0); /* cmpxchg16b */
	s.gpr[1] = 0x5010; /* call [rcx]: to an address there cannot be */
	bed.ram[0x17] = 0x7f;
	assert_int_equal(RUN(64, "\xff\x11"), EMUL_FAULT);
	assert_int_equal(s.exception.vector, EMUL_GP);
	assert_int_equal(s.gpr[4], 0x5000);
}

static void prefixes(void **state)
{
	s.gpr[1] = 0xfec00000;
	FAULTS(64, "\xf0\x8b\x01", EMUL_UD, 0); /* lock mov */
	FAULTS(64, "\xf0\x39\x01", EMUL_UD, 0); /* lock cmp */
	FAULTS(64, "\xf0\x03\x01", EMUL_UD, 0); /* lock add eax,[rcx] */
	FAULTS(64, "\xf0\x0f\xba\x21\x01", EMUL_UD, 0); /* lock bt */
	FAULTS(64, "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x8b\x01", EMUL_GP, 0); /* 16 bytes */
	assert_int_equal(RUN(64, "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x8b\x01"), EMUL_DONE);
	assert_int_equal(bed.size, 2);
	assert_int_equal(RUN(64, "\x48\x66\x8b\x01"), EMUL_DONE); /* a REX before another prefix does not count */
	assert_int_equal(bed.size, 2);
	s.segment[EMUL_FS].base = 0x100;
	s.segment[EMUL_DS].base = 0x200;
	assert_int_equal(RUN(64, "\x64\x3e\x8b\x01"), EMUL_DONE); /* ds: is ignored here, fs: is not */
	assert_int_equal(bed.last_address, 0xfec00100);
	assert_int_equal(emul_address_size(64, (const u8 *)"\x67\x6c", 2), 32);
	assert_int_equal(emul_segment_of(32, (const u8 *)"\x2e\x6e", 2), EMUL_CS);
}

static void locked_operations_try_again(void **state)
{
	s.gpr[1] = 0x5000;
	bed.races = 3;
	assert_int_equal(RUN(64, "\xf0\xff\x01"), EMUL_DONE); /* lock inc dword [rcx] */
	assert_int_equal(bed.exchanges, 4);
	assert_int_equal(bed.ram[0], 1);
	s.gpr[2] = 7;
	assert_int_equal(RUN(64, "\x87\x11"), EMUL_DONE); /* xchg needs no prefix */
	assert_int_equal(bed.exchanges, 5);
	assert_int_equal(RUN(64, "\xff\x01"), EMUL_DONE);
	assert_int_equal(bed.exchanges, 5);
	bed.races = ~0u;
	assert_int_equal(RUN(64, "\xf0\xff\x01"), EMUL_RETRY);
	assert_int_equal(bed.ram[0], 8);
}

static void wide_registers(void **state)
{
	s.gpr[1] = 0x5000;
	s.xmm[9] = (struct emul_xmm){ 0x1111222233334444, 0x5555666677778888 };
	assert_int_equal(RUN(64, "\x66\x44\x0f\xe7\x09"), EMUL_DONE); /* movntdq [rcx],xmm9 */
	assert_memory_equal(bed.ram, &s.xmm[9], 16);
	assert_int_equal(RUN(64, "\x0f\x10\x19"), EMUL_DONE); /* movups xmm3,[rcx] */
	assert_memory_equal(&s.xmm[3], &s.xmm[9], 16);
	assert_int_equal(RUN(64, "\x66\x0f\x6e\x19"), EMUL_DONE); /* movd xmm3,[rcx] */
	assert_int_equal(s.xmm[3].low, 0x33334444);
	assert_int_equal(s.xmm[3].high, 0);
	assert_int_equal(RUN(64, "\x0f\x6f\x19"), EMUL_UNSUPPORTED); /* MMX */
}

static void flags_of_the_debugger(void **state)
{
	s.gpr[1] = 0x5000;
	s.rflags = 2 | TF | RF;
	bed.absent = 0x5000;
	FAULTS(64, "\x8b\x01", EMUL_PF, 0);
	bed.absent = ~0ull;
	assert_int_equal(RUN(64, "\x8b\x01"), EMUL_DONE);
	assert_int_equal(s.rflags, 2 | TF);
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
	assert_int_equal(RUN(64, "\xf0\x83\x01\x01"), EMUL_AGAIN);
	assert_memory_equal(&s, &before, sizeof(s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(moves, fresh), cmocka_unit_test_setup(addressing, fresh),
		cmocka_unit_test_setup(arithmetic, fresh), cmocka_unit_test_setup(strings, fresh),
		cmocka_unit_test_setup(page_crossings, fresh), cmocka_unit_test_setup(segments, fresh),
		cmocka_unit_test_setup(canonical_addresses, fresh), cmocka_unit_test_setup(prefixes, fresh),
		cmocka_unit_test_setup(locked_operations_try_again, fresh), cmocka_unit_test_setup(wide_registers, fresh),
		cmocka_unit_test_setup(flags_of_the_debugger, fresh), cmocka_unit_test_setup(refusals_change_nothing, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
