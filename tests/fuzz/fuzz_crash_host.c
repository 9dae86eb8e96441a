/* Messages of a hostile VTL2 on the crash channel: input is a run of {u16 length, bytes}; length 0xffff closes the channel. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/vmbus/crash.h"
#include "lib/core/check.h"
#include "lib/log/log.h"
#include "spec/crash.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define SIZE_MAX_HERE 40000
#define COUNT_MAX_HERE 3

static char folder[64];

static void remove_folder(void)
{
	rmdir(folder);
}

static void answer(void *ctx, const void *data, u32 len)
{
	CHECK(len >= sizeof(struct crash_status_response) && len <= sizeof(struct crash_config_response));
}

static void quiet(enum log_level level, const char *domain, const char *text)
{
}

/* whatever was sent: no more files than allowed, none longer */
static void look_and_remove(void)
{
	static const char *const suffixes[] = { "core", "partial" };
	unsigned count = 0;
	char path[128];
	struct stat s;

	for (unsigned n = 1; n <= COUNT_MAX_HERE + 1; n++)
		for (unsigned i = 0; i < 2; i++) {
			snprintf(path, sizeof(path), "%s/f-%u.%s", folder, n, suffixes[i]);
			if (stat(path, &s))
				continue;
			CHECK(s.st_size <= SIZE_MAX_HERE);
			CHECK(++count <= COUNT_MAX_HERE);
			unlink(path);
		}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct crash_config config = { folder, "f", SIZE_MAX_HERE, COUNT_MAX_HERE };
	struct bytes b = bytes_of(data, size), message;
	struct crash_receiver *r;
	u16 len;

	if (!folder[0]) {
		log_set_sink(quiet);
		snprintf(folder, sizeof(folder), "/tmp/fuzz-crash-XXXXXX");
		CHECK(mkdtemp(folder));
		atexit(remove_folder);
	}
	CHECK(!crash_receiver_create(&config, answer, NULL, &r));
	while (bytes_u16(&b, &len)) {
		if (len == 0xffff)
			crash_receiver_end(r, "closed");
		else if (bytes_take(&b, len, &message))
			crash_receiver_take(r, message);
		else
			break;
	}
	crash_receiver_destroy(r);
	look_and_remove();
	return 0;
}
