/* The text of --nvme and of faults. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/nvme/nvme.h"

#define RAM_MAX (1ull << 40)

enum argument { NONE, DECIMAL, HEX, BLOCKS };

static const struct {
	const char *name;
	enum argument argument;
	u64 max;
} kinds[NVME_FAULT_KINDS] = {
	[NVME_FAULT_DELAY] = { "delay", DECIMAL, 3600000 },  [NVME_FAULT_DROP] = { "drop", NONE, 0 },
	[NVME_FAULT_LOSE] = { "lose", NONE, 0 },             [NVME_FAULT_CORRUPT] = { "corrupt", NONE, 0 },
	[NVME_FAULT_DUPLICATE] = { "duplicate", NONE, 0 },   [NVME_FAULT_SILENT] = { "silent", NONE, 0 },
	[NVME_FAULT_STATUS] = { "status", HEX, 0x7ff },      [NVME_FAULT_FATAL] = { "fatal", NONE, 0 },
	[NVME_FAULT_MEDIA] = { "media", BLOCKS, ~0ull },     [NVME_FAULT_FLUSHFAIL] = { "flushfail", NONE, 0 },
	[NVME_FAULT_LOSEFLUSH] = { "loseflush", NONE, 0 },   [NVME_FAULT_LOSEWRITE] = { "losewrite", NONE, 0 },
	[NVME_FAULT_MISDIRECT] = { "misdirect", NONE, 0 },   [NVME_FAULT_FLIP] = { "flip", NONE, 0 },
	[NVME_FAULT_STALL] = { "stall", DECIMAL, NVME_IO_QUEUES_MAX },
	[NVME_FAULT_PROTECT] = { "protect", NONE, 0 },       [NVME_FAULT_CAPACITY] = { "capacity", DECIMAL, ~0ull },
	[NVME_FAULT_NOTREADY] = { "notready", NONE, 0 },
};
#define KINDS_TEXT "delay:MS drop lose corrupt duplicate silent status:HEX fatal media:FIRST+COUNT flushfail loseflush " \
	"losewrite misdirect flip stall:QUEUE protect capacity:BLOCKS notready"

static bool parse_number(const char *text, size_t len, int base, u64 max, u64 *ret)
{
	char copy[24], *end;

	if (!len || len >= sizeof(copy) || text[0] == '-' || text[0] == '+' || text[0] == ' ')
		return false;
	memcpy(copy, text, len);
	copy[len] = 0;
	errno = 0;
	*ret = strtoull(copy, &end, base);
	return !errno && !*end && *ret <= max;
}

static bool parse_argument(enum nvme_fault_kind kind, const char *text, size_t len, struct nvme_fault *ret)
{
	if (kinds[kind].argument == NONE || !text)
		return !text && kinds[kind].argument == NONE;
	size_t first = kinds[kind].argument == BLOCKS ? strcspn(text, "+") : len;

	if (!parse_number(text, MIN(first, len), kinds[kind].argument == HEX ? 16 : 10, kinds[kind].max, &ret->argument))
		return false;
	if (kind == NVME_FAULT_STALL && !ret->argument)
		return false; /* the admin queue runs on, or nothing could be told any more */
	return kinds[kind].argument != BLOCKS ||
	       (first < len && parse_number(text + first + 1, len - first - 1, 10, ~0ull, &ret->count) && ret->count);
}

const char *nvme_fault_name(enum nvme_fault_kind kind)
{
	return kinds[kind].name;
}

int nvme_fault_parse(const char *text, struct nvme_fault *ret, char *why, size_t why_size)
{
	static const char *const wants[] = { [NONE] = "no argument", [DECIMAL] = "a number behind a colon",
					     [HEX] = "a hexadecimal number up to 7ff behind a colon",
					     [BLOCKS] = "blocks behind a colon: FIRST+COUNT" };
	size_t name_len = strcspn(text, ":/"), argument_len = 0;
	const char *rest = text + name_len, *argument = NULL;
	u64 every = 1;

	if (*rest == ':') {
		argument = rest + 1;
		argument_len = strcspn(argument, "/");
		rest = argument + argument_len;
	}
	for (u32 k = 0; k < NVME_FAULT_KINDS; k++) {
		struct nvme_fault fault = { .kind = (enum nvme_fault_kind)k };

		if (strlen(kinds[k].name) != name_len || memcmp(kinds[k].name, text, name_len))
			continue;
		if (!parse_argument(fault.kind, argument, argument_len, &fault)) {
			snprintf(why, why_size, "fault %s wants %s", kinds[k].name, wants[kinds[k].argument]);
			return -EINVAL;
		}
		if (*rest && !(parse_number(rest + 1, strlen(rest + 1), 10, ~0u, &every) && every)) {
			snprintf(why, why_size, "'%.40s' is not how often: /N means each N-th command", rest);
			return -EINVAL;
		}
		fault.every = (u32)every;
		*ret = fault;
		return 0;
	}
	snprintf(why, why_size, "'%.40s' is not a fault: " KINDS_TEXT ", each with /N", text);
	return -EINVAL;
}

static bool parse_switch(const char *value, bool *ret)
{
	*ret = !strcmp(value, "on");
	return *ret || !strcmp(value, "off");
}

static bool parse_size(const char *text, u64 *ret)
{
	size_t len = strlen(text);
	char unit = len ? text[len - 1] : 0;
	u64 scale = unit == 'G' ? GiB : unit == 'M' ? MiB : unit == 'K' ? KiB : 1;

	if (!parse_number(text, scale > 1 ? len - 1 : len, 10, RAM_MAX / scale, ret))
		return false;
	*ret *= scale;
	return *ret >= PAGE_SIZE && IS_ALIGNED(*ret, PAGE_SIZE);
}

static int option(struct nvme_target_config *c, const char *name, const char *value, char *why, size_t why_size)
{
	bool on = false;
	u64 number;

	if (!strcmp(name, "readonly") && parse_switch(value, &c->readonly))
		return 0;
	if (!strcmp(name, "direct") && parse_switch(value, &on)) {
		c->buffered = !on;
		return 0;
	}
	if (!strcmp(name, "block") && (!strcmp(value, "512") || !strcmp(value, "4096"))) {
		c->block_size = value[0] == '5' ? 512 : 4096;
		return 0;
	}
	if (!strcmp(name, "queues") && parse_number(value, strlen(value), 10, NVME_IO_QUEUES_MAX, &number) && number) {
		c->io_queues = (u32)number;
		return 0;
	}
	if (!strcmp(name, "serial") && *value && strlen(value) < sizeof(c->serial)) {
		snprintf(c->serial, sizeof(c->serial), "%s", value);
		return 0;
	}
	if (!strcmp(name, "instance") && guid_parse(value, &c->instance)) {
		c->has_instance = true;
		return 0;
	}
	if (!strcmp(name, "fault") && c->fault_count < NVME_FAULTS_MAX) {
		int r = nvme_fault_parse(value, &c->faults[c->fault_count], why, why_size);

		c->fault_count += !r;
		return r;
	}
	snprintf(why, why_size, "'%.60s=%.60s' is not understood: readonly=on|off direct=on|off block=512|4096 queues=1..%u "
		 "serial=TEXT(20) instance=GUID fault=KIND (%u at most)", name, value, NVME_IO_QUEUES_MAX, NVME_FAULTS_MAX);
	return -EINVAL;
}

int nvme_target_parse(const char *text, struct nvme_target_config *ret, char *why, size_t why_size)
{
	struct nvme_target_config c = { .block_size = 512, .io_queues = NVME_IO_QUEUES_MAX };
	size_t len = strcspn(text, ",");

	if (!len || len >= sizeof(c.path)) {
		snprintf(why, why_size, "the name of a file comes first, of at most %zu characters", sizeof(c.path) - 1);
		return -EINVAL;
	}
	memcpy(c.path, text, len);
	if (!strncmp(c.path, "ram:", 4) && !parse_size(c.path + 4, &c.ram_size)) {
		snprintf(why, why_size, "'%.60s' is not a size: ram:64M, in multiples of 4 KiB", c.path);
		return -EINVAL;
	}
	for (text += len; *text == ','; text += len) {
		char word[128], *equals;

		len = strcspn(++text, ",");
		if (len >= sizeof(word)) {
			snprintf(why, why_size, "'%.40s...' is too long for an option", text);
			return -EINVAL;
		}
		memcpy(word, text, len);
		word[len] = 0;
		equals = strchr(word, '=');
		if (!equals) {
			snprintf(why, why_size, "'%.60s' has no value: options are name=value", word);
			return -EINVAL;
		}
		*equals = 0;
		int r = option(&c, word, equals + 1, why, why_size);

		if (r)
			return r;
	}
	*ret = c;
	return 0;
}
