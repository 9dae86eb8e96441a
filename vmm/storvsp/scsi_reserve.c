/*
 * Persistent reservations (SPC-4 5.13). There is one initiator, so nobody is ever kept out; what remains is to keep the
 * books as the standard says. They do not survive a power loss, and the capabilities say so (no APTPL).
 */
#include "vmm/storvsp/scsi_internal.h"

static bool type_valid(u8 type)
{
	return type == PR_WRITE_EXCLUSIVE || type == PR_EXCLUSIVE_ACCESS ||
	       (type >= PR_WRITE_EXCLUSIVE_REGISTRANTS && type <= PR_EXCLUSIVE_ACCESS_ALL);
}

static bool all_registrants(u8 type)
{
	return type == PR_WRITE_EXCLUSIVE_ALL || type == PR_EXCLUSIVE_ACCESS_ALL;
}

void scsi_reserve_in(struct scsi_request *r)
{
	struct scsi_unit *u = r->unit;
	u8 data[64] = { 0 };
	size_t len = 8;
	bool known = true;

	pthread_mutex_lock(&u->lock);
	be32_put(data, u->generation);
	switch (r->cdb[1] & 0x1f) {
	case PR_READ_KEYS:
		be64_put(data + 8, u->key);
		len += u->key ? 8 : 0;
		be32_put(data + 4, len - 8);
		break;
	case PR_READ_RESERVATION:
		if (u->reservation) {
			be64_put(data + 8, all_registrants(u->reservation) ? 0 : u->key);
			data[21] = u->reservation;
			len = 24;
		}
		be32_put(data + 4, len - 8);
		break;
	case PR_REPORT_CAPABILITIES:
		memset(data, 0, sizeof(data));
		be16_put(data, 8);
		data[3] = 0x80;                   /* TMV: the mask below holds */
		data[4] = 0xea;                   /* types 7, 6, 5, 3, 1 */
		data[5] = 0x01;                   /* type 8 */
		break;
	default: /* READ FULL STATUS needs initiator port names, and VMBus has none */
		known = false;
	}
	pthread_mutex_unlock(&u->lock);
	if (known)
		scsi_reply(r, data, len, be16_get(r->cdb + 7));
	else
		scsi_bad_cdb(r);
}

struct outcome {
	enum scsi_status status;
	enum scsi_asc asc;
};

/* lock held */
static struct outcome reserve_out(struct scsi_unit *u, u8 action, u8 type, u64 key, u64 service_key)
{
	static const struct outcome good = { SCSI_GOOD, 0 }, conflict = { SCSI_RESERVATION_CONFLICT, 0 };

	/* who is not registered may do nothing but register, and then its key so far is zero */
	if (action != PR_REGISTER_AND_IGNORE && (key != u->key || (!u->key && action != PR_REGISTER)))
		return conflict;
	switch (action) {
	case PR_REGISTER:
	case PR_REGISTER_AND_IGNORE:
		if (!service_key)
			u->reservation = 0; /* the last registrant takes its reservation along */
		u->key = service_key;
		u->generation++;
		return good;
	case PR_RESERVE:
		if (u->reservation && u->reservation != type)
			return conflict;
		u->reservation = type;
		return good;
	case PR_RELEASE:
		if (u->reservation && u->reservation != type)
			return (struct outcome){ SCSI_CHECK_CONDITION, ASC_INVALID_RELEASE };
		u->reservation = 0;
		return good;
	case PR_CLEAR:
		u->reservation = 0;
		u->key = 0;
		u->generation++;
		return good;
	default: /* PREEMPT: the only registrant preempts itself, or nobody */
		if (service_key != u->key && !(all_registrants(u->reservation) && !service_key))
			return conflict;
		u->reservation = type;
		u->generation++;
		return good;
	}
}

void scsi_reserve_out(struct scsi_request *r)
{
	u8 action = r->cdb[1] & 0x1f, type = r->cdb[2] & 0xf;
	bool uses_type = action == PR_RESERVE || action == PR_RELEASE || action == PR_PREEMPT || action == PR_PREEMPT_AND_ABORT;
	struct scsi_pr_parameters p;
	struct outcome o;

	if (action > PR_REGISTER_AND_IGNORE || (uses_type && (r->cdb[2] >> 4 || !type_valid(type)))) {
		scsi_bad_cdb(r);
		return;
	}
	if (be32_get(r->cdb + 5) != sizeof(p)) {
		scsi_check(r, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
		return;
	}
	if (!scsi_fetch(r, &p, sizeof(p)) || p.flags & (PR_SPEC_I_PT | PR_ALL_TG_PT | PR_APTPL)) {
		scsi_bad_list(r);
		return;
	}
	pthread_mutex_lock(&r->unit->lock);
	o = reserve_out(r->unit, action, type, be64_get(p.key), be64_get(p.service_key));
	pthread_mutex_unlock(&r->unit->lock);
	if (o.status == SCSI_GOOD)
		scsi_good(r, sizeof(p));
	else if (o.status == SCSI_CHECK_CONDITION)
		scsi_check(r, SENSE_ILLEGAL_REQUEST, o.asc);
	else
		scsi_status(r, o.status);
}
