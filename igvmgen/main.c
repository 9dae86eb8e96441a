#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "igvmgen/build.h"
#include "igvmgen/show.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"

enum { EXIT_BAD_INPUT = 1, EXIT_USAGE = 2 };

#define INPUT_MAX (1u << 30)

static const char usage_text[] =
	"usage: igvmgen build --shim FILE --kernel VMLINUX --initrd FILE -o OUT [options]\n"
	"       igvmgen show [--json] FILE\n"
	"\n"
	"build writes an IGVM file for VTL2 of an x86-64 virtual machine:\n"
	"  --shim FILE          boot shim (ELF, from boot/)\n"
	"  --kernel FILE        VTL2 kernel, an uncompressed vmlinux\n"
	"  --initrd FILE        VTL2 initramfs\n"
	"  --cmdline TEXT       VTL2 kernel command line\n"
	"  --static-cmdline     do not append what the host passes in /chosen\n"
	"  --vtl2-memory SIZE   memory VTL2 is built for (default 64M)\n"
	"  --vtl0-kernel FILE   guest kernel for VTL0, a bzImage\n"
	"  --vtl0-initrd FILE   its initramfs\n"
	"  --vtl0-cmdline TEXT  its command line\n"
	"  -o FILE              where to write\n"
	"show checks an IGVM file, ours or not, and prints its headers.\n"
	"Exit status: 0 done, 1 bad input, 2 wrong usage.\n";

static int usage(const char *problem, const char *what)
{
	fprintf(stderr, "igvmgen: %s%s; try igvmgen --help\n", problem, what);
	return EXIT_USAGE;
}

/* "64M", "1G", "65536" */
static bool parse_size(const char *text, u64 *ret)
{
	char *end;
	u64 value, unit = 1;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *text == '-')
		return false;
	if (*end == 'k' || *end == 'K')
		unit = KiB;
	else if (*end == 'm' || *end == 'M')
		unit = MiB;
	else if (*end == 'g' || *end == 'G')
		unit = GiB;
	if (end[unit > 1] || value > UINT64_MAX / unit)
		return false;
	*ret = value * unit;
	return true;
}

static int read_input(const char *path, struct blob *ret)
{
	int r = file_read(path, INPUT_MAX, &ret->bytes, &ret->len);

	if (r)
		fprintf(stderr, "igvmgen: reading %s: %s\n", path, strerror(-r));
	return r ? EXIT_BAD_INPUT : 0;
}

/* all or nothing: a half-written image must not look like one */
static int write_output(const char *path, const u8 *data, size_t len)
{
	char part[4096];
	int r, fd;

	if ((size_t)snprintf(part, sizeof(part), "%s.part", path) >= sizeof(part))
		return usage("output name too long: ", path);
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	r = fd < 0 ? -errno : fd_write_all(fd, data, len);
	if (fd >= 0 && close(fd) && !r)
		r = -errno;
	if (!r && rename(part, path))
		r = -errno;
	if (r) {
		fprintf(stderr, "igvmgen: writing %s: %s\n", path, strerror(-r));
		unlink(part);
	}
	return r ? EXIT_BAD_INPUT : 0;
}

struct build_options {
	const char *shim, *kernel, *initrd, *vtl0_kernel, *vtl0_initrd, *out;
	struct build_inputs in;
};

enum { OPT_SHIM = 256, OPT_KERNEL, OPT_INITRD, OPT_CMDLINE, OPT_STATIC, OPT_MEMORY, OPT_VTL0_KERNEL, OPT_VTL0_INITRD,
       OPT_VTL0_CMDLINE };

static const struct option build_option_list[] = {
	{ "shim", required_argument, NULL, OPT_SHIM },
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "cmdline", required_argument, NULL, OPT_CMDLINE },
	{ "static-cmdline", no_argument, NULL, OPT_STATIC },
	{ "vtl2-memory", required_argument, NULL, OPT_MEMORY },
	{ "vtl0-kernel", required_argument, NULL, OPT_VTL0_KERNEL },
	{ "vtl0-initrd", required_argument, NULL, OPT_VTL0_INITRD },
	{ "vtl0-cmdline", required_argument, NULL, OPT_VTL0_CMDLINE },
	{ NULL, 0, NULL, 0 },
};

static int take_option(int c, struct build_options *o)
{
	switch (c) {
	case OPT_SHIM: o->shim = optarg; return 0;
	case OPT_KERNEL: o->kernel = optarg; return 0;
	case OPT_INITRD: o->initrd = optarg; return 0;
	case OPT_CMDLINE: o->in.cmdline = optarg; return 0;
	case OPT_STATIC: o->in.static_cmdline = true; return 0;
	case OPT_VTL0_KERNEL: o->vtl0_kernel = optarg; return 0;
	case OPT_VTL0_INITRD: o->vtl0_initrd = optarg; return 0;
	case OPT_VTL0_CMDLINE: o->in.vtl0_cmdline = optarg; return 0;
	case 'o': o->out = optarg; return 0;
	case OPT_MEMORY:
		return parse_size(optarg, &o->in.vtl2_memory) ? 0 : usage("not a size: ", optarg);
	default:
		return EXIT_USAGE;
	}
}

static int parse_build(int argc, char **argv, struct build_options *o)
{
	int c, r;

	while ((c = getopt_long(argc, argv, "o:", build_option_list, NULL)) >= 0) {
		r = take_option(c, o);
		if (r)
			return r;
	}
	if (optind < argc)
		return usage("unexpected argument: ", argv[optind]);
	if (!o->shim || !o->kernel || !o->initrd || !o->out)
		return usage("build needs ", "--shim, --kernel, --initrd and -o");
	if (!o->vtl0_kernel && (o->vtl0_initrd || o->in.vtl0_cmdline))
		return usage("--vtl0-initrd and --vtl0-cmdline need ", "--vtl0-kernel");
	return 0;
}

static int command_build(int argc, char **argv)
{
	struct build_options o = { .in.vtl2_memory = 64 * MiB };
	_cleanup_free_ u8 *image = NULL;
	size_t len = 0;
	char err[256];
	int r = parse_build(argc, argv, &o);

	if (r)
		return r;
	r = read_input(o.shim, &o.in.shim);
	r = r ? r : read_input(o.kernel, &o.in.kernel);
	r = r ? r : read_input(o.initrd, &o.in.initrd);
	if (!r && o.vtl0_kernel)
		r = read_input(o.vtl0_kernel, &o.in.vtl0_kernel);
	if (!r && o.vtl0_initrd)
		r = read_input(o.vtl0_initrd, &o.in.vtl0_initrd);
	if (!r && image_build(&o.in, &image, &len, err, sizeof(err))) {
		fprintf(stderr, "igvmgen: %s\n", err);
		r = EXIT_BAD_INPUT;
	}
	if (!r)
		r = write_output(o.out, image, len);
	free(o.in.shim.bytes);
	free(o.in.kernel.bytes);
	free(o.in.initrd.bytes);
	free(o.in.vtl0_kernel.bytes);
	free(o.in.vtl0_initrd.bytes);
	return r;
}

static int command_show(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { NULL, 0, NULL, 0 } };
	struct blob blob = { 0 };
	struct igvm_file file;
	bool json = false;
	char err[256];
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c != 'j')
			return EXIT_USAGE;
		json = true;
	}
	if (argc - optind != 1)
		return usage("show needs ", "one file");
	r = read_input(argv[optind], &blob);
	if (!r && igvm_open(blob.bytes, blob.len, &file, err, sizeof(err))) {
		fprintf(stderr, "igvmgen: %s: %s\n", argv[optind], err);
		r = EXIT_BAD_INPUT;
	}
	if (!r && json)
		show_json(&file, stdout);
	else if (!r)
		show_text(&file, stdout);
	free(blob.bytes);
	return r;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return usage("no command", "");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		fputs(usage_text, stdout);
		return 0;
	}
	if (!strcmp(argv[1], "build"))
		return command_build(argc - 1, argv + 1);
	if (!strcmp(argv[1], "show"))
		return command_show(argc - 1, argv + 1);
	return usage("unknown command: ", argv[1]);
}
