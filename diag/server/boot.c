#include "diag/server/boot.h"

#include <stdlib.h>
#include <string.h>

#include "lib/os/cleanup.h"
#include "lib/os/file.h"

static const char *const names[BOOT_STAGES] = { "shim", "kernel", "init", "control", "host", "worker", "vtl0" };

/* a property of the device tree's root: a big-endian u64; 0 when there is none */
static u64 property(const char *path)
{
	_cleanup_free_ u8 *data = NULL;
	size_t len;
	u64 value = 0;

	if (file_read(path, 16, &data, &len) || len != sizeof(value))
		return 0;
	memcpy(&value, data, sizeof(value));
	return __builtin_bswap64(value);
}

void boot_init(struct boot_times *b)
{
	const char *init = getenv(BOOT_INIT_VARIABLE);

	*b = (struct boot_times){ 0 };
	b->shim_start = property("/sys/firmware/devicetree/base/reftime_boot_start");
	b->shim_end = property("/sys/firmware/devicetree/base/reftime_boot_end");
	b->began_ns[BOOT_INIT] = init ? strtoull(init, NULL, 10) : 0;
}

void boot_begins(struct boot_times *b, enum boot_stage stage, u64 now_ns)
{
	if (!b->began_ns[stage])
		b->began_ns[stage] = now_ns;
}

void boot_reference(struct boot_times *b, u64 reference_time, u64 now_ns)
{
	b->reference_ns = (s64)(reference_time * 100 - now_ns);
	b->reference_known = true;
}

/* when a stage began, in ns after the shim's start, or after the kernel's clock's; false: not known, or not yet */
static bool begin_of(const struct boot_times *b, enum boot_stage stage, u64 *ret)
{
	bool whole = b->reference_known && b->shim_start && b->shim_end >= b->shim_start;

	if (stage == BOOT_SHIM)
		*ret = 0;
	else if (stage == BOOT_KERNEL)
		*ret = whole ? (b->shim_end - b->shim_start) * 100 : 0;
	else
		*ret = whole ? (u64)((s64)b->began_ns[stage] + b->reference_ns) - b->shim_start * 100 : b->began_ns[stage];
	return stage == BOOT_SHIM ? whole : stage == BOOT_KERNEL || b->began_ns[stage];
}

struct stage {
	const struct boot_times *boot;
	enum boot_stage stage;
};

static void stage_inspect(void *object, struct inspect *in)
{
	const struct stage *s = object;
	u64 begin = 0, next;

	begin_of(s->boot, s->stage, &begin);
	inspect_u64(in, "at_us", begin / 1000);
	for (unsigned i = s->stage + 1; i < BOOT_STAGES; i++)
		if (begin_of(s->boot, i, &next)) {
			inspect_u64(in, "took_us", (next - begin) / 1000);
			return;
		}
}

void boot_inspect(void *object, struct inspect *in)
{
	struct boot_times *b = object;
	u64 begin;

	inspect_str(in, "zero", begin_of(b, BOOT_SHIM, &begin) ? "the shim's first instruction" : "the kernel's clock");
	for (unsigned i = 0; i < BOOT_STAGES; i++) {
		struct stage s = { b, i };

		if (begin_of(b, i, &begin))
			inspect_child(in, names[i], stage_inspect, &s);
	}
}
