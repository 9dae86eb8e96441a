/* The bare guest: no kernel, one processor, memory mapped to itself. Its command line says what it does; see main.c. */
#pragma once

#include "lib/core/types.h"
#include "spec/bootparam.h"

void *memset(void *to, int byte, size_t len);
void *memcpy(void *to, const void *from, size_t len);

/* ---- console: COM1 */
void put_text(const char *text);
void put_hex(u64 value);
void put_number(u64 value);
/* "ok NAME" or "FAIL NAME: got, wanted" */
void expect(const char *name, u64 got, u64 wanted);
/* what was printed goes out first */
_Noreturn void power_off(void);

/* ---- processor */
#define VECTORS 32u
#define NO_FAULT 255u
#define USER_BASE 0x8000000000ull /* 512 GiB: nothing else is mapped there */
#define USER_CODE USER_BASE
#define USER_DATA (USER_BASE + 0x10000)
#define USER_MMIO (USER_BASE + 0x20000) /* a page of MMIO where no device is */

/* a fault's frame, as traps.S pushes it */
struct frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

/* tables of our own: descriptors, interrupts, pages (16 GiB to themselves; user pages) */
void cpu_init(void);
/* what the next faults give: memory, port, MSR, hypercall; NO_FAULT if none. Sizes: 1, 2, 4, 8. */
u8 try_read(u64 address, unsigned size, u64 *ret);
u8 try_write(u64 address, unsigned size, u64 value);
u8 try_rdmsr(u32 msr, u64 *ret);
u8 try_wrmsr(u32 msr, u64 value);
bool hypercalls_enable(void);
/* through the hypercall page; RDX and R8: addresses, or values of fast calls */
u8 try_hypercall(u64 control, u64 rdx, u64 r8, u64 *ret);
u8 try_execute(u64 address);
/*
 * One instruction in user mode, out of USER_CODE, with frame's general registers and the trap flag; the vector that ended it.
 * *frame: as it left.
 */
u8 run_user(struct frame *frame);
u32 port_read(u16 port, unsigned size);
void port_write(u16 port, unsigned size, u32 value);

/* ---- what it does */
extern const struct boot_params *boot_params;
u64 next_random(void);
void modes_run(void);          /* modes.S */
extern u32 modes_seen[12];
void protect_run(void);
void vectors_run(void);
void vectors_memory_run(void); /* with the test device */
/* kinds: bit 0 ports, 1 MMIO, 2 MSRs, 3 hypercalls, 4 instructions */
void sweep_run(u64 count, u64 kinds);
