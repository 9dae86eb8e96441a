#include "host/vpci/pci.h"

#include <string.h>

#include "lib/core/check.h"

#define CAP_MSIX 0x40
#define CAP_EXPRESS 0x60
#define COMMAND_WRITABLE (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE | BIT(6) | BIT(8))
#define EXPRESS_CONTROL_WRITABLE 0x7fffu
#define PBA_OFFSET 0x800u
#define MSIX_BAR_SIZE 0x1000u

static u16 get16(const struct pci_function *f, u32 at)
{
	u16 v;

	memcpy(&v, f->config + at, sizeof(v));
	return v;
}

static u32 get32(const struct pci_function *f, u32 at)
{
	u32 v;

	memcpy(&v, f->config + at, sizeof(v));
	return v;
}

static void put16(struct pci_function *f, u32 at, u16 v)
{
	memcpy(f->config + at, &v, sizeof(v));
}

static void put32(struct pci_function *f, u32 at, u32 v)
{
	memcpy(f->config + at, &v, sizeof(v));
}

u32 pci_bar_mask(const struct pci_function *f, u32 i)
{
	if (f->bar_size[i])
		return (u32)~(f->bar_size[i] - 1) | PCI_BAR_64;
	if (i && f->bar_size[i - 1])
		return (u32)(~(f->bar_size[i - 1] - 1) >> 32);
	return 0;
}

/* everything that software can have changed, as it is after power-on; lock held */
static void set_defaults(struct pci_function *f)
{
	const struct pci_identity *id = &f->identity;
	u8 *c = f->config;

	memset(c, 0, sizeof(f->config));
	put16(f, PCI_VENDOR_ID, id->vendor);
	put16(f, PCI_DEVICE_ID, id->device);
	put16(f, PCI_STATUS, PCI_STATUS_CAPABILITIES);
	c[PCI_REVISION_ID] = id->revision;
	c[PCI_CLASS_PROG] = (u8)id->class_code;
	c[PCI_CLASS_SUB] = (u8)(id->class_code >> 8);
	c[PCI_CLASS_BASE] = (u8)(id->class_code >> 16);
	put16(f, PCI_SUBSYSTEM_VENDOR_ID, id->subsystem_vendor);
	put16(f, PCI_SUBSYSTEM_ID, id->subsystem);
	c[PCI_CAPABILITIES] = CAP_MSIX;
	for (u32 i = 0; i < PCI_BAR_COUNT; i++)
		if (f->bar_size[i])
			put32(f, PCI_BAR0 + 4 * i, PCI_BAR_64);
	c[CAP_MSIX] = PCI_CAP_MSIX;
	c[CAP_MSIX + 1] = CAP_EXPRESS;
	put16(f, CAP_MSIX + PCI_MSIX_CONTROL, (u16)(f->vector_count - 1));
	put32(f, CAP_MSIX + PCI_MSIX_TABLE, f->msix_bar);
	put32(f, CAP_MSIX + PCI_MSIX_PBA, PBA_OFFSET | f->msix_bar);
	c[CAP_EXPRESS] = PCI_CAP_EXPRESS;
	put16(f, CAP_EXPRESS + PCI_EXPRESS_FLAGS, 2); /* version 2, endpoint */
	put32(f, CAP_EXPRESS + PCI_EXPRESS_DEVICE_CAPS, PCI_EXPRESS_CAPS_FLR | PCI_EXPRESS_CAPS_ROLE_BASED_ERRORS);
	memset(f->table, 0, sizeof(f->table));
	memset(f->pending, 0, sizeof(f->pending));
	for (u32 i = 0; i < f->vector_count; i++)
		f->table[i].control = PCI_MSIX_ENTRY_MASKED;
}

void pci_function_init(struct pci_function *f)
{
	CHECK(f->vector_count && f->vector_count <= PCI_VECTORS_MAX && f->msix_bar < PCI_BAR_COUNT - 1);
	CHECK(f->bar_size[f->msix_bar] == MSIX_BAR_SIZE);
	for (u32 i = 0; i < PCI_BAR_COUNT; i++) {
		CHECK(!(f->bar_size[i] & (f->bar_size[i] - 1)) && (!f->bar_size[i] || f->bar_size[i] >= PAGE_SIZE));
		CHECK(!f->bar_size[i] || (i + 1 < PCI_BAR_COUNT && !f->bar_size[i + 1]));
	}
	pthread_mutex_init(&f->lock, NULL);
	set_defaults(f);
}

void pci_function_fini(struct pci_function *f)
{
	pthread_mutex_destroy(&f->lock);
}

void pci_function_reset(struct pci_function *f)
{
	pthread_mutex_lock(&f->lock);
	set_defaults(f);
	f->resets++;
	pthread_mutex_unlock(&f->lock);
	f->ops->reset(f);
}

/* ---- MSI-X */

static bool msix_enabled(const struct pci_function *f)
{
	return get16(f, CAP_MSIX + PCI_MSIX_CONTROL) & PCI_MSIX_CONTROL_ENABLE;
}

static bool is_masked(const struct pci_function *f, u32 vector)
{
	return get16(f, CAP_MSIX + PCI_MSIX_CONTROL) & PCI_MSIX_CONTROL_MASK_ALL ||
	       f->table[vector].control & PCI_MSIX_ENTRY_MASKED;
}

/* lock held */
static void send(struct pci_function *f, u32 vector)
{
	f->interrupts++;
	if (f->deliver && get16(f, PCI_COMMAND) & PCI_COMMAND_MASTER)
		f->deliver(f->deliver_ctx, f->table[vector].address, f->table[vector].data);
}

void pci_interrupt(struct pci_function *f, u32 vector)
{
	if (vector >= f->vector_count)
		return;
	pthread_mutex_lock(&f->lock);
	if (!msix_enabled(f)) {
		f->strays++;
	} else if (is_masked(f, vector)) {
		f->pending[vector / 64] |= BIT(vector % 64);
		f->interrupts_masked++;
	} else {
		send(f, vector);
	}
	pthread_mutex_unlock(&f->lock);
}

/* something was unmasked, perhaps; lock held */
static void send_pending(struct pci_function *f)
{
	if (!msix_enabled(f))
		return;
	for (u32 v = 0; v < f->vector_count; v++)
		if (f->pending[v / 64] & BIT(v % 64) && !is_masked(f, v)) {
			f->pending[v / 64] &= ~BIT(v % 64);
			send(f, v);
		}
}

static void msix_mmio(struct pci_function *f, u64 offset, void *data, u32 len, bool write)
{
	u32 table_len = f->vector_count * (u32)sizeof(f->table[0]);

	pthread_mutex_lock(&f->lock);
	if (!write)
		memset(data, 0, len);
	if (range_within(offset, len, 0, table_len)) {
		if (write) {
			memcpy((u8 *)f->table + offset, data, len);
			send_pending(f);
		} else {
			memcpy(data, (u8 *)f->table + offset, len);
		}
	} else if (!write && range_within(offset, len, PBA_OFFSET, sizeof(f->pending))) {
		memcpy(data, (u8 *)f->pending + (offset - PBA_OFFSET), len);
	}
	pthread_mutex_unlock(&f->lock);
}

/* ---- configuration space */

u32 pci_config_read(struct pci_function *f, u32 offset, u32 size)
{
	u32 value = ~0u;

	if (!range_within(offset, size, 0, PCI_EXPRESS_CONFIG_SIZE) || size > 4)
		return value;
	pthread_mutex_lock(&f->lock);
	f->config_reads++;
	value = 0; /* the extended space holds no capability */
	if (range_within(offset, size, 0, PCI_CONFIG_SIZE))
		memcpy(&value, f->config + offset, size);
	pthread_mutex_unlock(&f->lock);
	return value;
}

static void write_bar(struct pci_function *f, u32 i, u32 value)
{
	u32 mask = pci_bar_mask(f, i);

	if (f->bar_size[i])
		put32(f, PCI_BAR0 + 4 * i, (value & mask & ~PCI_BAR_FLAGS) | PCI_BAR_64);
	else
		put32(f, PCI_BAR0 + 4 * i, value & mask);
}

/* one byte of the space, for registers that software may write in parts */
static void write_byte(struct pci_function *f, u32 at, u8 value)
{
	u16 old;

	switch (at) {
	case PCI_COMMAND:
	case PCI_COMMAND + 1:
		f->config[at] = value & (u8)(COMMAND_WRITABLE >> 8 * (at - PCI_COMMAND));
		return;
	case PCI_CACHE_LINE_SIZE:
	case PCI_LATENCY_TIMER:
	case PCI_INTERRUPT_LINE:
		f->config[at] = value;
		return;
	case CAP_MSIX + PCI_MSIX_CONTROL + 1:
		old = get16(f, CAP_MSIX + PCI_MSIX_CONTROL) & PCI_MSIX_CONTROL_SIZE;
		put16(f, CAP_MSIX + PCI_MSIX_CONTROL, (u16)(old | (value & 0xc0u) << 8));
		return;
	case CAP_EXPRESS + PCI_EXPRESS_DEVICE_CONTROL:
	case CAP_EXPRESS + PCI_EXPRESS_DEVICE_CONTROL + 1:
		f->config[at] = value & (u8)(EXPRESS_CONTROL_WRITABLE >> 8 * (at - CAP_EXPRESS - PCI_EXPRESS_DEVICE_CONTROL));
		return;
	}
}

static bool asks_for_reset(u32 offset, u32 size, u32 value)
{
	u32 at = CAP_EXPRESS + PCI_EXPRESS_DEVICE_CONTROL + 1; /* the bit is in the high byte */

	return offset <= at && at < offset + size && value >> 8 * (at - offset) & (PCI_EXPRESS_CONTROL_FLR >> 8);
}

void pci_config_write(struct pci_function *f, u32 offset, u32 size, u32 value)
{
	if (!range_within(offset, size, 0, PCI_CONFIG_SIZE) || size > 4)
		return;
	if (asks_for_reset(offset, size, value)) {
		pci_function_reset(f);
		return;
	}
	pthread_mutex_lock(&f->lock);
	f->config_writes++;
	if (offset >= PCI_BAR0 && offset < PCI_BAR0 + 4 * PCI_BAR_COUNT) {
		if (size == 4 && !(offset & 3))
			write_bar(f, (offset - PCI_BAR0) / 4, value);
	} else {
		for (u32 i = 0; i < size; i++)
			write_byte(f, offset + i, (u8)(value >> 8 * i));
		send_pending(f);
	}
	pthread_mutex_unlock(&f->lock);
}

/* ---- BARs */

/* which BAR an access falls in; false: none. Lock held. */
static bool decode(struct pci_function *f, u64 address, u32 len, u32 *ret_bar, u64 *ret_offset)
{
	if (!(get16(f, PCI_COMMAND) & PCI_COMMAND_MEMORY))
		return false;
	for (u32 i = 0; i < PCI_BAR_COUNT; i++) {
		if (!f->bar_size[i])
			continue;
		u64 base = (get32(f, PCI_BAR0 + 4 * i) & ~PCI_BAR_FLAGS) | (u64)get32(f, PCI_BAR0 + 4 * i + 4) << 32;

		if (!range_within(address, len, base, f->bar_size[i]))
			continue;
		*ret_bar = i;
		*ret_offset = address - base;
		return true;
	}
	return false;
}

bool pci_mmio(struct pci_function *f, u64 address, void *data, u32 len, bool write)
{
	u64 offset, value = 0;
	u32 bar;

	if (len != 1 && len != 2 && len != 4 && len != 8)
		return false;
	pthread_mutex_lock(&f->lock);
	bool hit = decode(f, address, len, &bar, &offset);

	pthread_mutex_unlock(&f->lock);
	if (!hit)
		return false;
	if (bar == f->msix_bar) {
		msix_mmio(f, offset, data, len, write);
		return true;
	}
	if (write) {
		memcpy(&value, data, len);
		f->ops->write(f, bar, offset, len, value);
	} else {
		value = f->ops->read(f, bar, offset, len);
		memcpy(data, &value, len);
	}
	return true;
}

bool pci_is_master(struct pci_function *f)
{
	pthread_mutex_lock(&f->lock);
	bool master = get16(f, PCI_COMMAND) & PCI_COMMAND_MASTER;

	pthread_mutex_unlock(&f->lock);
	return master;
}
