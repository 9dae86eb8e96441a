/*
 * The TPM's real process, over the real keeper, store and VMGS, and a host's device that loses power: it is killed at random
 * moments, and power goes at every single write and flush. After each: it comes up again, and a counter in its NV memory is what
 * it was last said to be, or one more where that was on its way. And when it ends by itself, what was secret is nowhere in its
 * memory any more; it is looked for at its last moment, as root.
 *
 * usage: tpm_lives [--kills N] [--seed N] [--plant lostflush] PROGRAM
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diag/server/tpm.h"
#include "lib/log/log.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"
#include "spec/tpm_crb.h"
#include "tests/lib/model_get_vmgs.h"
#include "vmm/bus/bus.h"
#include "vmm/device_worker/proxy.h"
#include "vmm/device_worker/tpm.h"
#include "vmm/worker/link.h"

#define CAPACITY (1 * MiB)
#define REGISTERS 0x1000ull
#define BUFFERS 0x2000ull
#define LIMIT_NS 60000000000ull /* for anything: then it hangs */
#define LOST (~0u)

static struct {
	const char *program;
	bool lost_flush;            /* a mistake on purpose: the device forgets what was flushed */
	u64 seed;
	struct exec *exec, *home;
	pthread_t home_thread;
	struct op turn, step;
	/* the host, and what the control process has of it */
	struct model_host host;
	struct store *store;
	/* a life of the process */
	struct tpm_process *tpm;
	int worker_fd, ends[2];
	struct device_proxy *proxy;
	struct bus bus;
	struct io_token token;
	atomic_bool accessed, stepped, lost;
	atomic_uint start;          /* CTRL_START as the guest sees it */
	pthread_mutex_t lock;       /* of memory */
	u8 memory[4 * PAGE_SIZE];
	u8 response[TPM_BUFFER_LEN];
	u64 lives, commands, cuts;
} bed = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- turns of both executors, and the host's answers */
static void no_more(struct op *op, int result)
{
	exec_stop(bed.exec);
}

static void turn(void)
{
	exec_post(bed.exec, &bed.turn, no_more, 0);
	CHECK(!exec_run(bed.exec));
	model_host_run(&bed.host);
}

#define UNTIL(condition)                                                                                   \
	do {                                                                                               \
		u64 until = now_ns() + LIMIT_NS;                                                           \
		while (!(condition)) {                                                                     \
			turn();                                                                            \
			usleep(20);                                                                        \
			if (now_ns() > until) {                                                            \
				fprintf(stderr, "tpm_lives: life %lu: waited in vain for: %s\n", bed.lives, #condition); \
				exit(1);                                                                   \
			}                                                                                  \
		}                                                                                          \
	} while (0)

static void *run_home(void *arg)
{
	CHECK(!exec_run(bed.home));
	return NULL;
}

/* ---- what the worker would do */
static int memory(void *context, u64 gpa, void *data, size_t len, bool write)
{
	CHECK(range_within(gpa, len, REGISTERS, 3 * PAGE_SIZE));
	pthread_mutex_lock(&bed.lock);
	if (write)
		memcpy(bed.memory + gpa, data, len);
	else
		memcpy(data, bed.memory + gpa, len);
	u32 start;

	memcpy(&start, bed.memory + REGISTERS + CRB_CTRL_START, sizeof(start));
	atomic_store(&bed.start, start);
	pthread_mutex_unlock(&bed.lock);
	return 0;
}

static void line(void *context, unsigned number, bool level)
{
}

static void lost(void *context, int error)
{
	atomic_store(&bed.lost, true);
}

static void attach(struct op *op, int ignored)
{
	CHECK(!device_proxy_attach(bed.proxy, bed.ends[0], bed.ends[1]));
	atomic_store(&bed.stepped, true);
}

static void destroy(struct op *op, int ignored)
{
	device_proxy_destroy(bed.proxy);
	atomic_store(&bed.stepped, true);
}

static void at_home(void (*step)(struct op *op, int ignored))
{
	atomic_store(&bed.stepped, false);
	exec_post(bed.home, &bed.step, step, 0);
	UNTIL(atomic_load(&bed.stepped));
}

/* the message of control with the process's ends; false: there is none yet */
static bool take_ends(int *ret_error)
{
	struct pollfd wait = { .fd = bed.worker_fd, .events = POLLIN };
	union { struct cmsghdr head; u8 room[CMSG_SPACE(2 * sizeof(int))]; } control;
	struct link_device m;
	struct iovec iov = { &m, sizeof(m) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };

	if (poll(&wait, 1, 0) <= 0)
		return false;
	CHECK(recvmsg(bed.worker_fd, &h, 0) == sizeof(m));
	*ret_error = m.error;
	if (!m.error)
		memcpy(bed.ends, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(bed.ends));
	return true;
}

static void create_proxy(void)
{
	static const struct region regions[] = { { "CRB", SPACE_MMIO, TPM_CRB_BASE, TPM_CRB_LEN } };
	static const struct device_window windows[] = { { REGISTERS, PAGE_SIZE, true }, { BUFFERS, 2 * PAGE_SIZE, true } };
	const struct device_proxy_config config = {
		.name = "tpm", .tag = 1, .regions = regions, .region_count = 1, .home = bed.home, .windows = windows,
		.window_count = ARRAY_SIZE(windows), .memory = memory, .line = line, .lost = lost,
	};

	bed.proxy = device_proxy_create(&config);
	bus_init(&bed.bus);
	CHECK(bed.proxy && !bus_attach(&bed.bus, device_proxy_device(bed.proxy)));
	atomic_store(&bed.lost, false);
	at_home(attach);
}

/* 0, or the error with which control says that there is none */
static int life_begin(void)
{
	const struct tpm_process_config config = { .exec = bed.exec, .store = bed.store, .program = bed.program };
	const struct tpm_place place = { REGISTERS, BUFFERS };
	size_t none;
	int error = 0;

	bed.lives++;
	CHECK(!tpm_process_start(&config, &bed.tpm, &bed.worker_fd));
	UNTIL(take_ends(&error));
	if (error)
		return error;
	create_proxy();
	/* the keeper's last answer must be out: below, this thread waits for the process */
	for (unsigned i = 0; i < 8; i++)
		turn();
	int r = device_proxy_call(bed.proxy, TPM_CALL_PLACE, bytes_of(&place, sizeof(place)), NULL, 0, &none);

	return r;
}

static void life_end(void)
{
	tpm_process_end(bed.tpm);
	fd_close(&bed.worker_fd);
	UNTIL(tpm_process_over(bed.tpm));
	tpm_process_destroy(bed.tpm);
	bed.tpm = NULL;
	if (!bed.proxy)
		return;
	at_home(destroy);
	bed.proxy = NULL;
}

/* ---- what the guest would do */
static void accessed(struct io_token *token, u64 value)
{
	atomic_store(&bed.accessed, true);
}

static void write_register(u32 offset, u32 value)
{
	u64 v = value;

	atomic_store(&bed.accessed, false);
	bed.token.done = accessed;
	if (bus_access(&bed.bus, SPACE_MMIO, TPM_CRB_BASE + offset, 4, true, &v, &bed.token) == BUS_PENDING)
		UNTIL(atomic_load(&bed.accessed));
}

static void begin_command(const u8 *bytes, size_t len)
{
	bed.commands++;
	pthread_mutex_lock(&bed.lock);
	memcpy(bed.memory + BUFFERS, bytes, len);
	pthread_mutex_unlock(&bed.lock);
	write_register(CRB_CTRL_START, CRB_CTRL_START_INVOKE);
}

static u32 response_code(void)
{
	pthread_mutex_lock(&bed.lock);
	memcpy(bed.response, bed.memory + BUFFERS + TPM_BUFFER_LEN, sizeof(bed.response));
	pthread_mutex_unlock(&bed.lock);
	return (u32)bed.response[6] << 24 | (u32)bed.response[7] << 16 | (u32)bed.response[8] << 8 | bed.response[9];
}

/* goes on until the response is there, the process is lost, or (kill_at: not 0) it was killed at that time */
static u32 command(const u8 *bytes, size_t len, u64 kill_after_ns)
{
	u64 kill_at = now_ns() + kill_after_ns;

	begin_command(bytes, len);
	while (atomic_load(&bed.start) && !atomic_load(&bed.lost)) {
		if (kill_after_ns && now_ns() >= kill_at && tpm_process_pid(bed.tpm)) {
			kill(tpm_process_pid(bed.tpm), SIGKILL);
			kill_after_ns = 0;
		}
		turn();
	}
	if (atomic_load(&bed.start) || atomic_load(&bed.lost))
		return LOST;
	return response_code();
}

/* part 3 of the TPM 2.0 library; a counter of the owner's, who has no password */
#define OWNER 0x40, 0, 0, 1
#define PASSWORD 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0
#define INDEX 1, 0x80, 0, 1
static const u8 define[] = { 0x80, 2, 0, 0, 0, 45, 0, 0, 1, 0x2a, OWNER, PASSWORD, 0, 0, 0, 14, INDEX, 0, 0x0b, 2, 6, 0, 0x16,
			     0, 0, 0, 8 };
static const u8 increment[] = { 0x80, 2, 0, 0, 0, 31, 0, 0, 1, 0x34, OWNER, INDEX, PASSWORD };
static const u8 read_counter[] = { 0x80, 2, 0, 0, 0, 35, 0, 0, 1, 0x4e, OWNER, INDEX, PASSWORD, 0, 8, 0, 0 };

static u64 counter(void)
{
	u64 value = 0;
	u32 code = command(read_counter, sizeof(read_counter), 0);

	if (code) {
		fprintf(stderr, "tpm_lives: life %lu: the counter cannot be read: %#x\n", bed.lives, code);
		exit(1);
	}
	for (unsigned i = 0; i < 8; i++)
		value = value << 8 | bed.response[16 + i];
	return value;
}

/* said: what was answered; at most one more may have happened */
static u64 judge(u64 said, const char *what, u64 which)
{
	u64 now = counter();

	if (now == said || now == said + 1)
		return now;
	fprintf(stderr, "tpm_lives: after %s %lu: the counter is %lu, was %lu\n", what, which, now, said);
	exit(1);
}

/* ---- kills */
static void open_store(void)
{
	bed.store = store_create(bed.host.get, STORE_DEFAULT, NULL, NULL);
	CHECK(bed.store);
	store_start(bed.store);
	model_host_run(&bed.host);
}

static u64 first_counter(void)
{
	CHECK(!life_begin() && !command(define, sizeof(define), 0) && !command(increment, sizeof(increment), 0));
	return counter();
}

/* how long a command takes, so that kills fall anywhere in one */
static u64 kills(u64 count, u64 said)
{
	u64 begun = now_ns();

	CHECK(!command(increment, sizeof(increment), 0));
	u64 takes = now_ns() - begun;

	said++;
	for (u64 i = 0; i < count; i++) {
		u64 after = 1 + model_random(&bed.seed) % (takes * 2);
		u32 code = 0;

		/* a few that live, then one that does not; it may have ended before the kill */
		for (u64 k = model_random(&bed.seed) % 3; k && !code; k--, said += !code)
			code = command(increment, sizeof(increment), 0);
		CHECK(!code);
		code = command(increment, sizeof(increment), after);
		CHECK(!code || code == LOST);
		said += !code;
		life_end();
		CHECK(!life_begin());
		said = judge(said, "kill", i);
	}
	return said;
}

/* ---- a command that takes long hears that it is cancelled, and the next one knows nothing of it */
#define TPM_RC_CANCELED 0x909u
static const u8 create_rsa[] = { 0x80, 2, 0, 0, 0, 69, 0, 0, 1, 0x31, OWNER, PASSWORD, 0, 4, 0, 0, 0, 0, 0, 28, 0, 1, 0, 0x0b, 0,
				 3, 0, 0x72, 0, 0, 0, 6, 0, 0x80, 0, 0x43, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
				 0 };
#define CREATE_KIND 62 /* a byte of what makes one key another */
_Static_assert(sizeof(create_rsa) == 69, "CreatePrimary");

static void cancels(void)
{
	u32 code = 0;

	/* a key may be there before the word is: some are found at once. Another one then. */
	for (u8 kind = 0; kind < 20 && code != TPM_RC_CANCELED; kind++) {
		u8 create[sizeof(create_rsa)];

		memcpy(create, create_rsa, sizeof(create));
		create[CREATE_KIND] = kind;
		begin_command(create, sizeof(create));
		if (atomic_load(&bed.start))
			write_register(CRB_CTRL_CANCEL, 1);
		UNTIL(!atomic_load(&bed.start));
		code = response_code();
		write_register(CRB_CTRL_CANCEL, 0);
		if (command(read_counter, sizeof(read_counter), 0)) {
			fprintf(stderr, "tpm_lives: after a cancelled command the next one says %#x\n", response_code());
			exit(1);
		}
	}
	if (code != TPM_RC_CANCELED) {
		fprintf(stderr, "tpm_lives: a cancelled command says %#x\n", code);
		exit(1);
	}
}

/* ---- secrets */
#define SECRET_INDEX 1, 0x80, 0, 2
#define SECRET 'a', ' ', 'p', 'l', 'a', 'n', 't', 'e', 'd', ' ', 's', 'e', 'c', 'r', 'e', 't', ',', ' ', 'n', 'o', 'b', 'o', \
	       'd', 'y', '\'', 's', ' ', 'o', 'w', 'n', '.', '!'
static const u8 define_secret[] = { 0x80, 2, 0, 0, 0, 45, 0, 0, 1, 0x2a, OWNER, PASSWORD, 0, 0, 0, 14, SECRET_INDEX, 0, 0x0b, 2,
				    6, 0, 6, 0, 0, 0, 32 };
static const u8 write_secret[] = { 0x80, 2, 0, 0, 0, 67, 0, 0, 1, 0x37, OWNER, SECRET_INDEX, PASSWORD, 0, 32, SECRET, 0, 0 };

/* how often the secret's first half is in what a process can write to */
static unsigned find_secret(pid_t pid)
{
	static const u8 secret[] = { SECRET };
	char path[64], row[512];
	unsigned long from, to;
	char rights[5];
	unsigned found = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	FILE *maps = fopen(path, "r");

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	int mem = open(path, O_RDONLY);

	CHECK(maps && mem >= 0);
	while (fgets(row, sizeof(row), maps)) {
		if (sscanf(row, "%lx-%lx %4s", &from, &to, rights) != 3 || rights[1] != 'w')
			continue;
		u8 *copy = malloc(to - from);
		ssize_t n = pread(mem, copy, to - from, (off_t)from);

		for (u8 *at = copy; n > 0 && (at = memmem(at, (size_t)(copy + n - at), secret, 16)); at++)
			found++;
		free(copy);
	}
	fclose(maps);
	close(mem);
	return found;
}

/* from the moment that it has begun to end: its memory is still there */
static unsigned find_at_end(pid_t pid)
{
	int status;

	CHECK(!ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACEEXIT));
	/* nobody is there any more for whom it plays: it ends by itself */
	at_home(destroy);
	bed.proxy = NULL;
	UNTIL(waitpid(pid, &status, WNOHANG | __WALL) == pid);
	CHECK(WIFSTOPPED(status) && status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8));
	unsigned found = find_secret(pid);

	CHECK(!ptrace(PTRACE_DETACH, pid, NULL, NULL));
	return found;
}

static void secrets(void)
{
	CHECK(!command(define_secret, sizeof(define_secret), 0) && !command(write_secret, sizeof(write_secret), 0));
	pid_t pid = tpm_process_pid(bed.tpm);
	unsigned before = find_secret(pid);

	tpm_process_stay_dead(bed.tpm);
	unsigned after = find_at_end(pid);

	if (!before || after) {
		fprintf(stderr, "tpm_lives: the secret was found %u times in a process that lives, %u times in one at its end\n",
			before, after);
		exit(1);
	}
}

/* ---- power */
static void copy_device(struct model_device *to, const struct model_device *from)
{
	memcpy(to->now, from->now, CAPACITY);
	memcpy(to->safe, from->now, CAPACITY);
}

/* power goes after that many steps of the device: false: it did not come to that */
static bool cut_at(const struct model_device *before, u64 said, int steps)
{
	u32 code = 0;

	model_host_init(&bed.host, CAPACITY, 512);
	copy_device(&bed.host.device, before);
	bed.host.device.seed = model_random(&bed.seed) | 1;
	open_store();
	CHECK(!life_begin());
	bed.host.device.power = steps;
	for (unsigned i = 0; i < 3 && !code; i++) {
		code = command(increment, sizeof(increment), 0);
		said += !code;
	}
	if (getenv("TPM_LIVES_VERBOSE"))
		fprintf(stderr, "cut after %d: %#x\n", steps, code);
	/* what it cannot keep it says no to, and to all that follows */
	CHECK(!code || code == 0x101);
	CHECK(!code || command(read_counter, sizeof(read_counter), 0) == 0x101);
	life_end();
	store_destroy(bed.store);
	bool cut = code != 0;

	/* the machine begins anew */
	model_power_cut(&bed.host.device);
	if (bed.lost_flush)
		copy_device(&bed.host.device, before);
	get_destroy(bed.host.get);
	sim_destroy(bed.host.sim);
	struct model_device device = bed.host.device;

	model_host_init(&bed.host, CAPACITY, 512);
	copy_device(&bed.host.device, &device);
	model_fini(&device);
	open_store();
	CHECK(!life_begin());
	judge(said, "power cut", (u64)steps);
	life_end();
	store_destroy(bed.store);
	model_host_fini(&bed.host);
	return cut;
}

static void power_cuts(const struct model_device *before, u64 said)
{
	for (int steps = 0; cut_at(before, said, steps); steps++)
		bed.cuts++;
}

static void quiet(enum log_level level, const char *domain, const char *text)
{
	if (getenv("TPM_LIVES_VERBOSE"))
		fprintf(stderr, "%s: %s\n", domain, text);
}

int main(int argc, char **argv)
{
	static const struct option known[] = { { "kills", 1, NULL, 'k' }, { "seed", 1, NULL, 's' },
					       { "plant", 1, NULL, 'p' }, { 0 } };
	u64 count = 100;
	int c;

	bed.seed = 1;
	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1)
		if (c == 'k')
			count = strtoull(optarg, NULL, 0);
		else if (c == 's')
			bed.seed = strtoull(optarg, NULL, 0) * 0x9e3779b97f4a7c15ull + 1;
		else if (c == 'p' && !strcmp(optarg, "lostflush"))
			bed.lost_flush = true;
		else
			return 2;
	if (optind != argc - 1) {
		fprintf(stderr, "usage: tpm_lives [--kills N] [--seed N] [--plant lostflush] PROGRAM\n");
		return 2;
	}
	bed.program = argv[optind];
	log_set_sink(quiet);
	signal(SIGPIPE, SIG_IGN);
	bed.exec = exec_create("control", -1);
	bed.home = exec_create("home", -1);
	CHECK(bed.exec && bed.home && !pthread_create(&bed.home_thread, NULL, run_home, NULL));
	model_host_init(&bed.host, CAPACITY, 512);
	open_store();
	u64 said = kills(count, first_counter());

	cancels();
	secrets();
	life_end();
	store_destroy(bed.store);
	struct model_host whole = bed.host;

	power_cuts(&whole.device, said);
	model_host_fini(&whole);
	printf("tpm_lives: %lu kills, %lu power cuts, %lu lives, %lu commands; the counter is %lu: none lost\n", count, bed.cuts,
	       bed.lives, bed.commands, said);
	return 0;
}
