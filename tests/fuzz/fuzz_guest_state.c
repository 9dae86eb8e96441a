/* VMGS requests of a hostile VTL2: input is a run of {u8 request, u16 length, bytes}. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/vmbus/guest_state.h"
#include "lib/core/check.h"
#include "lib/log/log.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define SIZE_HERE (64 * KiB)

static struct guest_state *state;
static int fd;

static void quiet(enum log_level level, const char *domain, const char *text)
{
}

static void set_up(void)
{
	char path[] = "/tmp/fuzz-guest-state-XXXXXX";

	log_set_sink(quiet);
	fd = mkstemp(path);
	CHECK(fd >= 0 && !guest_state_open(path, SIZE_HERE, &state));
	unlink(path);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct bytes b = bytes_of(data, size), body;
	u8 out[GET_MESSAGE_MAX], which;
	struct stat st;
	u16 len;

	if (!state)
		set_up();
	while (bytes_u8(&b, &which) && bytes_u16(&b, &len)) {
		u16 id = (u16)(GET_VMGS_DEVICE_INFO + which % 4);

		/* a flush is slow and has no body: once in a while */
		if (id == GET_VMGS_FLUSH && which < 0xf0)
			id = GET_VMGS_READ;
		if (!bytes_take(&b, len, &body))
			bytes_take(&b, b.left, &body);
		/* on memory of its own, so that one byte too far is noticed */
		u8 *copy = malloc(body.left + 1);

		CHECK(copy);
		memcpy(copy, body.at, body.left);
		u32 n = guest_state_answer(which & 0x80 ? state : NULL, id, bytes_of(copy, body.left), out);

		CHECK(n >= sizeof(struct get_vmgs_response) && n <= sizeof(struct get_vmgs_response) + GET_PAYLOAD_MAX);
		CHECK(out[0] == GET_HEADER_VERSION && out[1] == GET_HOST_RESPONSE && out[2] == id);
		free(copy);
	}
	CHECK(!fstat(fd, &st) && st.st_size == (off_t)(SIZE_HERE + 512));
	return 0;
}
