#include "vmm/storvsp/storvsp.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/log/log.h"
#include "vmm/storvsp/internal.h"

LOG_DOMAIN("storvsp");

/* ---- sub-channels: offered when the guest asks, revoked when it closes the channel it asked on */
struct vmbus_channel *storvsp_create_sub(struct vmbus_channel *primary, u16 sub_index)
{
	struct storvsp *s = storvsp_channel_of(primary)->owner;

	if (!sub_index || sub_index > SUB_CHANNELS_MAX || s->subs[sub_index - 1])
		return NULL;
	s->subs[sub_index - 1] = storvsp_channel_create(s, sub_index);
	return s->subs[sub_index - 1] ? &s->subs[sub_index - 1]->channel : NULL;
}

static void create_subs(struct op *op, int ignored)
{
	struct storvsp *s = container_of(op, struct storvsp, create_subs);
	unsigned wanted = s->wanted_subs;

	atomic_store(&s->creating, false);
	if (!s->primary || !vmbus_channel_stays_open(&s->primary->channel))
		return; /* it closed meanwhile, and with it all sub-channels */
	for (unsigned i = 0; i < wanted; i++) {
		if (s->subs[i])
			continue;
		struct vmbus_channel *c = storvsp_create_sub(&s->primary->channel, (u16)(i + 1));

		if (!c)
			return;
		if (vmbus_offer(s->bus, c)) {
			log_at(LOG_WARN, "no room for sub-channel %u", i + 1);
			storvsp_channel_gone(storvsp_channel_of(c));
			return;
		}
	}
}

void storvsp_want_subs(struct storvsp *s, unsigned count)
{
	if (atomic_exchange(&s->creating, true))
		return;
	s->wanted_subs = count;
	exec_post(s->home, &s->create_subs, create_subs, 0);
}

void storvsp_channel_closed(struct storvsp_channel *c)
{
	struct storvsp *s = c->owner;

	for (unsigned i = 0; !c->is_sub && i < SUB_CHANNELS_MAX; i++)
		if (s->subs[i] && !s->subs[i]->channel.revoke)
			vmbus_revoke(&s->subs[i]->channel);
}

void storvsp_channel_gone(struct storvsp_channel *c)
{
	struct storvsp *s = c->owner;

	for (unsigned i = 0; i < SUB_CHANNELS_MAX; i++)
		if (s->subs[i] == c)
			s->subs[i] = NULL;
	if (s->primary == c)
		s->primary = NULL;
	storvsp_channel_destroy(c);
}

/* ---- units */
static void tell_guest(struct storvsp *s)
{
	if (!s->primary)
		return;
	atomic_store(&s->primary->rescan, true);
	vmbus_channel_poke(&s->primary->channel);
}

int storvsp_add(struct storvsp *s, unsigned lun, struct disk *disk, const struct scsi_identity *identity)
{
	struct scsi_unit *unit;

	if (lun >= SCSI_LUNS_MAX || atomic_load(&s->target.units[lun])) {
		disk_destroy(disk);
		return log_err(lun >= SCSI_LUNS_MAX ? -EINVAL : -EEXIST, "LUN %u cannot be added", lun);
	}
	unit = scsi_unit_create(disk, identity);
	if (!unit)
		return -ENOMEM;
	atomic_store(&s->target.units[lun], unit);
	s->hot_adds++;
	tell_guest(s);
	return 0;
}

static void unit_gone(struct op *op, int ignored)
{
	struct scsi_unit *unit = container_of(op, struct scsi_unit, gone_op);

	scsi_unit_close(unit);
}

int storvsp_remove(struct storvsp *s, unsigned lun)
{
	struct scsi_unit *unit = lun < SCSI_LUNS_MAX ? atomic_load(&s->target.units[lun]) : NULL;

	if (!unit)
		return -ENOENT;
	unit->next_removed = s->removed;
	s->removed = unit;
	s->hot_removes++;
	scsi_unit_remove(&s->target, lun, s->home, unit_gone);
	tell_guest(s);
	return 0;
}

u64 storvsp_measure(struct storvsp *s, unsigned lun)
{
	struct scsi_unit *unit = lun < SCSI_LUNS_MAX ? atomic_load(&s->target.units[lun]) : NULL;

	if (!unit || !disk_measure(unit->disk))
		return 0;
	scsi_unit_attention(unit, ASC_CAPACITY_CHANGED);
	tell_guest(s);
	return unit->disk->sectors;
}

/* ---- life */
struct storvsp *storvsp_create(struct vmbus *bus, struct guest *guest, struct exec *home, const struct guid *instance,
			       unsigned max_sub_channels)
{
	struct storvsp *s = calloc(1, sizeof(*s));

	if (!s) {
		log_err(-ENOMEM, "SCSI controller");
		return NULL;
	}
	s->bus = bus;
	s->guest = guest;
	s->home = home;
	s->instance = *instance;
	s->max_sub_channels = MIN(max_sub_channels, SUB_CHANNELS_MAX);
	s->primary = storvsp_channel_create(s, 0);
	if (!s->primary || vmbus_offer(bus, &s->primary->channel)) {
		log_err(-ENOSPC, "SCSI controller cannot be offered");
		storvsp_channel_destroy(s->primary);
		free(s);
		return NULL;
	}
	return s;
}

void storvsp_destroy(struct storvsp *s)
{
	if (!s)
		return;
	if (s->primary && !s->primary->channel.revoke)
		vmbus_revoke(&s->primary->channel);
	for (unsigned i = 0; i < SUB_CHANNELS_MAX; i++)
		if (s->subs[i])
			storvsp_channel_destroy(s->subs[i]);
	storvsp_channel_destroy(s->primary);
	for (unsigned i = 0; i < SCSI_LUNS_MAX; i++)
		scsi_unit_destroy(atomic_load(&s->target.units[i]));
	while (s->removed) {
		struct scsi_unit *unit = s->removed;

		s->removed = unit->next_removed;
		scsi_unit_destroy(unit);
	}
	free(s);
}

static void channels_inspect(void *object, struct inspect *in)
{
	struct storvsp *s = object;

	if (s->primary)
		inspect_child(in, "0", storvsp_channel_inspect, s->primary);
	for (unsigned i = 0; i < SUB_CHANNELS_MAX; i++)
		if (s->subs[i])
			inspect_child_index(in, i + 1, storvsp_channel_inspect, s->subs[i]);
}

static void luns_inspect(void *object, struct inspect *in)
{
	struct storvsp *s = object;

	for (unsigned i = 0; i < SCSI_LUNS_MAX; i++)
		if (atomic_load(&s->target.units[i]))
			inspect_child_index(in, i, scsi_unit_inspect, atomic_load(&s->target.units[i]));
}

void storvsp_inspect(void *object, struct inspect *in)
{
	struct storvsp *s = object;
	char text[GUID_STRLEN + 1];

	guid_format(&s->instance, text);
	inspect_str(in, "instance", text);
	inspect_u64(in, "max_sub_channels", s->max_sub_channels);
	inspect_count(in, "adds", s->hot_adds);
	inspect_count(in, "removes", s->hot_removes);
	inspect_child(in, "luns", luns_inspect, s);
	inspect_child(in, "channels", channels_inspect, s);
}
