/*
 * Which disks VTL0 has. The struct is what there is to say; today it is filled from PARAVANE_DISKS, later also from the
 * VTL2 settings that the host sends by GET.
 */
#pragma once

#include "vmm/storvsp/storvsp.h"

#define STORAGE_DISKS_MAX SCSI_LUNS_MAX

enum storage_filter { STORAGE_FAULT = 1, STORAGE_TRACE = 2, STORAGE_DELAY = 4, STORAGE_READ_ONLY = 8 };

enum storage_kind { STORAGE_RAM, STORAGE_NVME };

struct storage_disk {
	unsigned lun;
	enum storage_kind kind;
	u64 bytes;             /* RAM */
	u32 sector_size;       /* RAM */
	bool named;            /* NVME: by instance, else by index */
	u32 index;             /* of the controllers, as they were found */
	struct guid instance;
	u32 nsid;              /* 0: the first there is */
	unsigned filters;   /* enum storage_filter */
};

struct storage_config {
	struct storage_disk disks[STORAGE_DISKS_MAX];
	unsigned count;
};

/*
 * "ram:64M,ram:1G:4k+fault+ro,nvme:0,nvme:GUID/2": disks by commas, the first is LUN 0. Sizes in bytes or with K, M, G; the
 * sector size 512 or 4k. NVMe: the n-th controller or the one of that vPCI instance, and perhaps a namespace. Filters: fault,
 * trace, delay (1 ms), ro. -EINVAL, said; *ret is then not touched. An empty text is no disk.
 */
int storage_parse(const char *text, struct storage_config *ret) __must_check;
/* a RAM disk with its filters; NULL, said */
struct disk *storage_disk(const struct storage_disk *d, const struct guid *id) __must_check;
/* the filters in front of a disk, which becomes theirs; NULL when it is, or said */
struct disk *storage_filters(const struct storage_disk *d, struct disk *disk) __must_check;
/* is it of this controller? */
bool storage_is_of(const struct storage_disk *d, u32 index, const struct guid *instance);
