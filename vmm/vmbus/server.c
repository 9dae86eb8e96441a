#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log/log.h"
#include "vmm/vmbus/internal.h"

LOG_DOMAIN("vmbus");

void vmbus_mistake(struct vmbus *bus, const char *what, u32 which)
{
	bus->mistakes++;
	log_guest("%s (%#x)", what, which);
}

/* ---- connecting (hyperv.h vmbus_channel_initiate_contact, version_response) */
static bool version_known(u32 version)
{
	static const u32 known[] = {
		VMBUS_VERSION_WIN8, VMBUS_VERSION_WIN8_1, VMBUS_VERSION_WIN10, VMBUS_VERSION_WIN10_RS3, VMBUS_VERSION_WIN10_V5,
		VMBUS_VERSION_WIN10_RS4, VMBUS_VERSION_WIN10_RS5, VMBUS_VERSION_IRON, VMBUS_VERSION_COPPER,
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i] == version)
			return true;
	return false;
}

static bool acceptable(struct vmbus *bus, const struct vmbus_initiate_contact *c)
{
	if (!version_known(c->version))
		return false;
	/* from 5.0 on the guest names SINT and VTL where an interrupt page was; others than these are not served */
	if (c->version >= VMBUS_VERSION_WIN10_V5 && (c->sint != VMBUS_SINT || c->vtl != 0)) {
		vmbus_mistake(bus, "contact from another SINT or VTL", (u32)c->sint << 8 | c->vtl);
		return false;
	}
	return true;
}

static void answer_contact(struct vmbus *bus)
{
	const struct vmbus_initiate_contact *c = &bus->contact;
	struct vmbus_version_response2 m = { .response.header.type = VMBUS_VERSION_RESPONSE };
	u32 len = sizeof(m.response);

	bus->message_vp = c->target_vp;
	if (acceptable(bus, c)) {
		bus->version = c->version;
		m.response.supported = 1;
		m.response.connection_id = c->version >= VMBUS_VERSION_WIN10_V5 ? VMBUS_CONNECTION_MULTI_CLIENT : c->version;
		if (c->version >= VMBUS_VERSION_COPPER)
			len = sizeof(m); /* none of the optional features */
		log_at(LOG_INFO, "VTL0 connects with version %u.%u, messages to VP %u", c->version >> 16, c->version & 0xffff,
		       c->target_vp);
	}
	vmbus_send(bus, &m, len);
}

static void finish_reset(struct vmbus *bus)
{
	static const struct vmbus_header complete = { VMBUS_UNLOAD_COMPLETE, 0 };
	enum after_reset after = bus->after_reset;

	bus->after_reset = RESET_NONE;
	bus->version = 0;
	bus->offers_requested = false;
	gpadl_free_all(bus, 0);
	channel_forget_relids(bus);
	vmbus_drop_outgoing(bus);
	if (after == RESET_CONTACT)
		answer_contact(bus);
	else if (after == RESET_UNLOAD)
		vmbus_send(bus, &complete, sizeof(complete));
}

void vmbus_reset_progress(struct vmbus *bus)
{
	if (bus->after_reset != RESET_NONE && channel_all_closed(bus))
		finish_reset(bus);
}

/* everything the guest set up goes first: after a kexec or a crash dump's boot it does not know of it any more */
static void reset(struct vmbus *bus, enum after_reset after)
{
	bool under_way = bus->after_reset != RESET_NONE;

	bus->after_reset = after;
	bus->resets++;
	if (!under_way)
		channel_reset_all(bus);
	vmbus_reset_progress(bus);
}

static void initiate_contact(struct vmbus *bus, struct bytes b)
{
	struct vmbus_initiate_contact c = { .version = 0 };

	if (!bytes_copy(&b, &c, sizeof(c))) {
		vmbus_mistake(bus, "contact cut short", (u32)b.left);
		return;
	}
	if (c.target_vp >= bus->io.vp_count) {
		vmbus_mistake(bus, "contact for a VP that is none", c.target_vp);
		return;
	}
	bus->contact = c;
	reset(bus, RESET_CONTACT);
}

static void unload(struct vmbus *bus, struct bytes b)
{
	log_at(LOG_INFO, "VTL0 disconnects");
	reset(bus, RESET_UNLOAD);
}

static void request_offers(struct vmbus *bus, struct bytes b)
{
	static const struct vmbus_header all = { VMBUS_ALL_OFFERS_DELIVERED, 0 };

	if (bus->offers_requested) {
		vmbus_mistake(bus, "offers requested again", 0);
		return;
	}
	bus->offers_requested = true;
	channel_send_offers(bus);
	vmbus_send(bus, &all, sizeof(all));
}

/* hvsock towards the host: nobody listens here */
static void tl_connect(struct vmbus *bus, struct bytes b)
{
	struct vmbus_tl_connect_request request;
	struct vmbus_tl_connect_result m = { .header.type = VMBUS_TL_CONNECT_RESULT, .status = VMBUS_STATUS_CONNECTION_REFUSED };

	if (!bytes_copy(&b, &request, sizeof(request))) {
		vmbus_mistake(bus, "connect request cut short", (u32)b.left);
		return;
	}
	m.endpoint = request.endpoint;
	m.service = request.service;
	vmbus_send(bus, &m, sizeof(m));
}

static const struct {
	u32 type;
	bool connected; /* makes sense only then */
	void (*handle)(struct vmbus *, struct bytes);
} handlers[] = {
	{ VMBUS_INITIATE_CONTACT, false, initiate_contact },
	{ VMBUS_UNLOAD, false, unload },
	{ VMBUS_REQUEST_OFFERS, true, request_offers },
	{ VMBUS_OPEN, true, channel_open },
	{ VMBUS_CLOSE, true, channel_close },
	{ VMBUS_MODIFY_CHANNEL, true, channel_modify },
	{ VMBUS_RELID_RELEASED, true, channel_relid_released },
	{ VMBUS_GPADL_HEADER, true, gpadl_header },
	{ VMBUS_GPADL_BODY, true, gpadl_body },
	{ VMBUS_GPADL_TEARDOWN, true, gpadl_teardown },
	{ VMBUS_TL_CONNECT_REQUEST, true, tl_connect },
};

void vmbus_receive(struct vmbus *bus, struct bytes message)
{
	struct bytes header = message;
	u32 type;

	if (!bytes_u32(&header, &type) || !bytes_skip(&header, 4)) {
		vmbus_mistake(bus, "message without a header", (u32)message.left);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(handlers); i++) {
		if (handlers[i].type != type)
			continue;
		if (handlers[i].connected && (!bus->version || bus->after_reset != RESET_NONE)) {
			bus->ignored++;
			log_guest("message %u without a connection", type);
			return;
		}
		handlers[i].handle(bus, message);
		return;
	}
	vmbus_mistake(bus, "message of unknown type", type);
}

struct vmbus *vmbus_server_create(const struct vmbus_io *io, struct guest *guest, struct exec *home)
{
	struct vmbus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		goto no_memory;
	bus->io = *io;
	bus->guest = guest;
	bus->home = home;
	list_init(&bus->gpadls);
	bus->outgoing = calloc(OUTGOING_MAX, sizeof(*bus->outgoing));
	if (!bus->outgoing || channel_init_vps(bus))
		goto no_memory;
	vmbus_message_init(bus);
	return bus;
no_memory:
	log_err(-ENOMEM, "VMBus server");
	if (bus)
		free(bus->outgoing);
	free(bus);
	return NULL;
}

void vmbus_server_destroy(struct vmbus *bus)
{
	if (!bus)
		return;
	gpadl_free_all(bus, 0);
	timer_disarm(bus->home, &bus->retry);
	pthread_mutex_destroy(&bus->lock);
	free(bus->vps);
	free(bus->outgoing);
	free(bus);
}

void vmbus_inspect(void *object, struct inspect *in)
{
	struct vmbus *bus = object;

	inspect_u64(in, "version_major", bus->version >> 16);
	inspect_u64(in, "version_minor", bus->version & 0xffff);
	inspect_u64(in, "message_vp", bus->message_vp);
	inspect_bool(in, "offers_requested", bus->offers_requested);
	inspect_bool(in, "resetting", bus->after_reset != RESET_NONE);
	inspect_u64(in, "gpadls", bus->gpadl_count);
	inspect_u64(in, "waiting_messages", atomic_load(&bus->out_count));
	inspect_count(in, "posts", atomic_load(&bus->posts));
	inspect_count(in, "refused_posts", atomic_load(&bus->refused_posts));
	inspect_count(in, "unknown_signals", atomic_load(&bus->unknown_signals));
	inspect_count(in, "messages", bus->messages);
	inspect_count(in, "sent", bus->sent);
	inspect_count(in, "slot_busy", bus->busy);
	inspect_count(in, "dropped", bus->dropped);
	inspect_count(in, "ignored", bus->ignored);
	inspect_count(in, "mistakes", bus->mistakes);
	inspect_count(in, "resets", bus->resets);
	inspect_child(in, "channels", channel_inspect_all, bus);
}
