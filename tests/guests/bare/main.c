/*
 * The command line is words: "modes", "vectors", "protect", "sweep=COUNT" of "kinds=MASK" (bare.h) by "seed=N"; "testdev=VALUE",
 * which ends with that debug exit; "reset", at once. What was
 * found is said on COM1, a line each; the last line is "done: N wrong", and then the machine is off.
 */
#include "tests/guests/bare/bare.h"

#define COM1 0x3f8
#define PM_CONTROL 0x404
#define PM_TIMER 0x408
#define PM_RESET 0x433
#define SLEEP_ENABLE 0x2000u

const struct boot_params *boot_params;
static u64 random_state = 1;
static u32 wrong;

u32 modes_seen[12];

void main(const struct boot_params *params);

void *memset(void *to, int byte, size_t len)
{
	void *at = to;

	__asm__ volatile("rep stosb" : "+D"(at), "+c"(len) : "a"(byte) : "memory");
	return to;
}

void *memcpy(void *to, const void *from, size_t len)
{
	void *at = to;

	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(len) : : "memory");
	return to;
}

/* ---- console */

static void put_byte(u8 byte)
{
	for (u32 i = 0; i < 1000000 && !(port_read(COM1 + 5, 1) & 0x20); i++)
		;
	port_write(COM1, 1, byte);
}

void put_text(const char *text)
{
	for (; *text; text++)
		put_byte((u8)*text);
}

void put_hex(u64 value)
{
	put_text("0x");
	for (int shift = 60; shift >= 0; shift -= 4)
		if (value >> shift || !shift)
			put_byte((u8)"0123456789abcdef"[value >> shift & 15]);
}

void put_number(u64 value)
{
	if (value > 9)
		put_number(value / 10);
	put_byte((u8)('0' + value % 10));
}

void expect(const char *name, u64 got, u64 want)
{
	put_text(got == want ? "ok " : "FAIL ");
	put_text(name);
	if (got != want) {
		wrong++;
		put_text(": ");
		put_hex(got);
		put_text(", wanted ");
		put_hex(want);
	}
	put_text("\n");
}

u64 next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* ---- command line */

/* the word's value, as a number; -1: the word is not there */
static s64 word(const char *name)
{
	const char *line = (const char *)(u64)boot_params->hdr.cmd_line_ptr;

	for (;; line++) {
		const char *n = name;

		while (*line == ' ')
			line++;
		while (*n && *line == *n) {
			line++;
			n++;
		}
		if (!*n && (!*line || *line == ' '))
			return 0;
		if (!*n && *line == '=') {
			s64 value = 0;

			while (*++line >= '0' && *line <= '9')
				value = value * 10 + *line - '0';
			return value;
		}
		while (*line && *line != ' ')
			line++;
		if (!*line)
			return -1;
	}
}

static void modes(void)
{
	static const char *const names[] = { "32 bit", "16 bit", "real mode" };
	u32 version, id, a = 0, c, d;

	*(volatile u32 *)0xfec00000 = 1;
	version = *(volatile u32 *)0xfec00010;
	__asm__("cpuid" : "+a"(a), "=b"(id), "=c"(c), "=d"(d));
	put_text("64");
	modes_run();
	put_text("\n");
	for (unsigned i = 0; i < 3; i++) {
		put_text(names[i]);
		put_text(", ");
		expect("the IO-APIC's version", modes_seen[3 * i], version);
		put_text(names[i]);
		put_text(", ");
		expect("its index after a read and a write in one instruction", modes_seen[3 * i + 1], 1);
		put_text(names[i]);
		put_text(", ");
		expect("CPUID", modes_seen[3 * i + 2], id);
	}
	expect("an interrupt in real mode", modes_seen[9], 42);
}

/* what test suites expect (vmm/chipset/testdev.h) */
static void testdev(void)
{
	static const u8 sizes[] = { 1, 2, 4, 8 };
	u64 value = 0;

	port_write(0xe0, 4, 0x12345678);
	port_write(0xe1, 1, 0xaa);
	expect("port E0h keeps what is written", port_read(0xe0, 4), 0x1234aa78);
	expect("port E8h has the same bytes", port_read(0xe9, 1), 0xaa);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		u64 want = 0x1122334455667788ull >> (64 - 8 * sizes[i]);

		expect("test memory is written", try_write(0xff000100 + 16 * i, sizes[i], want), NO_FAULT);
		expect("test memory is read", try_read(0xff000100 + 16 * i, sizes[i], &value), NO_FAULT);
		expect("test memory", sizes[i] < 8 ? value & ((1ull << 8 * sizes[i]) - 1) : value, want);
	}
	port_write(0x2000 + 20, 1, 1);
	expect("a line is set", port_read(0x2000 + 20, 1), 1);
	port_write(0x2000 + 20, 1, 0);
	vectors_memory_run();
}

/* what was said has to get out of a machine that ends now: half a second of the PM timer */
static void rest(void)
{
	u32 begin = port_read(PM_TIMER, 4);

	while (((port_read(PM_TIMER, 4) - begin) & 0xffffff) < 3579545 / 2)
		;
}

void power_off(void)
{
	rest();
	port_write(PM_CONTROL, 2, SLEEP_ENABLE);
	for (;;)
		__asm__ volatile("hlt");
}

/* the next life does the same: who counts is outside */
static void reset(void)
{
	rest();
	port_write(PM_RESET, 1, 1);
	for (;;)
		__asm__ volatile("hlt");
}

void main(const struct boot_params *params)
{
	boot_params = params;
	cpu_init();
	put_text("bare guest: hello\n");
	if (word("reset") >= 0)
		reset();
	if (word("seed") > 0)
		random_state = (u64)word("seed");
	if (word("modes") >= 0)
		modes();
	if (word("vectors") >= 0)
		vectors_run();
	if (word("testdev") >= 0)
		testdev();
	if (word("protect") >= 0)
		protect_run();
	if (word("sweep") > 0)
		sweep_run((u64)word("sweep"), word("kinds") > 0 ? (u64)word("kinds") : 31);
	put_text("done: ");
	put_number(wrong);
	put_text(" wrong\n");
	if (word("testdev") >= 0) {
		rest();
		port_write(0xf4, 4, wrong ? 1 : (u32)word("testdev"));
	}
	power_off();
}
