#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#undef PAGE_SIZE /* musl's limits.h has its own */

#include "diag/server/tpm.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"

LOG_DOMAIN("unpack");

#define PIECE (32 * 1024u)
#define GZIP_HEADER (15 + 16) /* zlib.h inflateInit2(): the largest window, and gzip's header and checksum */

static u8 in[PIECE], out[PIECE];

/* a piece of the packed file as far as it goes; Z_STREAM_END: it was the last one */
static int inflate_piece(z_stream *z, int to, int *ret_error)
{
	int state = Z_OK;

	while (state == Z_OK && (z->avail_in || !z->avail_out)) {
		z->next_out = out;
		z->avail_out = sizeof(out);
		state = inflate(z, Z_NO_FLUSH);
		*ret_error = fd_write_all(to, out, sizeof(out) - z->avail_out);
		if (*ret_error)
			return Z_ERRNO;
	}
	return state;
}

static int inflate_file(int from, int to)
{
	z_stream z = { 0 };
	int state = inflateInit2(&z, GZIP_HEADER) == Z_OK ? Z_OK : Z_MEM_ERROR, error = 0;

	while (state == Z_OK || state == Z_BUF_ERROR) {
		ssize_t n = read(from, in, sizeof(in));

		if (n <= 0) {
			error = n ? -errno : -ENODATA; /* its end comes before the program's */
			break;
		}
		z.next_in = in;
		z.avail_in = (unsigned)n;
		state = inflate_piece(&z, to, &error);
	}
	inflateEnd(&z);
	return error ? error : state == Z_STREAM_END ? 0 : state == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
}

int unpack_program(const char *packed, const char *program)
{
	_cleanup_close_ int from = open(packed, O_RDONLY | O_CLOEXEC);

	if (from < 0)
		return errno == ENOENT ? 0 : log_err(-errno, "%s", packed);
	_cleanup_close_ int to = open(program, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	int r = to < 0 ? -errno : inflate_file(from, to);

	if (r) {
		unlink(program);
		return log_err(r, "%s cannot be unpacked", packed);
	}
	if (unlink(packed))
		log_err(-errno, "%s", packed);
	return 0;
}
