/*
 * CPUID: which bit says which feature. Names as Linux prints them (arch/x86/include/asm/cpufeatures.h).
 * Sources: Intel SDM volume 2, CPUID, tables 3-8 ff. (edition 325462-083); AMD APM volume 3, appendix E (24594, 3.36).
 */
#pragma once

#include "lib/core/types.h"

enum cpuid_register { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX, CPUID_REGISTERS };

#define CPUID_LEAF_FEATURES 0x1u
#define CPUID_LEAF_POWER 0x6u
#define CPUID_LEAF_EXTENDED_FEATURES 0x7u
#define CPUID_LEAF_XSAVE 0xdu
#define CPUID_LEAF_AMD_FEATURES 0x80000001u
#define CPUID_LEAF_AMD_POWER 0x80000007u
#define CPUID_LEAF_AMD_SIZES 0x80000008u
