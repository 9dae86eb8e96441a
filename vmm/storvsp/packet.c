/* The vstor protocol: one packet of the guest to what it asks for. */
#include <string.h>

#include "lib/log/log.h"
#include "vmm/storvsp/internal.h"

LOG_DOMAIN("storvsp");

static void mistake(struct storvsp_channel *c, const char *what, u32 which)
{
	c->mistakes++;
	log_guest("channel %u: %s (%#x)", c->channel.relid, what, which);
}

/* ---- the guest's buffer */

/* pages that lie one behind the other become one piece */
static bool add_piece(struct storvsp_request *r, const struct iovec *piece)
{
	struct iovec *last = r->scsi.iov_count ? &r->iov[r->scsi.iov_count - 1] : NULL;

	if (last && (u8 *)last->iov_base + last->iov_len == piece->iov_base) {
		last->iov_len += piece->iov_len;
		return true;
	}
	if (r->scsi.iov_count == REQUEST_IOV_MAX)
		return false;
	r->iov[r->scsi.iov_count++] = *piece;
	return true;
}

static bool add_range(struct storvsp_request *r, struct bytes *b, u32 *total)
{
	struct guest *guest = r->channel->owner->guest;
	u32 left, offset;
	u64 pfn;

	if (!bytes_u32(b, &left) || !bytes_u32(b, &offset) || left > SCSI_MAX_TRANSFER - *total)
		return false;
	*total += left;
	/* an offset past the first page skips pages */
	if (!bytes_skip(b, (size_t)(offset >> PAGE_SHIFT) * sizeof(pfn)))
		return false;
	offset &= PAGE_SIZE - 1;
	while (left) {
		u32 len = MIN(left, PAGE_SIZE - offset);
		struct iovec piece;

		if (!bytes_u64(b, &pfn) || pfn >= 1ull << 40 || guest_iovec(guest, (pfn << PAGE_SHIFT) + offset, len, &piece) ||
		    !add_piece(r, &piece))
			return false;
		left -= len;
		offset = 0;
	}
	return true;
}

static bool take_buffer(struct storvsp_request *r, struct bytes b, u32 *ret_len)
{
	u32 count;

	*ret_len = 0;
	if (!bytes_skip(&b, 4) || !bytes_u32(&b, &count))
		return false;
	while (count--)
		if (!b.left || !add_range(r, &b, ret_len))
			return false;
	return true;
}

/* ---- commands */
static void executed(struct scsi_request *scsi)
{
	struct storvsp_request *r = container_of(scsi, struct storvsp_request, scsi);
	struct vstor_srb *srb = &r->packet.srb;

	srb->scsi_status = scsi->status;
	srb->data_len = scsi->transferred;
	srb->sense_len = 0;
	if (scsi->no_unit) {
		srb->srb_status = SRB_INVALID_LUN;
		srb->scsi_status = SCSI_GOOD;
	} else if (scsi->status == SCSI_GOOD) {
		srb->srb_status = SRB_SUCCESS;
	} else {
		srb->srb_status = SRB_ERROR;
		if (scsi->sense_len) {
			memset(srb->payload, 0, sizeof(srb->payload));
			memcpy(srb->payload, scsi->sense, scsi->sense_len);
			srb->sense_len = scsi->sense_len;
			srb->srb_status |= SRB_AUTOSENSE_VALID;
		}
	}
	storvsp_complete(r, VSTOR_STATUS_SUCCESS);
}
_Static_assert(SCSI_SENSE_LEN <= VSTOR_SENSE_LEN, "fixed sense data fits the packet");

static void refuse_srb(struct storvsp_request *r, const char *why)
{
	mistake(r->channel, why, r->packet.srb.payload[0]);
	r->packet.srb.srb_status = SRB_INVALID_REQUEST;
	r->packet.srb.scsi_status = SCSI_GOOD;
	r->packet.srb.data_len = 0;
	r->packet.srb.sense_len = 0;
	storvsp_complete(r, VSTOR_STATUS_SUCCESS);
}

static void execute_srb(struct storvsp_request *r, struct bytes head, bool gpa_direct)
{
	struct vstor_srb *srb = &r->packet.srb;
	unsigned lun = srb->path || srb->target ? SCSI_LUNS_MAX : srb->lun;
	u32 len = 0;

	r->scsi.iov = r->iov;
	r->scsi.iov_count = 0;
	if (gpa_direct && !take_buffer(r, head, &len)) {
		refuse_srb(r, "buffer that is no memory, or too large");
		return;
	}
	if (srb->data_len > len || srb->cdb_len > VSTOR_CDB_LEN || !srb->cdb_len) {
		refuse_srb(r, "lengths that do not fit");
		return;
	}
	memset(r->scsi.cdb, 0, sizeof(r->scsi.cdb));
	memcpy(r->scsi.cdb, srb->payload, srb->cdb_len);
	r->scsi.cdb_len = srb->cdb_len;
	r->scsi.data_in = srb->data_in == VSTOR_DATA_IN;
	r->scsi.data_len = srb->data_len;
	r->scsi.exec = r->channel->channel.exec;
	r->scsi.done = executed;
	scsi_execute(&r->channel->owner->target, lun, &r->scsi);
}

/* ---- initialisation */
static u32 query_version(struct storvsp_request *r)
{
	static const u16 known[] = { VSTOR_VERSION_WIN6, VSTOR_VERSION_WIN7, VSTOR_VERSION_WIN8, VSTOR_VERSION_BLUE };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i] == r->packet.version.version) {
			r->channel->version = known[i];
			r->channel->state = PROTOCOL_VERSION;
			return VSTOR_STATUS_SUCCESS;
		}
	return VSTOR_STATUS_REVISION_MISMATCH;
}

static u32 query_properties(struct storvsp_request *r)
{
	struct vstor_properties *p = &r->packet.properties;
	unsigned max = r->channel->version >= VSTOR_VERSION_WIN8 ? r->channel->owner->max_sub_channels : 0;

	*p = (struct vstor_properties){ .max_sub_channels = (u16)max, .flags = max ? VSTOR_MULTI_CHANNEL : 0,
					.max_transfer = SCSI_MAX_TRANSFER };
	r->channel->state = PROTOCOL_PROPERTIES;
	return VSTOR_STATUS_SUCCESS;
}

static u32 create_sub_channels(struct storvsp_request *r)
{
	struct storvsp *s = r->channel->owner;

	if (r->channel->is_sub || r->packet.sub_channels > s->max_sub_channels)
		return VSTOR_STATUS_INVALID_PARAMETER;
	storvsp_want_subs(s, r->packet.sub_channels);
	return VSTOR_STATUS_SUCCESS;
}

/* requests that were under way end by themselves; the units say what happened */
static u32 reset(struct storvsp_request *r)
{
	struct scsi_target *t = &r->channel->owner->target;

	for (unsigned i = 0; i < SCSI_LUNS_MAX; i++)
		if (atomic_load(&t->units[i]) && (r->packet.header.operation != VSTOR_RESET_LUN || r->packet.srb.lun == i))
			scsi_unit_attention(atomic_load(&t->units[i]), ASC_BUS_RESET);
	return VSTOR_STATUS_SUCCESS;
}

/* what is asked in which state; the rest is out of turn */
static u32 small_operation(struct storvsp_request *r)
{
	struct storvsp_channel *c = r->channel;
	enum protocol_state state = c->state;

	switch (r->packet.header.operation) {
	case VSTOR_BEGIN_INITIALIZATION:
		if (c->is_sub)
			break;
		c->state = PROTOCOL_BEGUN;
		return VSTOR_STATUS_SUCCESS;
	case VSTOR_QUERY_PROTOCOL_VERSION:
		return state == PROTOCOL_BEGUN || state == PROTOCOL_VERSION ? query_version(r) :
									      VSTOR_STATUS_INVALID_DEVICE_STATE;
	case VSTOR_QUERY_PROPERTIES:
		return state == PROTOCOL_VERSION ? query_properties(r) : VSTOR_STATUS_INVALID_DEVICE_STATE;
	case VSTOR_END_INITIALIZATION:
		if (state != PROTOCOL_PROPERTIES)
			return VSTOR_STATUS_INVALID_DEVICE_STATE;
		c->state = PROTOCOL_READY;
		atomic_store(&c->rescan, false); /* it is going to look anyhow */
		return VSTOR_STATUS_SUCCESS;
	case VSTOR_CREATE_SUB_CHANNELS:
		return state == PROTOCOL_READY ? create_sub_channels(r) : VSTOR_STATUS_INVALID_DEVICE_STATE;
	case VSTOR_RESET_LUN:
	case VSTOR_RESET_ADAPTER:
	case VSTOR_RESET_BUS:
		return state == PROTOCOL_READY ? reset(r) : VSTOR_STATUS_INVALID_DEVICE_STATE;
	}
	return VSTOR_STATUS_INVALID_DEVICE_REQUEST;
}

void storvsp_handle(struct storvsp_request *r, struct bytes head, struct bytes payload, bool gpa_direct)
{
	struct storvsp_channel *c = r->channel;
	size_t len = MIN(payload.left, sizeof(r->packet));
	u32 status;

	memset(&r->packet, 0, sizeof(r->packet));
	if (len < sizeof(struct vstor_header)) {
		mistake(c, "packet cut short", (u32)len);
		storvsp_complete(r, VSTOR_STATUS_INVALID_PARAMETER);
		return;
	}
	memcpy(&r->packet, payload.at, len);
	/* as long as the guest's own packets are: its driver checks that */
	r->reply_len = (u32)MAX(len, sizeof(struct vstor_header) + VSTOR_SRB_V1_LEN);
	if (r->packet.header.operation == VSTOR_EXECUTE_SRB) {
		if (c->state != PROTOCOL_READY || len < sizeof(struct vstor_header) + VSTOR_SRB_V1_LEN) {
			mistake(c, "request out of turn, or cut short", (u32)len);
			storvsp_complete(r, VSTOR_STATUS_INVALID_DEVICE_STATE);
		} else {
			execute_srb(r, head, gpa_direct);
		}
		return;
	}
	status = small_operation(r);
	if (status && status != VSTOR_STATUS_REVISION_MISMATCH)
		mistake(c, "operation refused", r->packet.header.operation);
	storvsp_complete(r, status);
}
