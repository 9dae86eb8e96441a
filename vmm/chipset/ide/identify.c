/* IDENTIFY DEVICE and IDENTIFY PACKET DEVICE (ATA/ATAPI-7 vol. 1, 6.17 and 6.18) */
#include "vmm/chipset/ide/internal.h"

/* the name of a disk of Hyper-V's first generation: guests have rules for it */
#define DISK_MODEL "Virtual HD"
#define CD_MODEL "Virtual CD"
#define FIRMWARE "1.1.0"

/* two characters a word, the first one in its upper half */
static void put_text(u16 *words, unsigned at, unsigned len, const char *text)
{
	size_t left = strlen(text);

	for (unsigned i = 0; i < len; i++) {
		u8 c = i < left ? (u8)text[i] : ' ';

		words[at + i / 2] |= (u16)(i & 1 ? c : c << 8);
	}
}

static void put_u32(u16 *words, unsigned at, u64 value)
{
	words[at] = (u16)value;
	words[at + 1] = (u16)(value >> 16);
}

static void put_serial(u16 *words, const struct guid *id)
{
	static const char digits[] = "0123456789abcdef";
	char text[IDE_SERIAL_LEN + 1];
	u8 bytes[16];

	/* the half of the id in which disks of one machine differ, and two bytes more */
	memcpy(bytes, id, sizeof(bytes));
	for (unsigned i = 0; i < IDE_SERIAL_LEN; i++)
		text[i] = digits[bytes[6 + i / 2] >> (i & 1 ? 0 : 4) & 15];
	text[IDE_SERIAL_LEN] = 0;
	put_text(words, ATA_ID_SERIAL, IDE_SERIAL_LEN, text);
}

/* what disk and CD have in common: names, DMA, the selected mode */
static void put_common(u16 *w, const struct ide_drive *d, const char *model)
{
	u8 mode = d->mode & 7;

	put_serial(w, &d->disk->id);
	put_text(w, ATA_ID_FIRMWARE, 8, FIRMWARE);
	put_text(w, ATA_ID_MODEL, 40, model);
	w[ATA_ID_CAPABILITIES] = ATA_ID_CAPABILITIES_DMA | ATA_ID_CAPABILITIES_LBA | ATA_ID_CAPABILITIES_IORDY;
	w[ATA_ID_VALID] = 7;
	w[ATA_ID_MWDMA] = (u16)(7 | (d->mode >= ATA_MODE_MWDMA && d->mode < ATA_MODE_UDMA ? 0x100 << mode : 0));
	w[ATA_ID_PIO] = 3; /* modes 3 and 4 */
	for (unsigned i = 0; i < 4; i++)
		w[ATA_ID_CYCLE_TIMES + i] = ATA_ID_CYCLE_NS;
	w[ATA_ID_MAJOR] = ATA_ID_MAJOR_4_TO_7;
	w[ATA_ID_UDMA] = (u16)(0x3f | (d->mode >= ATA_MODE_UDMA ? 0x100 << mode : 0));
}

static void put_sets(u16 *w, u16 set1, u16 set2, u16 set3, u16 off)
{
	w[ATA_ID_COMMAND_SET_1] = set1;
	w[ATA_ID_COMMAND_SET_2] = (u16)(ATA_ID_SET_VALID | set2);
	w[ATA_ID_COMMAND_SET_3] = (u16)(ATA_ID_SET_VALID | set3);
	w[ATA_ID_ENABLED_1] = (u16)(set1 & ~off);
	w[ATA_ID_ENABLED_2] = set2;
	w[ATA_ID_ENABLED_3] = (u16)(ATA_ID_SET_VALID | set3);
}

static void put_geometry(u16 *w, const struct ide_drive *d)
{
	u64 sectors = MIN(ide_capacity(d, false), (u64)16383 * 16 * 63);
	u64 cylinders = MIN(sectors / ((u64)d->heads * d->sectors), (u64)65535);

	w[ATA_ID_CYLINDERS] = (u16)(sectors / (16 * 63));
	w[ATA_ID_HEADS] = 16;
	w[ATA_ID_SECTORS_PER_TRACK] = 63;
	w[ATA_ID_CURRENT_CYLINDERS] = (u16)cylinders;
	w[ATA_ID_CURRENT_HEADS] = d->heads;
	w[ATA_ID_CURRENT_SECTORS] = d->sectors;
	put_u32(w, ATA_ID_CURRENT_CAPACITY, cylinders * d->heads * d->sectors);
	put_u32(w, ATA_ID_LBA28, ide_capacity(d, false));
	put_u32(w, ATA_ID_LBA48, ide_capacity(d, true));
	put_u32(w, ATA_ID_LBA48 + 2, ide_capacity(d, true) >> 32);
}

static void put_trim(u16 *w, const struct disk *disk)
{
	if (!disk->unmap_granularity || disk->read_only)
		return;
	w[ATA_ID_TRIM] = 1;
	w[ATA_ID_TRIM_BLOCKS] = IDE_TRIM_BLOCKS;
	if (disk->unmap_zeroes)
		w[ATA_ID_ADDITIONAL] = ATA_ID_ADDITIONAL_DRAT | ATA_ID_ADDITIONAL_RZAT;
}

static void put_block_size(u16 *w, const struct disk *disk)
{
	u16 log2 = 0;

	while (log2 < 15 && (ATA_SECTOR << (log2 + 1)) <= disk->physical_size)
		log2++;
	if (log2)
		w[ATA_ID_SECTOR_SIZES] = (u16)(ATA_ID_SECTOR_SIZES_MANY | log2);
	w[ATA_ID_ALIGNMENT] = 0x4000;
	w[ATA_ID_ROTATION] = ATA_ID_ROTATION_NONE;
}

/* all bytes with the signature add up to zero */
static void put_integrity(u16 *w)
{
	u8 sum = ATA_ID_INTEGRITY_SIGNATURE;

	for (unsigned i = 0; i < ATA_ID_INTEGRITY; i++)
		sum = (u8)(sum + w[i] + (w[i] >> 8));
	w[ATA_ID_INTEGRITY] = (u16)((u8)-sum << 8 | ATA_ID_INTEGRITY_SIGNATURE);
}

static void reply(struct ide_channel *ch, const u16 *w)
{
	memcpy(ch->buffer, w, ATA_ID_WORDS * 2);
	ide_reply(ch, ATA_ID_WORDS * 2);
}

void ide_identify(struct ide_channel *ch)
{
	struct ide_drive *d = ide_selected(ch);
	u16 w[ATA_ID_WORDS] = { [ATA_ID_CONFIG] = ATA_ID_CONFIG_FIXED };

	put_common(w, d, DISK_MODEL);
	put_geometry(w, d);
	w[ATA_ID_MULTIPLE_MAX] = 0x8000 | IDE_MULTIPLE_MAX;
	w[ATA_ID_CAPABILITIES_2] = 0x4000;
	w[ATA_ID_MULTIPLE] = d->multiple ? ATA_ID_MULTIPLE_VALID | d->multiple : 0;
	put_sets(w, ATA_ID_SET_1_POWER | ATA_ID_SET_1_WRITE_CACHE | ATA_ID_SET_1_LOOK_AHEAD,
		 ATA_ID_SET_2_LBA48 | ATA_ID_SET_2_FLUSH | ATA_ID_SET_2_FLUSH_EXT, ATA_ID_SET_3_FUA,
		 d->write_cache ? 0 : ATA_ID_SET_1_WRITE_CACHE);
	w[ATA_ID_RESET] = d == &ch->drives[0] ? ATA_ID_RESET_DEVICE_0 : ATA_ID_RESET_DEVICE_1;
	put_trim(w, d->disk);
	put_block_size(w, d->disk);
	put_integrity(w);
	reply(ch, w);
}

void ide_identify_packet(struct ide_channel *ch)
{
	struct ide_drive *d = ide_selected(ch);
	u16 w[ATA_ID_WORDS] = { [ATA_ID_CONFIG] = ATA_ID_CONFIG_CD };

	put_common(w, d, CD_MODEL);
	put_sets(w, ATA_ID_SET_1_PACKET | ATA_ID_SET_1_DEVICE_RESET | ATA_ID_SET_1_POWER, 0, 0, 0);
	w[ATA_ID_RESET] = d == &ch->drives[0] ? ATA_ID_RESET_DEVICE_0 : ATA_ID_RESET_DEVICE_1;
	put_integrity(w);
	reply(ch, w);
}
