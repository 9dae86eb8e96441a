#include "vmm/bus/bus.h"

#include <errno.h>
#include <string.h>

#include "lib/log/log.h"

LOG_DOMAIN("bus");

static const char *const space_names[SPACES] = { "port", "MMIO" };

void bus_init(struct bus *bus)
{
	memset(bus, 0, sizeof(*bus));
}

static int check(struct bus *bus, struct device *dev, const struct region *r)
{
	for (unsigned i = 0; i < bus->count[r->space]; i++) {
		const struct region *other = bus->map[r->space][i].region;

		if (ranges_overlap(r->base, r->len, other->base, other->len))
			return log_err(-EEXIST, "%s %s of %s meets %s of %s", space_names[r->space], r->name, dev->name,
				       other->name, bus->map[r->space][i].dev->name);
	}
	return bus->count[r->space] < BUS_REGIONS_MAX ? 0 : log_err(-ENOSPC, "%s: too many regions", dev->name);
}

int bus_attach(struct bus *bus, struct device *dev)
{
	if (bus->device_count == BUS_DEVICES_MAX)
		return log_err(-ENOSPC, "%s: too many devices", dev->name);
	for (unsigned i = 0; i < dev->region_count; i++) {
		int r = check(bus, dev, &dev->regions[i]);

		if (r)
			return r;
	}
	pthread_mutex_init(&dev->lock, NULL);
	for (unsigned i = 0; i < dev->region_count; i++) {
		const struct region *r = &dev->regions[i];
		unsigned at = bus->count[r->space]++;

		for (; at && bus->map[r->space][at - 1].region->base > r->base; at--)
			bus->map[r->space][at] = bus->map[r->space][at - 1];
		bus->map[r->space][at].region = r;
		bus->map[r->space][at].dev = dev;
		bus->map[r->space][at].index = i;
	}
	bus->devices[bus->device_count++] = dev;
	return 0;
}

/* index of the region that holds address, -1: none */
static int find(const struct bus *bus, enum space space, u64 address)
{
	unsigned low = 0, high = bus->count[space];

	while (low < high) {
		unsigned mid = (low + high) / 2;
		const struct region *r = bus->map[space][mid].region;

		if (address < r->base)
			high = mid;
		else if (address - r->base >= r->len)
			low = mid + 1;
		else
			return (int)mid;
	}
	return -1;
}

bool bus_claims(const struct bus *bus, enum space space, u64 address)
{
	return find(bus, space, address) >= 0;
}

static u64 ones(unsigned size)
{
	return size == 8 ? ~0ull : (1ull << size * 8) - 1;
}

static enum bus_result unclaimed(struct bus *bus, enum space space, u64 address, unsigned size, bool write, u64 *value)
{
	atomic_fetch_add_explicit(write ? &bus->unclaimed_writes[space] : &bus->unclaimed_reads[space], 1,
				  memory_order_relaxed);
	log_at(LOG_DEBUG, "unclaimed %s %s %#llx size %u", space_names[space], write ? "write" : "read",
	       (unsigned long long)address, size);
	if (!write)
		*value = ones(size);
	return BUS_UNCLAIMED;
}

enum bus_result bus_access(struct bus *bus, enum space space, u64 address, unsigned size, bool write, u64 *value,
			   struct io_token *token)
{
	int i = find(bus, space, address);

	if (i < 0)
		return unclaimed(bus, space, address, size, write, value);
	struct device *dev = bus->map[space][i].dev;
	const struct region *r = bus->map[space][i].region;
	struct io_access a = { .offset = address - r->base, .value = write ? *value & ones(size) : 0, .size = (u8)size,
			       .write = write, .token = token };
	enum io_status status;

	device_lock(dev);
	dev->reads += !write;
	dev->writes += write;
	status = a.offset + size > r->len ? IO_BAD_SIZE : dev->ops->access(dev, bus->map[space][i].index, &a);
	dev->faults += status != IO_OK && status != IO_PENDING;
	device_unlock(dev);
	if (status == IO_PENDING)
		return BUS_PENDING;
	if (status != IO_OK)
		log_guest("%s: %s at %s + %#llx size %u: status %d", dev->name, write ? "write" : "read", r->name,
			  (unsigned long long)a.offset, size, status);
	if (!write)
		*value = status == IO_OK ? a.value & ones(size) : ones(size);
	return BUS_DONE;
}

#define FOR_OP(bus, op, ...)                                                                               \
	do {                                                                                               \
		if (dev->ops->op) {                                                                        \
			device_lock(dev);                                                                  \
			dev->ops->op(dev, ##__VA_ARGS__);                                                  \
			device_unlock(dev);                                                                \
		}                                                                                          \
	} while (0)

void bus_start(struct bus *bus)
{
	for (unsigned i = 0; i < bus->device_count; i++) {
		struct device *dev = bus->devices[i];

		FOR_OP(bus, start);
	}
}

void bus_stop(struct bus *bus)
{
	for (unsigned i = bus->device_count; i-- > 0;) {
		struct device *dev = bus->devices[i];

		FOR_OP(bus, stop);
	}
}

void bus_reset(struct bus *bus)
{
	for (unsigned i = 0; i < bus->device_count; i++) {
		struct device *dev = bus->devices[i];

		FOR_OP(bus, reset);
	}
}

void bus_save(struct bus *bus, struct saver *s)
{
	for (unsigned i = 0; i < bus->device_count; i++) {
		struct device *dev = bus->devices[i];

		if (!dev->ops->save)
			continue;
		size_t mark = saver_open(s, dev->tag, 1, 0);

		FOR_OP(bus, save, s);
		saver_close(s, mark);
	}
}

int bus_restore(struct bus *bus, struct loader l)
{
	for (unsigned i = 0; i < bus->device_count; i++) {
		struct device *dev = bus->devices[i];
		struct record record;
		int r;

		if (!dev->ops->restore)
			continue;
		r = loader_find(l, dev->tag, 1, &record);
		if (!r) {
			device_lock(dev);
			r = dev->ops->restore(dev, record.body);
			device_unlock(dev);
		}
		if (r)
			return log_err(r, "%s: saved state", dev->name);
	}
	return 0;
}

static void device_inspect(void *object, struct inspect *in)
{
	struct device *dev = object;

	device_lock(dev);
	inspect_count(in, "reads", dev->reads);
	inspect_count(in, "writes", dev->writes);
	inspect_count(in, "faults", dev->faults);
	if (dev->ops->inspect)
		dev->ops->inspect(dev, in);
	device_unlock(dev);
}

void bus_inspect(void *object, struct inspect *in)
{
	struct bus *bus = object;

	inspect_count(in, "unclaimed_port_reads", atomic_load(&bus->unclaimed_reads[SPACE_PIO]));
	inspect_count(in, "unclaimed_port_writes", atomic_load(&bus->unclaimed_writes[SPACE_PIO]));
	inspect_count(in, "unclaimed_mmio_reads", atomic_load(&bus->unclaimed_reads[SPACE_MMIO]));
	inspect_count(in, "unclaimed_mmio_writes", atomic_load(&bus->unclaimed_writes[SPACE_MMIO]));
	for (unsigned i = 0; i < bus->device_count; i++)
		inspect_child(in, bus->devices[i]->name, device_inspect, bus->devices[i]);
}
