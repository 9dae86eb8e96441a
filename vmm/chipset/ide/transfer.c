/* How a command's data moves: steps of the disk, blocks of the data port, the bus master (ATA/ATAPI-7 vol. 2, 9.5 to 9.9) */
#include <errno.h>

#include "lib/log/log.h"
#include "spec/scsi.h"
#include "vmm/chipset/ide/internal.h"

LOG_DOMAIN("ide");

void ide_good(struct ide_channel *ch)
{
	struct ide_command *c = &ch->command;

	if (c->dma)
		ide_bus_master_over(ch);
	if (c->packet)
		ide_packet_good(ch);
	else /* the last block of PIO in had its interrupt */
		ide_end(ch, 0, 0, c->dma || c->out || (c->work != IDE_WORK_DISK && c->work != IDE_WORK_REPLY));
}

void ide_abort(struct ide_channel *ch, u8 error)
{
	if (ch->command.dma)
		ide_bus_master_over(ch);
	ide_end(ch, ATA_STATUS_ERR, error, true);
}

/* the drive sees that its data is not taken; software sees the error bit beside the interrupt */
void ide_dma_failed(struct ide_channel *ch)
{
	ch->bad_prds++;
	log_guest("ide%u: command %#x: the PRD table names no memory, or too little", ch->index, ch->command.opcode);
	ch->bm.status |= IDE_BM_STATUS_ERROR;
	ch->bm.status &= (u8)~IDE_BM_STATUS_ACTIVE;
	if (ch->command.packet)
		ide_check(ch, SENSE_ABORTED_COMMAND, ASC_NONE);
	else
		ide_end(ch, ATA_STATUS_ERR, ATA_ERROR_ABRT, true);
}

/* ---- steps of the disk: submitted on home, and home takes their end */
static void step_done(struct disk_request *request, int result)
{
	struct ide_channel *ch = container_of(request, struct ide_channel, request);

	device_lock(&ch->ide->dev);
	ch->result = result;
	ch->ended = true;
	if (!ch->ide->stopped)
		ide_step_over(ch);
	device_unlock(&ch->ide->dev);
}

/* the drive cannot be another one meanwhile: the device register is the guest's only between commands, or after a reset */
static void submit_there(struct op *op, int drive)
{
	struct ide_channel *ch = container_of(op, struct ide_channel, post);

	disk_submit(ch->drives[drive].disk, &ch->request);
}

void ide_submit_held(struct ide_channel *ch)
{
	ch->held = false;
	exec_post(ch->ide->dev.home, &ch->post, submit_there, (int)(ide_selected(ch) - ch->drives));
}

static void submit(struct ide_channel *ch, enum disk_op op, u64 sector, u64 count, unsigned iov_count)
{
	ch->request.op = op;
	ch->request.flags = op == DISK_WRITE ? ch->command.flags : 0;
	ch->request.sector = sector;
	ch->request.count = count;
	ch->request.iov = ch->iov;
	ch->request.iov_count = iov_count;
	ch->request.skip = 0;
	ch->request.exec = ch->ide->dev.home;
	ch->request.done = step_done;
	ide_selected(ch)->status = ATA_STATUS_BSY;
	ch->phase = IDE_PHASE_DISK;
	ch->busy = ch->held = true;
	ch->ended = false;
	ch->steps++;
	if (!ch->ide->stopped)
		ide_submit_held(ch);
}

static void submit_buffer(struct ide_channel *ch, enum disk_op op, u32 len)
{
	ch->iov[0] = (struct iovec){ ch->buffer, len };
	ch->step_len = len;
	submit(ch, op, ch->command.sector, len / ATA_SECTOR, 1);
}

static u32 next_chunk(const struct ide_command *c)
{
	return (u32)MIN(c->left * ATA_SECTOR, (u64)IDE_BUFFER_LEN);
}

/* what the step did to the command */
static void account(struct ide_channel *ch)
{
	struct ide_command *c = &ch->command;
	struct ide_drive *d = ide_selected(ch);
	u32 sectors = ch->step_len / ATA_SECTOR;

	if (c->work == IDE_WORK_FLUSH) {
		d->flushes++;
		c->left = 0;
	}
	if (c->work != IDE_WORK_DISK && c->work != IDE_WORK_VERIFY)
		return;
	c->sector += sectors;
	c->left -= sectors;
	if (c->work == IDE_WORK_VERIFY)
		return;
	if (c->out)
		d->sectors_written += sectors;
	else
		d->sectors_read += sectors;
	if (c->dma) {
		d->dma_bytes += ch->step_len;
	} else {
		c->at = 0;
		c->len = c->out ? next_chunk(c) : ch->step_len;
	}
}

void ide_step_over(struct ide_channel *ch)
{
	ch->busy = ch->ended = false;
	if (ch->reset_mask) {
		ch->phase = IDE_PHASE_IDLE;
		if (!(ch->control & ATA_CONTROL_SRST))
			ide_reset_drives(ch);
	} else if (ch->result) {
		if (ch->command.dma)
			ide_bus_master_over(ch);
		if (ch->command.packet)
			ide_packet_failed(ch, ch->result);
		else
			ide_ata_failed(ch, ch->result);
	} else {
		account(ch);
		ide_go(ch);
	}
}

/* ---- blocks of the data port */
static void present(struct ide_channel *ch)
{
	struct ide_command *c = &ch->command;
	struct ide_drive *d = ide_selected(ch);

	c->end = MIN(c->at + c->block, c->len);
	d->status = ATA_STATUS_DRDY | ATA_STATUS_DRQ | (d->kind == IDE_DISK ? ATA_STATUS_DSC : 0);
	ch->phase = IDE_PHASE_DATA;
	if (c->packet) {
		bool command = c->work == IDE_WORK_COLLECT && c->then == IDE_THEN_PACKET;

		d->now.count = command ? ATA_REASON_COMMAND : c->out ? 0 : ATA_REASON_IN;
		if (!command) {
			d->now.mid = (u8)(c->end - c->at);
			d->now.high = (u8)((c->end - c->at) >> 8);
		}
	}
	if (!c->quiet)
		ide_raise(ch);
	c->quiet = false;
}

void ide_data_access(struct ide_channel *ch, struct io_access *io)
{
	struct ide_command *c = &ch->command;
	u32 len;

	if (!io->write)
		io->value = ~0ull;
	if (ch->phase != IDE_PHASE_DATA || c->out != io->write) {
		ch->ignored++;
		return;
	}
	len = MIN((u32)io->size, c->end - c->at);
	if (io->write) {
		memcpy(ch->buffer + c->at, &io->value, len);
	} else {
		io->value = 0;
		memcpy(&io->value, ch->buffer + c->at, len);
	}
	c->at += len;
	ide_selected(ch)->pio_bytes += len;
	if (c->at == c->end)
		ide_go(ch);
}

static void then(struct ide_channel *ch)
{
	switch (ch->command.then) {
	case IDE_THEN_PACKET: ide_packet(ch); break;
	case IDE_THEN_TRIM: ide_trim(ch); break;
	case IDE_THEN_STANDBY: ide_standby(ch, false); break;
	case IDE_THEN_SLEEP: ide_standby(ch, true); break;
	default: ide_good(ch); break;
	}
}

/* ---- the ways of a command */
static void go_port(struct ide_channel *ch)
{
	struct ide_command *c = &ch->command;

	if (c->at < c->len)
		present(ch);
	else if (c->work == IDE_WORK_COLLECT)
		then(ch);
	else if (c->work == IDE_WORK_DISK && c->left)
		submit_buffer(ch, c->out ? DISK_WRITE : DISK_READ, c->out ? c->len : next_chunk(c));
	else
		ide_good(ch);
}

static void go_buffer_dma(struct ide_channel *ch)
{
	struct ide_command *c = &ch->command;

	if (ide_copy(ch, c->len, !c->out)) {
		ide_dma_failed(ch);
		return;
	}
	ide_selected(ch)->dma_bytes += c->len;
	c->at = c->len;
	then(ch);
}

static void go_dma(struct ide_channel *ch)
{
	struct ide_command *c = &ch->command;
	unsigned count;

	if (c->work == IDE_WORK_DISK && !c->left) {
		ide_good(ch);
	} else if (ch->bm.stopped) {
		ide_dma_failed(ch);
	} else if (!ide_bus_master_ready(ch)) {
		ide_selected(ch)->status = ATA_STATUS_BSY;
		ch->phase = IDE_PHASE_DMA;
	} else if (!(ch->bm.command & IDE_BM_COMMAND_TO_MEMORY) != c->out) {
		ide_dma_failed(ch);
	} else if (c->work != IDE_WORK_DISK) {
		go_buffer_dma(ch);
	} else if (ide_gather(ch, (u32)MIN(c->left * ATA_SECTOR, (u64)IDE_STEP_LEN), c->unit, &count, &ch->step_len)) {
		ide_dma_failed(ch);
	} else {
		submit(ch, c->out ? DISK_WRITE : DISK_READ, c->sector, ch->step_len / ATA_SECTOR, count);
	}
}

static void go_trim(struct ide_channel *ch)
{
	u64 sector, count;

	ch->step_len = 0;
	if (ide_trim_next(ch, &sector, &count))
		submit(ch, DISK_UNMAP, sector, count, 0);
	else
		ide_good(ch);
}

void ide_go(struct ide_channel *ch)
{
	struct ide_command *c = &ch->command;

	switch (c->work) {
	case IDE_WORK_DISK:
	case IDE_WORK_REPLY:
	case IDE_WORK_COLLECT:
		if (c->dma)
			go_dma(ch);
		else
			go_port(ch);
		break;
	case IDE_WORK_FLUSH:
		ch->step_len = 0;
		if (c->left)
			submit(ch, DISK_FLUSH, 0, 0, 0);
		else
			then(ch);
		break;
	case IDE_WORK_VERIFY:
		if (c->left)
			submit_buffer(ch, DISK_READ, next_chunk(c));
		else
			ide_good(ch);
		break;
	case IDE_WORK_TRIM:
		go_trim(ch);
		break;
	default:
		ide_good(ch);
		break;
	}
}

void ide_reply(struct ide_channel *ch, u32 len)
{
	ch->command.work = IDE_WORK_REPLY;
	ch->command.at = 0;
	ch->command.len = len;
	ide_go(ch);
}
