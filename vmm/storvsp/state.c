/* A channel of a SCSI controller as saved state; with the first one, what the controller's units keep from command to command. */
#include <errno.h>

#include "lib/log/log.h"
#include "vmm/storvsp/internal.h"

LOG_DOMAIN("storvsp");

#define TAG_STATE STATE_TAG('S', 'T', 'A', 'T')
#define TAG_ANSWER STATE_TAG('A', 'N', 'S', 'W') /* one that waits for room in the ring */
#define TAG_UNIT STATE_TAG('U', 'N', 'I', 'T')

static void save_unit(struct scsi_unit *u, u8 lun, struct saver *s)
{
	size_t mark = saver_open(s, TAG_UNIT, 1, 0);

	saver_u8(s, lun);
	saver_u32(s, atomic_load(&u->attention));
	saver_u8(s, atomic_load(&u->stopped));
	saver_u64(s, u->key);
	saver_u32(s, u->generation);
	saver_u8(s, u->reservation);
	saver_close(s, mark);
}

void storvsp_channel_save(struct vmbus_channel *channel, struct saver *s)
{
	struct storvsp_channel *c = storvsp_channel_of(channel);
	size_t mark = saver_open(s, TAG_STATE, 1, 0);

	saver_u8(s, (u8)c->state);
	saver_u16(s, c->version);
	saver_u8(s, c->interrupt);
	saver_u8(s, atomic_load(&c->rescan));
	saver_close(s, mark);
	for (const struct storvsp_request *r = c->completed; r; r = r->next) {
		mark = saver_open(s, TAG_ANSWER, 1, 0);
		saver_u64(s, r->transaction);
		saver_u8(s, r->answer);
		saver_u32(s, r->reply_len);
		saver_put(s, &r->packet, sizeof(r->packet));
		saver_close(s, mark);
	}
	for (u8 i = 0; !c->is_sub && i < SCSI_LUNS_MAX; i++) {
		struct scsi_unit *u = atomic_load(&c->owner->target.units[i]);

		if (u)
			save_unit(u, i, s);
	}
}

static int restore_state(struct storvsp_channel *c, struct bytes b)
{
	u8 state, interrupt, rescan;
	u16 version;

	if (!bytes_u8(&b, &state) || !bytes_u16(&b, &version) || !bytes_u8(&b, &interrupt) || !bytes_u8(&b, &rescan) ||
	    state > PROTOCOL_READY)
		return -EPROTO;
	c->state = (enum protocol_state)state;
	c->version = version;
	c->interrupt = interrupt;
	atomic_store(&c->rescan, rescan);
	return 0;
}

static int restore_answer(struct storvsp_channel *c, struct bytes b)
{
	struct vstor_packet packet;
	u64 transaction;
	u8 answer;
	u32 len;

	if (!bytes_u64(&b, &transaction) || !bytes_u8(&b, &answer) || !bytes_u32(&b, &len) ||
	    !bytes_copy(&b, &packet, sizeof(packet)) || len > sizeof(packet))
		return -EPROTO;
	struct storvsp_request *r = storvsp_add_completed(c);

	if (!r)
		return -EPROTO;
	r->transaction = transaction;
	r->answer = answer;
	r->reply_len = len;
	r->packet = packet;
	return 0;
}

/* a disk that is no longer there has nothing to keep */
static int restore_unit(struct storvsp *s, struct bytes b)
{
	u8 lun, stopped, reservation;
	u32 attention, generation;
	u64 key;

	if (!bytes_u8(&b, &lun) || !bytes_u32(&b, &attention) || !bytes_u8(&b, &stopped) || !bytes_u64(&b, &key) ||
	    !bytes_u32(&b, &generation) || !bytes_u8(&b, &reservation) || lun >= SCSI_LUNS_MAX || attention > 0xffff)
		return -EPROTO;
	struct scsi_unit *u = atomic_load(&s->target.units[lun]);

	if (!u) {
		log_at(LOG_WARN, "LUN %u of the saved state is not there", lun);
		return 0;
	}
	atomic_store(&u->attention, attention);
	atomic_store(&u->stopped, stopped);
	pthread_mutex_lock(&u->lock);
	u->key = key;
	u->generation = generation;
	u->reservation = reservation;
	pthread_mutex_unlock(&u->lock);
	return 0;
}

int storvsp_channel_restore(struct vmbus_channel *channel, struct bytes b)
{
	struct storvsp_channel *c = storvsp_channel_of(channel);
	struct loader l = { b };
	struct record record;
	int r = loader_find(l, TAG_STATE, 1, &record);

	storvsp_drop_completed(c);
	if (!r)
		r = restore_state(c, record.body);
	while (!r && (r = loader_next(&l, &record)) > 0) {
		r = 0;
		if (record.version != 1)
			r = -ENOTSUP;
		else if (record.tag == TAG_ANSWER)
			r = restore_answer(c, record.body);
		else if (record.tag == TAG_UNIT && !c->is_sub)
			r = restore_unit(c->owner, record.body);
		else if (record.tag != TAG_STATE)
			r = loader_unknown(&record);
	}
	return r;
}
