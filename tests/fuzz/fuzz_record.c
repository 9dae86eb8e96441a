/* A record of the kernel's log, as a firmware that is not ours might send it to pvdiag. */
#include <stdlib.h>
#include <string.h>

#include "diag/cli/records.h"
#include "lib/core/check.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	char *text = malloc(size + 1);
	struct record r;

	CHECK(text);
	if (size)
		memcpy(text, data, size);
	text[size] = 0;
	if (record_parse(text, &r)) {
		const char *end = text + strlen(text);

		CHECK(r.level < 8 && r.text >= text && r.text + r.text_len <= end);
		CHECK(r.message >= r.text && r.message_len >= 0 && r.message + r.message_len <= end);
		CHECK(strlen(r.process) < sizeof(r.process) && strlen(r.domain) < sizeof(r.domain));
	}
	free(text);
	return 0;
}
