/* The controller as a device: ports, the PCI function, drives (82371AB, chapters 5 and 6) */
#include "vmm/chipset/ide/ide.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/log/log.h"
#include "spec/mmc.h"
#include "vmm/chipset/ide/internal.h"

LOG_DOMAIN("ide");

enum { R_PRIMARY, R_PRIMARY_CONTROL, R_SECONDARY, R_SECONDARY_CONTROL };

static enum io_status ide_access(struct device *dev, unsigned region, struct io_access *io)
{
	struct ide *ide = container_of(dev, struct ide, dev);
	struct ide_channel *ch = &ide->channels[region >= R_SECONDARY];

	if (region == R_PRIMARY || region == R_SECONDARY)
		return ide_channel_access(ch, (enum ata_register)io->offset, io);
	ide_control_access(ch, io);
	return IO_OK;
}

/* a bus master that was asked to run before it may: it runs now */
static void config_written(struct pci_bus_function *f, unsigned offset, unsigned len)
{
	struct ide *ide = container_of(f, struct ide, pci);

	for (unsigned i = 0; i < IDE_CHANNELS; i++)
		if (ide->channels[i].phase == IDE_PHASE_DMA && ide_bus_master_ready(&ide->channels[i]))
			ide_go(&ide->channels[i]);
}

static void ide_start(struct device *dev)
{
	struct ide *ide = container_of(dev, struct ide, dev);

	ide->stopped = false;
	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &ide->channels[i];

		if (ch->resume)
			ide_go(ch);
		else if (ch->ended)
			ide_step_over(ch);
		else if (ch->held)
			ide_submit_held(ch);
		else if (ch->phase == IDE_PHASE_DMA && ide_bus_master_ready(ch))
			ide_go(ch);
		ch->resume = false;
	}
}

/* a step that is with the disk ends, and its end waits for the start */
static void ide_stop(struct device *dev)
{
	container_of(dev, struct ide, dev)->stopped = true;
}

/* software's bits, which firmware would have set */
static u8 capable(const struct ide_channel *ch)
{
	return (u8)((ch->drives[0].kind ? 0x20 : 0) | (ch->drives[1].kind ? 0x40 : 0));
}

static void ide_reset(struct device *dev)
{
	struct ide *ide = container_of(dev, struct ide, dev);

	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &ide->channels[i];

		ch->control = ch->device = 0;
		ch->intrq = false;
		ch->bm = (struct ide_bus_master){ .status = capable(ch) };
		ide_update_line(ch);
		for (unsigned k = 0; k < IDE_DRIVES; k++)
			ch->drives[k].keep = ch->drives[k].locked = false;
		ch->reset_mask = 3;
		if (!ch->busy)
			ide_reset_drives(ch);
	}
}

static const struct device_ops ops = {
	.access = ide_access, .start = ide_start, .stop = ide_stop, .reset = ide_reset, .save = ide_save,
	.restore = ide_restore, .inspect = ide_inspect,
};
static const struct region regions[] = {
	[R_PRIMARY] = { "IDE primary", SPACE_PIO, ATA_PRIMARY_COMMAND, 8 },
	[R_PRIMARY_CONTROL] = { "IDE primary control", SPACE_PIO, ATA_PRIMARY_CONTROL, 1 },
	[R_SECONDARY] = { "IDE secondary", SPACE_PIO, ATA_SECONDARY_COMMAND, 8 },
	[R_SECONDARY_CONTROL] = { "IDE secondary control", SPACE_PIO, ATA_SECONDARY_CONTROL, 1 },
};

static void make_function(struct ide *ide)
{
	struct pci_bus_function *f = &ide->pci;

	pci_bus_function_init(f, "ide", PCI_DEVFN(7, 1), PCI_DEVICE_PIIX4_IDE, PCI_CLASS_IDE_BUS_MASTER);
	pci_config_put(f, PCI_REVISION_ID, 1, 1);
	/* firmware would have enabled it; there is none */
	pci_config_put(f, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MASTER, 2);
	pci_bus_function_io(f, 4, IDE_BUS_MASTER_PORT, IDE_BUS_MASTER_LEN);
	/* timings are kept for software to read; both channels stay decoded */
	memset(f->writable + PIIX4_IDE_TIMING, 0xff, PIIX4_IDE_UDMA_TIMING + 2 - PIIX4_IDE_TIMING);
	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		pci_config_put(f, PIIX4_IDE_TIMING + 2 * i, PIIX4_IDE_TIMING_DECODE, 2);
		f->writable[PIIX4_IDE_TIMING + 2 * i + 1] &= 0x7f;
	}
	f->dev = &ide->dev;
	f->written = config_written;
	f->io = ide_bus_master_access;
}

struct ide *ide_create(const struct ide_config *config)
{
	struct ide *ide = calloc(1, sizeof(*ide));

	if (!ide) {
		log_err(-ENOMEM, "IDE controller");
		return NULL;
	}
	ide->dev = (struct device){ .name = "ide", .tag = STATE_TAG('I', 'D', 'E', ' '), .ops = &ops, .regions = regions,
				    .region_count = ARRAY_SIZE(regions), .home = config->home };
	ide->guest = config->guest;
	ide->isa = config->isa;
	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		ide->channels[i].ide = ide;
		ide->channels[i].index = i;
	}
	make_function(ide);
	return ide;
}

void ide_destroy(struct ide *ide)
{
	if (!ide)
		return;
	for (unsigned i = 0; i < IDE_CHANNELS; i++)
		for (unsigned k = 0; k < IDE_DRIVES; k++)
			disk_destroy(ide->channels[i].drives[k].disk);
	free(ide);
}

struct device *ide_device(struct ide *ide)
{
	return &ide->dev;
}

struct pci_bus_function *ide_function(struct ide *ide)
{
	return &ide->pci;
}

static int refusal(struct ide *ide, unsigned channel, unsigned drive, enum ide_kind kind, const struct disk *disk)
{
	if (channel >= IDE_CHANNELS || drive >= IDE_DRIVES || kind == IDE_NONE)
		return log_err(-EINVAL, "IDE has no drive %u:%u", channel, drive);
	if (ide->channels[channel].drives[drive].kind != IDE_NONE)
		return log_err(-EEXIST, "IDE %u:%u", channel, drive);
	if (disk->sector_size != ATA_SECTOR)
		return log_err(-EINVAL, "IDE %u:%u: sectors of %u bytes; only %u is possible", channel, drive, disk->sector_size,
			       ATA_SECTOR);
	if (disk->sectors < (kind == IDE_CD ? MMC_SECTOR / ATA_SECTOR : 1))
		return log_err(-EINVAL, "IDE %u:%u: an empty disk", channel, drive);
	return 0;
}

int ide_add(struct ide *ide, unsigned channel, unsigned drive, enum ide_kind kind, struct disk *disk)
{
	int r = refusal(ide, channel, drive, kind, disk);

	if (r) {
		disk_destroy(disk);
		return r;
	}
	device_lock(&ide->dev);
	struct ide_drive *d = &ide->channels[channel].drives[drive];

	d->kind = kind;
	d->disk = disk;
	d->attention = kind == IDE_CD ? ASC_POWER_ON_RESET : 0;
	d->media_event = kind == IDE_CD ? MMC_EVENT_NEW_MEDIA : 0;
	ide_power_on(d);
	ide->channels[channel].bm.status |= capable(&ide->channels[channel]);
	device_unlock(&ide->dev);
	return 0;
}
