/*
 * What public bare-metal test suites (kvm-unit-tests) expect beside a PC: places to read and write, interrupt lines that the
 * guest sets itself, an end of the machine. Never in a default machine: the firmware's command line must ask for it
 * (PARAVANE_TESTDEV=1).
 * Sources: QEMU hw/misc/pc-testdev.c and hw/misc/debugexit.c (places and meaning); kvm-unit-tests x86/run (the exit's port).
 */
#pragma once

#include "vmm/chipset/chipset.h"

#define TESTDEV_PORT 0xe0         /* 4 bytes that can be written and read; E8h: the same bytes again */
#define TESTDEV_FLUSH_PORT 0xe4   /* a page of the guest to be taken out of the hypervisor's tables and put back: nothing here */
#define TESTDEV_EXIT_PORT 0xf4
#define TESTDEV_LINES_PORT 0x2000 /* a port a line, of the IO-APIC's 24: the byte written is the level */
#define TESTDEV_MEMORY 0xff000000ull
#define TESTDEV_MEMORY_LEN 0x10000u

struct testdev {
	struct device dev;
	struct power *power;
	struct isa *isa;
	/* before the power goes off: what a value that is not 0 is to be told as. With the device lock held. */
	void (*failed)(struct testdev *, u32 value, const char *text);
	u8 port[4];
	u32 levels;
	u64 flushes, exits;
	u32 exit_value;
	char how[64];
	u8 memory[TESTDEV_MEMORY_LEN];
};

void testdev_init(struct testdev *t, struct power *power, struct isa *isa);
