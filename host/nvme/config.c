/* The text of --nvme and of faults. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/nvme/nvme.h"

#define RAM_MAX (1ull << 40)

static const struct {
	const char *name;
	bool argument;
	int base;
} kinds[NVME_FAULT_KINDS] = {
	[NVME_FAULT_DELAY] = { "delay", true, 10 },    [NVME_FAULT_DROP] = { "drop", false, 0 },
	[NVME_FAULT_LOSE] = { "lose", false, 0 },      [NVME_FAULT_STATUS] = { "status", true, 16 },
	[NVME_FAULT_CORRUPT] = { "corrupt", false, 0 }, [NVME_FAULT_STALL] = { "stall", true, 10 },
	[NVME_FAULT_FATAL] = { "fatal", false, 0 },
};

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

int nvme_fault_parse(const char *text, struct nvme_fault *ret, char *why, size_t why_size)
{
	size_t name_len = strcspn(text, ":/"), argument_len = 0;
	const char *rest = text + name_len, *argument = NULL;
	u64 value = 0, every = 1;

	if (*rest == ':') {
		argument = rest + 1;
		argument_len = strcspn(argument, "/");
		rest = argument + argument_len;
	}
	for (u32 k = 0; k < NVME_FAULT_KINDS; k++) {
		if (strlen(kinds[k].name) != name_len || memcmp(kinds[k].name, text, name_len))
			continue;
		if (kinds[k].argument != (argument != NULL) ||
		    (argument && !parse_number(argument, argument_len, kinds[k].base,
					       k == NVME_FAULT_STATUS ? 0x7ff : 3600000, &value))) {
			snprintf(why, why_size, "fault %s wants %s", kinds[k].name,
				 kinds[k].argument ? "a number behind a colon" : "no argument");
			return -EINVAL;
		}
		if (*rest && !(parse_number(rest + 1, strlen(rest + 1), 10, ~0u, &every) && every)) {
			snprintf(why, why_size, "'%.40s' is not how often: /N means each N-th command", rest);
			return -EINVAL;
		}
		*ret = (struct nvme_fault){ (enum nvme_fault_kind)k, (u32)value, (u32)every };
		return 0;
	}
	snprintf(why, why_size, "'%.40s' is not a fault: delay:MS drop lose status:HEX corrupt stall:QUEUE fatal, each with /N",
		 text);
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
