#include "boot/allocate.h"
#include "boot/boot_params.h"
#include "boot/command_line.h"
#include "boot/host_tree.h"
#include "boot/kernel_tree.h"
#include "boot/machine.h"
#include "boot/plan.h"
#include "boot/shim.h"
#include "boot/text.h"

#define CRASH_CODE 0x4D494853ull /* "SHIM" */

static struct shim_log *log;
static bool console;
static bool failing;
static char fail_text[HOST_ERROR_MAX + 64];
static struct host_tree tree;
static struct plan plan;
static u64 heap_at, heap_end;

static void log_init(u64 at, u64 size)
{
	log = (struct shim_log *)at;
	log->magic = SHIM_LOG_MAGIC;
	log->size = (u32)(size - sizeof(*log));
	log->used = 0;
}

static void say(const char *text, u32 len)
{
	if (log) {
		u32 n = MIN(len, log->size - log->used);

		__builtin_memcpy(log->text + log->used, text, n);
		log->used += n;
	}
	if (console)
		serial_write(text, len);
}

static __printf(1, 2) void note(const char *format, ...)
{
	char text[HOST_ERROR_MAX];
	va_list args;
	u32 n;

	va_start(args, format);
	n = text_vformat(text, sizeof(text) - 1, format, args);
	va_end(args);
	text[n++] = '\n';
	say(text, n);
}

_Noreturn void shim_fail(u64 rip, const char *text)
{
	u32 n;

	/* an exception while reporting: there is nobody left to tell */
	if (failing)
		machine_stop();
	failing = true;
	n = text_format(fail_text, sizeof(fail_text), "shim: cannot start VTL2: %s\n", text);
	say(fail_text, n);
	machine_report_crash(CRASH_CODE, rip, fail_text, n);
	machine_stop();
}

static _Noreturn void fail(const char *text)
{
	shim_fail((u64)__builtin_return_address(0), text);
}

static void *allocate(u64 size, u64 align)
{
	u64 at = ALIGN_UP(heap_at, align);

	if (at > heap_end || size > heap_end - at)
		fail("the shim's heap is too small; rebuild the image");
	heap_at = at + size;
	return (void *)at;
}

/* the console, once the host's tree is known to have one; what was said before follows */
static void open_console(void)
{
	if (!tree.com3)
		return;
	serial_init();
	console = true;
	serial_write(log->text, log->used);
}

static struct setup_data *make_seed(void)
{
	struct setup_data *seed;

	if (!tree.entropy_len)
		return NULL;
	seed = allocate(sizeof(*seed) + tree.entropy_len, 16);
	*seed = (struct setup_data){ .type = SETUP_RNG_SEED, .len = tree.entropy_len };
	__builtin_memcpy(seed + 1, tree.entropy, tree.entropy_len);
	return seed;
}

/* the tree for the kernel, last of all so that its end time is near the truth */
static struct setup_data *make_device_tree(u64 start, bool known)
{
	struct kernel_times times = { .known = known, .start = start };
	u32 room = (u32)MIN(heap_end - heap_at - 64, (u64)KERNEL_TREE_MAX);
	struct setup_data *dtb = allocate(sizeof(*dtb) + room, 16);

	if (known)
		machine_reference_time(&times.end);
	*dtb = (struct setup_data){ .type = SETUP_DTB };
	dtb->len = kernel_tree_write(&tree, &plan, &times, dtb + 1, room);
	if (!dtb->len)
		fail("the kernel's device tree does not fit into 256 KiB; use fewer processors");
	return dtb;
}

_Noreturn void shim_main(u64 base, u64 params_offset)
{
	const struct shim_params *p = (const struct shim_params *)(base + params_offset);
	struct boot_places places = { 0 };
	struct setup_data *seed, *dtb;
	struct boot_params *bp;
	char err[HOST_ERROR_MAX];
	u64 start = 0;
	bool timed, good;
	char *line;

	trap_init();
	machine_detect();
	timed = machine_reference_time(&start);
	if (!plan_check_params(p, err))
		fail(err);
	log_init(base + p->log, p->log_size);
	heap_at = base + p->heap;
	heap_end = heap_at + p->heap_size;
	note("shim: VTL2 image at 0x%lx, built for 0x%lx", base, p->link_base);

	good = host_tree_read((const void *)(base + p->device_tree), p->device_tree_size, &tree, err);
	open_console();
	if (!good || !allocate_vtl2(&tree, p, base, err) || !plan_make(&tree, p, base, &plan, err))
		fail(err);
	line = allocate(BOOT_COMMAND_LINE_SIZE, PAGE_SIZE);
	if (!command_line_make((const struct openhcl_command_line *)(base + p->command_line), tree.bootargs, line, err))
		fail(err);
	note("shim: %u processors, %u pieces of VTL2 memory", tree.cpu_count, plan.e820_count);
	note("shim: command line: %s", line);

	bp = allocate(sizeof(*bp), PAGE_SIZE);
	seed = make_seed();
	dtb = make_device_tree(start, timed);
	dtb->next = (u64)seed;
	places = (struct boot_places){ (u64)line, base + p->initrd_start, p->initrd_size, (u64)dtb };
	boot_params_fill(bp, &plan, &places);
	enter_kernel(base + p->kernel_entry, (u64)bp);
}
