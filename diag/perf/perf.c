#include "diag/perf/perf.h"

#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "diag/perf/stacks.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"

#define THREADS_MAX 80
#define RING_PAGES 8 /* a power of two */
#define RECORD_MAX 4096

struct sampled {
	int fd;
	char name[16];
	struct perf_event_mmap_page *ring; /* then RING_PAGES of records */
};

/* what PERF_SAMPLE_TID | PERF_SAMPLE_CALLCHAIN puts behind the header */
struct sample {
	struct perf_event_header header;
	u32 pid, tid;
	u64 count;
	u64 frames[];
};

static int open_thread(struct sampled *t, pid_t tid, unsigned hertz)
{
	struct perf_event_attr a = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(a), .config = PERF_COUNT_SW_CPU_CLOCK,
				     .sample_freq = hertz, .freq = 1, .sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_CALLCHAIN,
				     .sample_max_stack = STACK_DEPTH_MAX, .disabled = 1, .watermark = 1,
				     .wakeup_watermark = RING_PAGES * PAGE_SIZE / 2 };
	char path[64];
	u8 *name;
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)tid);
	if (!file_read(path, 64, &name, &len)) {
		snprintf(t->name, sizeof(t->name), "%.*s", (int)strcspn((char *)name, "\n; "), (char *)name);
		free(name);
	}
	t->fd = (int)syscall(SYS_perf_event_open, &a, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (t->fd < 0)
		return -errno;
	t->ring = mmap(NULL, (1 + RING_PAGES) * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	return t->ring == MAP_FAILED ? -errno : 0;
}

static int open_all(pid_t pid, unsigned hertz, struct sampled *threads, unsigned *ret_count)
{
	char path[64];
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *d = opendir(path);

	if (!d)
		return -errno;
	for (struct dirent *e; !r && (e = readdir(d)) && *ret_count < THREADS_MAX;) {
		if (e->d_name[0] == '.')
			continue;
		r = open_thread(&threads[*ret_count], (pid_t)strtol(e->d_name, NULL, 10), hertz);
		if (r == -ESRCH)
			r = 0; /* it has just ended */
		else if (!r)
			(*ret_count)++;
	}
	closedir(d);
	return r;
}

static void take_record(const struct sampled *t, const u8 *record, struct stacks *stacks)
{
	const struct sample *s = (const void *)record;
	u64 frames[STACK_DEPTH_MAX];
	unsigned count = 0;

	if (s->header.type != PERF_RECORD_SAMPLE || s->header.size < sizeof(*s))
		return;
	u64 room = (s->header.size - sizeof(*s)) / sizeof(u64);

	for (u64 i = 0; i < MIN(s->count, room) && count < STACK_DEPTH_MAX; i++)
		/* PERF_CONTEXT_*: where the kernel's frames end and the program's begin */
		if (s->frames[i] < (u64)PERF_CONTEXT_MAX)
			frames[count++] = s->frames[i];
	stacks_add(stacks, t->name, frames, count);
}

static void drain(struct sampled *t, struct stacks *stacks)
{
	const u64 size = RING_PAGES * PAGE_SIZE;
	const u8 *data = (const u8 *)t->ring + PAGE_SIZE;
	u64 head = __atomic_load_n(&t->ring->data_head, __ATOMIC_ACQUIRE), tail = t->ring->data_tail;
	u64 record[RECORD_MAX / 8];

	while (head - tail >= sizeof(struct perf_event_header)) {
		struct perf_event_header h;

		/* a header does not wrap: records are multiples of its size */
		memcpy(&h, data + tail % size, sizeof(h));
		if (h.size < sizeof(h) || h.size > head - tail)
			break;
		for (u64 i = 0; i < MIN(h.size, (u64)sizeof(record)); i++)
			((u8 *)record)[i] = data[(tail + i) % size];
		if (h.size <= sizeof(record))
			take_record(t, (const u8 *)record, stacks);
		tail += h.size;
	}
	__atomic_store_n(&t->ring->data_tail, head, __ATOMIC_RELEASE);
}

static void sample(struct sampled *threads, unsigned count, double seconds, struct stacks *stacks)
{
	u64 end = now_ns() + (u64)(seconds * 1e9);
	struct pollfd p[THREADS_MAX];

	for (unsigned i = 0; i < count; i++) {
		p[i] = (struct pollfd){ threads[i].fd, POLLIN, 0 };
		ioctl(threads[i].fd, PERF_EVENT_IOC_ENABLE, 0);
	}
	for (u64 now; (now = now_ns()) < end;) {
		poll(p, count, (int)MIN((end - now) / 1000000 + 1, 1000ull));
		for (unsigned i = 0; i < count; i++) {
			drain(&threads[i], stacks);
			/* an ended thread's descriptor stays ready */
			if (p[i].revents & POLLHUP)
				p[i].fd = -1;
		}
	}
	for (unsigned i = 0; i < count; i++) {
		ioctl(threads[i].fd, PERF_EVENT_IOC_DISABLE, 0);
		drain(&threads[i], stacks);
	}
}

int perf_main(int argc, char **argv)
{
	static struct sampled threads[THREADS_MAX];
	struct stacks *stacks = stacks_create();
	unsigned count = 0;

	pid_t pid = argc == 4 ? (pid_t)strtol(argv[1], NULL, 10) : 0;
	double seconds = argc == 4 ? strtod(argv[2], NULL) : 0;
	long hertz = argc == 4 ? strtol(argv[3], NULL, 10) : 0;

	if (pid <= 0 || !(seconds > 0) || hertz <= 0 || !stacks) {
		fprintf(stderr, "usage: perf PID SECONDS HERTZ\n");
		stacks_destroy(stacks);
		return 2;
	}
	int r = open_all(pid, (unsigned)hertz, threads, &count);

	if (!r && !count)
		r = -ESRCH;
	if (!r) {
		sample(threads, count, seconds, stacks);
		stacks_print(stacks, stdout);
		r = fflush(stdout) ? -errno : 0;
	}
	if (r)
		fprintf(stderr, "perf: process %s: %s\n", argv[1], strerror(-r));
	stacks_destroy(stacks);
	return r ? 1 : 0;
}
