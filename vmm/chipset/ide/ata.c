/* Commands of an ATA disk (ATA/ATAPI-7 vol. 1, chapter 6) */
#include <errno.h>

#include "lib/log/log.h"
#include "vmm/chipset/ide/internal.h"

LOG_DOMAIN("ide");

u64 ide_capacity(const struct ide_drive *d, bool ext)
{
	return MIN(d->disk->sectors, ext ? ATA_LBA48_MAX : (u64)ATA_LBA28_MAX);
}

/* ---- addresses */
static u64 lba48(const struct ide_taskfile *now, const struct ide_taskfile *before)
{
	return (u64)before->high << 40 | (u64)before->mid << 32 | (u64)before->low << 24 | (u64)now->high << 16 |
	       (u64)now->mid << 8 | now->low;
}

/* cylinder, head, sector by the current translation; false: no such place */
static bool from_chs(const struct ide_channel *ch, const struct ide_drive *d, u64 *ret)
{
	u64 cylinder = (u64)d->now.high << 8 | d->now.mid;
	u8 head = ch->device & ATA_DEVICE_HEAD;

	if (head >= d->heads || !d->now.low || d->now.low > d->sectors)
		return false;
	*ret = (cylinder * d->heads + head) * d->sectors + d->now.low - 1;
	return true;
}

/* what the registers say, into the command; false: it is not on the disk */
static bool address(struct ide_channel *ch, bool ext)
{
	struct ide_drive *d = ide_selected(ch);
	struct ide_command *c = &ch->command;

	c->ext = ext;
	if (ext) {
		c->sector = lba48(&d->now, &d->before);
		c->left = (u64)d->before.count << 8 | d->now.count;
		if (!c->left)
			c->left = 65536;
	} else {
		c->left = d->now.count ? d->now.count : 256;
		c->sector = (u64)(ch->device & ATA_DEVICE_HEAD) << 24 | (u64)d->now.high << 16 |
			    (u64)d->now.mid << 8 | d->now.low;
		if (!(ch->device & ATA_DEVICE_LBA) && !from_chs(ch, d, &c->sector))
			return false;
	}
	return range_within(c->sector, c->left, 0, ide_capacity(d, ext));
}

/* where it went wrong, for software to read */
static void put_address(struct ide_channel *ch)
{
	struct ide_drive *d = ide_selected(ch);
	u64 lba = ch->command.sector;

	if (!ch->command.ext && !(ch->device & ATA_DEVICE_LBA)) {
		u64 track = lba / d->sectors, cylinder = track / d->heads;

		d->now.low = (u8)(lba % d->sectors + 1);
		d->now.mid = (u8)cylinder;
		d->now.high = (u8)(cylinder >> 8);
		ch->device = (u8)((ch->device & ~ATA_DEVICE_HEAD) | track % d->heads);
		return;
	}
	d->now.low = (u8)lba;
	d->now.mid = (u8)(lba >> 8);
	d->now.high = (u8)(lba >> 16);
	if (ch->command.ext) {
		d->before.low = (u8)(lba >> 24);
		d->before.mid = (u8)(lba >> 32);
		d->before.high = (u8)(lba >> 40);
	} else {
		ch->device = (u8)((ch->device & ~ATA_DEVICE_HEAD) | (lba >> 24 & ATA_DEVICE_HEAD));
	}
}

/* a read's medium is bad; what was to be written or flushed is not on it, which only a device fault says */
void ide_ata_failed(struct ide_channel *ch, int error)
{
	const struct ide_command *c = &ch->command;

	log_guest("ide%u: command %#x at sector %llu: error %d", ch->index, c->opcode, (unsigned long long)c->sector, -error);
	put_address(ch);
	if (error == -EROFS || error == -EOPNOTSUPP)
		ide_end(ch, ATA_STATUS_ERR, ATA_ERROR_ABRT, true);
	else if (error == -EINVAL)
		ide_end(ch, ATA_STATUS_ERR, ATA_ERROR_IDNF, true);
	else if (ch->request.op == DISK_READ && error == -EIO)
		ide_end(ch, ATA_STATUS_ERR, ATA_ERROR_UNC, true);
	else
		ide_end(ch, ATA_STATUS_ERR | ATA_STATUS_DF, ATA_ERROR_ABRT, true);
}

/* ---- data */
enum { EXT = 1, OUT = 2, DMA = 4, MANY = 8 /* blocks of SET MULTIPLE MODE */, FUA = 16, VERIFY = 32 };

static void transfer(struct ide_channel *ch, unsigned flags)
{
	struct ide_drive *d = ide_selected(ch);
	struct ide_command *c = &ch->command;

	if ((flags & MANY && !d->multiple) || (flags & OUT && d->disk->read_only)) {
		ide_abort(ch, ATA_ERROR_ABRT);
		return;
	}
	if (!address(ch, flags & EXT)) {
		ide_abort(ch, ATA_ERROR_IDNF);
		return;
	}
	d->standby = false;
	c->work = flags & VERIFY ? IDE_WORK_VERIFY : IDE_WORK_DISK;
	c->out = flags & OUT;
	c->dma = flags & DMA;
	/* a cache that is off holds nothing back */
	c->flags = flags & FUA || (c->out && !d->write_cache) ? DISK_FUA : 0;
	c->block = flags & MANY ? d->multiple * ATA_SECTOR : ATA_SECTOR;
	c->quiet = c->out; /* the first block out is not announced: vol. 2, 9.6 */
	if (c->out && !c->dma)
		c->len = (u32)MIN(c->left * ATA_SECTOR, (u64)IDE_BUFFER_LEN);
	ide_go(ch);
}

static void flush(struct ide_channel *ch, enum ide_then then)
{
	ch->command.work = IDE_WORK_FLUSH;
	ch->command.left = 1;
	ch->command.then = then;
	ide_go(ch);
}

/* ---- DATA SET MANAGEMENT (ACS-2, 7.10) */
static void data_set_management(struct ide_channel *ch, unsigned flags)
{
	struct ide_drive *d = ide_selected(ch);
	struct ide_command *c = &ch->command;
	u32 blocks = (u32)d->before.count << 8 | d->now.count;

	if (!d->disk->unmap_granularity || d->disk->read_only || d->now.features != ATA_DSM_TRIM || !blocks ||
	    blocks > IDE_TRIM_BLOCKS) {
		ide_abort(ch, ATA_ERROR_ABRT);
		return;
	}
	c->work = IDE_WORK_COLLECT;
	c->then = IDE_THEN_TRIM;
	c->out = c->dma = true;
	c->len = blocks * ATA_SECTOR;
	ide_go(ch);
}

bool ide_trim_next(struct ide_channel *ch, u64 *ret_sector, u64 *ret_count)
{
	struct ide_command *c = &ch->command;

	while (c->at < c->len) {
		struct ata_trim_range range;

		memcpy(&range, ch->buffer + c->at, sizeof(range));
		c->at += sizeof(range);
		if (range.value & ATA_TRIM_COUNT) {
			*ret_sector = range.value & ATA_TRIM_LBA;
			*ret_count = FIELD_GET(ATA_TRIM_COUNT, range.value);
			return true;
		}
	}
	return false;
}

/* all ranges are looked at before the first is given away */
void ide_trim(struct ide_channel *ch)
{
	struct ide_command *c = &ch->command;
	u64 count, capacity = ide_capacity(ide_selected(ch), true);
	bool good = true;

	c->at = 0;
	while (good && ide_trim_next(ch, &c->sector, &count))
		good = range_within(c->sector, count, 0, capacity);
	c->at = 0;
	c->ext = true;
	if (!good) {
		put_address(ch);
		ide_abort(ch, ATA_ERROR_IDNF);
		return;
	}
	c->work = IDE_WORK_TRIM;
	ide_go(ch);
}

/* ---- settings */
static void set_multiple(struct ide_channel *ch, unsigned flags)
{
	struct ide_drive *d = ide_selected(ch);
	u8 count = d->now.count;

	if (count > IDE_MULTIPLE_MAX || count & (count - 1)) {
		d->multiple = 0;
		ide_abort(ch, ATA_ERROR_ABRT);
		return;
	}
	d->multiple = count;
	ide_good(ch);
}

static bool is_mode(u8 mode)
{
	return mode <= 1 || (mode >= ATA_MODE_PIO_FLOW && mode <= (ATA_MODE_PIO_FLOW | 4)) ||
	       (mode >= ATA_MODE_MWDMA && mode <= (ATA_MODE_MWDMA | 2)) || (mode >= ATA_MODE_UDMA && mode <= (ATA_MODE_UDMA | 5));
}

static void set_features(struct ide_channel *ch, unsigned flags)
{
	struct ide_drive *d = ide_selected(ch);
	bool disk = d->kind == IDE_DISK;

	switch (d->now.features) {
	case ATA_FEATURE_TRANSFER_MODE:
		if (!is_mode(d->now.count)) {
			ide_abort(ch, ATA_ERROR_ABRT);
			return;
		}
		d->mode = d->now.count;
		break;
	case ATA_FEATURE_WRITE_CACHE:
		if (!disk) {
			ide_abort(ch, ATA_ERROR_ABRT);
			return;
		}
		d->write_cache = true;
		break;
	case ATA_FEATURE_NO_WRITE_CACHE:
		if (!disk) {
			ide_abort(ch, ATA_ERROR_ABRT);
			return;
		}
		d->write_cache = false; /* what is in it goes out first */
		flush(ch, IDE_THEN_NOTHING);
		return;
	case ATA_FEATURE_NO_REVERT:
	case ATA_FEATURE_REVERT:
		d->keep = d->now.features == ATA_FEATURE_NO_REVERT;
		break;
	case ATA_FEATURE_LOOK_AHEAD:
	case ATA_FEATURE_NO_LOOK_AHEAD:
		break;
	default:
		ide_abort(ch, ATA_ERROR_ABRT);
		return;
	}
	ide_good(ch);
}

static void initialize_parameters(struct ide_channel *ch, unsigned flags)
{
	struct ide_drive *d = ide_selected(ch);

	if (!d->now.count) {
		ide_abort(ch, ATA_ERROR_ABRT);
		return;
	}
	d->heads = (u8)((ch->device & ATA_DEVICE_HEAD) + 1);
	d->sectors = d->now.count;
	ide_good(ch);
}

/* ---- power */
void ide_standby(struct ide_channel *ch, bool sleep)
{
	struct ide_drive *d = ide_selected(ch);

	d->standby = true;
	d->asleep = sleep;
	ide_good(ch);
}

static void go_standby(struct ide_channel *ch, unsigned flags)
{
	flush(ch, ch->command.opcode == ATA_SLEEP ? IDE_THEN_SLEEP : IDE_THEN_STANDBY);
}

static void idle(struct ide_channel *ch, unsigned flags)
{
	ide_selected(ch)->standby = false;
	ide_good(ch);
}

/* the timer that the count asks for never runs out here */
static void standby_timer(struct ide_channel *ch, unsigned flags)
{
	if (ch->command.opcode == ATA_IDLE)
		idle(ch, flags);
	else
		go_standby(ch, flags);
}

static void check_power(struct ide_channel *ch, unsigned flags)
{
	struct ide_drive *d = ide_selected(ch);

	d->now.count = d->standby ? ATA_POWER_STANDBY : ATA_POWER_ACTIVE;
	ide_good(ch);
}

static void flush_cache(struct ide_channel *ch, unsigned flags)
{
	flush(ch, IDE_THEN_NOTHING);
}

static void identify(struct ide_channel *ch, unsigned flags)
{
	ide_identify(ch);
}

static void seek(struct ide_channel *ch, unsigned flags)
{
	struct ide_drive *d = ide_selected(ch);

	d->now.count = 1;
	if (address(ch, false))
		ide_good(ch);
	else
		ide_abort(ch, ATA_ERROR_IDNF);
}

static void nothing(struct ide_channel *ch, unsigned flags)
{
	ide_good(ch);
}

static const struct entry {
	u8 first, last;
	u8 flags;
	void (*run)(struct ide_channel *ch, unsigned flags);
} entries[] = {
	{ ATA_DATA_SET_MANAGEMENT, ATA_DATA_SET_MANAGEMENT, 0, data_set_management },
	{ ATA_RECALIBRATE, ATA_RECALIBRATE | 0xf, 0, nothing },
	{ ATA_READ_SECTORS, ATA_READ_SECTORS_NO_RETRY, 0, transfer },
	{ ATA_READ_SECTORS_EXT, ATA_READ_SECTORS_EXT, EXT, transfer },
	{ ATA_READ_DMA_EXT, ATA_READ_DMA_EXT, EXT | DMA, transfer },
	{ ATA_READ_MULTIPLE_EXT, ATA_READ_MULTIPLE_EXT, EXT | MANY, transfer },
	{ ATA_WRITE_SECTORS, ATA_WRITE_SECTORS_NO_RETRY, OUT, transfer },
	{ ATA_WRITE_SECTORS_EXT, ATA_WRITE_SECTORS_EXT, EXT | OUT, transfer },
	{ ATA_WRITE_DMA_EXT, ATA_WRITE_DMA_EXT, EXT | OUT | DMA, transfer },
	{ ATA_WRITE_MULTIPLE_EXT, ATA_WRITE_MULTIPLE_EXT, EXT | OUT | MANY, transfer },
	{ ATA_WRITE_DMA_FUA_EXT, ATA_WRITE_DMA_FUA_EXT, EXT | OUT | DMA | FUA, transfer },
	{ ATA_READ_VERIFY, ATA_READ_VERIFY_NO_RETRY, VERIFY, transfer },
	{ ATA_READ_VERIFY_EXT, ATA_READ_VERIFY_EXT, EXT | VERIFY, transfer },
	{ ATA_SEEK, ATA_SEEK | 0xf, 0, seek },
	{ ATA_INITIALIZE_PARAMETERS, ATA_INITIALIZE_PARAMETERS, 0, initialize_parameters },
	{ ATA_READ_MULTIPLE, ATA_READ_MULTIPLE, MANY, transfer },
	{ ATA_WRITE_MULTIPLE, ATA_WRITE_MULTIPLE, OUT | MANY, transfer },
	{ ATA_SET_MULTIPLE, ATA_SET_MULTIPLE, 0, set_multiple },
	{ ATA_READ_DMA, ATA_READ_DMA_NO_RETRY, DMA, transfer },
	{ ATA_WRITE_DMA, ATA_WRITE_DMA_NO_RETRY, OUT | DMA, transfer },
	{ ATA_WRITE_MULTIPLE_FUA_EXT, ATA_WRITE_MULTIPLE_FUA_EXT, EXT | OUT | MANY | FUA, transfer },
	{ ATA_STANDBY_IMMEDIATE, ATA_STANDBY_IMMEDIATE, 0, go_standby },
	{ ATA_IDLE_IMMEDIATE, ATA_IDLE_IMMEDIATE, 0, idle },
	{ ATA_STANDBY, ATA_IDLE, 0, standby_timer },
	{ ATA_CHECK_POWER_MODE, ATA_CHECK_POWER_MODE, 0, check_power },
	{ ATA_SLEEP, ATA_SLEEP, 0, go_standby },
	{ ATA_FLUSH_CACHE, ATA_FLUSH_CACHE, 0, flush_cache },
	{ ATA_FLUSH_CACHE_EXT, ATA_FLUSH_CACHE_EXT, 0, flush_cache },
	{ ATA_IDENTIFY, ATA_IDENTIFY, 0, identify },
	{ ATA_SET_FEATURES, ATA_SET_FEATURES, 0, set_features },
};

/* NOP is among what is not there: it always ends so */
void ide_ata_command(struct ide_channel *ch)
{
	u8 opcode = ch->command.opcode;

	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		if (opcode >= entries[i].first && opcode <= entries[i].last) {
			entries[i].run(ch, entries[i].flags);
			return;
		}
	ide_abort(ch, ATA_ERROR_ABRT);
}

void ide_packet_command(struct ide_channel *ch)
{
	struct ide_drive *d = ide_selected(ch);
	struct ide_command *c = &ch->command;

	switch (c->opcode) {
	case ATA_PACKET:
		c->packet = c->out = c->quiet = true;
		c->dma = false; /* the packet itself comes by the port */
		c->work = IDE_WORK_COLLECT;
		c->then = IDE_THEN_PACKET;
		c->len = c->block = ATA_PACKET_LEN;
		ide_go(ch);
		break;
	case ATA_IDENTIFY_PACKET: ide_identify_packet(ch); break;
	case ATA_SET_FEATURES: set_features(ch, 0); break;
	case ATA_CHECK_POWER_MODE: check_power(ch, 0); break;
	case ATA_IDLE_IMMEDIATE: idle(ch, 0); break;
	case ATA_STANDBY_IMMEDIATE: ide_standby(ch, false); break;
	case ATA_SLEEP: ide_standby(ch, false); break;
	case ATA_IDENTIFY:
	case ATA_READ_SECTORS:
		ide_signature(d); /* this tells software what it talks to (vol. 1, 6.17.5, 6.34.5) */
		ide_abort(ch, ATA_ERROR_ABRT);
		break;
	default: ide_abort(ch, ATA_ERROR_ABRT); break;
	}
}
