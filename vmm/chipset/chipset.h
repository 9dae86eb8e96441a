/*
 * The platform devices of VTL0: what Linux with ACPI on Hyper-V touches. Each is a struct device; init fills it, bus_attach()
 * puts it on the bus. Lock order: any other device, then pic, then ioapic. Interrupt wiring is explicit: struct isa.
 */
#pragma once

#include "lib/uart/uart.h"
#include "vmm/bus/device.h"

#define IOAPIC_PINS 24
#define IOAPIC_ID 0

/* delivery_mode as in an APIC ICR */
struct ioapic_message {
	u32 destination;
	u8 vector, delivery_mode;
	bool logical, level;
};

struct ioapic {
	struct device dev;
	/* an interrupt for VTL0's local APICs. Any thread, with the device lock held: must not come back here. */
	void (*deliver)(struct ioapic *, const struct ioapic_message *);
	u8 select;
	u64 pins[IOAPIC_PINS];   /* redirection entries */
	u32 levels;              /* input lines */
	u64 delivered, eois, coalesced;
};

void ioapic_init(struct ioapic *a);
/* any thread, without the device lock */
void ioapic_set_pin(struct ioapic *a, unsigned pin, bool level);
/* a level-triggered vector was EOI'd (HVMSG_X64_APIC_EOI) */
void ioapic_eoi(struct ioapic *a, u8 vector);

struct pic_half {
	u8 irr, isr, imr, lines, elcr, icw_step, base, icw1;
	bool read_isr, auto_eoi, special_mask, poll;
};

struct pic {
	struct device dev;
	struct pic_half half[2];
	void (*set_output)(struct pic *, bool level); /* INTR, with the device lock held */
	bool output;
};

void pic_init(struct pic *p);
void pic_set_line(struct pic *p, unsigned line, bool level);
/* interrupt acknowledge: the vector */
u8 pic_acknowledge(struct pic *p);

/* ISA interrupt lines 0-15, to both controllers. Line 0 is IO-APIC pin 2, as the MADT says. */
struct isa {
	struct ioapic *ioapic;
	struct pic *pic;
};
void isa_set(struct isa *isa, unsigned line, bool level);

struct pit_channel {
	u16 reload;
	u8 mode, access, latch_count;
	u16 latched;
	bool low_next, write_low_next, status_latched;
	u8 write_low, status;
	u64 start_ns;
	bool gate;
};

struct pit {
	struct device dev;
	struct pit_channel channel[3];
	u8 port61;
	struct isa *isa;
	struct timer timer;
	struct op post;
	bool post_busy;
	u64 period_ns, next_ns, ticks;
};

void pit_init(struct pit *p, struct exec *home, struct isa *isa);

struct rtc {
	struct device dev;
	u8 index, registers[128];
	struct isa *isa;
	u8 flags;                /* of register C */
	s64 skew_s;              /* guest time minus ours */
	s64 (*wall_clock_ns)(struct rtc *); /* Unix time */
	s64 second;              /* of guest time, up to which updates and alarms were looked for */
	u64 beat_ns;             /* the last beat of the periodic interrupt, on home's clock */
	struct timer timer;      /* the next interrupt that is enabled */
	struct op post;
	bool post_busy, stopped;
	u64 interrupts;
};

void rtc_init(struct rtc *r, struct exec *home, struct isa *isa);

enum power_event { POWER_EVENT_OFF, POWER_EVENT_RESET, POWER_EVENT_WATCHDOG /* a reset too */ };

struct power {
	/* VTL0 asked for it, or its watchdog; any thread. Must not block. */
	void (*event)(struct power *, enum power_event, const char *how);
};

/* FADT values that loader/acpi.c repeats; places and values as Hyper-V's (openvmm vm/devices/chipset/src/pm) */
#define PM_BASE 0x400
#define PM_STATUS_PORT PM_BASE
#define PM_CONTROL_PORT (PM_BASE + 4)
#define PM_TIMER_PORT (PM_BASE + 8)
#define PM_GPE_PORT (PM_BASE + 12)      /* status, enable: a word each */
#define PM_RESET_PORT (PM_BASE + 0x33)
#define PM_PORTS 0x38
#define PM_RESET_VALUE 1
#define PM_S5_TYPE 0
#define PM_SCI_LINE 9
#define PM_GPE_GENERATION_ID 0
#define PM_TIMER_HZ 3579545u

struct pm {
	struct device dev;
	struct power *power;
	struct isa *isa;
	u16 status, enable, control, gpe_status, gpe_enable;
	u64 start_ns, gpes;
};

void pm_init(struct pm *pm, struct exec *home, struct isa *isa, struct power *power);
/* a general purpose event happened: its status bit is set until the guest clears it. Any thread, without the device lock. */
void pm_gpe(struct pm *pm, unsigned number);

/* i8042 reset line, POST port, port 92h */
struct legacy {
	struct device dev;
	struct power *power;
	u8 post, kbd_status, kbd_data;
	bool kbd_full;
	u64 posts;
};

void legacy_init(struct legacy *l, struct power *power);

struct com {
	struct device dev;
	struct uart uart;
	struct isa *isa;
	unsigned line;
	struct region region;
	/* with the device lock held; schedule, do not call back */
	void (*tx_ready)(struct com *);
	void (*tx_flush)(struct com *);
	void (*rx_room)(struct com *);
	struct task *pump; /* for whoever set them */
};

/* number 0: COM1 (0x3f8, line 4), 1: COM2 (0x2f8, line 3) */
void com_init(struct com *c, unsigned number, struct isa *isa);
