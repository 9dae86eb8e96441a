#include "vmm/get/vmgs.h"

#include <errno.h>
#include <string.h>

#include "lib/core/check.h"
#include "lib/log/log.h"

LOG_DOMAIN("get");

/* a host may write to a slow disk; one that takes longer than this is not coming back */
#define ANSWER_TIMEOUT_NS 60000000000ull
#define TRIES_MAX 4u

static void submit_part(struct get_vmgs *v);

static void finish(struct get_vmgs *v, int error)
{
	v->busy = false;
	if (error)
		v->failures++;
	v->done(v->context, error);
}

/* ---- what the host says */
static int judge_status(const struct get_vmgs *v, u32 status)
{
	if (status == GET_VMGS_SUCCESS)
		return 0;
	if (status == GET_VMGS_RETRY)
		return -EAGAIN;
	/* a host without a device says so with the same words as one whose device fails */
	return v->kind == GET_VMGS_KIND_INFO ? -ENODEV : -EIO;
}

static bool is_power_of_two(u32 n)
{
	return n && !(n & (n - 1));
}

static int take_info(struct get_vmgs *v, struct bytes b)
{
	struct get_vmgs_device_info_response r;

	if (b.left != sizeof(r) || !bytes_copy(&b, &r, sizeof(r)))
		return -EPROTO;
	u32 logical = r.bytes_per_logical_sector, physical = r.bytes_per_physical_sector;
	u32 most = MIN(r.maximum_transfer_size_bytes, (u32)GET_PAYLOAD_MAX);

	if (!is_power_of_two(logical) || !is_power_of_two(physical) || physical < logical || physical > most ||
	    !r.capacity || r.capacity > UINT64_MAX / logical)
		return log_err(-EPROTO, "the host's guest-state device makes no sense: %lu sectors of %u bytes, %u physical, "
			       "%u a transfer", r.capacity, logical, physical, r.maximum_transfer_size_bytes);
	v->capacity = r.capacity * logical;
	v->sector_size = logical;
	v->physical_sector_size = physical;
	v->transfer_max = ALIGN_DOWN(most, physical);
	return 0;
}

static int accept(struct get_question *q, struct bytes b)
{
	struct get_vmgs *v = container_of(q, struct get_vmgs, question);
	struct bytes whole = b;
	struct get_vmgs_response r;

	if (!bytes_copy(&b, &r, sizeof(r)))
		return -EPROTO;
	v->outcome = judge_status(v, r.status);
	/* who refuses may leave out the rest */
	if (v->outcome)
		return 0;
	if (v->kind == GET_VMGS_KIND_INFO)
		return take_info(v, whole);
	if (b.left != (v->kind == GET_VMGS_KIND_READ ? v->part : 0))
		return -EPROTO;
	if (v->kind == GET_VMGS_KIND_READ)
		memcpy(v->at, b.at, b.left);
	return 0;
}

static void answered(struct get_question *q, int error)
{
	struct get_vmgs *v = container_of(q, struct get_vmgs, question);

	if (error == -ETIMEDOUT)
		v->silent = true;
	error = error ? error : v->outcome;
	if (error == -EAGAIN && ++v->tries < TRIES_MAX) {
		v->retries++;
		submit_part(v);
		return;
	}
	if (error) {
		finish(v, error == -EAGAIN ? -EIO : error);
		return;
	}
	v->tries = 0;
	v->offset += v->part;
	v->left -= v->part;
	if (v->part)
		v->at += v->part;
	if (v->left)
		submit_part(v);
	else
		finish(v, 0);
}

/* ---- what it is asked */
static void submit_part(struct get_vmgs *v)
{
	static const u16 ids[] = { GET_VMGS_DEVICE_INFO, GET_VMGS_READ, GET_VMGS_WRITE, GET_VMGS_FLUSH };
	bool io = v->kind == GET_VMGS_KIND_READ || v->kind == GET_VMGS_KIND_WRITE;
	struct get_vmgs_io_request m = { .header = { GET_HEADER_VERSION, GET_HOST_REQUEST, ids[v->kind] } };

	v->part = (u32)MIN(v->left, (size_t)v->transfer_max);
	if (io) {
		m.sector_offset = v->offset / v->sector_size;
		m.sector_count = v->part / v->sector_size;
	}
	v->question = (struct get_question){
		.accept = accept, .done = answered, .answer_id = ids[v->kind], .timeout_ns = ANSWER_TIMEOUT_NS,
		.message_len = io ? sizeof(m) : sizeof(m.header),
	};
	memcpy(v->question.message, &m, v->question.message_len);
	if (v->kind == GET_VMGS_KIND_WRITE) {
		v->question.body = v->at;
		v->question.body_len = v->part;
		v->bytes_written += v->part;
	} else {
		v->bytes_read += v->part;
	}
	get_ask(v->get, &v->question);
}

void get_vmgs_init(struct get_vmgs *v, struct get *get)
{
	*v = (struct get_vmgs){ .get = get };
}

void get_vmgs_submit(struct get_vmgs *v, enum get_vmgs_kind kind, u64 offset, void *data, size_t len,
		     void (*done)(void *context, int error), void *context)
{
	CHECK(!v->busy);
	v->busy = true;
	v->kind = kind;
	v->offset = offset;
	v->at = data;
	v->left = len;
	v->tries = 0;
	v->done = done;
	v->context = context;
	if (v->silent) {
		finish(v, -EIO);
		return;
	}
	if (kind == GET_VMGS_KIND_READ || kind == GET_VMGS_KIND_WRITE)
		CHECK(len && v->sector_size && IS_ALIGNED(offset | len, v->sector_size) &&
		      range_within(offset, len, 0, v->capacity));
	v->reads += kind == GET_VMGS_KIND_READ;
	v->writes += kind == GET_VMGS_KIND_WRITE;
	v->flushes += kind == GET_VMGS_KIND_FLUSH;
	submit_part(v);
}

void get_vmgs_inspect(void *object, struct inspect *in)
{
	struct get_vmgs *v = object;

	inspect_u64(in, "capacity", v->capacity);
	inspect_u64(in, "sector_size", v->sector_size);
	inspect_u64(in, "physical_sector_size", v->physical_sector_size);
	inspect_u64(in, "transfer_max", v->transfer_max);
	inspect_bool(in, "silent", v->silent);
	inspect_count(in, "reads", v->reads);
	inspect_count(in, "writes", v->writes);
	inspect_count(in, "flushes", v->flushes);
	inspect_count(in, "bytes_read", v->bytes_read);
	inspect_count(in, "bytes_written", v->bytes_written);
	inspect_count(in, "failures", v->failures);
	inspect_count(in, "retries", v->retries);
}
