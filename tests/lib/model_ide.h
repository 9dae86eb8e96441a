/* A guest's IDE driver in small: ports, PIO, and a table for the bus master. It knows the standard, not our code. */
#pragma once

#include <string.h>

#include "lib/task/exec_sim.h"
#include "vmm/bus/bus.h"
#include "vmm/chipset/ide/ide.h"

#define MODEL_RAM (8 * MiB)
#define MODEL_TABLE 0x1000u

struct model_ide {
	struct sim *sim;
	struct exec *exec;
	struct bus bus;
	struct ioapic ioapic;
	struct pic pic;
	struct isa isa;
	struct pci_bus pci;
	struct power power;
	struct guest *guest;
	struct ide *ide;
	u16 base, control, bm; /* of the channel in use */
	u32 prds;
	unsigned interrupts[2]; /* lines 14 and 15 */
};

static struct model_ide *model_of_ioapic;

static void model_deliver(struct ioapic *a, const struct ioapic_message *m)
{
	model_of_ioapic->interrupts[m->vector == 0x5f]++;
}

static void model_output(struct pic *p, bool level) {}
static void model_power(struct power *p, enum power_event e, const char *how) {}

static inline void model_out(struct model_ide *m, u64 port, unsigned size, u64 value)
{
	bus_access(&m->bus, SPACE_PIO, port, size, true, &value, NULL);
}

static inline u64 model_in(struct model_ide *m, u64 port, unsigned size)
{
	u64 value = 0;

	bus_access(&m->bus, SPACE_PIO, port, size, false, &value, NULL);
	return value;
}

static inline void model_channel(struct model_ide *m, unsigned channel)
{
	m->base = channel ? 0x170 : 0x1f0;
	m->control = channel ? 0x376 : 0x3f6;
	m->bm = (u16)(0xffa0 + 8 * channel);
}

static inline void model_run(struct model_ide *m)
{
	sim_run(m->sim, sim_now_ns(m->sim) + 1000000000);
}

/* the controller on a bus; drives are the caller's to add */
static inline bool model_init(struct model_ide *m, u64 seed)
{
	static struct pci_bridges bridges;

	memset(m, 0, sizeof(*m));
	m->sim = sim_create(seed);
	m->exec = sim_exec(m->sim, "ide");
	m->power.event = model_power;
	m->isa = (struct isa){ &m->ioapic, &m->pic };
	bus_init(&m->bus);
	ioapic_init(&m->ioapic);
	m->ioapic.deliver = model_deliver;
	model_of_ioapic = m;
	pic_init(&m->pic);
	m->pic.set_output = model_output;
	pci_bus_init(&m->pci, &m->power);
	if (guest_create_fake(MODEL_RAM, 0, &m->guest))
		return false;
	m->ide = ide_create(&(struct ide_config){ m->guest, m->exec, &m->isa });
	if (!m->ide || pci_bridges_add(&bridges, &m->pci) || pci_bus_add(&m->pci, ide_function(m->ide)))
		return false;
	if (bus_attach(&m->bus, &m->ioapic.dev) || bus_attach(&m->bus, &m->pic.dev) || bus_attach(&m->bus, &m->pci.dev) ||
	    bus_attach(&m->bus, ide_device(m->ide)))
		return false;
	for (unsigned i = 0; i < 2; i++) { /* edge, vectors 5Eh and 5Fh */
		u64 select = 0x10 + 2 * (14 + i), entry = 0x5e + i;

		bus_access(&m->bus, SPACE_MMIO, 0xfec00000, 4, true, &select, NULL);
		bus_access(&m->bus, SPACE_MMIO, 0xfec00010, 4, true, &entry, NULL);
	}
	model_channel(m, 0);
	bus_start(&m->bus);
	return true;
}

static inline void model_fini(struct model_ide *m)
{
	ide_destroy(m->ide);
	sim_destroy(m->sim);
	guest_destroy(m->guest);
}

static inline u8 model_status(struct model_ide *m) { return (u8)model_in(m, m->base + 7, 1); }
static inline u8 model_reg(struct model_ide *m, unsigned reg) { return (u8)model_in(m, m->base + reg, 1); }
static inline void model_set(struct model_ide *m, unsigned reg, u8 value) { model_out(m, m->base + reg, 1, value); }

/* 28 bits: dev is 0 or 10h */
static inline void model_lba28(struct model_ide *m, u8 dev, u32 lba, u8 count)
{
	model_set(m, 6, (u8)(0xe0 | dev | lba >> 24));
	model_set(m, 2, count);
	model_set(m, 3, (u8)lba);
	model_set(m, 4, (u8)(lba >> 8));
	model_set(m, 5, (u8)(lba >> 16));
}

static inline void model_lba48(struct model_ide *m, u8 dev, u64 lba, u16 count)
{
	model_set(m, 6, 0x40 | dev);
	model_set(m, 2, (u8)(count >> 8));
	model_set(m, 3, (u8)(lba >> 24));
	model_set(m, 4, (u8)(lba >> 32));
	model_set(m, 5, (u8)(lba >> 40));
	model_set(m, 2, (u8)count);
	model_set(m, 3, (u8)lba);
	model_set(m, 4, (u8)(lba >> 8));
	model_set(m, 5, (u8)(lba >> 16));
}

/* moves len bytes by PIO in blocks of at most `block`, waiting for DRQ before each; the status that ended it */
static inline u8 model_pio(struct model_ide *m, void *data, size_t len, size_t block, bool out)
{
	u8 *at = data;

	while (len) {
		size_t n = len < block ? len : block;

		model_run(m);
		u8 status = model_status(m);

		if ((status & 0x89) != 0x08) /* not BSY, no error, DRQ */
			return status;
		for (size_t i = 0; i < n; i += 2) {
			u16 word = 0;

			if (out) {
				memcpy(&word, at + i, 2);
				model_out(m, m->base, 2, word);
			} else {
				word = (u16)model_in(m, m->base, 2);
				memcpy(at + i, &word, 2);
			}
		}
		at += n;
		len -= n;
	}
	model_run(m);
	return model_status(m);
}

static inline void model_prd_start(struct model_ide *m) { m->prds = 0; }

static inline void model_prd(struct model_ide *m, u32 base, u32 len, bool last)
{
	u32 prd[2] = { base, (len & 0xffff) | (last ? 0x80000000u : 0) };

	if (guest_write(m->guest, MODEL_TABLE + 8 * m->prds++, prd, sizeof(prd)))
		__builtin_trap();
}

/* as Linux does: table, direction, command, start, wait, stop; the bus master's status before it is cleared */
static inline u8 model_dma(struct model_ide *m, u8 command, bool to_memory)
{
	model_out(m, m->bm + 4u, 4, MODEL_TABLE);
	model_out(m, m->bm, 1, to_memory ? 8 : 0);
	model_out(m, m->bm + 2u, 1, 6);
	model_set(m, 7, command);
	model_out(m, m->bm, 1, to_memory ? 9 : 1);
	model_run(m);
	u8 status = (u8)model_in(m, m->bm + 2u, 1);

	model_out(m, m->bm, 1, to_memory ? 8 : 0);
	model_out(m, m->bm + 2u, 1, 6);
	return status;
}
