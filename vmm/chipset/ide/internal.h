/*
 * Between the files of the IDE controller. A channel has one command at a time, of the drive that was selected when it was
 * written. All below runs with the device's lock held, but for the disk's own part of a request: from submit() to the post
 * that ends it, ch->request and ch->iov belong to the disk.
 */
#pragma once

#include <string.h>

#include "spec/ata.h"
#include "vmm/chipset/ide/ide.h"

#define IDE_BUFFER_LEN (64u * 1024)
#define IDE_STEP_LEN (1024u * 1024)   /* bytes of a disk request of a DMA command */
#define IDE_IOVECS 1024u              /* a sector of a CD, in PRDs of two bytes */
#define IDE_MULTIPLE_MAX 128u
#define IDE_MULTIPLE_DEFAULT 16u      /* firmware would have set it; Linux takes what it finds */
#define IDE_TRIM_BLOCKS 8u
#define IDE_SERIAL_LEN 20u

struct ide_taskfile {
	u8 features, count, low, mid, high;
};

struct ide_drive {
	enum ide_kind kind;
	struct disk *disk;
	u8 status, error;
	struct ide_taskfile now, before;  /* before: what a second write pushed on, for 48-bit commands */
	u8 multiple;                      /* sectors of a block of READ MULTIPLE; 0: not set */
	u8 mode;                          /* SET FEATURES, transfer mode */
	u8 heads, sectors;                /* the translation that INITIALIZE DEVICE PARAMETERS asked for */
	bool write_cache, keep, standby, asleep;
	/* a CD */
	bool ejected, locked;
	u8 sense_key, media_event;
	u16 asc, attention;               /* what REQUEST SENSE says; what the next command hears first */
	u64 commands, errors, sectors_read, sectors_written, flushes, pio_bytes, dma_bytes;
};

/* what a command does with its data */
enum ide_work {
	IDE_WORK_NONE,
	IDE_WORK_DISK,     /* between the disk and the guest */
	IDE_WORK_REPLY,    /* the buffer to the guest */
	IDE_WORK_COLLECT,  /* the guest fills the buffer, then command.then() */
	IDE_WORK_FLUSH,    /* one flush; left is 1 until it is done */
	IDE_WORK_VERIFY,   /* reads into the buffer, and no further */
	IDE_WORK_TRIM,     /* the ranges in the buffer */
};

enum ide_then { IDE_THEN_NOTHING, IDE_THEN_PACKET, IDE_THEN_TRIM, IDE_THEN_STANDBY, IDE_THEN_SLEEP };

enum ide_phase {
	IDE_PHASE_IDLE,
	IDE_PHASE_DISK,    /* a request is with the disk: BSY */
	IDE_PHASE_DATA,    /* DRQ: the guest's turn at the data port */
	IDE_PHASE_DMA,     /* until the guest starts the bus master: BSY */
};

struct ide_command {
	u8 opcode;
	bool out, dma, packet, ext;
	bool quiet;        /* the next block comes without an interrupt */
	enum ide_work work;
	enum ide_then then;
	u64 sector, left;  /* in sectors of 512 bytes */
	u32 unit;          /* bytes that a step is a multiple of */
	u32 flags;         /* of disk requests */
	u32 block;         /* bytes between interrupts */
	u32 at, end, len;  /* in the buffer: the next byte, where the block and where all of it ends */
};

struct ide_cursor {
	u32 table, entries; /* the next PRD, and how many were taken */
	u32 base, left;     /* of the current one */
	bool last;
};

struct ide_bus_master {
	u8 command, status;
	u32 table;
	struct ide_cursor cursor, before;  /* before: where the step that is under way began */
	bool stopped;                      /* the guest took the start bit away during a step */
};

struct ide_channel {
	struct ide *ide;
	unsigned index;
	struct ide_drive drives[IDE_DRIVES];
	u8 control, device;                /* device control; the device register, with the selection */
	bool intrq, line;
	enum ide_phase phase;
	struct ide_command command;
	struct ide_bus_master bm;
	u8 reset_mask;                     /* drives to reset when the disk has given the request back */
	bool busy;                         /* the request is with the disk, or its end is held */
	bool held, ended, resume;          /* device stopped: a step to submit; one that ended; one to redo after a restore */
	int result;
	u32 step_len;
	u64 interrupts, ignored, bad_prds, steps;
	struct op post;
	struct disk_request request;
	struct iovec iov[IDE_IOVECS];
	u8 buffer[IDE_BUFFER_LEN];
};

struct ide {
	struct device dev;
	struct pci_bus_function pci;
	struct guest *guest;
	struct isa *isa;
	bool stopped;
	struct ide_channel channels[IDE_CHANNELS];
};

static inline struct ide_drive *ide_selected(struct ide_channel *ch)
{
	return &ch->drives[(ch->device & ATA_DEVICE_DEV) != 0];
}

/* ---- channel.c */
enum io_status ide_channel_access(struct ide_channel *ch, enum ata_register reg, struct io_access *io);
void ide_control_access(struct ide_channel *ch, struct io_access *io);
void ide_raise(struct ide_channel *ch);
void ide_update_line(struct ide_channel *ch);
/* resets the drives in ch->reset_mask; no request may be under way */
void ide_reset_drives(struct ide_channel *ch);
void ide_power_on(struct ide_drive *d);
/* the signature by which software knows the kind (ATA/ATAPI-7 vol. 1, table 18) */
void ide_signature(struct ide_drive *d);
/* a command ends; interrupt: and says so */
void ide_end(struct ide_channel *ch, u8 status, u8 error, bool interrupt);

/* ---- transfer.c */
/* goes on until the command waits for the disk, the guest or the bus master, or is over */
void ide_go(struct ide_channel *ch);
/* a step of the disk is over; any state */
void ide_step_over(struct ide_channel *ch);
void ide_submit_held(struct ide_channel *ch);
void ide_data_access(struct ide_channel *ch, struct io_access *io);
/* len bytes of ch->buffer for the guest */
void ide_reply(struct ide_channel *ch, u32 len);
/* the command was good */
void ide_good(struct ide_channel *ch);
void ide_abort(struct ide_channel *ch, u8 error);
/* the bus master found no memory, or too little */
void ide_dma_failed(struct ide_channel *ch);

/* ---- busmaster.c */
enum io_status ide_bus_master_access(struct pci_bus_function *function, unsigned bar, struct io_access *io);
bool ide_bus_master_ready(struct ide_channel *ch);
/* up to len bytes, in whole units, as ch->iov. Not even one: -EFAULT, no RAM there; -ENODATA, the table ends. */
int ide_gather(struct ide_channel *ch, u32 len, u32 unit, unsigned *ret_count, u32 *ret_len);
/* the buffer's first len bytes from or to the guest */
int ide_copy(struct ide_channel *ch, u32 len, bool to_guest) __must_check;
/* the transfer is over: what the active bit says of the table */
void ide_bus_master_over(struct ide_channel *ch);

/* ---- ata.c, identify.c */
void ide_ata_command(struct ide_channel *ch);
void ide_ata_failed(struct ide_channel *ch, int error);
void ide_trim(struct ide_channel *ch);
/* the next range of the buffer that is not empty; false: that was all */
bool ide_trim_next(struct ide_channel *ch, u64 *ret_sector, u64 *ret_count);
void ide_standby(struct ide_channel *ch, bool sleep);
void ide_identify(struct ide_channel *ch);
void ide_identify_packet(struct ide_channel *ch);
u64 ide_capacity(const struct ide_drive *d, bool ext);

/* ---- atapi.c, mmc.c */
void ide_packet_command(struct ide_channel *ch);
void ide_packet(struct ide_channel *ch);
void ide_packet_failed(struct ide_channel *ch, int error);
void ide_check(struct ide_channel *ch, u8 key, u16 asc);
/* data to the guest: the least of len and allocation */
void ide_packet_reply(struct ide_channel *ch, const void *data, u32 len, u32 allocation);
void ide_packet_good(struct ide_channel *ch);
void ide_mmc(struct ide_channel *ch, const u8 cdb[ATA_PACKET_LEN]);

/* ---- state.c */
void ide_save(struct device *dev, struct saver *s);
int ide_restore(struct device *dev, struct bytes b);
void ide_inspect(struct device *dev, struct inspect *in);
