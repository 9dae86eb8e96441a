/*
 * What VTL0 sees of CPUID where that is not what the hypervisor shows: bits by leaf. Plain values, no owner; constant once VTL0
 * runs.
 */
#pragma once

#include "lib/inspect/inspect.h"
#include "spec/cpuid.h"

#define CPUID_CHANGES_MAX 40u

struct cpuid_change {
	u32 leaf, subleaf;
	bool any_subleaf;
	u32 mask[CPUID_REGISTERS], value[CPUID_REGISTERS]; /* of the bits in mask */
};

struct cpuid_changes {
	struct cpuid_change all[CPUID_CHANGES_MAX];
	unsigned count;
};

/* what was said of these bits before is forgotten. -ENOSPC: no room for another leaf. */
int cpuid_change(struct cpuid_changes *c, const struct cpuid_change *change) __must_check;
/*
 * Adds what a configuration asks for: items with commas between them. "-avx" hides a feature by the name that Linux has for it;
 * "7.0:ebx:20:1" clears bits (20h) and sets others (1) of a leaf's register, numbers hexadecimal; without ".0" the leaf has no
 * sub-leaves. -EINVAL with the reason in why, c is then undefined.
 */
int cpuid_parse(const char *text, struct cpuid_changes *c, char *why, size_t size) __must_check;
/* registers: EAX to EDX as the hypervisor has them */
void cpuid_apply(const struct cpuid_changes *c, u32 leaf, u32 subleaf, u32 registers[CPUID_REGISTERS]);
/* a node a leaf */
void cpuid_inspect(void *changes, struct inspect *in);
