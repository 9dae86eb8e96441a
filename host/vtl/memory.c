/*
 * RAM. VTL2's virtual machine and pvhost use one mapping of it; VTL0's machine has a second one, whose page protection
 * is what VTL2 allows VTL0: KVM_RUN then ends in EFAULT, as for an access to a hole.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/vtl/vp.h"
#include "lib/log/log.h"

LOG_DOMAIN("memory");

#define ALLOW_ALL 0xfu
#define ALLOW_EXECUTE 0xcu /* both kinds */

static int map_one(struct partition *p, u32 i)
{
	const struct partition_ram *r = &p->config.ram[i];
	int fd = memfd_create(r->vtl2 ? "vtl2" : "vtl0", MFD_CLOEXEC), result = -1;

	if (fd < 0 || ftruncate(fd, (off_t)r->size))
		goto out;
	void *at = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (at == MAP_FAILED)
		goto out;
	madvise(at, r->size, MADV_DONTDUMP);
	p->ram[i] = at;
	if (!r->vtl2) {
		at = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
		if (at == MAP_FAILED)
			goto out;
		madvise(at, r->size, MADV_DONTDUMP);
		p->vtl0_ram[i] = at;
		p->denied[i] = calloc(r->size / PAGE_SIZE, 1);
		if (!p->denied[i])
			goto out;
	}
	result = 0;
out:
	if (result)
		result = log_err(-errno, "%lu MiB of guest memory at %#lx: ask for less with --memory", r->size / MiB, r->base);
	if (fd >= 0)
		close(fd);
	return result;
}

int memory_map(struct partition *p)
{
	int r = 0;

	for (u32 i = 0; !r && i < p->config.ram_count; i++)
		r = map_one(p, i);
	return r;
}

void memory_unmap(struct partition *p)
{
	for (u32 i = 0; i < p->config.ram_count; i++) {
		if (p->ram[i])
			munmap(p->ram[i], p->config.ram[i].size);
		if (p->vtl0_ram[i])
			munmap(p->vtl0_ram[i], p->config.ram[i].size);
		free(p->denied[i]);
	}
}

static int find(struct partition *p, u64 gpa, u64 len)
{
	for (u32 i = 0; i < p->config.ram_count; i++)
		if (range_within(gpa, len, p->config.ram[i].base, p->config.ram[i].size))
			return (int)i;
	return -1;
}

void *memory_for_vtl0(struct partition *p, u64 gpa, u64 len, u32 access)
{
	int i = find(p, gpa, len);

	if (i < 0 || !p->vtl0_ram[i])
		return NULL;
	u64 offset = gpa - p->config.ram[i].base;

	for (u64 page = offset / PAGE_SIZE; page * PAGE_SIZE < offset + len; page++)
		if (atomic_load_explicit((_Atomic u8 *)&p->denied[i][page], memory_order_relaxed) & access)
			return NULL;
	return p->ram[i] + offset;
}

void *partition_memory(struct partition *p, u64 gpa, u64 len, bool vtl2)
{
	if (!vtl2)
		return memory_for_vtl0(p, gpa, len, HV_MAP_READ | HV_MAP_WRITE);
	int i = find(p, gpa, len);

	return i < 0 ? NULL : p->ram[i] + (gpa - p->config.ram[i].base);
}

int memory_protect(struct partition *p, u64 gpa, u32 allowed)
{
	int i = find(p, gpa, PAGE_SIZE);

	if (i < 0)
		return -EINVAL;
	if (!p->vtl0_ram[i]) /* VTL2's RAM is never in VTL0's machine */
		return allowed ? -EPERM : 0;
	allowed &= ALLOW_ALL;
	/* KVM cannot map a page readable and not executable, nor writable and not readable */
	bool readable = allowed & HV_MAP_READ, executable = (allowed & ALLOW_EXECUTE) == ALLOW_EXECUTE;

	if (readable != executable || (!readable && allowed))
		return -EPERM;
	u64 offset = gpa - p->config.ram[i].base;
	int prot = !readable ? PROT_NONE : allowed & HV_MAP_WRITE ? PROT_READ | PROT_WRITE : PROT_READ;

	_Atomic u8 *denied = (_Atomic u8 *)&p->denied[i][offset / PAGE_SIZE];
	int r = 0;

	pthread_mutex_lock(&p->lock);
	if (atomic_load(denied) != (u8)(ALLOW_ALL & ~allowed)) {
		r = mprotect(p->vtl0_ram[i] + offset, PAGE_SIZE, prot) ? -errno : 0;
		if (!r)
			atomic_store(denied, (u8)(ALLOW_ALL & ~allowed));
	}
	pthread_mutex_unlock(&p->lock);
	return r;
}
