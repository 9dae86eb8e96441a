/* PACKET: a CD's commands, their data and their sense (ATA/ATAPI-7 vol. 1, 6.24; vol. 2, 9.8) */
#include <errno.h>

#include "lib/log/log.h"
#include "spec/mmc.h"
#include "vmm/chipset/ide/internal.h"

LOG_DOMAIN("ide");

static void over(struct ide_channel *ch, u8 status, u8 error)
{
	ide_selected(ch)->now.count = ATA_REASON_COMMAND | ATA_REASON_IN;
	ide_end(ch, status, error, true);
}

void ide_packet_good(struct ide_channel *ch)
{
	over(ch, 0, 0);
}

/* the sense key is in the error register, the rest waits for REQUEST SENSE */
void ide_check(struct ide_channel *ch, u8 key, u16 asc)
{
	struct ide_drive *d = ide_selected(ch);

	d->sense_key = key;
	d->asc = asc;
	over(ch, ATA_STATUS_ERR, (u8)(key << 4 | (key == SENSE_ILLEGAL_REQUEST ? ATA_ERROR_ABRT : 0)));
}

void ide_packet_failed(struct ide_channel *ch, int error)
{
	log_guest("ide%u: CD at sector %llu: error %d", ch->index, (unsigned long long)ch->command.sector, -error);
	if (error == -EIO)
		ide_check(ch, SENSE_MEDIUM_ERROR, ASC_READ_ERROR);
	else if (error == -EINVAL)
		ide_check(ch, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
	else
		ide_check(ch, SENSE_HARDWARE_ERROR, ASC_INTERNAL_FAILURE);
}

void ide_packet_reply(struct ide_channel *ch, const void *data, u32 len, u32 allocation)
{
	struct ide_command *c = &ch->command;

	len = MIN(len, allocation);
	c->out = false;
	if (!len) {
		c->dma = false; /* the bus master was not used */
		ide_packet_good(ch);
		return;
	}
	memcpy(ch->buffer, data, len);
	ide_reply(ch, len);
}

/* the packet is in the buffer */
void ide_packet(struct ide_channel *ch)
{
	struct ide_command *c = &ch->command;
	const struct ide_drive *d = ide_selected(ch);
	u32 limit = (u32)d->now.high << 8 | d->now.mid;
	u8 cdb[ATA_PACKET_LEN];

	/* a block of data has an even number of bytes, FFFEh at most (vol. 1, 6.24); the packet has no such limit */
	c->block = MAX(MIN(limit ? limit : 0xfffe, 0xfffeu) & ~1u, 2u);
	memcpy(cdb, ch->buffer, sizeof(cdb));
	c->out = false;
	c->then = IDE_THEN_NOTHING;
	c->work = IDE_WORK_NONE;
	c->at = c->end = c->len = 0;
	c->dma = d->now.features & ATA_FEATURE_PACKET_DMA;
	ide_mmc(ch, cdb);
}
