#include "host/vmbus/guest_state.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "lib/os/cleanup.h"
#include "lib/vhd/vhd.h"
#include "lib/vmgs/vmgs.h"
#include "spec/vmgs.h"

LOG_DOMAIN("vmgs");

#define ANOTHER "Give another file, or a name that is free: it will be made"

struct guest_state {
	int fd;
	u64 size; /* of the device: the file without a footer */
	u32 sector_size;
	bool has_footer;
	struct guest_state_counts counts;
};

/* ---- the file */
/* the device's size where a fixed VHD says it; else the file's */
static u64 device_size(int fd, u64 file_size)
{
	struct vhd_footer f;

	if (file_size < sizeof(f) || pread(fd, &f, sizeof(f), (off_t)(file_size - sizeof(f))) != (ssize_t)sizeof(f))
		return file_size;
	return vhd_disk_size(&f, file_size);
}

static int write_footer(int fd, u64 size)
{
	struct vhd_footer f;
	u8 unique_id[16];

	if (getrandom(unique_id, sizeof(unique_id), 0) != sizeof(unique_id))
		return -EIO;
	vhd_footer_make(&f, size, "pvh ", unique_id, (u64)time(NULL));
	return pwrite(fd, &f, sizeof(f), (off_t)size) == (ssize_t)sizeof(f) ? 0 : -errno;
}

/* all its blocks now: a full disk must not be the guest's trouble later. The name lasts as well. */
static int fill_new(int fd, const char *path, u64 size)
{
	char *copy = strdup(path);
	int r = copy ? -posix_fallocate(fd, 0, (off_t)size) : -ENOMEM;

	if (!r)
		r = write_footer(fd, size);
	if (!r && fsync(fd))
		r = -errno;
	_cleanup_close_ int dir = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (!r && dir >= 0 && fsync(dir))
		r = -errno;
	free(copy);
	/* an empty one is made the next time; if not even that can be had, it is refused then */
	if (r && ftruncate(fd, 0))
		log_at(LOG_WARN, "%s cannot be emptied again", path);
	return r;
}

static bool is_signed(const u8 *header)
{
	u64 signature;

	memcpy(&signature, header, sizeof(signature));
	return signature == VMGS_SIGNATURE;
}

static int judge_version(const char *path, const u8 *header)
{
	struct vmgs_header h;

	memcpy(&h, header, sizeof(h));
	if (!is_signed(header) || h.version == VMGS_VERSION_3_0)
		return 0;
	return log_err(-EPROTONOSUPPORT, "--vmgs %s: a guest state file of version %u.%u; 3.0 is what firmware takes. " ANOTHER,
		       path, h.version >> 16, h.version & 0xffff);
}

static int device_read(void *context, u64 offset, void *data, size_t len)
{
	const struct guest_state *s = context;
	ssize_t n = pread(s->fd, data, len, (off_t)offset);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EIO;
}

static bool may_be_formatted(struct guest_state *s)
{
	const struct vmgs_device device = { .read = device_read, .context = s, .capacity = s->size,
					    .sector_size = s->sector_size };

	return vmgs_may_be_formatted(&device, s->has_footer) > 0;
}

/* nothing yet, or a VMGS; also of what sectors: the second header is in the second sector */
static int judge_content(struct guest_state *s, const char *path)
{
	u8 head[2 * VMGS_BLOCK_SIZE];

	if (pread(s->fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return log_err(-EIO, "--vmgs %s cannot be read", path);
	if (!memcmp(head + VMGS_V1_OFFSET, VMGS_V1_SIGNATURE, sizeof(VMGS_V1_SIGNATURE) - 1))
		return log_err(-EPROTONOSUPPORT, "--vmgs %s: a guest state file of the first format, or a disk. " ANOTHER, path);
	s->sector_size = is_signed(head + VMGS_BLOCK_SIZE) && !is_signed(head + 512) ? VMGS_BLOCK_SIZE : 512;
	const u8 *second = head + s->sector_size;
	int r = judge_version(path, head);

	if (!r)
		r = judge_version(path, second);
	if (r || is_signed(head) || is_signed(second))
		return r;
	if (may_be_formatted(s))
		return 0;
	return log_err(-EINVAL, "--vmgs %s is no guest state file: it begins neither with \"GUESTRTS\" nor with zeroes, and is "
		       "left as it is. " ANOTHER, path);
}

static int judge_size(const struct guest_state *s, const char *path, u64 wanted)
{
	if (s->size < GUEST_STATE_SIZE_MIN || s->size > GUEST_STATE_SIZE_MAX || !IS_ALIGNED(s->size, VMGS_BLOCK_SIZE))
		return log_err(-EINVAL, "--vmgs %s: a device of %lu bytes is no guest state; 16 KiB to 4 GiB are, in whole "
			       "blocks of 4096. Was it cut short? " ANOTHER, path, s->size);
	if (wanted && wanted != s->size)
		return log_err(-EINVAL, "--vmgs %s has %lu bytes, not %lu: size= is for a file that is to be made; leave it out",
			       path, s->size, wanted);
	return 0;
}

/* of what was opened; an empty file is one that is to be made */
static int take_size(struct guest_state *s, const char *path, u64 wanted)
{
	u64 size = wanted ? wanted : GUEST_STATE_SIZE_DEFAULT;
	off_t end = lseek(s->fd, 0, SEEK_END);

	if (end < 0)
		return log_err(-errno, "--vmgs %s", path);
	if (!end) {
		int r = fill_new(s->fd, path, size);

		if (r)
			return log_err(r, "--vmgs %s cannot be made", path);
		log_at(LOG_INFO, "%s: made, %lu KiB", path, size / KiB);
	}
	s->size = end ? device_size(s->fd, (u64)end) : size;
	s->has_footer = s->size != (u64)end;
	return judge_size(s, path, wanted);
}

static int open_file(struct guest_state *s, const char *path, u64 size)
{
	struct stat st;
	int r;

	s->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->fd < 0)
		return log_err(-errno, "--vmgs %s cannot be opened for writing", path);
	if (fstat(s->fd, &st) || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)))
		return log_err(-EINVAL, "--vmgs %s is neither a file nor a block device", path);
	/* two writers would make an end of it */
	if (flock(s->fd, LOCK_EX | LOCK_NB))
		return log_err(-errno, "--vmgs %s is in use: by another machine, or by pvvmgs", path);
	r = take_size(s, path, size);
	return r ? r : judge_content(s, path);
}

int guest_state_open(const char *path, u64 size, struct guest_state **ret)
{
	struct guest_state *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return log_err(-ENOMEM, "guest state");
	s->fd = -1;
	r = open_file(s, path, size);
	if (r)
		guest_state_close(s);
	else
		*ret = s;
	return r;
}

void guest_state_close(struct guest_state *s)
{
	if (s && s->fd >= 0)
		close(s->fd);
	free(s);
}

/* ---- requests */
static int transfer(struct guest_state *s, u8 *data, size_t len, u64 offset, bool write, bool through)
{
	while (len) {
		struct iovec iov = { data, len };
		ssize_t n = write ? pwritev2(s->fd, &iov, 1, (off_t)offset, through ? RWF_DSYNC : 0)
				  : preadv(s->fd, &iov, 1, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO; /* the file was cut short under us */
		data += n;
		offset += (u64)n;
		len -= (size_t)n;
	}
	return 0;
}

static u32 refuse(struct guest_state *s, struct get_vmgs_response *r, u32 status)
{
	s->counts.refused++;
	r->status = status;
	return sizeof(*r);
}

static u32 fail(struct guest_state *s, struct get_vmgs_response *r, int error, const char *what)
{
	if (!s->counts.failed++)
		log_err(error, "the guest-state file cannot be %s", what);
	r->status = GET_VMGS_DEVICE_ERROR;
	return sizeof(*r);
}

static u32 answer_info(const struct guest_state *s, u8 *out)
{
	struct get_vmgs_device_info_response r = { .header = { GET_HEADER_VERSION, GET_HOST_RESPONSE, GET_VMGS_DEVICE_INFO } };

	if (!s) {
		r.status = GET_VMGS_DEVICE_ERROR;
	} else {
		r.capacity = s->size / s->sector_size;
		r.bytes_per_logical_sector = r.bytes_per_physical_sector = (u16)s->sector_size;
		r.maximum_transfer_size_bytes = GET_PAYLOAD_MAX;
	}
	memcpy(out, &r, sizeof(r));
	return sizeof(r);
}

/* sectors outside are the device's error, a request that makes no sense is the command's */
static u32 answer_io(struct guest_state *s, bool write, struct bytes body, struct get_vmgs_response *r, u8 *data)
{
	struct get_vmgs_io_request m;
	struct bytes payload = { 0 };

	if (!bytes_copy(&body, (u8 *)&m + sizeof(m.header), sizeof(m) - sizeof(m.header)) ||
	    m.sector_count > GET_PAYLOAD_MAX / s->sector_size)
		return refuse(s, r, GET_VMGS_INVALID_COMMAND);
	size_t len = (size_t)m.sector_count * s->sector_size;

	if (write && !bytes_take(&body, len, &payload))
		return refuse(s, r, GET_VMGS_INVALID_COMMAND);
	if (!range_within(m.sector_offset, m.sector_count, 0, s->size / s->sector_size))
		return refuse(s, r, GET_VMGS_DEVICE_ERROR);
	u64 offset = m.sector_offset * s->sector_size;
	int error;

	if (write) {
		s->counts.writes++;
		error = s->counts.broken ? -EIO
					 : transfer(s, (u8 *)payload.at, len, offset, true, m.flags & GET_VMGS_WRITE_THROUGH);
		return error ? fail(s, r, error, "written") : sizeof(*r);
	}
	s->counts.reads++;
	error = transfer(s, data, len, offset, false, false);
	return error ? fail(s, r, error, "read") : (u32)(sizeof(*r) + len);
}

/* after one that failed, the kernel may have thrown away what it could not write, and the next would find nothing to do */
static u32 answer_flush(struct guest_state *s, struct get_vmgs_response *r)
{
	s->counts.flushes++;
	if (s->counts.broken)
		return fail(s, r, -EIO, "flushed");
	if (!fdatasync(s->fd))
		return sizeof(*r);
	s->counts.broken = true;
	return fail(s, r, -errno, "flushed");
}

u32 guest_state_answer(struct guest_state *s, u16 id, struct bytes body, u8 *out)
{
	struct get_vmgs_response r = { .header = { GET_HEADER_VERSION, GET_HOST_RESPONSE, id } };
	u32 len;

	if (id == GET_VMGS_DEVICE_INFO)
		return answer_info(s, out);
	if (!s) {
		r.status = GET_VMGS_DEVICE_ERROR;
		len = sizeof(r);
	} else if (id == GET_VMGS_FLUSH) {
		len = answer_flush(s, &r);
	} else {
		len = answer_io(s, id == GET_VMGS_WRITE, body, &r, out + sizeof(r));
	}
	memcpy(out, &r, sizeof(r));
	return len;
}

void guest_state_read_counts(const struct guest_state *s, struct guest_state_counts *ret)
{
	*ret = s->counts;
	ret->size = s->size;
}
