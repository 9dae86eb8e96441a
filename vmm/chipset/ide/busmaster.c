/* The bus master's registers and its table of physical regions (SFF 8038i 1.0) */
#include <errno.h>

#include "vmm/chipset/ide/internal.h"

static void stop(struct ide_channel *ch)
{
	ch->bm.status &= (u8)~IDE_BM_STATUS_ACTIVE;
	if (ch->phase == IDE_PHASE_DISK && ch->command.dma)
		ch->bm.stopped = true; /* the step ends, and then the command */
}

static void write_command(struct ide_channel *ch, u8 value)
{
	struct ide_bus_master *bm = &ch->bm;
	u8 was = bm->command;

	/* the direction is not to be changed while it runs */
	bm->command = (value & IDE_BM_COMMAND_START) |
		      ((was & value & IDE_BM_COMMAND_START ? was : value) & IDE_BM_COMMAND_TO_MEMORY);
	if (was & ~value & IDE_BM_COMMAND_START) {
		stop(ch);
	} else if (value & ~was & IDE_BM_COMMAND_START) {
		bm->cursor = (struct ide_cursor){ .table = bm->table };
		bm->status |= IDE_BM_STATUS_ACTIVE;
		if (ch->phase == IDE_PHASE_DMA)
			ide_go(ch);
	}
}

static void write_byte(struct ide_channel *ch, unsigned reg, u8 value)
{
	struct ide_bus_master *bm = &ch->bm;

	if (reg == IDE_BM_COMMAND) {
		write_command(ch, value);
	} else if (reg == IDE_BM_STATUS) {
		bm->status &= (u8)~(value & (IDE_BM_STATUS_ERROR | IDE_BM_STATUS_INTERRUPT)); /* write one to clear */
		bm->status = (u8)((bm->status & ~IDE_BM_STATUS_CAPABLE) | (value & IDE_BM_STATUS_CAPABLE));
	} else if (reg >= IDE_BM_TABLE) {
		unsigned shift = 8 * (reg - IDE_BM_TABLE);

		bm->table = ((bm->table & ~(0xffu << shift)) | (u32)value << shift) & ~3u;
	}
}

static u8 read_byte(const struct ide_channel *ch, unsigned reg)
{
	if (reg == IDE_BM_COMMAND)
		return ch->bm.command;
	if (reg == IDE_BM_STATUS)
		return ch->bm.status;
	return reg >= IDE_BM_TABLE ? (u8)(ch->bm.table >> 8 * (reg - IDE_BM_TABLE)) : 0;
}

enum io_status ide_bus_master_access(struct pci_bus_function *function, unsigned bar, struct io_access *io)
{
	struct ide *ide = container_of(function, struct ide, pci);

	for (unsigned i = 0; i < io->size; i++) {
		unsigned at = (unsigned)io->offset + i;
		struct ide_channel *ch = &ide->channels[at / 8];

		if (io->write)
			write_byte(ch, at % 8, (u8)(io->value >> 8 * i));
		else
			io->value |= (u64)read_byte(ch, at % 8) << 8 * i;
	}
	return IO_OK;
}

bool ide_bus_master_ready(struct ide_channel *ch)
{
	return ch->bm.status & IDE_BM_STATUS_ACTIVE && pci_config_u16(&ch->ide->pci, PCI_COMMAND) & PCI_COMMAND_MASTER;
}

/* all that the table names was moved: not active any more; it names more: active until software stops it (2.1) */
void ide_bus_master_over(struct ide_channel *ch)
{
	if (ch->bm.cursor.last && !ch->bm.cursor.left)
		ch->bm.status &= (u8)~IDE_BM_STATUS_ACTIVE;
}

static int next_region(struct ide_channel *ch, struct ide_cursor *at)
{
	struct ide_prd prd;

	if (at->last || at->entries == IDE_PRD_TABLE_MAX)
		return -ENODATA;
	if (guest_read(ch->ide->guest, at->table, &prd, sizeof(prd)))
		return -EFAULT;
	at->table += sizeof(prd);
	at->entries++;
	at->base = prd.base & ~1u;
	at->left = prd.count & 0xfffe;
	if (!at->left)
		at->left = 0x10000;
	at->last = prd.count & IDE_PRD_LAST;
	return 0;
}

static int next_piece(struct ide_channel *ch, struct ide_cursor *at, u32 max, struct iovec *ret)
{
	int r = at->left ? 0 : next_region(ch, at);
	u32 len = MIN(at->left, max);

	if (!r)
		r = guest_iovec(ch->ide->guest, at->base, len, ret);
	if (r)
		return r;
	at->base += len;
	at->left -= len;
	return 0;
}

/* pieces that lie behind one another become one */
static bool append(struct iovec *iov, unsigned *count, struct iovec piece)
{
	struct iovec *last = *count ? &iov[*count - 1] : NULL;

	if (last && (u8 *)last->iov_base + last->iov_len == piece.iov_base) {
		last->iov_len += piece.iov_len;
		return true;
	}
	if (*count == IDE_IOVECS)
		return false;
	iov[(*count)++] = piece;
	return true;
}

/* a whole unit, or nothing changes: -ENOSPC: no iovec is left for it */
static int gather_unit(struct ide_channel *ch, u32 unit, unsigned *count)
{
	struct ide_cursor at = ch->bm.cursor;
	unsigned n = *count;
	size_t last_len = n ? ch->iov[n - 1].iov_len : 0;
	int r = 0;

	for (u32 done = 0; !r && done < unit;) {
		struct iovec piece;

		r = next_piece(ch, &at, unit - done, &piece);
		if (!r)
			r = append(ch->iov, &n, piece) ? 0 : -ENOSPC;
		if (!r)
			done += (u32)piece.iov_len;
	}
	if (r) {
		if (*count)
			ch->iov[*count - 1].iov_len = last_len;
		return r;
	}
	ch->bm.cursor = at;
	*count = n;
	return 0;
}

int ide_gather(struct ide_channel *ch, u32 len, u32 unit, unsigned *ret_count, u32 *ret_len)
{
	unsigned count = 0;
	u32 done = 0;
	int r = 0;

	ch->bm.before = ch->bm.cursor;
	while (done < len && !r) {
		r = gather_unit(ch, unit, &count);
		if (!r)
			done += unit;
	}
	if (!done)
		return r;
	*ret_count = count; /* what is wrong further on is met by the next step */
	*ret_len = done;
	return 0;
}

int ide_copy(struct ide_channel *ch, u32 len, bool to_guest)
{
	for (u32 done = 0; done < len;) {
		struct iovec piece;
		int r = next_piece(ch, &ch->bm.cursor, len - done, &piece);

		if (r)
			return r;
		if (to_guest)
			memcpy(piece.iov_base, ch->buffer + done, piece.iov_len);
		else
			memcpy(ch->buffer + done, piece.iov_base, piece.iov_len);
		done += (u32)piece.iov_len;
	}
	return 0;
}
