/* A core of any shape through what takes the secrets out: it ends, and gives out no more than came in. */
#include <string.h>

#include "diag/crash/scrub.h"
#include "lib/core/check.h"
#include "lib/log/log.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static struct {
	const u8 *at;
	size_t left, step;
} input;

static void quiet(enum log_level level, const char *domain, const char *text)
{
}

static int read_input(void *ctx, void *buf, size_t room)
{
	size_t n = MIN(MIN(room, input.step), input.left);

	memcpy(buf, input.at, n);
	input.at += n;
	input.left -= n;
	return (int)n;
}

/* the first byte: how much a read gives; bit 7: the core is made longer than libFuzzer's inputs are, by repeating itself */
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static u8 file[3 * 4096 + 300], out[777];
	size_t total = 0;
	int n;

	log_set_sink(quiet);
	if (size < 2)
		return 0;
	size_t len = data[0] & 0x80 ? sizeof(file) : MIN(size - 1, sizeof(file));

	for (size_t i = 0; i < len; i++)
		file[i] = data[1 + i % (size - 1)];
	input.at = file;
	input.left = len;
	input.step = 1 + (data[0] & 0x7f) * 9u;
	struct scrub *s = scrub_create(read_input, NULL);

	CHECK(s);
	while ((n = scrub_read(s, out, sizeof(out))) > 0)
		total += (size_t)n;
	CHECK(n < 0 || total == len);
	scrub_destroy(s);
	return 0;
}
