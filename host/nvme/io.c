/* I/O commands (NVM command set, chapter 3). The lock is left while the file is at work. */
#include <errno.h>
#include <string.h>

#include "host/nvme/internal.h"
#include "lib/log/log.h"

LOG_DOMAIN("nvme");

struct extent {
	u64 lba, offset, len; /* in blocks, bytes, bytes */
};

static u16 check_extent(const struct nvme_target *n, u64 lba, u64 blocks, struct extent *ret)
{
	if (!range_within(lba, blocks, 0, n->blocks))
		return NVME_SC_LBA_OUT_OF_RANGE;
	*ret = (struct extent){ lba, lba << n->block_shift, blocks << n->block_shift };
	return NVME_SC_SUCCESS;
}

static u16 rw_extent(const struct nvme_target *n, const struct nvme_command *c, struct extent *ret)
{
	return check_extent(n, (u64)c->cdw11 << 32 | c->cdw10, (u64)(c->cdw12 & NVME_RW_NLB) + 1, ret);
}

static u16 status_of(struct nvme_target *n, int error, bool write)
{
	if (!error)
		return NVME_SC_SUCCESS;
	n->counters.errors++;
	log_guest("%s: %s: %s", n->function.name, n->config.path, strerror(-error));
	return error == -EROFS ? NVME_SC_WRITE_PROTECTED : write ? NVME_SC_WRITE_FAULT : NVME_SC_UNRECOVERED_READ;
}

/* with the write cache switched off, every write goes through it */
static bool through(const struct nvme_target *n, const struct nvme_command *c)
{
	return c->cdw12 & NVME_RW_FUA || !(n->features[NVME_FEATURE_WRITE_CACHE] & 1);
}

static u16 read_write(struct nvme_target *n, struct execution *x, bool write)
{
	const struct nvme_command *c = &x->command;
	struct iovec iov[IOVECS_MAX];
	struct extent e;
	u32 count;
	u16 status = write && n->readonly ? NVME_SC_WRITE_PROTECTED : rw_extent(n, c, &e);

	if (!status)
		status = data_map(n, c, e.len, iov, &count);
	if (status)
		return status;
	bool fua = through(n, c);

	*(write ? &n->counters.writes : &n->counters.reads) += 1;
	*(write ? &n->counters.bytes_written : &n->counters.bytes_read) += e.len;
	x->error_lba = e.lba;
	pthread_mutex_unlock(&n->lock);
	int r = write ? backing_write(&n->backing, iov, count, e.offset, fua) : backing_read(&n->backing, iov, count, e.offset);

	pthread_mutex_lock(&n->lock);
	return status_of(n, r, write);
}

static u16 compare(struct nvme_target *n, struct execution *x)
{
	struct iovec iov[IOVECS_MAX], own;
	struct extent e;
	u32 count;
	u16 status = rw_extent(n, &x->command, &e);

	if (!status)
		status = data_map(n, &x->command, e.len, iov, &count);
	if (status)
		return status;
	n->counters.compares++;
	own = (struct iovec){ n->bounce, e.len };
	x->error_lba = e.lba;
	pthread_mutex_unlock(&n->lock);
	int r = backing_read(&n->backing, &own, 1, e.offset);

	pthread_mutex_lock(&n->lock);
	status = status_of(n, r, false);
	for (u64 i = 0, at = 0; !status && i < count; at += iov[i].iov_len, i++)
		if (memcmp(n->bounce + at, iov[i].iov_base, iov[i].iov_len))
			status = NVME_SC_COMPARE_FAILURE;
	return status;
}

static u16 write_zeroes(struct nvme_target *n, struct execution *x)
{
	const struct nvme_command *c = &x->command;
	struct extent e;
	u16 status = n->readonly ? NVME_SC_WRITE_PROTECTED : rw_extent(n, c, &e);

	if (status)
		return status;
	bool fua = through(n, c);

	n->counters.zeroes++;
	x->error_lba = e.lba;
	pthread_mutex_unlock(&n->lock);
	int r = backing_zero(&n->backing, e.offset, e.len, c->cdw12 & NVME_RW_DEALLOCATE, fua);

	pthread_mutex_lock(&n->lock);
	return status_of(n, r, true);
}

static u16 deallocate(struct nvme_target *n, struct execution *x)
{
	const struct nvme_command *c = &x->command;
	struct nvme_dsm_range ranges[NVME_DSM_RANGES_MAX];
	u32 count = (c->cdw10 & NVME_DSM_RANGES) + 1;
	struct extent e;
	u16 status = data_copy_in(n, c, ranges, count * sizeof(ranges[0]));

	for (u32 i = 0; !status && i < count; i++)
		status = check_extent(n, ranges[i].lba, ranges[i].blocks, &e);
	if (status || !(c->cdw11 & NVME_DSM_DEALLOCATE))
		return status; /* the other attributes are hints */
	if (n->readonly)
		return NVME_SC_WRITE_PROTECTED;
	n->counters.deallocations += count;
	pthread_mutex_unlock(&n->lock);
	int r = 0;

	for (u32 i = 0; !r && i < count; i++)
		if (!check_extent(n, ranges[i].lba, ranges[i].blocks, &e))
			r = backing_zero(&n->backing, e.offset, e.len, true, false);
	pthread_mutex_lock(&n->lock);
	return status_of(n, r, true);
}

static u16 flush(struct nvme_target *n)
{
	n->counters.flushes++;
	pthread_mutex_unlock(&n->lock);
	int r = backing_flush(&n->backing);

	pthread_mutex_lock(&n->lock);
	return status_of(n, r, true);
}

void io_flush_all(struct nvme_target *n)
{
	flush(n);
}

u16 io_run(struct nvme_target *n, struct execution *x)
{
	const struct nvme_command *c = &x->command;

	if (c->flags & NVME_COMMAND_FUSED)
		return NVME_SC_INVALID_FIELD;
	if (c->nsid != NSID && !(c->opcode == NVME_IO_FLUSH && c->nsid == NVME_NSID_ALL))
		return NVME_SC_INVALID_NAMESPACE;
	switch (c->opcode) {
	case NVME_IO_FLUSH: return flush(n);
	case NVME_IO_READ: return read_write(n, x, false);
	case NVME_IO_WRITE: return read_write(n, x, true);
	case NVME_IO_COMPARE: return compare(n, x);
	case NVME_IO_WRITE_ZEROES: return write_zeroes(n, x);
	case NVME_IO_DSM: return deallocate(n, x);
	}
	return NVME_SC_INVALID_OPCODE;
}
