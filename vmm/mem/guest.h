/*
 * The one gate to guest memory. Nobody outside vmm/mem holds a pointer into it: bytes are copied through here, after the
 * range was checked against VTL0's RAM. Any thread. -EFAULT: not, or not all, RAM.
 */
#pragma once

#include <sys/uio.h>

#include "vmm/mem/layout.h"

struct guest;

/* maps VTL0's RAM from /dev/mshv_vtl_low; the fd stays the caller's. -errno, said. */
int guest_create(const struct partition_layout *layout, int low_fd, struct guest **ret) __must_check;
/* the same over anonymous memory: RAM [0, ram_len) and, when high_len, [4 GiB, 4 GiB + high_len). For tests. */
int guest_create_fake(u64 ram_len, u64 high_len, struct guest **ret) __must_check;
void guest_destroy(struct guest *guest);

int guest_read(struct guest *guest, u64 gpa, void *to, size_t len) __must_check;
int guest_write(struct guest *guest, u64 gpa, const void *from, size_t len) __must_check;
int guest_zero(struct guest *guest, u64 gpa, size_t len) __must_check;
/*
 * Atomic for the guest's other processors: writes `desired` if `expected` is there. -EAGAIN: it is not. size 1, 2, 4, 8 or 16,
 * gpa a multiple of it.
 */
int guest_exchange(struct guest *guest, u64 gpa, const void *expected, const void *desired, size_t size) __must_check;
/* overlapping is fine */
int guest_copy(struct guest *guest, u64 to, u64 from, size_t len) __must_check;
/* is all of it RAM? */
bool guest_range(struct guest *guest, u64 gpa, u64 len);
/* for DMA and I/O only: valid for the life of the guest; -EFAULT as above. The caller may not read through it twice. */
int guest_iovec(struct guest *guest, u64 gpa, size_t len, struct iovec *ret) __must_check;
/* the way back: the GPA of bytes of such an iovec; false: not, or not all, VTL0's RAM */
bool guest_address(struct guest *guest, const void *at, size_t len, u64 *ret) __must_check;
