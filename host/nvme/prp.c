/* Physical region pages (base, 4.1.1): where a command's data lies. Nothing about the lists is believed. */
#include <string.h>

#include "host/nvme/internal.h"

u16 mapping_add(struct mapping *m, u64 address, u64 len)
{
	void *at = m->n->memory.map(m->n->memory.ctx, address, len);

	if (!at) {
		m->n->counters.dma_errors++;
		return NVME_SC_DATA_TRANSFER_ERROR;
	}
	if (m->count && (u8 *)m->iov[m->count - 1].iov_base + m->iov[m->count - 1].iov_len == (u8 *)at) {
		m->iov[m->count - 1].iov_len += len;
	} else {
		if (m->count == IOVECS_MAX)
			return NVME_SC_INVALID_SGL_COUNT; /* of PRPs TRANSFER_MAX rules it out */
		m->iov[m->count++] = (struct iovec){ at, len };
	}
	m->left -= len;
	return NVME_SC_SUCCESS;
}

/* entries from a list's start at any offset to its page's end; the last of a full page points at the next list */
static u16 add_list(struct mapping *m, u64 list)
{
	while (m->left) {
		u32 slots = (u32)(PAGE_SIZE - (list & (PAGE_SIZE - 1))) / 8;
		const u8 *at = m->n->memory.map(m->n->memory.ctx, list, (u64)slots * 8);
		u64 entry = 0;

		if (!at) {
			m->n->counters.dma_errors++;
			return NVME_SC_DATA_TRANSFER_ERROR;
		}
		for (u32 i = 0; i < slots && m->left; i++) {
			memcpy(&entry, at + 8 * i, sizeof(entry));
			if (i == slots - 1 && m->left > PAGE_SIZE) {
				break; /* the next list; its page-aligned address makes it a full one, so the chain ends */
			}
			if (entry & (PAGE_SIZE - 1))
				return NVME_SC_INVALID_PRP_OFFSET;
			u16 status = mapping_add(m, entry, MIN(m->left, (u64)PAGE_SIZE));

			if (status)
				return status;
		}
		if (m->left && entry & (PAGE_SIZE - 1))
			return NVME_SC_INVALID_PRP_OFFSET;
		list = entry;
	}
	return NVME_SC_SUCCESS;
}

u16 prp_map(struct nvme_target *n, const struct nvme_command *c, u64 len, struct iovec iov[IOVECS_MAX], u32 *ret_count)
{
	struct mapping m = { n, iov, 0, len };
	u64 first = MIN(len, PAGE_SIZE - (c->prp1 & (PAGE_SIZE - 1)));

	if (c->flags & NVME_COMMAND_PSDT || !len || len > TRANSFER_MAX)
		return NVME_SC_INVALID_FIELD;
	if (c->prp1 & 3)
		return NVME_SC_INVALID_PRP_OFFSET;
	if (!pci_is_master(&n->function)) {
		n->counters.dma_errors++;
		return NVME_SC_DATA_TRANSFER_ERROR;
	}
	u16 status = mapping_add(&m, c->prp1, first);

	if (!status && m.left && m.left <= PAGE_SIZE)
		status = c->prp2 & (PAGE_SIZE - 1) ? NVME_SC_INVALID_PRP_OFFSET : mapping_add(&m, c->prp2, m.left);
	else if (!status && m.left)
		status = c->prp2 & 7 ? NVME_SC_INVALID_PRP_OFFSET : add_list(&m, c->prp2);
	if (!status)
		*ret_count = m.count;
	return status;
}

u16 data_map(struct nvme_target *n, const struct nvme_command *c, u64 len, struct iovec iov[IOVECS_MAX], u32 *ret_count)
{
	bool sgl = c->flags & NVME_COMMAND_PSDT;

	*(sgl ? &n->counters.sgls : &n->counters.prps) += 1;
	return sgl ? sgl_map(n, c, len, iov, ret_count) : prp_map(n, c, len, iov, ret_count);
}

u16 prp_copy_out(struct nvme_target *n, const struct nvme_command *c, const void *data, u64 len)
{
	struct iovec iov[IOVECS_MAX];
	const u8 *from = data;
	u32 count;
	u16 status = prp_map(n, c, len, iov, &count);

	for (u32 i = 0; !status && i < count; from += iov[i].iov_len, i++)
		memcpy(iov[i].iov_base, from, iov[i].iov_len);
	return status;
}

u16 data_copy_in(struct nvme_target *n, const struct nvme_command *c, void *data, u64 len)
{
	struct iovec iov[IOVECS_MAX];
	u8 *to = data;
	u32 count;
	u16 status = data_map(n, c, len, iov, &count);

	for (u32 i = 0; !status && i < count; to += iov[i].iov_len, i++)
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
	return status;
}
