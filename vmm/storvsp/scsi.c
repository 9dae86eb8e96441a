#include "vmm/storvsp/scsi.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/log/log.h"
#include "vmm/storvsp/scsi_internal.h"

LOG_DOMAIN("scsi");

/* ---- answers */
void scsi_fill_sense(u8 sense[SCSI_SENSE_LEN], enum scsi_sense_key key, enum scsi_asc asc)
{
	struct scsi_fixed_sense s = { .response_code = SENSE_CURRENT_FIXED, .key = (u8)key,
				      .additional_length = SCSI_SENSE_LEN - 8, .asc = (u8)(asc >> 8), .ascq = (u8)asc };

	memcpy(sense, &s, sizeof(s));
}

static void unit_put(struct scsi_unit *unit)
{
	/* a late request may take the count from zero to one and back: only one of them may tell */
	if (atomic_fetch_sub(&unit->users, 1) == 1 && atomic_load(&unit->removed) && !atomic_exchange(&unit->told, true))
		exec_post(unit->home, &unit->gone_op, unit->gone_op.done, 0);
}

/*
 * A request counts itself in, then looks again: a unit that was removed in between is not there, and its disk is not touched.
 */
static struct scsi_unit *unit_get(struct scsi_target *target, unsigned lun)
{
	struct scsi_unit *unit = lun < SCSI_LUNS_MAX ? atomic_load(&target->units[lun]) : NULL;

	if (!unit)
		return NULL;
	atomic_fetch_add(&unit->users, 1);
	if (atomic_load(&target->units[lun]) == unit)
		return unit;
	unit_put(unit);
	return NULL;
}

void scsi_status(struct scsi_request *r, enum scsi_status status)
{
	r->status = (u8)status;
	if (r->unit)
		unit_put(r->unit);
	r->done(r);
}

void scsi_good(struct scsi_request *r, u32 transferred)
{
	r->transferred = transferred;
	scsi_status(r, SCSI_GOOD);
}

void scsi_check(struct scsi_request *r, enum scsi_sense_key key, enum scsi_asc asc)
{
	scsi_fill_sense(r->sense, key, asc);
	r->sense_len = SCSI_SENSE_LEN;
	if (r->unit)
		atomic_fetch_add_explicit(&r->unit->checks, 1, memory_order_relaxed);
	scsi_status(r, SCSI_CHECK_CONDITION);
}

static size_t copy(struct scsi_request *r, void *data, size_t len, bool out)
{
	size_t done = 0;

	len = MIN(len, r->data_len);
	for (unsigned i = 0; i < r->iov_count && done < len; i++) {
		size_t piece = MIN(len - done, r->iov[i].iov_len);

		if (out)
			memcpy((u8 *)data + done, r->iov[i].iov_base, piece);
		else
			memcpy(r->iov[i].iov_base, (u8 *)data + done, piece);
		done += piece;
	}
	return done;
}

void scsi_reply(struct scsi_request *r, const void *data, size_t len, u32 allocation)
{
	if (allocation && r->data_len && !r->data_in)
		scsi_bad_cdb(r);
	else
		scsi_good(r, (u32)copy(r, (void *)data, MIN(len, allocation), false));
}

bool scsi_fetch(struct scsi_request *r, void *to, size_t len)
{
	return (!r->data_in || !len) && copy(r, to, len, true) == len;
}

/* ---- steps on the disk */
static void disk_failed(struct scsi_request *r, int error)
{
	bool write = r->disk.op != DISK_READ;

	if (error == -EROFS)
		scsi_check(r, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
	else if (error == -EINVAL)
		scsi_check(r, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
	else if (error == -EOPNOTSUPP)
		scsi_bad_cdb(r);
	else if (error == -ENODEV || error == -ETIMEDOUT || error == -ECANCELED)
		scsi_check(r, SENSE_HARDWARE_ERROR, ASC_INTERNAL_FAILURE);
	else
		scsi_check(r, SENSE_MEDIUM_ERROR, write ? ASC_WRITE_ERROR : ASC_READ_ERROR);
}

static void run_steps(struct scsi_request *r)
{
	do {
		if (r->step_result) {
			disk_failed(r, r->step_result);
			return;
		}
		if (!r->next_step(r)) {
			scsi_good(r, r->transferred);
			return;
		}
		r->stepping = true;
		r->step_done = false;
		disk_submit(r->unit->disk, &r->disk);
		r->stepping = false;
	} while (r->step_done);
}

static void step_done(struct disk_request *d, int result)
{
	struct scsi_request *r = container_of(d, struct scsi_request, disk);

	r->step_result = result;
	r->step_done = true;
	if (!r->stepping)
		run_steps(r);
}

void scsi_steps(struct scsi_request *r, bool (*next)(struct scsi_request *))
{
	r->next_step = next;
	r->step_result = 0;
	r->disk.exec = r->exec;
	r->disk.done = step_done;
	run_steps(r);
}

static void one_done(struct disk_request *d, int result)
{
	struct scsi_request *r = container_of(d, struct scsi_request, disk);

	if (result)
		disk_failed(r, result);
	else
		scsi_good(r, d->op == DISK_READ || d->op == DISK_WRITE ? (u32)(d->count * r->unit->disk->sector_size) : 0);
}

void scsi_one(struct scsi_request *r)
{
	r->disk.exec = r->exec;
	r->disk.done = one_done;
	disk_submit(r->unit->disk, &r->disk);
}

/* ---- small commands */
static void test_unit_ready(struct scsi_request *r)
{
	scsi_good(r, 0);
}

static void request_sense(struct scsi_request *r)
{
	u8 sense[SCSI_SENSE_LEN];
	unsigned asc = r->unit ? atomic_exchange(&r->unit->attention, 0) : 0;

	if (r->cdb[1] & CDB_DESC) { /* only the fixed format is made here, and it says so */
		scsi_bad_cdb(r);
		return;
	}
	if (!r->unit)
		scsi_fill_sense(sense, SENSE_ILLEGAL_REQUEST, ASC_LUN_NOT_SUPPORTED);
	else if (asc)
		scsi_fill_sense(sense, SENSE_UNIT_ATTENTION, asc);
	else if (atomic_load(&r->unit->stopped))
		scsi_fill_sense(sense, SENSE_NOT_READY, ASC_START_UNIT_REQUIRED);
	else
		scsi_fill_sense(sense, SENSE_NO_SENSE, ASC_NONE);
	scsi_reply(r, sense, sizeof(sense), r->cdb[4]);
}

/* what was written is on the disk before the unit stops (SBC-3 5.25) */
static bool next_stop(struct scsi_request *r)
{
	if (r->left) {
		r->left = 0;
		r->disk.op = DISK_FLUSH;
		r->disk.sector = r->disk.count = 0;
		return true;
	}
	atomic_store(&r->unit->stopped, true);
	return false;
}

static void start_stop(struct scsi_request *r)
{
	u8 power = (r->cdb[4] & CDB_POWER_CONDITION) >> 4;

	if (power > 1 || r->cdb[4] & CDB_LOEJ) {
		scsi_bad_cdb(r);
		return;
	}
	if (power == 1 || r->cdb[4] & CDB_START) {
		atomic_store(&r->unit->stopped, false);
		scsi_good(r, 0);
		return;
	}
	r->left = 1;
	scsi_steps(r, next_stop);
}

static void report_luns(struct scsi_target *target, struct scsi_request *r)
{
	u8 list[8 + 8 * SCSI_LUNS_MAX] = { 0 };
	u32 count = 0, allocation = be32_get(r->cdb + 6);

	if (r->cdb[2] > 2 || allocation < 16) {
		scsi_bad_cdb(r);
		return;
	}
	for (unsigned i = 0; i < SCSI_LUNS_MAX && r->cdb[2] != 1; i++) /* 1: well-known units only; there are none */
		if (atomic_load(&target->units[i]))
			list[8 + 8 * count++ + 1] = (u8)i; /* peripheral device addressing (SAM-5 4.7.7.2) */
	be32_put(list, 8 * count);
	scsi_reply(r, list, 8 + 8 * count, allocation);
}

/* ---- dispatch */
enum { WITHOUT_MEDIUM = 1 /* also while stopped */, IGNORES_ATTENTION = 2 /* SPC-4 5.14: does not report it */ };

static const struct command {
	u8 opcode, cdb_len, flags;
	void (*run)(struct scsi_request *);
} commands[] = {
	{ SCSI_TEST_UNIT_READY, 6, 0, test_unit_ready },
	{ SCSI_REQUEST_SENSE, 6, WITHOUT_MEDIUM | IGNORES_ATTENTION, request_sense },
	{ SCSI_INQUIRY, 6, WITHOUT_MEDIUM | IGNORES_ATTENTION, scsi_inquiry },
	{ SCSI_READ_6, 6, 0, scsi_read_write },
	{ SCSI_WRITE_6, 6, 0, scsi_read_write },
	{ SCSI_READ_10, 10, 0, scsi_read_write },
	{ SCSI_WRITE_10, 10, 0, scsi_read_write },
	{ SCSI_READ_12, 12, 0, scsi_read_write },
	{ SCSI_WRITE_12, 12, 0, scsi_read_write },
	{ SCSI_READ_16, 16, 0, scsi_read_write },
	{ SCSI_WRITE_16, 16, 0, scsi_read_write },
	{ SCSI_READ_CAPACITY_10, 10, 0, scsi_read_capacity_10 },
	{ SCSI_SERVICE_ACTION_IN_16, 16, 0, scsi_service_action_in },
	{ SCSI_SYNCHRONIZE_CACHE_10, 10, 0, scsi_synchronize_cache },
	{ SCSI_SYNCHRONIZE_CACHE_16, 16, 0, scsi_synchronize_cache },
	{ SCSI_VERIFY_10, 10, 0, scsi_verify },
	{ SCSI_VERIFY_12, 12, 0, scsi_verify },
	{ SCSI_VERIFY_16, 16, 0, scsi_verify },
	{ SCSI_UNMAP, 10, 0, scsi_unmap },
	{ SCSI_WRITE_SAME_10, 10, 0, scsi_write_same },
	{ SCSI_WRITE_SAME_16, 16, 0, scsi_write_same },
	{ SCSI_MODE_SENSE_6, 6, WITHOUT_MEDIUM, scsi_mode_sense_6 },
	{ SCSI_MODE_SENSE_10, 10, WITHOUT_MEDIUM, scsi_mode_sense_10 },
	{ SCSI_MODE_SELECT_6, 6, WITHOUT_MEDIUM, scsi_mode_select_6 },
	{ SCSI_MODE_SELECT_10, 10, WITHOUT_MEDIUM, scsi_mode_select_10 },
	{ SCSI_START_STOP_UNIT, 6, WITHOUT_MEDIUM, start_stop },
	{ SCSI_PERSISTENT_RESERVE_IN, 10, WITHOUT_MEDIUM, scsi_reserve_in },
	{ SCSI_PERSISTENT_RESERVE_OUT, 10, WITHOUT_MEDIUM, scsi_reserve_out },
};

static const struct command *find(u8 opcode)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].opcode == opcode)
			return &commands[i];
	return NULL;
}

/* what a target answers for a LUN with nothing behind it (SPC-4 6.6.1, 6.33) */
static void execute_without_unit(struct scsi_request *r)
{
	u8 data[36] = { INQUIRY_NO_DEVICE, 0, INQUIRY_VERSION_SPC3, INQUIRY_FORMAT_2, sizeof(data) - 5 };

	if (r->cdb[0] == SCSI_INQUIRY && !(r->cdb[1] & CDB_EVPD)) {
		scsi_reply(r, data, sizeof(data), be16_get(r->cdb + 3));
	} else if (r->cdb[0] == SCSI_REQUEST_SENSE) {
		request_sense(r);
	} else {
		r->no_unit = true;
		scsi_check(r, SENSE_ILLEGAL_REQUEST, ASC_LUN_NOT_SUPPORTED);
	}
}

void scsi_execute(struct scsi_target *target, unsigned lun, struct scsi_request *r)
{
	const struct command *c = find(r->cdb[0]);
	unsigned asc;

	r->unit = unit_get(target, lun);
	r->no_unit = false;
	r->sense_len = 0;
	r->transferred = 0;
	if (r->cdb[0] == SCSI_REPORT_LUNS && r->cdb_len >= 12) {
		report_luns(target, r);
		return;
	}
	if (!r->unit) {
		execute_without_unit(r);
		return;
	}
	atomic_fetch_add_explicit(&r->unit->commands, 1, memory_order_relaxed);
	if (!c || r->cdb_len < c->cdb_len) {
		scsi_check(r, SENSE_ILLEGAL_REQUEST, c ? ASC_INVALID_FIELD_IN_CDB : ASC_INVALID_OPCODE);
		return;
	}
	asc = c->flags & IGNORES_ATTENTION || !atomic_load_explicit(&r->unit->attention, memory_order_relaxed) ?
		      0 : atomic_exchange(&r->unit->attention, 0);
	if (asc)
		scsi_check(r, SENSE_UNIT_ATTENTION, asc);
	else if (!(c->flags & WITHOUT_MEDIUM) && atomic_load_explicit(&r->unit->stopped, memory_order_relaxed))
		scsi_check(r, SENSE_NOT_READY, ASC_START_UNIT_REQUIRED);
	else
		c->run(r);
}

/* ---- units */
struct scsi_unit *scsi_unit_create(struct disk *disk, const struct scsi_identity *identity)
{
	struct scsi_unit *unit = calloc(1, sizeof(*unit));

	if (!unit) {
		log_err(-ENOMEM, "logical unit");
		disk_destroy(disk);
		return NULL;
	}
	unit->disk = disk;
	if (identity)
		unit->identity = *identity;
	pthread_mutex_init(&unit->lock, NULL);
	return unit;
}

void scsi_unit_destroy(struct scsi_unit *unit)
{
	if (!unit)
		return;
	disk_destroy(unit->disk);
	pthread_mutex_destroy(&unit->lock);
	free(unit);
}

void scsi_unit_close(struct scsi_unit *unit)
{
	disk_destroy(unit->disk);
	unit->disk = NULL;
}

void scsi_unit_remove(struct scsi_target *target, unsigned lun, struct exec *home, void (*gone)(struct op *, int))
{
	struct scsi_unit *unit = atomic_load(&target->units[lun]);

	unit->home = home;
	unit->gone_op.done = gone;
	atomic_fetch_add(&unit->users, 1);
	atomic_store(&target->units[lun], NULL);
	atomic_store(&unit->removed, true);
	unit_put(unit);
}

void scsi_unit_attention(struct scsi_unit *unit, enum scsi_asc asc)
{
	atomic_store(&unit->attention, asc);
}

void scsi_unit_inspect(void *object, struct inspect *in)
{
	struct scsi_unit *unit = object;

	inspect_count(in, "commands", atomic_load(&unit->commands));
	inspect_count(in, "checks", atomic_load(&unit->checks));
	inspect_hex(in, "attention", atomic_load(&unit->attention));
	inspect_bool(in, "stopped", atomic_load(&unit->stopped));
	inspect_u64(in, "reservation", unit->reservation);
	if (unit->disk)
		inspect_child(in, "disk", disk_inspect, unit->disk);
}
