#include "host/vpci/vpci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/bytes.h"
#include "lib/log/log.h"
#include "spec/vpci.h"

LOG_DOMAIN("vpci");

#define SLOT 0u
#define PACKET_MAX 4096u
/* What the function writes to raise an interrupt is a handle: the address looks like a local APIC's, data names an entry. */
#define MSI_ADDRESS 0xfee00000ull
#define MSI_DATA 0x4000u

struct vpci {
	struct vpci_config config;
	struct vmbus *vmbus;
	struct channel channel;
	bool offered, ejecting;
	pthread_mutex_t lock; /* below, which VPs' threads see; taken after the function's own lock, never before it */
	bool in_d0;
	u32 slot; /* what the window shows */
	u64 window;
	struct interrupt {
		bool used;
		u8 vector;
		u32 vp;
	} interrupts[PCI_VECTORS_MAX];
	struct vpci_counters counters;
};

/* ---- interrupts */

static void deliver(void *ctx, u64 address, u32 data)
{
	struct vpci *bus = ctx;
	u32 i = data - MSI_DATA, vp = 0;
	u8 vector = 0;

	pthread_mutex_lock(&bus->lock);
	bool known = address == MSI_ADDRESS && i < PCI_VECTORS_MAX && bus->interrupts[i].used;

	if (known) {
		vector = bus->interrupts[i].vector;
		vp = bus->interrupts[i].vp;
		bus->counters.interrupts++;
	} else {
		bus->counters.interrupts_lost++;
	}
	pthread_mutex_unlock(&bus->lock);
	if (known)
		bus->config.interrupt(bus->config.ctx, vp, vector);
}

static u32 first_vp(const struct vpci_retarget *in, const u64 *banks, u32 bank_count)
{
	if (!(in->flags & VPCI_RETARGET_PROCESSOR_SET))
		return in->format_or_mask ? (u32)__builtin_ctzll(in->format_or_mask) : ~0u;
	/* a sparse set: the first bank given is that of the lowest bit in the mask of banks (TLFS HV_VP_SET) */
	u32 index = 0;

	for (u64 left = in->bank_mask; left && index < bank_count; left &= left - 1, index++)
		if (banks[index])
			return 64 * (u32)__builtin_ctzll(left) + (u32)__builtin_ctzll(banks[index]);
	return ~0u;
}

u16 vpci_retarget(struct vpci *bus, const void *input, u32 len)
{
	struct vpci_retarget in;
	u64 banks[64];
	u32 bank_count = 0;

	if (len < sizeof(in))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	memcpy(&in, input, sizeof(in));
	if (in.flags & VPCI_RETARGET_PROCESSOR_SET) {
		if (in.format_or_mask)
			return HV_STATUS_INVALID_PARAMETER; /* all VPs: no interrupt of a device goes there */
		bank_count = (u32)__builtin_popcountll(in.bank_mask);
		if (len - sizeof(in) < bank_count * sizeof(u64))
			return HV_STATUS_INVALID_HYPERCALL_INPUT;
		memcpy(banks, (const u8 *)input + sizeof(in), bank_count * sizeof(u64));
	}
	u32 vp = first_vp(&in, banks, bank_count), i = in.data - MSI_DATA;

	if (in.partition_id != HV_PARTITION_ID_SELF || in.device_id != VPCI_DEVICE_ID(bus->config.instance, 0) ||
	    in.source != VPCI_RETARGET_SOURCE_MSI || in.address != MSI_ADDRESS || i >= PCI_VECTORS_MAX ||
	    in.vector < 16 || in.vector > 0xff || vp >= bus->config.vp_count)
		return HV_STATUS_INVALID_PARAMETER;
	u16 status = HV_STATUS_INVALID_PARAMETER;

	pthread_mutex_lock(&bus->lock);
	if (bus->interrupts[i].used) {
		bus->interrupts[i] = (struct interrupt){ true, (u8)in.vector, vp };
		bus->counters.retargets++;
		status = HV_STATUS_SUCCESS;
	}
	pthread_mutex_unlock(&bus->lock);
	log_at(LOG_DEBUG, "%s: interrupt %u goes to VP %u, vector %#x: status %#x", bus->channel.name, i, vp, in.vector, status);
	return status;
}

/* ---- messages */

static void complete(struct vpci *bus, const struct ring_received *p, const void *reply, u32 len)
{
	if (!(p->flags & VMBUS_PACKET_FLAG_COMPLETION_REQUESTED))
		return;
	if (channel_send(&bus->channel, VMBUS_PACKET_COMPLETION, 0, p->transaction_id, reply, len, NULL, 0) != RING_OK)
		log_guest("%s: the guest leaves no room for a completion", bus->channel.name);
}

static void complete_status(struct vpci *bus, const struct ring_received *p, u32 status)
{
	struct vpci_status reply = { status, 0 };

	if (status)
		bus->counters.refused++;
	complete(bus, p, &reply, sizeof(reply));
}

static void on_version(struct vpci *bus, const struct ring_received *p, struct bytes b)
{
	struct vpci_version m = { 0 };
	struct vpci_version_reply reply = { VPCI_STATUS_REVISION_MISMATCH, VPCI_VERSION_1_4 };

	if (bytes_copy(&b, &m, sizeof(m)) && m.version >= VPCI_VERSION_1_1 && m.version <= VPCI_VERSION_1_4) {
		bus->counters.version = m.version;
		reply = (struct vpci_version_reply){ VPCI_STATUS_SUCCESS, m.version };
	}
	complete(bus, p, &reply, sizeof(reply));
}

static void send_relations(struct vpci *bus, bool present)
{
	const struct pci_identity *id = &bus->config.function->identity;
	bool second = bus->counters.version >= VPCI_VERSION_1_3;
	struct vpci_relations head = { second ? VPCI_BUS_RELATIONS2 : VPCI_BUS_RELATIONS, present };
	struct vpci_function2 f = {
		.function = { id->vendor, id->device, id->revision, (u8)id->class_code, (u8)(id->class_code >> 8),
			      (u8)(id->class_code >> 16), id->subsystem_vendor | (u32)id->subsystem << 16, SLOT,
			      bus->config.serial },
	};
	u32 len = !present ? 0 : second ? sizeof(f) : sizeof(f.function);

	if (channel_send(&bus->channel, VMBUS_PACKET_IN_BAND, 0, 0, &head, sizeof(head), &f, len) != RING_OK)
		log_guest("%s: the guest leaves no room for bus relations", bus->channel.name);
}

static void on_requirements(struct vpci *bus, const struct ring_received *p, struct bytes b)
{
	struct vpci_requirements_reply reply = { 0 };

	for (u32 i = 0; i < PCI_BAR_COUNT; i++)
		reply.bars[i] = pci_bar_mask(bus->config.function, i);
	complete(bus, p, &reply, sizeof(reply));
}

static void leave_d0(struct vpci *bus)
{
	pthread_mutex_lock(&bus->lock);
	bus->in_d0 = false;
	memset(bus->interrupts, 0, sizeof(bus->interrupts));
	bus->slot = 0;
	pthread_mutex_unlock(&bus->lock);
	pci_function_reset(bus->config.function);
}

static void on_d0_entry(struct vpci *bus, const struct ring_received *p, struct bytes b)
{
	struct vpci_d0_entry m;

	if (!bytes_copy(&b, &m, sizeof(m)) || !IS_ALIGNED(m.mmio_base, PAGE_SIZE) || m.mmio_base > 1ull << 52) {
		complete_status(bus, p, VPCI_STATUS_INVALID_PARAMETER);
		return;
	}
	pthread_mutex_lock(&bus->lock);
	bus->window = m.mmio_base;
	bus->in_d0 = true;
	pthread_mutex_unlock(&bus->lock);
	complete_status(bus, p, VPCI_STATUS_SUCCESS);
}

struct wanted { /* an interrupt, from whichever version of the message */
	u32 vector, count, vp;
};

static bool parse_create(u32 type, struct bytes b, struct wanted *ret)
{
	union {
		struct vpci_msi first;
		struct vpci_msi2 second;
		struct vpci_msi3 third;
	} m;

	if (type == VPCI_CREATE_INTERRUPT) {
		if (!bytes_copy(&b, &m.first, sizeof(m.first)) || !m.first.cpu_mask)
			return false;
		*ret = (struct wanted){ m.first.vector, m.first.vector_count, (u32)__builtin_ctzll(m.first.cpu_mask) };
	} else if (type == VPCI_CREATE_INTERRUPT2) {
		if (!bytes_copy(&b, &m.second, sizeof(m.second)) || !m.second.processor_count ||
		    m.second.processor_count > VPCI_MSI_PROCESSORS)
			return false;
		*ret = (struct wanted){ m.second.vector, m.second.vector_count, m.second.processors[0] };
	} else {
		if (!bytes_copy(&b, &m.third, sizeof(m.third)) || !m.third.processor_count ||
		    m.third.processor_count > VPCI_MSI_PROCESSORS)
			return false;
		*ret = (struct wanted){ m.third.vector, m.third.vector_count, m.third.processors[0] };
	}
	return true;
}

static void on_create_interrupt(struct vpci *bus, const struct ring_received *p, u32 type, struct bytes b)
{
	struct vpci_create_reply reply = { .status = VPCI_STATUS_INVALID_PARAMETER };
	struct vpci_child child;
	struct wanted w;

	/* a count past 1 is plain MSI, which the function does not have */
	if (bytes_copy(&b, &child, sizeof(child)) && child.slot == SLOT && parse_create(type, b, &w) && w.count == 1 &&
	    w.vector >= 16 && w.vector <= 0xff) {
		reply.status = VPCI_STATUS_INSUFFICIENT_RESOURCES;
		pthread_mutex_lock(&bus->lock);
		for (u32 i = 0; i < PCI_VECTORS_MAX; i++) {
			if (bus->interrupts[i].used)
				continue;
			bus->interrupts[i] = (struct interrupt){ true, (u8)w.vector, w.vp < bus->config.vp_count ? w.vp : 0 };
			reply = (struct vpci_create_reply){ VPCI_STATUS_SUCCESS, 0, { 0, 1, MSI_DATA + i, MSI_ADDRESS } };
			break;
		}
		pthread_mutex_unlock(&bus->lock);
	}
	if (reply.status)
		bus->counters.refused++;
	complete(bus, p, &reply, sizeof(reply));
}

static void on_delete_interrupt(struct vpci *bus, const struct ring_received *p, struct bytes b)
{
	struct vpci_delete_interrupt m;
	u32 status = VPCI_STATUS_INVALID_PARAMETER;

	if (bytes_copy(&b, &m, sizeof(m)) && m.interrupt.data - MSI_DATA < PCI_VECTORS_MAX) {
		pthread_mutex_lock(&bus->lock);
		bus->interrupts[m.interrupt.data - MSI_DATA].used = false;
		pthread_mutex_unlock(&bus->lock);
		status = VPCI_STATUS_SUCCESS;
	}
	complete_status(bus, p, status);
}

void vpci_receive(struct vpci *bus, const struct ring_received *p, const void *payload)
{
	struct bytes b = bytes_of(payload, p->len);
	struct bytes whole = b;
	u32 type;

	bus->counters.messages++;
	if (p->type != VMBUS_PACKET_IN_BAND || !bytes_u32(&b, &type)) {
		bus->counters.refused++;
		return;
	}
	switch (type) {
	case VPCI_QUERY_PROTOCOL_VERSION: on_version(bus, p, whole); return;
	case VPCI_QUERY_BUS_RELATIONS: send_relations(bus, true); return;
	case VPCI_QUERY_RESOURCE_REQUIREMENTS: on_requirements(bus, p, whole); return;
	case VPCI_BUS_D0_ENTRY: on_d0_entry(bus, p, whole); return;
	case VPCI_BUS_D0_EXIT:
		leave_d0(bus);
		complete_status(bus, p, VPCI_STATUS_SUCCESS);
		return;
	case VPCI_RESOURCES_ASSIGNED:
	case VPCI_RESOURCES_ASSIGNED2:
	case VPCI_RESOURCES_RELEASED:
	case VPCI_POWER_STATE_CHANGE: /* the BARs come through configuration space */
		complete_status(bus, p, VPCI_STATUS_SUCCESS);
		return;
	case VPCI_CREATE_INTERRUPT:
	case VPCI_CREATE_INTERRUPT2:
	case VPCI_CREATE_INTERRUPT3: on_create_interrupt(bus, p, type, whole); return;
	case VPCI_DELETE_INTERRUPT: on_delete_interrupt(bus, p, whole); return;
	case VPCI_EJECTION_COMPLETE:
		if (bus->ejecting)
			channel_rescind(&bus->channel);
		return;
	}
	log_guest("%s: message %#x is not answered", bus->channel.name, type);
	complete_status(bus, p, VPCI_STATUS_UNSUCCESSFUL);
}

static void signalled(struct channel *c)
{
	struct vpci *bus = container_of(c, struct vpci, channel);
	u64 packet[PACKET_MAX / 8];
	struct ring_received p;

	for (u32 left = CHANNEL_PACKETS_PER_TURN; channel_receive(c, packet, sizeof(packet), &p) == RING_OK;) {
		vpci_receive(bus, &p, packet);
		if (!--left) {
			channel_again(c);
			break;
		}
	}
}

static void closed(struct channel *c)
{
	leave_d0(container_of(c, struct vpci, channel));
}

static void released(struct channel *c)
{
	struct vpci *bus = container_of(c, struct vpci, channel);

	leave_d0(bus); /* after a rescind the guest may have let go without closing */
	bus->offered = bus->ejecting = false;
}

static const struct channel_ops channel_callbacks = {
	.opened = signalled, .signalled = signalled, .closed = closed, .released = released,
};

/* ---- MMIO */

static void window_access(struct vpci *bus, u32 offset, u32 slot, void *data, u32 len, bool write)
{
	u32 value = 0;

	if (write)
		memcpy(&value, data, MIN(len, 4u));
	if (offset < VPCI_WINDOW_CONFIG) {
		pthread_mutex_lock(&bus->lock);
		if (write && !offset)
			bus->slot = value;
		value = bus->slot;
		pthread_mutex_unlock(&bus->lock);
	} else if (slot == SLOT && len <= 4) {
		if (write)
			pci_config_write(bus->config.function, offset - VPCI_WINDOW_CONFIG, len, value);
		else
			value = pci_config_read(bus->config.function, offset - VPCI_WINDOW_CONFIG, len);
	} else {
		value = ~0u;
	}
	if (!write) {
		memset(data, value == ~0u ? 0xff : 0, len);
		memcpy(data, &value, MIN(len, 4u));
	}
}

bool vpci_mmio(struct vpci *bus, u64 address, void *data, u32 len, bool write)
{
	pthread_mutex_lock(&bus->lock);
	bool in_d0 = bus->in_d0, hit = in_d0 && range_within(address, len, bus->window, VPCI_WINDOW_SIZE);
	u32 offset = hit ? (u32)(address - bus->window) : 0, slot = bus->slot;

	bus->counters.window_accesses += hit;
	pthread_mutex_unlock(&bus->lock);
	if (hit)
		window_access(bus, offset, slot, data, len, write);
	return hit || (in_d0 && pci_mmio(bus->config.function, address, data, len, write));
}

/* ---- life */

int vpci_create(struct vmbus *vmbus, const struct vpci_config *config, struct vpci **ret)
{
	struct vpci *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return log_err(-ENOMEM, "virtual PCI bus of %s", config->function->name);
	bus->config = *config;
	bus->vmbus = vmbus;
	pthread_mutex_init(&bus->lock, NULL);
	bus->channel = (struct channel){ .name = config->function->name, .interface = VPCI_INTERFACE,
					 .instance = config->instance, .ops = &channel_callbacks };
	config->function->deliver = deliver;
	config->function->deliver_ctx = bus;
	int r = vpci_plug(bus);

	if (r) {
		vpci_destroy(bus);
		return r;
	}
	*ret = bus;
	return 0;
}

void vpci_destroy(struct vpci *bus)
{
	if (!bus)
		return;
	bus->config.function->deliver = NULL;
	pthread_mutex_destroy(&bus->lock);
	free(bus);
}

int vpci_plug(struct vpci *bus)
{
	if (bus->offered)
		return -EALREADY;
	int r = channel_offer(bus->vmbus, &bus->channel);

	bus->offered = !r;
	return r;
}

int vpci_unplug(struct vpci *bus)
{
	if (!bus->offered || bus->channel.state == CHANNEL_RESCINDED)
		return -EALREADY;
	channel_rescind(&bus->channel);
	if (bus->offered)
		leave_d0(bus); /* whatever the guest still does meets all ones */
	return 0;
}

int vpci_eject(struct vpci *bus)
{
	struct vpci_child m = { VPCI_EJECT, SLOT };

	if (!bus->offered || bus->channel.state != CHANNEL_OPEN)
		return -EALREADY;
	bus->ejecting = true;
	return channel_send(&bus->channel, VMBUS_PACKET_IN_BAND, 0, 0, &m, sizeof(m), NULL, 0) == RING_OK ? 0 : -EAGAIN;
}

void vpci_read_counters(struct vpci *bus, struct vpci_counters *ret)
{
	pthread_mutex_lock(&bus->lock);
	*ret = bus->counters;
	ret->in_d0 = bus->in_d0;
	ret->interrupts_used = 0;
	for (u32 i = 0; i < PCI_VECTORS_MAX; i++)
		ret->interrupts_used += bus->interrupts[i].used;
	pthread_mutex_unlock(&bus->lock);
	ret->offered = bus->offered;
}

const struct guid *vpci_instance(const struct vpci *bus)
{
	return &bus->config.instance;
}
