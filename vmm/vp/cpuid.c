#include "vmm/vp/cpuid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define ITEM_MAX 64u

struct feature {
	const char *name;
	u32 leaf;
	u8 reg, bit;
};

/* without those that no 64-bit guest starts without, or that firmware of a PC promises (APIC, MTRR, PAT ...) */
#define ECX1(name, bit) { name, CPUID_LEAF_FEATURES, CPUID_ECX, bit }
#define EBX7(name, bit) { name, CPUID_LEAF_EXTENDED_FEATURES, CPUID_EBX, bit }
#define ECX7(name, bit) { name, CPUID_LEAF_EXTENDED_FEATURES, CPUID_ECX, bit }
#define EDX7(name, bit) { name, CPUID_LEAF_EXTENDED_FEATURES, CPUID_EDX, bit }
#define ECX81(name, bit) { name, CPUID_LEAF_AMD_FEATURES, CPUID_ECX, bit }
#define EDX81(name, bit) { name, CPUID_LEAF_AMD_FEATURES, CPUID_EDX, bit }
#define EBX88(name, bit) { name, CPUID_LEAF_AMD_SIZES, CPUID_EBX, bit }
static const struct feature features[] = {
	ECX1("pni", 0), ECX1("pclmulqdq", 1), ECX1("monitor", 3), ECX1("vmx", 5), ECX1("ssse3", 9), ECX1("fma", 12),
	ECX1("cx16", 13), ECX1("pcid", 17), ECX1("sse4_1", 19), ECX1("sse4_2", 20), ECX1("x2apic", 21), ECX1("movbe", 22),
	ECX1("popcnt", 23), ECX1("tsc_deadline_timer", 24), ECX1("aes", 25), ECX1("xsave", 26), ECX1("avx", 28), ECX1("f16c", 29),
	ECX1("rdrand", 30), { "ht", CPUID_LEAF_FEATURES, CPUID_EDX, 28 }, { "arat", CPUID_LEAF_POWER, CPUID_EAX, 2 },
	EBX7("fsgsbase", 0), EBX7("tsc_adjust", 1), EBX7("sgx", 2), EBX7("bmi1", 3), EBX7("hle", 4), EBX7("avx2", 5),
	EBX7("smep", 7), EBX7("bmi2", 8), EBX7("erms", 9), EBX7("invpcid", 10), EBX7("rtm", 11), EBX7("mpx", 14),
	EBX7("avx512f", 16), EBX7("avx512dq", 17), EBX7("rdseed", 18), EBX7("adx", 19), EBX7("smap", 20), EBX7("avx512ifma", 21),
	EBX7("clflushopt", 23), EBX7("clwb", 24), EBX7("avx512pf", 26), EBX7("avx512er", 27), EBX7("avx512cd", 28),
	EBX7("sha_ni", 29), EBX7("avx512bw", 30), EBX7("avx512vl", 31),
	ECX7("avx512vbmi", 1), ECX7("umip", 2), ECX7("pku", 3), ECX7("waitpkg", 5), ECX7("avx512_vbmi2", 6), ECX7("gfni", 8),
	ECX7("vaes", 9), ECX7("vpclmulqdq", 10), ECX7("avx512_vnni", 11), ECX7("avx512_bitalg", 12), ECX7("avx512_vpopcntdq", 14),
	ECX7("la57", 16), ECX7("rdpid", 22), ECX7("movdiri", 27), ECX7("movdir64b", 28),
	EDX7("fsrm", 4), EDX7("md_clear", 10), EDX7("serialize", 14), EDX7("amx_bf16", 22), EDX7("avx512_fp16", 23),
	EDX7("amx_tile", 24), EDX7("amx_int8", 25), EDX7("spec_ctrl", 26), EDX7("intel_stibp", 27), EDX7("flush_l1d", 28),
	EDX7("arch_capabilities", 29), EDX7("spec_ctrl_ssbd", 31),
	ECX81("lahf_lm", 0), ECX81("svm", 2), ECX81("cr8_legacy", 4), ECX81("abm", 5), ECX81("sse4a", 6), ECX81("misalignsse", 7),
	ECX81("3dnowprefetch", 8), ECX81("osvw", 9), ECX81("xop", 11), ECX81("fma4", 16), ECX81("tbm", 21), ECX81("topoext", 22),
	ECX81("perfctr_core", 23),
	EDX81("nx", 20), EDX81("mmxext", 22), EDX81("fxsr_opt", 25), EDX81("pdpe1gb", 26), EDX81("rdtscp", 27),
	{ "nonstop_tsc", CPUID_LEAF_AMD_POWER, CPUID_EDX, 8 },
	EBX88("clzero", 0), EBX88("xsaveerptr", 2), EBX88("wbnoinvd", 9), EBX88("amd_ibpb", 12), EBX88("amd_ibrs", 14),
	EBX88("amd_stibp", 15), EBX88("amd_ssbd", 24), EBX88("virt_ssbd", 25),
};

static const char *const register_names[CPUID_REGISTERS] = { "eax", "ebx", "ecx", "edx" };

int cpuid_change(struct cpuid_changes *c, const struct cpuid_change *change)
{
	struct cpuid_change *to = c->all;

	while (to < c->all + c->count &&
	       (to->leaf != change->leaf || to->any_subleaf != change->any_subleaf || to->subleaf != change->subleaf))
		to++;
	if (to == c->all + c->count) {
		if (c->count == CPUID_CHANGES_MAX)
			return -ENOSPC;
		*to = (struct cpuid_change){ .leaf = change->leaf, .subleaf = change->subleaf,
					     .any_subleaf = change->any_subleaf };
		c->count++;
	}
	for (unsigned i = 0; i < CPUID_REGISTERS; i++) {
		to->value[i] = (to->value[i] & ~change->mask[i]) | (change->value[i] & change->mask[i]);
		to->mask[i] |= change->mask[i];
	}
	return 0;
}

/* up to the character `end`, which is eaten; false: no number of 32 bits */
static bool number(const char **at, char end, u32 *ret)
{
	char *stop;

	if (!strchr("0123456789abcdefABCDEF", **at) || !**at)
		return false;
	errno = 0;
	unsigned long value = strtoul(*at, &stop, 16);

	if (errno || value > 0xffffffffu || *stop != end)
		return false;
	*at = stop + (end != 0);
	*ret = (u32)value;
	return true;
}

static bool register_name(const char **at, unsigned *ret)
{
	for (unsigned i = 0; i < CPUID_REGISTERS; i++)
		if (!strncmp(*at, register_names[i], 3) && (*at)[3] == ':') {
			*at += 4;
			*ret = i;
			return true;
		}
	return false;
}

static bool parse_bits(const char *item, struct cpuid_change *ret)
{
	u32 clear, set;
	unsigned reg;

	*ret = (struct cpuid_change){ .any_subleaf = !strchr(item, '.') };
	if (!number(&item, ret->any_subleaf ? ':' : '.', &ret->leaf))
		return false;
	if (!ret->any_subleaf && !number(&item, ':', &ret->subleaf))
		return false;
	if (!register_name(&item, &reg) || !number(&item, ':', &clear) || !number(&item, 0, &set))
		return false;
	ret->mask[reg] = clear | set;
	ret->value[reg] = set;
	return !(clear & set) && ret->mask[reg];
}

static bool find_feature(const char *name, struct cpuid_change *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		const struct feature *f = &features[i];

		if (strcmp(f->name, name))
			continue;
		*ret = (struct cpuid_change){ .leaf = f->leaf, .any_subleaf = f->leaf != CPUID_LEAF_EXTENDED_FEATURES };
		ret->mask[f->reg] = 1u << f->bit;
		return true;
	}
	return false;
}

static int parse_item(const char *item, struct cpuid_changes *c, char *why, size_t size)
{
	struct cpuid_change change;

	if (item[0] == '-' && !find_feature(item + 1, &change)) {
		snprintf(why, size, "no feature is called '%s' that could be hidden", item + 1);
		return -EINVAL;
	}
	if (item[0] != '-' && !parse_bits(item, &change)) {
		snprintf(why, size, "'%s' is neither -FEATURE nor LEAF[.SUBLEAF]:REGISTER:CLEAR:SET, hexadecimal, no bit in both",
			 item);
		return -EINVAL;
	}
	if (cpuid_change(c, &change)) {
		snprintf(why, size, "more than %u leaves", CPUID_CHANGES_MAX);
		return -EINVAL;
	}
	return 0;
}

int cpuid_parse(const char *text, struct cpuid_changes *c, char *why, size_t size)
{
	char item[ITEM_MAX];

	for (const char *end;; text = end + 1) {
		end = strchrnul(text, ',');
		if (end == text || end - text >= (ptrdiff_t)sizeof(item)) {
			snprintf(why, size, end == text ? "an item is empty" : "an item is too long");
			return -EINVAL;
		}
		memcpy(item, text, (size_t)(end - text));
		item[end - text] = 0;
		int r = parse_item(item, c, why, size);

		if (r || !*end)
			return r;
	}
}

void cpuid_apply(const struct cpuid_changes *c, u32 leaf, u32 subleaf, u32 registers[CPUID_REGISTERS])
{
	for (unsigned i = 0; i < c->count; i++) {
		const struct cpuid_change *change = &c->all[i];

		if (change->leaf != leaf || (!change->any_subleaf && change->subleaf != subleaf))
			continue;
		for (unsigned k = 0; k < CPUID_REGISTERS; k++)
			registers[k] = (registers[k] & ~change->mask[k]) | change->value[k];
	}
}

void cpuid_inspect(void *object, struct inspect *in)
{
	const struct cpuid_changes *c = object;

	for (unsigned i = 0; i < c->count; i++) {
		const struct cpuid_change *change = &c->all[i];
		char name[24], text[120] = "";
		size_t len = 0;

		if (change->any_subleaf)
			snprintf(name, sizeof(name), "%x", change->leaf);
		else
			snprintf(name, sizeof(name), "%x.%x", change->leaf, change->subleaf);
		for (unsigned k = 0; k < CPUID_REGISTERS; k++)
			if (change->mask[k])
				len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s clear %#x set %#x",
							len ? ", " : "", register_names[k],
							change->mask[k] & ~change->value[k], change->value[k]);
		inspect_str(in, name, text);
	}
}
