/*
 * SCSI: logical units over disks, and the commands for them. Knows nothing of VMBus. One initiator. A request runs on the
 * executor it names; requests of several executors may be under way in one unit.
 */
#pragma once

#include <pthread.h>

#include "spec/scsi.h"
#include "vmm/disk/disk.h"

#define SCSI_CDB_MAX 16u
#define SCSI_LUNS_MAX 64u
#define SCSI_UNMAP_MAX 16u       /* descriptors of one UNMAP */
#define SCSI_PATTERN_MAX 32u     /* blocks of a WRITE SAME written at once */
#define SCSI_SENSE_LEN sizeof(struct scsi_fixed_sense)
#define SCSI_MAX_TRANSFER (256u * 1024)

/* what INQUIRY and the mode pages say beyond the disk's own; empty texts and zeroes: as Hyper-V's disks */
struct scsi_identity {
	char vendor[8 + 1], product[16 + 1], revision[4 + 1], serial[64 + 1];
	u16 rotation_rate;               /* 1: no rotating medium; else per minute */
	bool no_fua;                     /* DPOFUA is not said; a CDB with FUA is obeyed all the same */
	bool write_through;              /* WCE is not said, so every write is on stable storage when it is answered */
};

struct scsi_unit {
	struct disk *disk;               /* the unit's */
	struct scsi_identity identity;
	atomic_uint attention;           /* enum scsi_asc to report once; 0: none */
	atomic_bool stopped;             /* START STOP UNIT */
	atomic_uint_fast64_t commands, checks;
	atomic_uint users;               /* requests under way */
	atomic_bool removed, told;
	struct exec *home;               /* where gone_op is posted when the last request of a removed unit has ended */
	struct op gone_op;
	struct scsi_unit *next_removed;  /* the controller's */
	pthread_mutex_t lock;            /* of the reservation */
	u64 key;                         /* of the one initiator; 0: not registered */
	u32 generation;
	u8 reservation;                  /* enum scsi_pr_type; 0: none */
};

struct scsi_target {
	_Atomic(struct scsi_unit *) units[SCSI_LUNS_MAX];
};

/* NULL, said: no memory; then the disk is destroyed. Otherwise it is the unit's. identity: copied; may be NULL */
struct scsi_unit *scsi_unit_create(struct disk *disk, const struct scsi_identity *identity) __must_check;
/* no request may be under way; NULL is fine */
void scsi_unit_destroy(struct scsi_unit *unit);
/*
 * The unit is out of the target at once. gone(&unit->gone_op, 0) comes on home, perhaps before this returns, when no request
 * uses its disk any more; from then on scsi_unit_close() may be called. The struct itself must live on until no executor can
 * hold an old pointer to it, which is as long as the target.
 */
void scsi_unit_remove(struct scsi_target *target, unsigned lun, struct exec *home, void (*gone)(struct op *, int));
/* destroys the disk of a unit that is gone */
void scsi_unit_close(struct scsi_unit *unit);
void scsi_unit_inspect(void *unit, struct inspect *in);
/* the next command that may hear it is told so; a later condition takes an earlier one's place */
void scsi_unit_attention(struct scsi_unit *unit, enum scsi_asc asc);

struct scsi_range {
	u64 lba;
	u32 count;
};

struct scsi_request {
	u8 cdb[SCSI_CDB_MAX];            /* zeroes behind cdb_len */
	u8 cdb_len;
	bool data_in;
	struct iovec *iov;
	unsigned iov_count;
	u32 data_len;                    /* bytes of iov that are for this command */
	struct exec *exec;
	void (*done)(struct scsi_request *);

	/* the answer */
	bool no_unit;                    /* no logical unit there: the transport says so in its own way */
	u8 status;                       /* enum scsi_status */
	u8 sense_len;
	u8 sense[SCSI_SENSE_LEN];
	u32 transferred;

	/* private */
	struct scsi_unit *unit;
	struct disk_request disk;
	bool (*next_step)(struct scsi_request *); /* fills disk; false: all steps are done */
	bool stepping, step_done;
	int step_result;
	union {
		struct scsi_range ranges[SCSI_UNMAP_MAX];
		struct iovec pattern[SCSI_PATTERN_MAX];
	};
	unsigned range, range_count;
	u64 lba, left;
};

/* done() comes once, perhaps before this returns */
void scsi_execute(struct scsi_target *target, unsigned lun, struct scsi_request *request);
