/* Scatter gather lists (base, 4.1.2): where an I/O command's data lies. Nothing about the lists is believed. */
#include <string.h>

#include "host/nvme/internal.h"

/* more than a sane driver needs; what a command costs is bounded by them */
#define DESCRIPTORS_MAX 1024u
#define SEGMENTS_MAX 32u

static u16 add_data(struct mapping *m, const struct nvme_sgl *d)
{
	if (d->len > m->left)
		return NVME_SC_INVALID_DATA_SGL_LENGTH;
	return d->len ? mapping_add(m, d->address, d->len) : NVME_SC_SUCCESS;
}

/* a segment's descriptors; ret_next is the segment that follows, its type data block when none does */
static u16 add_segment(struct mapping *m, const struct nvme_sgl *segment, u32 *descriptors, struct nvme_sgl *ret_next)
{
	u32 count = segment->len / sizeof(*segment);
	const u8 *at;

	ret_next->type = NVME_SGL_DATA;
	if (!count || segment->len % sizeof(*segment))
		return NVME_SC_INVALID_SGL_SEGMENT;
	if (count > DESCRIPTORS_MAX - *descriptors)
		return NVME_SC_INVALID_SGL_COUNT;
	*descriptors += count;
	at = m->n->memory.map(m->n->memory.ctx, segment->address, segment->len);
	if (!at) {
		m->n->counters.dma_errors++;
		return NVME_SC_DATA_TRANSFER_ERROR;
	}
	for (u32 i = 0; i < count; i++) {
		struct nvme_sgl d;
		u16 status;

		memcpy(&d, at + i * sizeof(d), sizeof(d)); /* once: the guest may be writing it */
		if (d.type == NVME_SGL_DATA) {
			status = add_data(m, &d);
		} else if ((d.type == NVME_SGL_SEGMENT || d.type == NVME_SGL_LAST_SEGMENT) && i == count - 1 &&
			   segment->type == NVME_SGL_SEGMENT) {
			*ret_next = d; /* a list goes on at a segment's end only, and not at that of the last */
			status = NVME_SC_SUCCESS;
		} else {
			status = d.type == NVME_SGL_SEGMENT || d.type == NVME_SGL_LAST_SEGMENT ? NVME_SC_INVALID_SGL_SEGMENT
											       : NVME_SC_INVALID_SGL_TYPE;
		}
		if (status)
			return status;
	}
	return NVME_SC_SUCCESS;
}

u16 sgl_map(struct nvme_target *n, const struct nvme_command *c, u64 len, struct iovec iov[IOVECS_MAX], u32 *ret_count)
{
	struct mapping m = { n, iov, 0, len };
	struct nvme_sgl next;
	u32 descriptors = 0, segments = 0;
	u16 status;

	if (FIELD_GET(NVME_COMMAND_PSDT, c->flags) != NVME_PSDT_SGL || !len || len > TRANSFER_MAX)
		return NVME_SC_INVALID_FIELD; /* there is no metadata that an SGL could say the place of */
	if (!pci_is_master(&n->function)) {
		n->counters.dma_errors++;
		return NVME_SC_DATA_TRANSFER_ERROR;
	}
	memcpy(&next, &c->prp1, sizeof(next));
	if (next.type == NVME_SGL_DATA) {
		status = add_data(&m, &next);
	} else {
		status = next.type == NVME_SGL_SEGMENT || next.type == NVME_SGL_LAST_SEGMENT ? NVME_SC_SUCCESS
											     : NVME_SC_INVALID_SGL_TYPE;
		while (!status && next.type != NVME_SGL_DATA) {
			struct nvme_sgl segment = next;

			status = segments++ < SEGMENTS_MAX ? add_segment(&m, &segment, &descriptors, &next)
							   : NVME_SC_INVALID_SGL_COUNT;
		}
	}
	if (!status && m.left)
		status = NVME_SC_INVALID_DATA_SGL_LENGTH;
	if (!status)
		*ret_count = m.count;
	return status;
}
