/* The CPUID policy: its words, what they do to a leaf, and what is wrong with others */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "vmm/vp/cpuid.h"

static void features_are_hidden(void **state)
{
	struct cpuid_changes c = { .count = 0 };
	u32 one[4] = { ~0u, ~0u, ~0u, ~0u }, seven[4] = { ~0u, ~0u, ~0u, ~0u }, other[4] = { 1, 2, 3, 4 };
	char why[160] = "";

	assert_int_equal(cpuid_parse("-avx,-x2apic,-smap,-rdtscp", &c, why, sizeof(why)), 0);
	assert_int_equal(c.count, 3); /* leaves 1, 7.0, 80000001 */
	cpuid_apply(&c, 1, 0, one);
	assert_int_equal(one[CPUID_ECX], ~(1u << 28 | 1u << 21));
	assert_int_equal(one[CPUID_EAX] & one[CPUID_EBX] & one[CPUID_EDX], ~0u);
	cpuid_apply(&c, 1, 5, one); /* a leaf without sub-leaves is the same with any ECX */
	assert_int_equal(one[CPUID_ECX], ~(1u << 28 | 1u << 21));
	cpuid_apply(&c, 7, 1, seven);
	assert_int_equal(seven[CPUID_EBX], ~0u); /* another sub-leaf */
	cpuid_apply(&c, 7, 0, seven);
	assert_int_equal(seven[CPUID_EBX], ~(1u << 20));
	cpuid_apply(&c, 2, 0, other);
	assert_int_equal(other[0] + other[1] * 10 + other[2] * 100 + other[3] * 1000, 4321);
}

static void bits_are_cleared_and_set(void **state)
{
	struct cpuid_changes c = { .count = 0 };
	u32 leaf[4] = { 0xff, 0, 0, 0xf0 };
	char why[160] = "";

	assert_int_equal(cpuid_parse("80000008:eax:ff:2800,D.1:edx:30:3,d.1:EDX:0:8", &c, why, sizeof(why)), -EINVAL);
	c.count = 0;
	assert_int_equal(cpuid_parse("80000008:eax:ff:2800,D.1:edx:30:3,d.1:edx:0:8", &c, why, sizeof(why)), 0);
	assert_int_equal(c.count, 2);
	cpuid_apply(&c, 0x80000008, 0, leaf);
	assert_int_equal(leaf[CPUID_EAX], 0x2800);
	cpuid_apply(&c, 0xd, 1, leaf);
	assert_int_equal(leaf[CPUID_EDX], 0xcb);
	/* the last word on a bit counts */
	assert_int_equal(cpuid_parse("d.1:edx:8:0", &c, why, sizeof(why)), 0);
	assert_int_equal(c.all[1].value[CPUID_EDX], 3);
	assert_int_equal(c.all[1].mask[CPUID_EDX], 0x3b);
}

static void what_is_wrong_is_said(void **state)
{
	static const struct { const char *text, *why; } wrong[] = {
		{ "", "empty" }, { "-avx,", "empty" }, { ",-avx", "empty" }, { "-avxx", "'avxx'" },
		{ "avx", "'avx' is neither" },
		{ "-lm", "'lm'" }, { "-", "''" }, { "7.0:ebx:20", "neither" }, { "7.0:ebx:20:", "neither" },
		{ "7.0:ebx:20:20", "no bit in both" }, { "7.0:ebx:0:0", "neither" }, { "7.:ebx:1:0", "neither" },
		{ "7:esi:1:0", "neither" }, { "1ffffffff:eax:1:0", "neither" }, { "-1:eax:1:0", "'1:eax:1:0'" },
		{ " 1:eax:1:0", "neither" }, { "1:eax:1:0x", "neither" }, { "1:eax: 1:0", "neither" },
		{ "1:eax:+1:0", "neither" },
		{ "1:eax:1:0:0", "neither" },
		{ "-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "too long" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct cpuid_changes c = { .count = 0 };
		char why[160] = "";

		assert_int_equal(cpuid_parse(wrong[i].text, &c, why, sizeof(why)), -EINVAL);
		if (!strstr(why, wrong[i].why))
			fail_msg("'%s': %s", wrong[i].text, why);
	}
}

static void there_is_an_end(void **state)
{
	struct cpuid_changes c = { .count = 0 };
	struct cpuid_change change = { .any_subleaf = true, .mask = { 1 } };
	char why[160] = "";

	for (unsigned i = 0; i < CPUID_CHANGES_MAX; i++, change.leaf++)
		assert_int_equal(cpuid_change(&c, &change), 0);
	assert_int_equal(cpuid_change(&c, &change), -ENOSPC);
	change.leaf = 3;
	assert_int_equal(cpuid_change(&c, &change), 0);
	assert_int_equal(cpuid_parse("ffff:eax:1:0", &c, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "more than"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(features_are_hidden), cmocka_unit_test(bits_are_cleared_and_set),
		cmocka_unit_test(what_is_wrong_is_said), cmocka_unit_test(there_is_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
