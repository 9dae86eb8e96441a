#include "vmm/mem/guest.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/log/log.h"

LOG_DOMAIN("guest");

#define GUEST_RANGES_MAX 64

struct guest {
	struct { u64 base, len; } ram[GUEST_RANGES_MAX]; /* by base, neighbours merged */
	unsigned count;
	u8 *map;      /* GPA 0 */
	u8 *reserved; /* what munmap() takes */
	u64 reserved_len;
	atomic_uint_fast64_t refused;
};

/* address of [gpa, gpa+len), NULL unless one RAM range holds all of it */
static u8 *at(struct guest *g, u64 gpa, u64 len)
{
	for (unsigned i = 0; i < g->count; i++)
		if (range_within(gpa, len, g->ram[i].base, g->ram[i].len))
			return g->map + gpa;
	atomic_fetch_add(&g->refused, 1);
	return NULL;
}

bool guest_range(struct guest *g, u64 gpa, u64 len)
{
	for (unsigned i = 0; i < g->count; i++)
		if (range_within(gpa, len, g->ram[i].base, g->ram[i].len))
			return true;
	return false;
}

int guest_read(struct guest *g, u64 gpa, void *to, size_t len)
{
	const u8 *from = at(g, gpa, len);

	if (!from)
		return -EFAULT;
	memcpy(to, from, len);
	return 0;
}

int guest_write(struct guest *g, u64 gpa, const void *from, size_t len)
{
	u8 *to = at(g, gpa, len);

	if (!to)
		return -EFAULT;
	memcpy(to, from, len);
	return 0;
}

/* no builtin: gcc calls libatomic for 16 bytes unless all of the program may use this instruction */
static bool exchange16(void *to, const u64 expected[2], const u64 desired[2])
{
	u64 low = expected[0], high = expected[1];
	bool done;

	__asm__ volatile("lock cmpxchg16b %0" : "+m"(*(u64 (*)[2])to), "+a"(low), "+d"(high), "=@ccz"(done)
			 : "b"(desired[0]), "c"(desired[1]) : "memory");
	return done;
}

int guest_exchange(struct guest *g, u64 gpa, const void *expected, const void *desired, size_t size)
{
	void *to = at(g, gpa, size);
	u64 old[2] = { 0, 0 }, new[2] = { 0, 0 };
	bool done = false;

	if (!to || size > sizeof(old) || !IS_ALIGNED(gpa, size))
		return -EFAULT;
	memcpy(old, expected, size);
	memcpy(new, desired, size);
	switch (size) {
	case 1: done = __sync_bool_compare_and_swap((u8 *)to, (u8)old[0], (u8)new[0]); break;
	case 2: done = __sync_bool_compare_and_swap((u16 *)to, (u16)old[0], (u16)new[0]); break;
	case 4: done = __sync_bool_compare_and_swap((u32 *)to, (u32)old[0], (u32)new[0]); break;
	case 8: done = __sync_bool_compare_and_swap((u64 *)to, old[0], new[0]); break;
	case 16: done = exchange16(to, old, new); break;
	}
	return done ? 0 : -EAGAIN;
}

int guest_zero(struct guest *g, u64 gpa, size_t len)
{
	u8 *to = at(g, gpa, len);

	if (!to)
		return -EFAULT;
	memset(to, 0, len);
	return 0;
}

int guest_copy(struct guest *g, u64 to_gpa, u64 from_gpa, size_t len)
{
	u8 *to = at(g, to_gpa, len), *from = at(g, from_gpa, len);

	if (!to || !from)
		return -EFAULT;
	memmove(to, from, len);
	return 0;
}

int guest_iovec(struct guest *g, u64 gpa, size_t len, struct iovec *ret)
{
	u8 *p = at(g, gpa, len);

	if (!p)
		return -EFAULT;
	*ret = (struct iovec){ p, len };
	return 0;
}

bool guest_address(struct guest *g, const void *p, size_t len, u64 *ret)
{
	u64 gpa = (uintptr_t)p - (uintptr_t)g->map;

	if ((uintptr_t)p < (uintptr_t)g->map || !guest_range(g, gpa, len))
		return false;
	*ret = gpa;
	return true;
}

static int add(struct guest *g, u64 base, u64 len)
{
	if (g->count && g->ram[g->count - 1].base + g->ram[g->count - 1].len == base) {
		g->ram[g->count - 1].len += len;
		return 0;
	}
	if (g->count == GUEST_RANGES_MAX)
		return log_err(-E2BIG, "more than %u pieces of guest RAM", GUEST_RANGES_MAX);
	g->ram[g->count].base = base;
	g->ram[g->count++].len = len;
	return 0;
}

/*
 * One reservation, so that GPA + constant is the address; its start is aligned to 1 GiB because mshv_vtl_low maps huge pages
 * only where address and GPA agree (mshv_vtl_main.c can_fault). Holes stay PROT_NONE.
 */
static int map_all(struct guest *g, int fd)
{
	u64 top = g->ram[g->count - 1].base + g->ram[g->count - 1].len;

	g->reserved_len = ALIGN_UP(top, GiB) + GiB;
	g->reserved = mmap(NULL, g->reserved_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (g->reserved == MAP_FAILED) {
		g->reserved = NULL;
		return log_err(-errno, "reserve %llu MiB of address space", (unsigned long long)(g->reserved_len / MiB));
	}
	g->map = (u8 *)ALIGN_UP((uintptr_t)g->reserved, GiB);
	for (unsigned i = 0; i < g->count; i++) {
		int flags = MAP_FIXED | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED);

		if (mmap(g->map + g->ram[i].base, g->ram[i].len, PROT_READ | PROT_WRITE, flags, fd,
			 fd < 0 ? 0 : (off_t)g->ram[i].base) == MAP_FAILED)
			return log_err(-errno, "map guest RAM at %#llx", (unsigned long long)g->ram[i].base);
	}
	/* the kernel leaves shared mappings of a file out of cores by default; this holds whatever the filter says */
	if (madvise(g->reserved, g->reserved_len, MADV_DONTDUMP))
		log_at(LOG_WARN, "guest RAM may be in core files: %s", strerror(errno));
	return 0;
}

static int finish(struct guest *g, int fd, int r, struct guest **ret)
{
	if (!r && !g->count)
		r = log_err(-EPROTO, "VTL0 has no RAM");
	if (!r)
		r = map_all(g, fd);
	if (r)
		guest_destroy(g);
	else
		*ret = g;
	return r;
}

int guest_create(const struct partition_layout *layout, int low_fd, struct guest **ret)
{
	struct guest *g = calloc(1, sizeof(*g));
	int r = 0;

	if (!g)
		return log_err(-ENOMEM, "guest memory");
	for (unsigned i = 0; !r && i < layout->range_count; i++)
		if (layout->ranges[i].type == OPENHCL_MEMORY_VTL0)
			r = add(g, layout->ranges[i].base, layout->ranges[i].len);
	return finish(g, low_fd, r, ret);
}

int guest_create_fake(u64 ram_len, u64 high_len, struct guest **ret)
{
	struct guest *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	r = add(g, 0, ram_len);
	if (!r && high_len)
		r = add(g, 4 * GiB, high_len);
	return finish(g, -1, r, ret);
}

void guest_destroy(struct guest *g)
{
	if (g && g->reserved)
		munmap(g->reserved, g->reserved_len);
	free(g);
}
