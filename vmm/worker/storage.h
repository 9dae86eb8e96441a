/*
 * Which disks VTL0 has. The struct is what there is to say; today it is filled from PARAVANE_DISKS and PARAVANE_IDE, later
 * also from the VTL2 settings that the host sends by GET.
 */
#pragma once

#include "vmm/chipset/ide/ide.h"
#include "vmm/storvsp/storvsp.h"

#define STORAGE_DISKS_MAX (SCSI_LUNS_MAX + IDE_CHANNELS * IDE_DRIVES)

enum storage_filter { STORAGE_FAULT = 1, STORAGE_TRACE = 2, STORAGE_DELAY = 4, STORAGE_READ_ONLY = 8 };

enum storage_kind { STORAGE_RAM, STORAGE_NVME };
enum storage_bus { STORAGE_SCSI, STORAGE_IDE };

struct storage_disk {
	enum storage_bus bus;
	u32 channel, location; /* IDE: channel and drive; SCSI: 0 and LUN */
	bool dvd;              /* IDE: a CD or DVD drive with that medium */
	enum storage_kind kind;
	u64 bytes;             /* RAM */
	u32 sector_size;       /* RAM */
	bool named;            /* NVME: by instance, else by index */
	u32 index;             /* of the controllers, as they were found */
	struct guid instance;
	u32 nsid;              /* 0: the first there is */
	unsigned filters;   /* enum storage_filter */

	/* not asked for, but so */
	bool attached;
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
/*
 * The same for IDE, added to *c: "nvme:0", "0:0=nvme:0,1:0=cd:nvme:1,cd:ram:4M". In front of a disk its channel and drive,
 * else it gets the next free one of 0:0, 0:1, 1:0, 1:1; cd: makes it a CD. -EINVAL, said; *c is then not touched.
 */
int storage_parse_ide(const char *text, struct storage_config *c) __must_check;
/* "LUN 3", "IDE drive 0:1" */
#define STORAGE_PLACE_LEN 32
void storage_place(const struct storage_disk *d, char place[STORAGE_PLACE_LEN]);
/* does the guest have any disk there? */
bool storage_has(const struct storage_config *c, enum storage_bus bus);
/* a RAM disk with its filters; NULL, said */
struct disk *storage_disk(const struct storage_disk *d, const struct guid *id) __must_check;
/* the filters in front of a disk, which becomes theirs; NULL when it is, or said */
struct disk *storage_filters(const struct storage_disk *d, struct disk *disk) __must_check;
/* is it of this controller? */
bool storage_is_of(const struct storage_disk *d, u32 index, const struct guid *instance);
