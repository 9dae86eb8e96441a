#include "host/pvhost/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/vmbus/guest_state.h"
#include "host/vtl/partition.h"

#define APIC_ID_MAX 32767u /* of an interrupt message with extended destination */

static const char help[] =
	"Usage: pvhost [OPTION]...\n"
	"Run a VTL2 paravisor and its guest on KVM, as Hyper-V would.\n"
	"\n"
	"  --igvm FILE            the firmware image (default: paravane.igvm of the build this program belongs to)\n"
	"  --cpus N[,sockets=S][,threads=T]\n"
	"                         virtual processors (default 1), in S sockets (1), T of them a core (1)\n"
	"  --apic-ids LIST        their APIC ids, e.g. 0,2,8-10,300; one socket, one thread a core\n"
	"  --numa N               that many NUMA nodes with equal parts of processors and memory (default 1)\n"
	"  --memory SIZE          the guest's memory, e.g. 512M, 2G (default 1G)\n"
	"  --vtl2-memory [SIZE][,at=low|high|self]\n"
	"                         the firmware's memory (default: what the image asks for), below or above 4 GiB, or where\n"
	"                         it decides itself, out of --memory (default: behind the guest's)\n"
	"  --apic hypervisor|none none: the guest gets no local APIC, SynIC and synthetic timers of the hypervisor's; the\n"
	"                         firmware plays them, if told with --vtl2-append PARAVANE_APIC=vmm (default: hypervisor)\n"
	"  --serial BACKEND       COM1, and given a second time COM2: stdio, null, file:PATH, unix:PATH\n"
	"                         (default: stdio, then null)\n"
	"  --nvme FILE[,NAME=VALUE]...\n"
	"                         an NVMe controller for the firmware, over vPCI; its one namespace is FILE, or memory with\n"
	"                         ram:SIZE. May be given 16 times. readonly=on|off direct=on|off block=512|4096\n"
	"                         queues=1..64 serial=TEXT instance=GUID fault=KIND[:ARGUMENT][/EVERY] (see pvhost(1))\n"
	"  --vtl2-settings FILE   which disks the guest has, as Hyper-V's VTL2 settings (JSON or protobuf), or none\n"
	"                         (default: a SCSI disk for each --nvme; see pvhost(1))\n"
	"  --vmgs FILE[,size=SIZE]\n"
	"                         keep the machine's own state (a TPM's, say) in FILE, made when it is not there (SIZE: default\n"
	"                         4M); without this option it ends with the machine\n"
	"  --tpm                  the guest has a TPM 2.0, which the firmware plays; its state is kept with --vmgs only\n"
	"  --vsock PATH           unix socket to the firmware's vsock ports (default: RUNDIR/NAME.vsock)\n"
	"  --monitor PATH         unix socket for monitor commands (default: RUNDIR/NAME.monitor)\n"
	"  --name NAME            name of this machine (default: vm)\n"
	"  --vtl2-console FILE    give the firmware a debug port (COM3) that writes to FILE\n"
	"  --firmware-log FILE    take the firmware's log and append it to FILE, a line a record, or to stderr with -;\n"
	"                         FILE,json or a name ending in .jsonl: a JSON object a line\n"
	"  --vtl2-append ARGS     more words for the firmware kernel's command line (/chosen bootargs)\n"
	"  --gdb AT[,nowait]      gdb on VTL2, from the firmware's first instruction, which waits for it; AT is the path of a\n"
	"                         unix socket, or [ADDRESS:]PORT (see pvhost(1))\n"
	"  --watchdog             the guest has a watchdog, which resets it (ACPI WDAT)\n"
	"  --no-reboot            end when the guest resets\n"
	"  --crash-dumps DIR[,max=SIZE][,count=N]\n"
	"                         take cores of crashed firmware processes: NAME-1.core ... in DIR, of at most SIZE bytes each\n"
	"                         (default 1G), N in all (default 16)\n"
	"  --on-crash end|reset   what a crash of the firmware does to the machine (default: end)\n"
	"  --log FILTER           what pvhost says on stderr: error, notice, warn, info, debug, or DOMAIN=LEVEL,...\n"
	"                         (default: notice)\n"
	"  --help, --version\n"
	"\n"
	"RUNDIR is $XDG_RUNTIME_DIR/paravane or /run/paravane. On the stdio console Ctrl-A x ends the machine,\n"
	"Ctrl-A r resets it, Ctrl-A Ctrl-A is a Ctrl-A.\n"
	"\n"
	"Exit status: 0 the guest powered off, 1 could not start, 2 wrong usage, 3 the firmware or the host failed.\n"
	"\n"
	"Example: pvhost --igvm build/paravane.igvm --cpus 2 --memory 1G\n";

static bool parse_size(const char *text, u64 *ret)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || text[0] == '-')
		return false;
	u64 unit = *end == 'G' || *end == 'g' ? GiB : *end == 'M' || *end == 'm' ? MiB : *end == 'K' || *end == 'k' ? KiB : 0;

	if (!unit && *end)
		return false;
	if (unit && (end[1] || value > (1ull << 46) / unit))
		return false;
	*ret = unit ? value * unit : value;
	return true;
}

static int bad(const char *option, const char *value, const char *want)
{
	fprintf(stderr, "pvhost: --%s %s: %s (see pvhost --help)\n", option, value, want);
	return -EINVAL;
}

static bool parse_number(const char *text, u64 max, u32 *ret)
{
	u64 number;

	if (*text < '0' || *text > '9' || !parse_size(text, &number) || number > max)
		return false;
	*ret = (u32)number;
	return true;
}

/* the texts below are ours to cut: arguments of main() */
static int set_cpus(struct options *o, char *text)
{
	char *rest = NULL, *word = strtok_r(text, ",", &rest);

	if (!word || !parse_number(word, 1000, &o->cpus))
		return bad("cpus", word ? word : "", "is not a number of processors");
	while ((word = strtok_r(NULL, ",", &rest))) {
		if (!strncmp(word, "sockets=", 8) && parse_number(word + 8, PARTITION_MAX_VPS, &o->sockets) && o->sockets)
			continue;
		if (strncmp(word, "threads=", 8) || !parse_number(word + 8, PARTITION_MAX_VPS, &o->threads) || !o->threads)
			return bad("cpus", word, "is neither sockets=N nor threads=N");
	}
	return 0;
}

static int add_apic_ids(struct options *o, u32 first, u32 last)
{
	for (u32 id = first; id <= last; id++) {
		if (o->apic_id_count == PARTITION_MAX_VPS)
			return -E2BIG;
		for (u32 i = 0; i < o->apic_id_count; i++)
			if (o->apic_ids[i] == id)
				return -EEXIST;
		o->apic_ids[o->apic_id_count++] = id;
	}
	return 0;
}

static int set_apic_ids(struct options *o, char *text)
{
	char *rest = NULL;

	o->apic_id_count = 0;
	for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
		char *dash = strchr(word, '-');
		u32 first, last;

		if (dash)
			*dash = 0;
		if (!parse_number(word, APIC_ID_MAX, &first) || (dash && !parse_number(dash + 1, APIC_ID_MAX, &last)) ||
		    (dash && last < first))
			return bad("apic-ids", word, "is neither an id of 0 to 32767 nor FIRST-LAST");
		int r = add_apic_ids(o, first, dash ? last : first);

		if (r)
			return bad("apic-ids", word, r == -EEXIST ? "was given before" : "64 are the most");
	}
	return o->apic_id_count ? 0 : bad("apic-ids", text, "names no id");
}

static int set_vtl2_memory(struct options *o, char *text)
{
	static const char *const places[] = { [VTL2_LOW] = "at=low", [VTL2_HIGH] = "at=high", [VTL2_SELF] = "at=self" };
	char *rest = NULL;

	for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
		enum vtl2_place place = VTL2_LOW;

		while (place <= VTL2_SELF && strcmp(word, places[place]))
			place++;
		if (place <= VTL2_SELF)
			o->vtl2_place = place;
		else if (!parse_size(word, &o->vtl2_memory))
			return bad("vtl2-memory", word, "is neither a size such as 64M nor at=low, at=high, at=self");
	}
	return 0;
}

static int add_nvme(struct options *o, const char *text)
{
	char why[320];

	if (o->nvme_count == NVME_MAX)
		return bad("nvme", text, "16 controllers are the most");
	struct nvme_target_config *c = &o->nvme[o->nvme_count];

	if (nvme_target_parse(text, c, why, sizeof(why)))
		return bad("nvme", text, why);
	if (!c->serial[0])
		snprintf(c->serial, sizeof(c->serial), "PARAVANE%04u", o->nvme_count + 1);
	if (!c->has_instance) /* the second group names the PCI domain in the firmware */
		c->instance = GUID(0x6e766d65, (u16)(o->nvme_count + 1), 0x4000, 0x80, 0, 0x70, 0x76, 0x68, 0x6f, 0x73, 0x74);
	for (u32 i = 0; i < o->nvme_count; i++)
		if (o->nvme[i].instance.data2 == c->instance.data2)
			return bad("nvme", text, "another controller's instance has the same second group: give instance=GUID");
	o->nvme_count++;
	return 0;
}

static int set_crash_dumps(struct options *o, char *text)
{
	char *rest = NULL, *word = strtok_r(text, ",", &rest);
	u64 number;

	o->crash_dumps = word;
	while (word && (word = strtok_r(NULL, ",", &rest))) {
		if (!strncmp(word, "max=", 4) && parse_size(word + 4, &o->crash_max_size) && o->crash_max_size)
			continue;
		if (strncmp(word, "count=", 6) || !parse_size(word + 6, &number) || number > 1000000)
			return bad("crash-dumps", word, "is neither max=SIZE nor count=N");
		o->crash_max_count = (u32)number;
	}
	return o->crash_dumps ? 0 : bad("crash-dumps", text, "names no folder");
}

static int set_vmgs(struct options *o, char *text)
{
	char *size = strstr(text, ",size=");

	if (size) {
		*size = 0;
		if (!parse_size(size + 6, &o->vmgs_size) || o->vmgs_size < GUEST_STATE_SIZE_MIN ||
		    o->vmgs_size > GUEST_STATE_SIZE_MAX || o->vmgs_size % 4096)
			return bad("vmgs", size + 1, "is not a size from 16K to 4G, a multiple of 4K");
	}
	o->vmgs = text;
	return *text ? 0 : bad("vmgs", text, "names no file");
}

static int check(const struct options *o)
{
	char number[24];

	snprintf(number, sizeof(number), "%u", o->cpus);
	if (!o->cpus || o->cpus > PARTITION_MAX_VPS)
		return bad("cpus", number, "must be between 1 and 64");
	if (o->apic_id_count && o->apic_id_count != o->cpus)
		return bad("cpus", number, "is not how many --apic-ids there are");
	if (o->apic_id_count && (o->sockets > 1 || o->threads > 1))
		return bad("cpus", number, "sockets= and threads= do not go with --apic-ids");
	if (o->cpus % (o->sockets * o->threads))
		return bad("cpus", number, "is not a multiple of sockets times threads");
	snprintf(number, sizeof(number), "%u", o->numa_nodes);
	if (!o->numa_nodes || o->numa_nodes > NUMA_MAX || o->numa_nodes > o->cpus)
		return bad("numa", number, "must be between 1 and 8, and no more than there are processors");
	snprintf(number, sizeof(number), "%luM", o->memory / MiB);
	if (o->memory < 128 * MiB || o->memory % (2 * MiB))
		return bad("memory", number, "must be at least 128M and a multiple of 2M");
	snprintf(number, sizeof(number), "%luM", o->vtl2_memory / MiB);
	if (o->vtl2_memory && (o->vtl2_memory < 16 * MiB || o->vtl2_memory % (2 * MiB)))
		return bad("vtl2-memory", number, "must be at least 16M and a multiple of 2M");
	return 0;
}

static int set_gdb(struct options *o, char *text)
{
	char *comma = strchr(text, ',');

	if (comma && strcmp(comma, ",nowait"))
		return bad("gdb", text, "may be followed by ,nowait and nothing else");
	if (comma)
		*comma = 0;
	o->gdb = text;
	o->gdb_wait = !comma;
	return *text ? 0 : bad("gdb", text, "is neither a path nor a port");
}

/* beside us when run from the build tree, else where it is installed */
static int find_image(struct options *o)
{
	static char path[PATH_MAX + 32];
	static const char *const beside[] = { "../../paravane.igvm", "../share/paravane/paravane.igvm", "paravane.igvm" };
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = 0;
	for (size_t i = 0; n > 0 && i < ARRAY_SIZE(beside); i++) {
		snprintf(path, sizeof(path), "%.*s%s", (int)(strrchr(self, '/') + 1 - self), self, beside[i]);
		if (!access(path, R_OK)) {
			o->igvm = path;
			return 0;
		}
	}
	fprintf(stderr, "pvhost: no firmware found beside this program: give --igvm FILE; 'make image' builds one "
			"(see pvhost --help)\n");
	return -EINVAL;
}

int options_parse(int argc, char **argv, struct options *ret)
{
	static const struct option known[] = {
		{ "igvm", 1, NULL, 'i' }, { "cpus", 1, NULL, 'c' }, { "apic-ids", 1, NULL, 'I' }, { "numa", 1, NULL, 'U' },
		 { "memory", 1, NULL, 'm' }, { "vtl2-memory", 1, NULL, 'M' },
		{ "serial", 1, NULL, 's' }, { "vsock", 1, NULL, 'v' }, { "monitor", 1, NULL, 'o' }, { "name", 1, NULL, 'n' },
		{ "vtl2-console", 1, NULL, 'C' }, { "vtl2-append", 1, NULL, 'A' }, { "no-reboot", 0, NULL, 'R' },
		{ "apic", 1, NULL, 'a' }, { "gdb", 1, NULL, 'g' }, { "watchdog", 0, NULL, 'W' },
		{ "log", 1, NULL, 'l' }, { "nvme", 1, NULL, 'N' }, { "vtl2-settings", 1, NULL, 'S' },
		{ "vmgs", 1, NULL, 'G' }, { "crash-dumps", 1, NULL, 'D' }, { "on-crash", 1, NULL, 'K' },
		{ "firmware-log", 1, NULL, 'F' }, { "tpm", 0, NULL, 'T' },
		{ "help", 0, NULL, 'h' }, { "version", 0, NULL, 'V' }, { 0 },
	};
	u32 serials = 0;
	int c;

	*ret = (struct options){ .name = "vm", .serial = { "stdio", "null" }, .cpus = 1, .sockets = 1, .threads = 1,
				.numa_nodes = 1, .memory = GiB, .log = "notice",
				.crash_max_size = GiB, .crash_max_count = 16 };
	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 'a':
			if (strcmp(optarg, "hypervisor") && strcmp(optarg, "none"))
				return bad("apic", optarg, "is neither hypervisor nor none");
			ret->no_apic = optarg[0] == 'n';
			break;
		case 'i': ret->igvm = optarg; break;
		case 'c':
			if (set_cpus(ret, optarg))
				return -EINVAL;
			break;
		case 'I':
			if (set_apic_ids(ret, optarg))
				return -EINVAL;
			break;
		case 'U':
			if (!parse_number(optarg, 1000, &ret->numa_nodes))
				return bad("numa", optarg, "is not a number of nodes");
			break;
		case 'm':
			if (!parse_size(optarg, &ret->memory))
				return bad("memory", optarg, "is not a size such as 512M or 2G");
			break;
		case 'M':
			if (set_vtl2_memory(ret, optarg))
				return -EINVAL;
			break;
		case 's':
			if (serials == 2)
				return bad("serial", optarg, "there are two ports only");
			ret->serial[serials++] = optarg;
			break;
		case 'N':
			if (add_nvme(ret, optarg))
				return -EINVAL;
			break;
		case 'S': ret->vtl2_settings = optarg; break;
		case 'v': ret->vsock = optarg; break;
		case 'o': ret->monitor = optarg; break;
		case 'n': ret->name = optarg; break;
		case 'C': ret->vtl2_console = optarg; break;
		case 'A': ret->vtl2_append = optarg; break;
		case 'R': ret->no_reboot = true; break;
		case 'W': ret->watchdog = true; break;
		case 'T': ret->tpm = true; break;
		case 'G':
			if (set_vmgs(ret, optarg))
				return -EINVAL;
			break;
		case 'D':
			if (set_crash_dumps(ret, optarg))
				return -EINVAL;
			break;
		case 'K':
			if (strcmp(optarg, "end") && strcmp(optarg, "reset"))
				return bad("on-crash", optarg, "is neither end nor reset");
			ret->reset_on_crash = optarg[0] == 'r';
			break;
		case 'g':
			if (set_gdb(ret, optarg))
				return -EINVAL;
			break;
		case 'l': ret->log = optarg; break;
		case 'F': ret->firmware_log = optarg; break;
		case 'h': fputs(help, stdout); return 1;
		case 'V': puts("pvhost (Paravane) 0.1"); return 1;
		default: fprintf(stderr, "Try 'pvhost --help'.\n"); return -EINVAL;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "pvhost: '%s' is not an option (see pvhost --help)\n", argv[optind]);
		return -EINVAL;
	}
	int r = check(ret);

	return r || ret->igvm ? r : find_image(ret);
}
