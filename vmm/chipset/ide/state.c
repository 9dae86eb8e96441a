/* Saved state, and what inspect shows */
#include <errno.h>

#include "vmm/chipset/ide/internal.h"

/* little endian; a step that is with the disk is done again after a restore, from where it began */
struct saved_drive {
	u8 kind, status, error, multiple, mode, heads, sectors;
	u8 write_cache, keep, standby, asleep, ejected, locked, sense_key, media_event, reserved;
	u16 asc, attention;
	struct ide_taskfile now, before;
	u8 reserved2[2];
};
_Static_assert(sizeof(struct saved_drive) == 32, "saved state, version 1");

struct saved_channel {
	struct saved_drive drives[IDE_DRIVES];
	u8 control, device, intrq, phase, reset_mask;
	u8 bm_command, bm_status, bm_stopped;
	u32 bm_table;
	u8 opcode, out, dma, packet, ext, quiet, work, then;
	u32 unit, flags, block, at, end, len;
	u32 table, entries, base, region_left, last;
	u64 sector, left;
};
_Static_assert(sizeof(struct saved_channel) == 144, "saved state, version 1");

static void save_drive(const struct ide_drive *d, struct saved_drive *s)
{
	*s = (struct saved_drive){
		.kind = (u8)d->kind, .status = d->status, .error = d->error, .multiple = d->multiple, .mode = d->mode,
		.heads = d->heads, .sectors = d->sectors, .write_cache = d->write_cache, .keep = d->keep, .standby = d->standby,
		.asleep = d->asleep, .ejected = d->ejected, .locked = d->locked, .sense_key = d->sense_key,
		.media_event = d->media_event, .asc = d->asc, .attention = d->attention, .now = d->now, .before = d->before,
	};
}

static void save_channel(const struct ide_channel *ch, struct saver *to)
{
	const struct ide_command *c = &ch->command;
	const struct ide_cursor *at = ch->phase == IDE_PHASE_DISK && c->dma ? &ch->bm.before : &ch->bm.cursor;
	struct saved_channel s = {
		.control = ch->control, .device = ch->device, .intrq = ch->intrq, .phase = (u8)ch->phase,
		.reset_mask = ch->reset_mask, .bm_command = ch->bm.command, .bm_status = ch->bm.status,
		.bm_stopped = ch->bm.stopped, .bm_table = ch->bm.table, .opcode = c->opcode, .out = c->out, .dma = c->dma,
		.packet = c->packet, .ext = c->ext, .quiet = c->quiet, .work = (u8)c->work, .then = (u8)c->then,
		.unit = c->unit, .flags = c->flags, .block = c->block, .at = c->at, .end = c->end, .len = c->len,
		.table = at->table, .entries = at->entries, .base = at->base, .region_left = at->left, .last = at->last,
		.sector = c->sector, .left = c->left,
	};

	/* a command that has ended leaves its places behind: they mean nothing, and nobody keeps them in order */
	if (ch->phase == IDE_PHASE_IDLE)
		s.at = s.end = s.len = 0;
	/* that range of a trim which was given to the disk is given again */
	if (ch->phase == IDE_PHASE_DISK && c->work == IDE_WORK_TRIM)
		s.at -= sizeof(struct ata_trim_range);
	for (unsigned i = 0; i < IDE_DRIVES; i++)
		save_drive(&ch->drives[i], &s.drives[i]);
	saver_put(to, &s, sizeof(s));
	saver_put(to, ch->buffer, s.len);
}

void ide_save(struct device *dev, struct saver *s)
{
	struct ide *ide = container_of(dev, struct ide, dev);

	for (unsigned i = 0; i < IDE_CHANNELS; i++)
		save_channel(&ide->channels[i], s);
}

static bool is_flag(u8 value)
{
	return value <= 1;
}

/* what the rest of the code relies on */
static bool command_is_sound(const struct ide_channel *ch, const struct saved_channel *s)
{
	const struct ide_drive *d = &ch->drives[(s->device & ATA_DEVICE_DEV) != 0];
	bool cd = d->kind == IDE_CD;

	if (s->phase > IDE_PHASE_DMA || s->work > IDE_WORK_TRIM || s->then > IDE_THEN_SLEEP || s->reset_mask > 3)
		return false;
	if (s->len > IDE_BUFFER_LEN || s->end > s->len || s->at > s->len || (s->phase == IDE_PHASE_DATA && s->at >= s->end))
		return false;
	/* of a request that a reset only waits for, nothing is needed: and the device that was selected for it is not any more */
	if (s->phase == IDE_PHASE_IDLE || (s->phase == IDE_PHASE_DISK && s->reset_mask))
		return true;
	if (d->kind == IDE_NONE || s->work == IDE_WORK_NONE || !s->block || s->flags & ~DISK_FUA)
		return false;
	if (s->packet ? !cd : cd && s->work != IDE_WORK_REPLY)
		return false;
	if (s->unit != (s->packet && s->work == IDE_WORK_DISK ? 2048 : ATA_SECTOR))
		return false;
	if ((s->work == IDE_WORK_DISK && (s->out && cd)) || (s->phase == IDE_PHASE_DMA && !s->dma))
		return false;
	if (s->work == IDE_WORK_TRIM && (s->len % sizeof(struct ata_trim_range) || s->at % sizeof(struct ata_trim_range)))
		return false;
	if (s->work == IDE_WORK_FLUSH)
		return s->left <= 1;
	if (s->work == IDE_WORK_DISK && s->out && !s->dma && s->len != MIN(s->left * ATA_SECTOR, (u64)IDE_BUFFER_LEN))
		return false;
	if (s->work == IDE_WORK_DISK && s->dma && s->left * ATA_SECTOR % s->unit)
		return false;
	if (s->work == IDE_WORK_COLLECT && s->then == IDE_THEN_PACKET && (!cd || s->len != ATA_PACKET_LEN))
		return false;
	return s->left <= 1ull << 34 && range_within(s->sector, s->left, 0, d->disk->sectors);
}

static bool drive_is_sound(const struct ide_drive *d, const struct saved_drive *s)
{
	return s->kind == d->kind && s->multiple <= IDE_MULTIPLE_MAX && !(s->multiple & (s->multiple - 1)) && s->heads &&
	       s->heads <= 16 && s->sectors && is_flag(s->write_cache) && is_flag(s->keep) && is_flag(s->standby) &&
	       is_flag(s->asleep) && is_flag(s->ejected) && is_flag(s->locked) && s->sense_key < 16;
}

static void restore_drive(struct ide_drive *d, const struct saved_drive *s)
{
	d->status = s->status;
	d->error = s->error;
	d->multiple = s->multiple;
	d->mode = s->mode;
	d->heads = s->heads;
	d->sectors = s->sectors;
	d->write_cache = s->write_cache;
	d->keep = s->keep;
	d->standby = s->standby;
	d->asleep = s->asleep;
	d->ejected = s->ejected;
	d->locked = s->locked;
	d->sense_key = s->sense_key;
	d->media_event = s->media_event;
	d->asc = s->asc;
	d->attention = s->attention;
	d->now = s->now;
	d->before = s->before;
}

static void apply(struct ide_channel *ch, const struct saved_channel *s)
{
	ch->control = s->control;
	ch->device = s->device;
	ch->phase = s->phase;
	ch->reset_mask = s->reset_mask;
	ch->bm = (struct ide_bus_master){ .command = s->bm_command, .status = s->bm_status, .stopped = s->bm_stopped,
					  .table = s->bm_table,
					  .cursor = { s->table, s->entries, s->base, s->region_left, s->last } };
	ch->command = (struct ide_command){ .opcode = s->opcode, .out = s->out, .dma = s->dma, .packet = s->packet,
					    .ext = s->ext, .quiet = s->quiet, .work = s->work, .then = s->then,
					    .sector = s->sector, .left = s->left, .unit = s->unit, .flags = s->flags,
					    .block = s->block, .at = s->at, .end = s->end, .len = s->len };
	/* a request that a reset only waited for is not made again */
	if (ch->phase == IDE_PHASE_DISK && ch->reset_mask) {
		ch->phase = IDE_PHASE_IDLE;
		if (!(ch->control & ATA_CONTROL_SRST))
			ide_reset_drives(ch);
	}
	ch->resume = ch->phase == IDE_PHASE_DISK;
	ch->intrq = s->intrq;
	ide_update_line(ch);
}

static int restore_channel(struct ide_channel *ch, struct bytes *b)
{
	struct saved_channel s;

	if (!bytes_copy(b, &s, sizeof(s)) || !is_flag(s.out) || !is_flag(s.dma) || !is_flag(s.packet) || !is_flag(s.ext) ||
	    !is_flag(s.quiet) || !is_flag(s.intrq) || !is_flag(s.bm_stopped) || s.last > 1)
		return -EPROTO;
	for (unsigned i = 0; i < IDE_DRIVES; i++)
		if (!drive_is_sound(&ch->drives[i], &s.drives[i]) && ch->drives[i].kind != IDE_NONE)
			return -EPROTO;
	if (!command_is_sound(ch, &s) || !bytes_copy(b, ch->buffer, s.len))
		return -EPROTO;
	for (unsigned i = 0; i < IDE_DRIVES; i++)
		if (ch->drives[i].kind != IDE_NONE)
			restore_drive(&ch->drives[i], &s.drives[i]);
	apply(ch, &s);
	return 0;
}

int ide_restore(struct device *dev, struct bytes b)
{
	struct ide *ide = container_of(dev, struct ide, dev);
	int r = 0;

	ide->stopped = true; /* until the start: what goes on by itself waits */
	for (unsigned i = 0; i < IDE_CHANNELS && !r; i++)
		r = ide->channels[i].busy ? -EBUSY : restore_channel(&ide->channels[i], &b);
	return r;
}

/* ---- inspect */
static void taskfile_inspect(void *object, struct inspect *in)
{
	struct ide_taskfile *t = object;

	inspect_hex(in, "features", t->features);
	inspect_hex(in, "count", t->count);
	inspect_hex(in, "lba_low", t->low);
	inspect_hex(in, "lba_mid", t->mid);
	inspect_hex(in, "lba_high", t->high);
}

static void drive_inspect(void *object, struct inspect *in)
{
	struct ide_drive *d = object;

	inspect_str(in, "kind", d->kind == IDE_CD ? "cd" : "disk");
	inspect_hex(in, "status", d->status);
	inspect_hex(in, "error", d->error);
	inspect_u64(in, "multiple", d->multiple);
	inspect_hex(in, "transfer_mode", d->mode);
	inspect_bool(in, "write_cache", d->write_cache);
	inspect_bool(in, "standby", d->standby);
	if (d->kind == IDE_CD) {
		inspect_bool(in, "ejected", d->ejected);
		inspect_bool(in, "locked", d->locked);
		inspect_hex(in, "sense_key", d->sense_key);
		inspect_hex(in, "asc", d->asc);
	}
	inspect_count(in, "commands", d->commands);
	inspect_count(in, "errors", d->errors);
	inspect_count(in, "sectors_read", d->sectors_read);
	inspect_count(in, "sectors_written", d->sectors_written);
	inspect_count(in, "flushes", d->flushes);
	inspect_count(in, "pio_bytes", d->pio_bytes);
	inspect_count(in, "dma_bytes", d->dma_bytes);
	inspect_child(in, "registers", taskfile_inspect, &d->now);
	inspect_child(in, "disk", disk_inspect, d->disk);
}

static void bus_master_inspect(void *object, struct inspect *in)
{
	struct ide_bus_master *bm = object;

	inspect_hex(in, "command", bm->command);
	inspect_hex(in, "status", bm->status);
	inspect_hex(in, "table", bm->table);
	inspect_u64(in, "entries_taken", bm->cursor.entries);
}

static void channel_inspect(void *object, struct inspect *in)
{
	static const char *const phases[] = { "idle", "disk", "data", "dma" };
	struct ide_channel *ch = object;

	inspect_str(in, "phase", phases[ch->phase]);
	inspect_hex(in, "device_control", ch->control);
	inspect_hex(in, "device", ch->device);
	inspect_bool(in, "interrupt", ch->line);
	inspect_hex(in, "command", ch->command.opcode);
	inspect_u64(in, "sector", ch->command.sector);
	inspect_u64(in, "left", ch->command.left);
	inspect_count(in, "interrupts", ch->interrupts);
	inspect_count(in, "steps", ch->steps);
	inspect_count(in, "ignored", ch->ignored);
	inspect_count(in, "bad_prds", ch->bad_prds);
	inspect_child(in, "bus_master", bus_master_inspect, &ch->bm);
	for (unsigned i = 0; i < IDE_DRIVES; i++)
		if (ch->drives[i].kind != IDE_NONE)
			inspect_child_index(in, i, drive_inspect, &ch->drives[i]);
}

void ide_inspect(struct device *dev, struct inspect *in)
{
	struct ide *ide = container_of(dev, struct ide, dev);

	inspect_child(in, "primary", channel_inspect, &ide->channels[0]);
	inspect_child(in, "secondary", channel_inspect, &ide->channels[1]);
}
