/* The device, for the files of this folder. */
#pragma once

#include <linux/vfio.h>

#include "vmm/vfio/vfio.h"

#define MAPPINGS_MAX 6u

struct vector {
	struct vfio_device *device;
	int fd;
	struct op op, end;
	u64 interrupts;
	struct task *task;
};

struct vfio_device {
	char address[16];
	int container, group, fd;
	bool iommu;
	bool released;
	u64 iova_top; /* addresses from here down are not used yet */
	u64 maps, mapped_bytes;
	struct vfio_region_info config;
	struct {
		void *at;
		u64 len;
	} mappings[MAPPINGS_MAX];
	u32 mapping_count, vector_count, vectors_offered;
	struct vector vectors[VFIO_VECTORS_MAX], request;
};

/* ---- sysfs.c */
/* path of the function behind a vPCI instance, and its PCI address; -ENOENT */
int sysfs_function(const struct guid *instance, char *path, size_t size, char address[16]) __must_check;
/* the last part of a symbolic link's target; -ENOENT, -ENAMETOOLONG */
int sysfs_link_name(const char *path, char *out, size_t size) __must_check;

/* ---- group.c */
/* group, container, and the device's descriptor, of the function with this folder; said */
int group_open(struct vfio_device *d, const char *function) __must_check;
