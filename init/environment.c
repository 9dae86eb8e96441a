#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diag/server/policy.h"
#include "init/init.h"
#include "lib/log/log.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"

LOG_DOMAIN("environment");

#define WORD_MAX 256
#define COMMAND_LINE_MAX 65536

/* the next word without its quotes; *ret_len is its whole length, also when word holds less of it */
static const char *next_word(const char *at, char word[WORD_MAX], size_t *ret_len)
{
	bool quoted = false;
	size_t len = 0;

	for (; *at && (quoted || (*at != ' ' && *at != '\t' && *at != '\n')); at++) {
		if (*at == '"') {
			quoted = !quoted;
			continue;
		}
		if (len < WORD_MAX - 1)
			word[len] = *at;
		len++;
	}
	word[MIN(len, (size_t)WORD_MAX - 1)] = 0;
	*ret_len = len;
	return at;
}

static bool is_ours(const char *word)
{
	const char *equals = strchr(word, '=');

	return equals && (!strncmp(word, "PARAVANE_", 9) || !strncmp(word, "OPENHCL_", 8));
}

unsigned environment_parse(const char *at, char out[ENVIRONMENT_MAX][256])
{
	unsigned count = 0;

	while (*at && count < ENVIRONMENT_MAX) {
		size_t len;

		if (*at == ' ' || *at == '\t' || *at == '\n') {
			at++;
			continue;
		}
		at = next_word(at, out[count], &len);
		if (len < WORD_MAX && is_ours(out[count]))
			count++;
	}
	return count;
}

void environment_from_kernel(void)
{
	static char words[ENVIRONMENT_MAX][WORD_MAX];
	_cleanup_free_ u8 *line = NULL;
	size_t len;
	int r = file_read("/proc/cmdline", COMMAND_LINE_MAX, &line, &len);

	if (r) {
		log_err(r, "/proc/cmdline");
		return;
	}
	unsigned count = environment_parse((const char *)line, words);

	for (unsigned i = 0; i < count; i++) {
		char *equals = strchr(words[i], '=');

		*equals = 0;
		/* what an image forbids, a later word (the host's) does not allow again */
		if (!strcmp(words[i], "PARAVANE_DIAGNOSTICS") && policy_restricted())
			continue;
		if (setenv(words[i], equals + 1, 1))
			log_err(-ENOMEM, "%s", words[i]);
		log_at(LOG_DEBUG, "%s=%s", words[i], equals + 1);
	}
}
