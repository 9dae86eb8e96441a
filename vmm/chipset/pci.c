/* PCI 3.0, 3.2.2.3.2: address and data ports; and port CF9h, which the PIIX4 has in the address' second byte */
#include "vmm/chipset/pci.h"

#include <errno.h>
#include <string.h>

#include "lib/log/log.h"

LOG_DOMAIN("pci");

enum { R_ADDRESS, R_DATA, R_IO };

void pci_config_put(struct pci_bus_function *f, unsigned offset, u32 value, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		f->config[offset + i] = (u8)(value >> 8 * i);
}

static void writable(struct pci_bus_function *f, unsigned offset, u32 bits, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		f->writable[offset + i] = (u8)(bits >> 8 * i);
}

void pci_bus_function_init(struct pci_bus_function *f, const char *name, u8 devfn, u16 device, u32 class_code)
{
	*f = (struct pci_bus_function){ .name = name, .devfn = devfn };
	pci_config_put(f, PCI_VENDOR_ID, PCI_VENDOR_INTEL, 2);
	pci_config_put(f, PCI_DEVICE_ID, device, 2);
	pci_config_put(f, PCI_CLASS_PROG, class_code, 3);
	pci_config_put(f, PCI_STATUS, 0x0280, 2); /* medium DEVSEL timing, fast back-to-back */
	writable(f, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	writable(f, PCI_LATENCY_TIMER, 0xf0, 1);
	writable(f, PCI_INTERRUPT_LINE, 0xff, 1);
}

void pci_bus_function_io(struct pci_bus_function *f, unsigned bar, u16 base, u16 len)
{
	f->io_len[bar] = len;
	pci_config_put(f, PCI_BAR0 + 4 * bar, base | PCI_BAR_IO, 4);
	writable(f, PCI_BAR0 + 4 * bar, 0xffffu & ~(len - 1u), 4);
}

int pci_bus_add(struct pci_bus *bus, struct pci_bus_function *f)
{
	if (bus->count == PCI_FUNCTIONS_MAX)
		return log_err(-ENOSPC, "%s: too many functions", f->name);
	for (unsigned i = 0; i < bus->count; i++)
		if (bus->functions[i]->devfn == f->devfn)
			return log_err(-EEXIST, "%s is where %s is", f->name, bus->functions[i]->name);
	memcpy(f->initial, f->config, sizeof(f->initial));
	bus->functions[bus->count++] = f;
	bus->dev.region_count = R_IO + 1;
	return 0;
}

static struct pci_bus_function *find(struct pci_bus *bus)
{
	if (!(bus->address & PCI_ADDRESS_ENABLE) || FIELD_GET(PCI_ADDRESS_BUS, bus->address))
		return NULL;
	for (unsigned i = 0; i < bus->count; i++)
		if (bus->functions[i]->devfn == FIELD_GET(PCI_ADDRESS_DEVFN, bus->address))
			return bus->functions[i];
	return NULL;
}

static void function_lock(struct pci_bus_function *f)
{
	if (f->dev)
		device_lock(f->dev);
}

static void function_unlock(struct pci_bus_function *f)
{
	if (f->dev)
		device_unlock(f->dev);
}

static void config_write(struct pci_bus_function *f, unsigned offset, const struct io_access *io)
{
	for (unsigned i = 0; i < io->size; i++) {
		u8 mask = f->writable[offset + i];

		f->config[offset + i] = (u8)((f->config[offset + i] & ~mask) | (io->value >> 8 * i & mask));
	}
	if (f->written)
		f->written(f, offset, io->size);
}

static enum io_status config_access(struct pci_bus *bus, struct io_access *io)
{
	struct pci_bus_function *f = find(bus);
	unsigned offset = (bus->address & PCI_ADDRESS_REGISTER) + (unsigned)io->offset;

	if (io->size > 4)
		return IO_BAD_SIZE;
	if (io->write)
		bus->config_writes++;
	else
		bus->config_reads++;
	if (!f) {
		bus->nobody++;
		io->value = ~0ull;
		return IO_OK;
	}
	function_lock(f);
	if (io->write)
		config_write(f, offset, io);
	else
		for (unsigned i = 0; i < io->size; i++)
			io->value |= (u64)f->config[offset + i] << 8 * i;
	function_unlock(f);
	return IO_OK;
}

static enum io_status address_access(struct pci_bus *bus, struct io_access *io)
{
	if (io->size == 4 && !io->offset) {
		if (io->write)
			bus->address = (u32)io->value & ~3u;
		io->value = bus->address;
	} else if (io->write && io->size == 1 && io->offset == PCI_RESET_CONTROL_PORT - PCI_CONFIG_ADDRESS_PORT) {
		if (io->value & PCI_RESET_CONTROL_CPU)
			bus->power->event(bus->power, POWER_EVENT_RESET, "port CF9h");
	} else {
		io->value = 0;
	}
	return IO_OK;
}

/* the BAR of f that holds the port; -1: none that is enabled */
static int bar_of(const struct pci_bus_function *f, u16 port)
{
	if (!(pci_config_u16(f, PCI_COMMAND) & PCI_COMMAND_IO))
		return -1;
	for (unsigned i = 0; i < PCI_BAR_COUNT; i++)
		if (f->io_len[i] && (pci_config_u16(f, PCI_BAR0 + 4 * i) & ~(f->io_len[i] - 1)) == (port & ~(f->io_len[i] - 1)))
			return (int)i;
	return -1;
}

static enum io_status io_access(struct pci_bus *bus, struct io_access *io)
{
	u16 port = (u16)(PCI_IO_BASE + io->offset);

	for (unsigned i = 0; i < bus->count; i++) {
		struct pci_bus_function *f = bus->functions[i];
		enum io_status status = IO_NO_REGISTER;

		function_lock(f);
		int bar = f->io ? bar_of(f, port) : -1;

		if (bar >= 0) {
			io->offset = port & (f->io_len[bar] - 1u);
			status = io->offset + io->size <= f->io_len[bar] ? f->io(f, (unsigned)bar, io) : IO_BAD_SIZE;
		}
		function_unlock(f);
		if (bar >= 0)
			return status;
	}
	bus->nobody++;
	io->value = ~0ull;
	return IO_OK;
}

static enum io_status pci_access(struct device *dev, unsigned region, struct io_access *io)
{
	struct pci_bus *bus = container_of(dev, struct pci_bus, dev);

	return region == R_ADDRESS ? address_access(bus, io) : region == R_DATA ? config_access(bus, io) : io_access(bus, io);
}

static void config_restored(struct pci_bus_function *f, const u8 *config)
{
	function_lock(f);
	memcpy(f->config, config, sizeof(f->config));
	if (f->written)
		f->written(f, 0, sizeof(f->config));
	function_unlock(f);
}

static void pci_reset(struct device *dev)
{
	struct pci_bus *bus = container_of(dev, struct pci_bus, dev);

	bus->address = 0;
	for (unsigned i = 0; i < bus->count; i++)
		config_restored(bus->functions[i], bus->functions[i]->initial);
}

static void pci_save(struct device *dev, struct saver *s)
{
	struct pci_bus *bus = container_of(dev, struct pci_bus, dev);

	saver_u32(s, bus->address);
	saver_u32(s, bus->count);
	for (unsigned i = 0; i < bus->count; i++) {
		saver_u8(s, bus->functions[i]->devfn);
		saver_put(s, bus->functions[i]->config, PCI_CONFIG_SIZE);
	}
}

/* only bits that the guest may change are taken: the rest is what this build says it is */
static int pci_restore(struct device *dev, struct bytes b)
{
	struct pci_bus *bus = container_of(dev, struct pci_bus, dev);
	u8 devfn, config[PCI_CONFIG_SIZE];
	u32 address, count;

	if (!bytes_u32(&b, &address) || !bytes_u32(&b, &count) || count != bus->count)
		return -EPROTO;
	for (unsigned i = 0; i < count; i++) {
		struct pci_bus_function *f = bus->functions[i];

		if (!bytes_u8(&b, &devfn) || devfn != f->devfn || !bytes_copy(&b, config, sizeof(config)))
			return -EPROTO;
		for (unsigned k = 0; k < sizeof(config); k++)
			config[k] = (u8)((config[k] & f->writable[k]) | (f->initial[k] & ~f->writable[k]));
		config_restored(f, config);
	}
	bus->address = address & ~3u;
	return 0;
}

static void function_inspect(void *object, struct inspect *in)
{
	struct pci_bus_function *f = object;

	function_lock(f);
	inspect_hex(in, "vendor", pci_config_u16(f, PCI_VENDOR_ID));
	inspect_hex(in, "device", pci_config_u16(f, PCI_DEVICE_ID));
	inspect_hex(in, "devfn", f->devfn);
	inspect_hex(in, "command", pci_config_u16(f, PCI_COMMAND));
	inspect_bytes(in, "config", f->config, sizeof(f->config));
	function_unlock(f);
}

static void pci_inspect(struct device *dev, struct inspect *in)
{
	struct pci_bus *bus = container_of(dev, struct pci_bus, dev);

	inspect_hex(in, "address", bus->address);
	inspect_count(in, "config_reads", bus->config_reads);
	inspect_count(in, "config_writes", bus->config_writes);
	inspect_count(in, "nobody", bus->nobody);
	for (unsigned i = 0; i < bus->count; i++)
		inspect_child(in, bus->functions[i]->name, function_inspect, bus->functions[i]);
}

static const struct device_ops ops = {
	.access = pci_access, .reset = pci_reset, .save = pci_save, .restore = pci_restore, .inspect = pci_inspect,
};
static const struct region regions[] = {
	[R_ADDRESS] = { "configuration address", SPACE_PIO, PCI_CONFIG_ADDRESS_PORT, 4 },
	[R_DATA] = { "configuration data", SPACE_PIO, PCI_CONFIG_DATA_PORT, 4 },
	[R_IO] = { "BARs", SPACE_PIO, PCI_IO_BASE, PCI_IO_LEN }, /* claimed with the first function */
};

void pci_bus_init(struct pci_bus *bus, struct power *power)
{
	*bus = (struct pci_bus){ .dev = { .name = "pci", .tag = STATE_TAG('P', 'C', 'I', ' '), .ops = &ops, .regions = regions,
					  .region_count = R_IO }, .power = power };
}

int pci_bridges_add(struct pci_bridges *b, struct pci_bus *bus)
{
	pci_bus_function_init(&b->host, "host_bridge", PCI_DEVFN(0, 0), PCI_DEVICE_440BX, PCI_CLASS_HOST_BRIDGE);
	pci_config_put(&b->host, PCI_REVISION_ID, 3, 1);
	pci_config_put(&b->host, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	pci_bus_function_init(&b->isa, "isa_bridge", PCI_DEVFN(7, 0), PCI_DEVICE_PIIX4_ISA, PCI_CLASS_ISA_BRIDGE);
	pci_config_put(&b->isa, PCI_REVISION_ID, 3, 1);
	pci_config_put(&b->isa, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	pci_config_put(&b->isa, PCI_HEADER_TYPE, PCI_HEADER_MULTIFUNCTION, 1);
	/* they pass everything on, whatever is written */
	memset(b->host.writable + PCI_COMMAND, 0, 2);
	memset(b->isa.writable + PCI_COMMAND, 0, 2);
	int r = pci_bus_add(bus, &b->host);

	return r ? r : pci_bus_add(bus, &b->isa);
}
