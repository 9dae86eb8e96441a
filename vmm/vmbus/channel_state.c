/* Channels as saved state. Each is found again by its device's interface, instance and sub-channel. */
#include <errno.h>
#include <stdlib.h>

#include "lib/log/log.h"
#include "vmm/vmbus/internal.h"

LOG_DOMAIN("vmbus");

#define TAG_DEVICE STATE_TAG('D', 'E', 'V', 'I')

static void save_one(struct vmbus_channel *c, struct saver *s)
{
	size_t mark = saver_open(s, TAG_CHANNEL, 1, 0);

	saver_put(s, &c->interface, sizeof(c->interface));
	saver_put(s, &c->instance, sizeof(c->instance));
	saver_u16(s, c->sub_index);
	saver_u8(s, (u8)c->state);
	saver_u8(s, c->interrupts);
	saver_u8(s, c->broken);
	saver_u32(s, c->relid);
	saver_u32(s, c->vp);
	saver_u32(s, c->open_id);
	saver_u32(s, c->gpadl ? c->gpadl->id : 0);
	saver_u32(s, c->gpadl ? c->in.page_count : 0);
	if (c->ops->save) {
		size_t device = saver_open(s, TAG_DEVICE, 1, 0);

		c->ops->save(c, s);
		saver_close(s, device);
	}
	saver_close(s, mark);
}

void channel_save_all(struct vmbus *bus, struct saver *s)
{
	for (u32 i = 1; i < VMBUS_RELIDS; i++)
		if (bus->channels[i])
			save_one(bus->channels[i], s);
}

unsigned channel_forget_all(struct vmbus *bus, struct vmbus_channel *ret[VMBUS_RELIDS])
{
	unsigned count = 0;

	for (u32 i = 1; i < VMBUS_RELIDS; i++) {
		struct vmbus_channel *c = bus->channels[i];

		if (!c)
			continue;
		free(c->pages);
		c->pages = NULL;
		c->gpadl = NULL;
		if (c->sub_index) {
			channel_gone(c);
			continue;
		}
		bus->channels[i] = NULL;
		bus->channel_count--;
		c->listed = false;
		ret[count++] = c;
	}
	return count;
}

struct saved_channel {
	struct guid interface, instance;
	u16 sub_index;
	u8 state, interrupts, broken;
	u32 relid, vp, open_id, gpadl, downstream_page;
};

static bool take_saved(struct bytes *b, struct saved_channel *ret)
{
	return bytes_copy(b, &ret->interface, sizeof(ret->interface)) && bytes_copy(b, &ret->instance, sizeof(ret->instance)) &&
	       bytes_u16(b, &ret->sub_index) && bytes_u8(b, &ret->state) && bytes_u8(b, &ret->interrupts) &&
	       bytes_u8(b, &ret->broken) && bytes_u32(b, &ret->relid) && bytes_u32(b, &ret->vp) && bytes_u32(b, &ret->open_id) &&
	       bytes_u32(b, &ret->gpadl) && bytes_u32(b, &ret->downstream_page);
}

static bool same_device(const struct vmbus_channel *c, const struct saved_channel *in)
{
	return c && guid_equal(&c->interface, &in->interface) && guid_equal(&c->instance, &in->instance);
}

/* a sub-channel is there as long as its controller is open, and then until the guest has let go of it */
static bool can_have_sub(const struct vmbus_channel *c, const struct saved_channel *in)
{
	return same_device(c, in) && !c->sub_index && (c->state == CHANNEL_HELD || in->state == CHANNEL_REVOKED);
}

/* the device's channel for it, in no table yet */
static struct vmbus_channel *match(struct vmbus *bus, const struct saved_channel *in, struct vmbus_channel **known,
				   unsigned count)
{
	for (unsigned i = 0; !in->sub_index && i < count; i++) {
		struct vmbus_channel *c = known[i];

		if (!same_device(c, in))
			continue;
		known[i] = NULL;
		return c;
	}
	for (u32 i = 1; in->sub_index && i < VMBUS_RELIDS; i++) {
		struct vmbus_channel *c = bus->channels[i];

		if (can_have_sub(c, in))
			return c->ops->create_sub ? c->ops->create_sub(c, in->sub_index) : NULL;
	}
	return NULL;
}

/* what is revoked is a sub-channel: a device goes with the machine only, and is not saved after that */
static bool possible(const struct vmbus *bus, const struct saved_channel *in)
{
	return in->relid && in->relid < VMBUS_RELIDS && !bus->channels[in->relid] && in->vp < bus->io.vp_count &&
	       (in->state == CHANNEL_HIDDEN || in->state == CHANNEL_OFFERED || in->state == CHANNEL_HELD ||
		(in->state == CHANNEL_REVOKED && in->sub_index));
}

static int restore_one(struct vmbus *bus, struct bytes b, const struct saved_channel *in, struct vmbus_channel *c)
{
	struct record device;
	int r;

	c->bus = bus;
	c->relid = in->relid;
	c->state = (enum channel_state)in->state;
	c->listed = true;
	c->close = c->move = c->fresh = false;
	c->revoke = c->state == CHANNEL_REVOKED;
	c->vp = in->vp;
	c->open_id = in->open_id;
	c->interrupts = in->interrupts;
	c->broken = in->broken;
	bus->channels[c->relid] = c;
	bus->channel_count++;
	if (c->state == CHANNEL_HELD &&
	    !channel_make_rings(c, &(struct vmbus_open){ .gpadl = in->gpadl, .downstream_page = in->downstream_page }))
		return -EPROTO;
	if (!c->ops->restore)
		return 0;
	r = loader_find((struct loader){ b }, TAG_DEVICE, 1, &device);
	return r ? r : c->ops->restore(c, device.body);
}

/* controllers first: their sub-channels are theirs to make */
static int restore_all(struct vmbus *bus, struct loader l, bool subs, struct vmbus_channel **known, unsigned count)
{
	char text[GUID_STRLEN + 1];
	struct record record;
	int r;

	while ((r = loader_next(&l, &record)) > 0) {
		struct saved_channel in;

		if (record.tag != TAG_CHANNEL)
			continue;
		if (record.version != 1)
			return -ENOTSUP;
		if (!take_saved(&record.body, &in))
			return log_err(-EPROTO, "a saved channel is cut short");
		if (!in.sub_index == subs)
			continue;
		if (!possible(bus, &in))
			return log_err(-EPROTO, "saved channel %u cannot be", in.relid);
		struct vmbus_channel *c = match(bus, &in, known, count);

		guid_format(&in.instance, text);
		if (!c)
			return log_err(-ENODEV, "saved channel %s, sub-channel %u: nobody offers it, or its controller is closed",
				       text, in.sub_index);
		r = restore_one(bus, record.body, &in, c);
		if (r)
			return log_err(r, "saved channel %s, sub-channel %u", text, in.sub_index);
	}
	return r;
}

int channel_restore_all(struct vmbus *bus, struct loader l, struct vmbus_channel **known, unsigned count)
{
	int r = restore_all(bus, l, false, known, count);

	if (!r)
		r = restore_all(bus, l, true, known, count);
	for (unsigned i = 0; i < count; i++)
		if (known[i] && vmbus_offer(bus, known[i]) && !r)
			r = log_err(-ENOSPC, "a channel that was not saved cannot be offered");
	return r;
}
