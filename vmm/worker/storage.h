/*
 * Which disks VTL0 has: what was asked for, and whether it is there. Filled from the VTL2 settings that the host sends by GET,
 * or from PARAVANE_DISKS and PARAVANE_IDE on the kernel's command line, which then take their place.
 */
#pragma once

#include "vmm/settings/settings.h"
#include "vmm/storvsp/storvsp.h"

#define STORAGE_CONTROLLERS_MAX (SETTINGS_SCSI_CONTROLLERS_MAX + 1u) /* and IDE */

enum storage_filter { STORAGE_FAULT = 1, STORAGE_TRACE = 2, STORAGE_DELAY = 4, STORAGE_READ_ONLY = 8,
		      STORAGE_NO_FUA = 16 /* no filter: the guest is not told of FUA */ };

enum storage_kind { STORAGE_NONE /* a drive without a medium */, STORAGE_RAM, STORAGE_NVME };

struct storage_source {
	bool named;            /* by instance, else by index */
	u32 index;             /* of the controllers, as they were found */
	struct guid instance;
	u32 nsid;              /* 0: the first there is */
};

struct storage_disk {
	u32 channel, location; /* IDE: channel and drive; SCSI: 0 and LUN */
	enum storage_kind kind;
	bool dvd;
	u64 bytes;             /* RAM: its size. NVME: what is shown of it; 0: all */
	u32 sector_size;       /* RAM */
	struct storage_source sources[SETTINGS_COLUMNS_MAX]; /* NVME; more than one: striped */
	u32 source_count, chunk_bytes;
	u32 filters;           /* enum storage_filter */
	bool no_unmap;
	u32 physical_size;     /* 0: the device's */
	bool has_id;
	struct guid id;        /* else made of the controller's and where it is, or the device's */
	struct scsi_identity identity;

	/* not asked for, but so; last, since what stands above is compared */
	bool attached;
};

enum storage_bus { STORAGE_SCSI, STORAGE_IDE };

struct storage_controller {
	enum storage_bus bus;
	struct guid instance;
	u32 sub_channels;      /* at most; SCSI */
	struct storage_disk *disks;
	u32 count;
};

struct storage_config {
	struct storage_controller controllers[STORAGE_CONTROLLERS_MAX];
	u32 count;
	bool fixed;            /* from the command line: the host changes nothing */
};

/*
 * "ram:64M,ram:1G:4k+fault+ro,nvme:0,nvme:GUID/2": disks by commas, the first is LUN 0 of one SCSI controller. Sizes in bytes
 * or with K, M, G; the sector size 512 or 4k. NVMe: the n-th controller or the one of that vPCI instance, and perhaps a
 * namespace. Filters: fault, trace, delay (1 ms), ro; nofua. -EINVAL or -ENOMEM,
	said; *ret is then not touched. An empty text is no
 * disk. *ret ends with storage_free().
 */
int storage_parse(const char *text, struct storage_config *ret) __must_check;
/*
 * The same for IDE, as one more controller of *c: "nvme:0", "0:0=nvme:0,1:0=cd:nvme:1,cd:ram:4M". In front of a disk its channel
 * and drive, else it gets the next free one of 0:0, 0:1, 1:0, 1:1; cd: makes it a CD. -EINVAL or -ENOMEM, said; *c is then not
 * touched.
 */
int storage_parse_ide(const char *text, struct storage_config *c) __must_check;
/* "LUN 3 of controller 0", "IDE drive 0:1" */
#define STORAGE_PLACE_LEN 40
void storage_place(u32 controller, enum storage_bus bus, const struct storage_disk *d, char place[STORAGE_PLACE_LEN]);
/* the IDE controller; NULL: none */
struct storage_controller *storage_ide(struct storage_config *c);
/* what the host asks for; -EINVAL or -ENOMEM with *error filled, *ret not touched */
int storage_from_settings(const struct settings *s, struct storage_config *ret, struct settings_error *error) __must_check;
void storage_free(struct storage_config *c);
/* may one become the other while VTL0 runs? 0, or -EINVAL with *error filled */
int storage_may_change(const struct storage_config *from, const struct storage_config *to,
		       struct settings_error *error) __must_check;
/* the disk asked for at that place of a controller; NULL */
struct storage_disk *storage_at(struct storage_controller *c, u32 channel, u32 location);
bool storage_same(const struct storage_disk *a, const struct storage_disk *b);

/* a RAM disk with its filters; NULL, said */
struct disk *storage_ram(const struct storage_disk *d, const struct guid *id) __must_check;
/* what was asked for in front of a disk, which becomes its; NULL when it is, or said */
struct disk *storage_dress(const struct storage_disk *d, struct disk *disk, const struct guid *id) __must_check;
/* is it that controller? */
bool storage_is_of(const struct storage_source *s, u32 index, const struct guid *instance);
