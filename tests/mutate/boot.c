/*
 * mutate_boot SEED COUNT: IGVM files and host device trees, good ones changed in a few places each. Files go through the
 * reader, both printers of `igvmgen show` and pvhost's loader; trees through the shim and the firmware's own reader. What is
 * refused must have a line that says why; what is taken must be written. A crash or a hang names its case: mutate_boot SEED 1
 * AT repeats it alone.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "boot/allocate.h"
#include "boot/kernel_tree.h"
#include "host/load/device_tree.h"
#include "igvmgen/show.h"
#include "lib/log/log.h"
#include "tests/lib/load_fixture.h"
#include "vmm/mem/layout.h"

#define TREE_ROOM 65536u
#define CASE_SECONDS 20u

static struct { u64 opened, loaded, refused_files, trees, plans, refused_trees, layouts; } counts;
static struct fixture machine;
static u8 *image, *work;
static size_t image_len;
static u8 good_tree[TREE_ROOM];
static u32 tree_len;
static FILE *nowhere;
static unsigned long long seed, at;
static u64 state;

/* a report ends in SIGABRT, which names the case */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "abort_on_error=1:handle_abort=0";
}

static u64 next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static u64 below(u64 limit)
{
	return limit ? (next() >> 11) % limit : 0;
}

static void too_long(int signal)
{
	static const char text[] = "mutate_boot: a case does not end\n";

	if (write(2, text, sizeof(text) - 1) < 0)
		_exit(2);
	abort();
}

static void fail(const char *what)
{
	fprintf(stderr, "mutate_boot: %s\n", what);
	abort();
}

/* says which case it was; the sanitizers' reports end in an abort too */
static void aborted(int signal)
{
	char text[80];
	int len = snprintf(text, sizeof(text), "mutate_boot: seed %llu, case %llu\n", seed, at);

	if (len > 0 && write(2, text, (size_t)len) < 0)
		_exit(3);
	_exit(1);
}

/* a number that code might stumble over, in one of the four widths and either byte order */
static void put_number(u8 *to, size_t room)
{
	static const u64 edges[] = { 0, 1, 7, 8, 0x7f, 0xfff, 0x1000, 0x1001, 0x1fffff, 0x200000, 0x7fffffff, 0x80000000,
				     0xffffffff, 0x100000000, 0x7fffffffffffffff, 0xfffffffffffff000, ~0ull };
	size_t len = MIN((size_t)1 << below(4), room);
	u64 value = edges[below(ARRAY_SIZE(edges))];

	if (below(2))
		value = __builtin_bswap64(value) >> (64 - 8 * len);
	memcpy(to, &value, len);
}

/* one change in data; near: what is worth more attention is in its first bytes. Returns the new length. */
static size_t mutate(u8 *data, size_t len, size_t near)
{
	size_t place = below(4) ? below(MIN(near, len)) : below(len), other = below(MIN(near, len)), n;

	if (!len)
		return 0;
	switch (below(16)) {
	case 0: return below(8) ? len : below(len); /* cut off */
	case 1:
	case 2:
		n = below(MIN(len - MAX(place, other), (size_t)64) + 1);
		memmove(data + place, data + other, n);
		break;
	case 3:
		memset(data + place, (int)below(3) - 1, below(MIN(len - place, (size_t)64) + 1));
		break;
	case 4:
	case 5:
	case 6:
	case 7: data[place] = (u8)next(); break;
	case 8:
	case 9: data[place] ^= (u8)(1u << below(8)); break;
	default: put_number(data + (place & ~(size_t)3), len - (place & ~(size_t)3)); break;
	}
	return len;
}

static void one_file(void)
{
	struct igvm_fixed_header h;
	struct igvm_file file;
	size_t len = image_len, near;
	char err[256] = "";
	u64 base, size, align;

	memcpy(work, image, image_len);
	memcpy(&h, image, sizeof(h));
	near = h.variable_header_offset + h.variable_header_size;
	for (u64 n = 1 + below(2) * below(4); n; n--)
		len = mutate(work, len, near);
	if (below(8))
		fixture_seal(work, len);
	if (igvm_open(work, len, &file, err, sizeof(err))) {
		if (!*err)
			fail("a file is refused without a word");
		counts.refused_files++;
		return;
	}
	counts.opened++;
	show_text(&file, nowhere);
	show_json(&file, nowhere);
	if (igvm_vtl2_needs(&file, &base, &size, &align, err, sizeof(err)) && !*err)
		fail("VTL2's needs are refused without a word");
	machine.err[0] = 0;
	if (!fixture_load(&machine, &file))
		counts.loaded++;
	else if (!machine.err[0])
		fail("a file is not loaded, without a word");
}

static void quiet(enum log_level level, const char *domain, const char *text)
{
}

static void one_tree(void)
{
	static struct host_tree tree;
	static struct plan plan;
	static struct partition_layout layout;
	static u8 out[KERNEL_TREE_MAX] __attribute__((aligned(8)));
	static u8 changed[TREE_ROOM] __attribute__((aligned(8)));
	struct shim_params p = { .used_size = 16 * MiB, .log = MiB, .log_size = 2 * PAGE_SIZE };
	struct kernel_times times = { false, 0, 0 };
	char err[HOST_ERROR_MAX] = "";
	size_t len = tree_len;

	memcpy(changed, good_tree, TREE_ROOM);
	for (u64 n = 1 + below(2) * below(4); n; n--)
		len = mutate(changed, len, tree_len);
	counts.trees++;
	counts.layouts += !layout_parse(changed, len, &layout);
	if (!host_tree_read(changed, len, &tree, err) || !allocate_vtl2(&tree, &p, 1 * GiB, err) ||
	    !plan_make(&tree, &p, 1 * GiB, &plan, err)) {
		if (!*err)
			fail("a tree is refused without a word");
		counts.refused_trees++;
		return;
	}
	counts.plans++;
	u32 written = kernel_tree_write(&tree, &plan, &times, out, sizeof(out));

	if (!written && tree.cpu_count < 1000)
		fail("the kernel's tree cannot be written");
	/* what the firmware then says of it is its own; it must not fall over it */
	counts.layouts += written && !layout_parse(out, written, &layout);
}

int main(int argc, char **argv)
{
	unsigned long long count = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;
	unsigned long long first = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
	char err[256];

	if (argc < 3 || !count) {
		fputs("mutate_boot SEED COUNT [FIRST]: that many files and trees, changed by the seed\n", stderr);
		return 2;
	}
	seed = strtoull(argv[1], NULL, 0);
	log_set_sink(quiet);
	signal(SIGALRM, too_long);
	signal(SIGABRT, aborted);
	fixture_init(&machine, 1 * GiB);
	if (fixture_image(&image, &image_len, err, sizeof(err)))
		fail(err);
	tree_len = device_tree_build(&machine.request, good_tree, TREE_ROOM);
	work = malloc(image_len);
	nowhere = fopen("/dev/null", "w");
	if (!tree_len || !work || !nowhere)
		fail("cannot begin");
	for (at = first; at < first + count; at++) {
		/* each case has a state of its own, so that one can be repeated alone */
		state = (seed * 0x9e3779b97f4a7c15ull) ^ ((at + 1) * 0xd1342543de82ef95ull);
		state = state ? state : 1;
		for (unsigned i = 0; i < 8; i++)
			next();
		alarm(CASE_SECONDS);
		(at % 2 ? one_tree : one_file)();
	}
	alarm(0);
	printf("mutate_boot: %llu cases by seed %llu: files %llu opened, %llu loaded, %llu refused; trees %llu, %llu planned, "
	       "%llu refused, %llu layouts\n", count, seed, (unsigned long long)counts.opened, (unsigned long long)counts.loaded,
	       (unsigned long long)counts.refused_files, (unsigned long long)counts.trees, (unsigned long long)counts.plans,
	       (unsigned long long)counts.refused_trees, (unsigned long long)counts.layouts);
	free(work);
	free(image);
	fixture_fini(&machine);
	fclose(nowhere);
	return 0;
}
