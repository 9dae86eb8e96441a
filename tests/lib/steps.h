/* tests/guests/bare/steps.S stepped by three: what is compared is a digest of the registers after each step. Pure. */
#pragma once

#include "lib/core/types.h"

#define STEPS_CODE 0x3000000u
#define STEPS_STACK 0x3020000u
#define STEPS_GDT 0x4000u
#define STEPS_MEMORY (64 * MiB)
#define STEPS_FLAGS 0xcc5ull /* CF PF ZF SF DF OF: those that the guest has defined at any time */
#define STEPS_WORDS 22u      /* RIP, flags, RAX RBX RCX RDX RSI RDI RBP RSP R8..R15, XMM0, XMM1 */
#define STEPS_GDT_CODE 0x00af9b000000ffffull
#define STEPS_GDT_DATA 0x00cf93000000ffffull

/* FNV-1a of 64 bits */
static inline u64 steps_digest(u64 digest, const u64 words[STEPS_WORDS])
{
	const u8 *bytes = (const u8 *)words;

	for (size_t i = 0; i < STEPS_WORDS * sizeof(u64); i++)
		digest = (digest ^ bytes[i]) * 0x100000001b3ull;
	return digest;
}
#define STEPS_DIGEST_BEGIN 0xcbf29ce484222325ull
