/* A channel's registers, the selection of a drive, resets and the interrupt (ATA/ATAPI-7 vol. 2, 5 and 9) */
#include "lib/log/log.h"
#include "vmm/chipset/ide/internal.h"

LOG_DOMAIN("ide");

/* the bus master notes the edge of the line (SFF 8038i, 2.1) */
void ide_update_line(struct ide_channel *ch)
{
	bool line = ch->intrq && !(ch->control & ATA_CONTROL_NIEN);

	if (line == ch->line)
		return;
	ch->line = line;
	if (line) {
		ch->bm.status |= IDE_BM_STATUS_INTERRUPT;
		ch->interrupts++;
	}
	isa_set(ch->ide->isa, ch->index ? ATA_SECONDARY_LINE : ATA_PRIMARY_LINE, line);
}

void ide_raise(struct ide_channel *ch)
{
	ch->intrq = true;
	ide_update_line(ch);
}

void ide_signature(struct ide_drive *d)
{
	d->before = (struct ide_taskfile){ 0 };
	d->now = (struct ide_taskfile){ .count = 1, .low = 1 };
	if (d->kind == IDE_CD) {
		d->now.mid = ATA_SIGNATURE_PACKET_MID;
		d->now.high = ATA_SIGNATURE_PACKET_HIGH;
	}
}

void ide_power_on(struct ide_drive *d)
{
	d->multiple = IDE_MULTIPLE_DEFAULT;
	d->mode = ATA_MODE_PIO;
	d->heads = 16;
	d->sectors = 63;
	d->write_cache = true;
	d->standby = d->asleep = d->keep = false;
	d->error = ATA_DIAGNOSTIC_PASSED;
	d->status = d->kind == IDE_DISK ? ATA_STATUS_DRDY | ATA_STATUS_DSC : 0;
	ide_signature(d);
}

void ide_reset_drives(struct ide_channel *ch)
{
	u8 mask = ch->reset_mask;

	ch->reset_mask = 0;
	ch->phase = IDE_PHASE_IDLE;
	ch->command = (struct ide_command){ 0 };
	ch->bm.status &= (u8)~IDE_BM_STATUS_ACTIVE;
	for (unsigned i = 0; i < IDE_DRIVES; i++) {
		struct ide_drive *d = &ch->drives[i], was = *d;

		if (!(mask & BIT(i)) || d->kind == IDE_NONE)
			continue;
		ide_power_on(d);
		if (was.keep) { /* SET FEATURES 66h: settings live through a software reset */
			d->keep = true;
			d->multiple = was.multiple;
			d->mode = was.mode;
			d->heads = was.heads;
			d->sectors = was.sectors;
			d->write_cache = was.write_cache;
		}
	}
}

/* now, or when the disk has given the request back; until then the drives are busy */
static void start_reset(struct ide_channel *ch, u8 mask)
{
	ch->reset_mask |= mask;
	ch->intrq = false;
	ide_update_line(ch);
	for (unsigned i = 0; i < IDE_DRIVES; i++)
		if (mask & BIT(i))
			ch->drives[i].status = ATA_STATUS_BSY;
	if (!ch->busy) {
		ch->phase = IDE_PHASE_IDLE;
		if (!(ch->control & ATA_CONTROL_SRST))
			ide_reset_drives(ch);
	}
}

static void write_control(struct ide_channel *ch, u8 value)
{
	u8 was = ch->control;

	ch->control = value & (ATA_CONTROL_NIEN | ATA_CONTROL_SRST | ATA_CONTROL_HOB);
	if (value & ~was & ATA_CONTROL_SRST) {
		ch->device = 0;
		start_reset(ch, 3);
	} else if (was & ~value & ATA_CONTROL_SRST && !ch->busy) {
		ide_reset_drives(ch);
	}
	ide_update_line(ch);
}

void ide_end(struct ide_channel *ch, u8 status, u8 error, bool interrupt)
{
	struct ide_drive *d = ide_selected(ch);

	d->status = status | ATA_STATUS_DRDY;
	if (d->kind == IDE_DISK)
		d->status |= ATA_STATUS_DSC;
	d->error = error;
	d->errors += (status & ATA_STATUS_ERR) != 0;
	ch->phase = IDE_PHASE_IDLE;
	if (interrupt)
		ide_raise(ch);
}

static bool is_there(const struct ide_channel *ch)
{
	return ch->drives[0].kind != IDE_NONE || ch->drives[1].kind != IDE_NONE;
}

static void diagnostic(struct ide_channel *ch)
{
	ch->device = 0;
	ch->reset_mask = 3;
	ide_reset_drives(ch);
	ide_raise(ch);
}

static void write_command(struct ide_channel *ch, u8 opcode)
{
	struct ide_drive *d = ide_selected(ch);

	if (d->kind == IDE_CD && opcode == ATA_DEVICE_RESET) {
		d->commands++;
		start_reset(ch, (u8)BIT(d - ch->drives));
		return;
	}
	if (ch->phase != IDE_PHASE_IDLE || ch->busy || ch->control & ATA_CONTROL_SRST || (d->asleep && d->kind == IDE_DISK)) {
		ch->ignored++;
		log_guest("ide%u: command %#x while the drive cannot take one", ch->index, opcode);
		return;
	}
	ch->intrq = false;
	ide_update_line(ch);
	ch->bm.stopped = false;
	if (opcode == ATA_EXECUTE_DIAGNOSTIC) {
		diagnostic(ch);
		return;
	}
	if (d->kind == IDE_NONE)
		return;
	d->commands++;
	d->error = 0;
	ch->command = (struct ide_command){ .opcode = opcode, .unit = ATA_SECTOR, .block = ATA_SECTOR };
	if (d->kind == IDE_CD)
		ide_packet_command(ch);
	else
		ide_ata_command(ch);
}

/* both drives see what is written; the selected one answers */
static void write_register(struct ide_channel *ch, enum ata_register reg, u8 value)
{
	ch->control &= (u8)~ATA_CONTROL_HOB; /* ATA/ATAPI-7 vol. 2, 5.20 */
	if (reg == ATA_STATUS_COMMAND) {
		write_command(ch, value);
		return;
	}
	if (ch->phase != IDE_PHASE_IDLE || ch->busy) {
		ch->ignored++;
		return;
	}
	if (reg == ATA_DEVICE) {
		ch->device = value;
		return;
	}
	for (unsigned i = 0; i < IDE_DRIVES; i++) {
		struct ide_taskfile *now = &ch->drives[i].now, *before = &ch->drives[i].before;
		u8 *const bytes[][2] = {
			[ATA_ERROR_FEATURES] = { &now->features, &before->features },
			[ATA_COUNT] = { &now->count, &before->count },
			[ATA_LBA_LOW] = { &now->low, &before->low }, [ATA_LBA_MID] = { &now->mid, &before->mid },
			[ATA_LBA_HIGH] = { &now->high, &before->high },
		};

		*bytes[reg][1] = *bytes[reg][0];
		*bytes[reg][0] = value;
	}
}

static u8 read_register(struct ide_channel *ch, enum ata_register reg)
{
	const struct ide_drive *d = ide_selected(ch);
	const struct ide_taskfile *t = ch->control & ATA_CONTROL_HOB ? &d->before : &d->now;

	if (!is_there(ch))
		return 0xff; /* nothing drives the bus */
	if (d->kind == IDE_NONE)
		return 0;    /* drive 0 answers for a drive 1 that is not there, or the other way round */
	switch (reg) {
	case ATA_ERROR_FEATURES: return d->error;
	case ATA_COUNT: return t->count;
	case ATA_LBA_LOW: return t->low;
	case ATA_LBA_MID: return t->mid;
	case ATA_LBA_HIGH: return t->high;
	case ATA_DEVICE: return ch->device | ATA_DEVICE_OBSOLETE;
	default: return d->status;
	}
}

enum io_status ide_channel_access(struct ide_channel *ch, enum ata_register reg, struct io_access *io)
{
	if (reg == ATA_DATA) {
		if (io->size > 4)
			return IO_BAD_SIZE;
		ide_data_access(ch, io);
		return IO_OK;
	}
	if (io->size != 1)
		return IO_BAD_SIZE;
	if (io->write) {
		write_register(ch, reg, (u8)io->value);
		return IO_OK;
	}
	io->value = read_register(ch, reg);
	if (reg == ATA_STATUS_COMMAND) { /* ATA/ATAPI-7 vol. 2, 5.2: the drive takes its request back */
		ch->intrq = false;
		ide_update_line(ch);
	}
	return IO_OK;
}

void ide_control_access(struct ide_channel *ch, struct io_access *io)
{
	if (io->write)
		write_control(ch, (u8)io->value);
	else
		io->value = read_register(ch, ATA_STATUS_COMMAND);
}
