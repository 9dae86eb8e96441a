/*
 * Which disks VTL0 has. The struct is what there is to say; today it is filled from PARAVANE_DISKS, later also from the
 * VTL2 settings that the host sends by GET.
 */
#pragma once

#include "vmm/storvsp/storvsp.h"

#define STORAGE_DISKS_MAX SCSI_LUNS_MAX

enum storage_filter { STORAGE_FAULT = 1, STORAGE_TRACE = 2, STORAGE_DELAY = 4, STORAGE_READ_ONLY = 8 };

struct storage_disk {
	unsigned lun;
	u64 bytes;          /* of a RAM disk, the only kind that can be named by now */
	u32 sector_size;
	unsigned filters;   /* enum storage_filter */
};

struct storage_config {
	struct storage_disk disks[STORAGE_DISKS_MAX];
	unsigned count;
};

/*
 * "ram:64M,ram:1G:4k+fault+ro": disks by commas, the first is LUN 0. Sizes in bytes or with K, M, G; the sector size 512 or
 * 4k. Filters: fault, trace, delay (1 ms), ro. -EINVAL, said; *ret is then not touched. An empty text is no disk.
 */
int storage_parse(const char *text, struct storage_config *ret) __must_check;
/* a disk with its filters; NULL, said */
struct disk *storage_disk(const struct storage_disk *d, const struct guid *id) __must_check;
