#include "vmm/tpm/crb.h"

#include <errno.h>
#include <string.h>

void crb_init(struct crb *c)
{
	*c = (struct crb){ .assigned = false };
}

void crb_set_buffers(struct crb *c, u64 command, u32 command_size, u64 response, u32 response_size)
{
	c->command = command;
	c->command_size = command_size;
	c->response = response;
	c->response_size = response_size;
}

/* cmdReady and goIdle are done at once, so the bits never show. A command that runs is not disturbed. */
static void request(struct crb *c, u32 value)
{
	if (c->start)
		c->ignored++;
	else if (value & CRB_CTRL_REQ_READY)
		c->status = 0;
	else if (value & CRB_CTRL_REQ_IDLE)
		c->status = CRB_CTRL_STS_IDLE;
}

enum crb_action crb_write(struct crb *c, u32 offset, u32 value)
{
	switch (offset) {
	case CRB_LOC_CTRL: /* one locality: who asks for it has it */
		if (value & CRB_LOC_CTRL_RELINQUISH)
			c->assigned = false;
		else if (value & CRB_LOC_CTRL_REQUEST)
			c->assigned = true;
		return CRB_NOTHING;
	case CRB_CTRL_REQ:
		request(c, value);
		return CRB_NOTHING;
	case CRB_CTRL_CANCEL:
		c->cancel = value != 0;
		return c->cancel ? CRB_CANCEL : CRB_NOTHING;
	case CRB_CTRL_START:
		if (value & CRB_CTRL_START_INVOKE && !c->start && !(c->status & CRB_CTRL_STS_IDLE)) {
			c->start = 1;
			c->status = 0;
			return CRB_EXECUTE;
		}
	}
	c->ignored++;
	return CRB_NOTHING;
}

void crb_done(struct crb *c, bool failed)
{
	c->start = 0;
	c->status = failed ? CRB_CTRL_STS_ERROR : 0;
}

static void put(u8 *image, u32 offset, u64 value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		image[offset + i] = (u8)(value >> 8 * i);
}

void crb_image(const struct crb *c, u8 image[TPM_CRB_LEN])
{
	memset(image, 0, TPM_CRB_LEN);
	put(image, CRB_LOC_STATE,
	    CRB_LOC_STATE_VALID | CRB_LOC_STATE_ESTABLISHED | (c->assigned ? CRB_LOC_STATE_ASSIGNED : 0), 4);
	put(image, CRB_LOC_STS, CRB_LOC_STS_GRANTED, 4);
	put(image, CRB_INTF_ID, CRB_INTF_ID_VALUE, 8);
	put(image, CRB_CTRL_STS, c->status, 4);
	put(image, CRB_CTRL_CANCEL, c->cancel, 4);
	put(image, CRB_CTRL_START, c->start, 4);
	put(image, CRB_CTRL_CMD_SIZE, c->command_size, 4);
	put(image, CRB_CTRL_CMD_ADDR, c->command, 8);
	put(image, CRB_CTRL_RSP_SIZE, c->response_size, 4);
	put(image, CRB_CTRL_RSP_ADDR, c->response, 8);
}

u64 crb_read(const struct crb *c, u32 offset, unsigned size)
{
	u8 image[TPM_CRB_LEN];
	u64 value = 0;

	if (!range_within(offset, size, 0, TPM_CRB_LEN))
		return ~0ull;
	crb_image(c, image);
	for (unsigned i = 0; i < size; i++)
		value |= (u64)image[offset + i] << 8 * i;
	return value;
}

void crb_save(const struct crb *c, struct saver *s)
{
	saver_u8(s, c->assigned);
	saver_u32(s, c->status);
	saver_u32(s, c->cancel);
	saver_u64(s, c->command);
	saver_u32(s, c->command_size);
	saver_u64(s, c->response);
	saver_u32(s, c->response_size);
}

int crb_restore(struct crb *c, struct bytes *b)
{
	struct crb r = { .ignored = c->ignored };
	u8 assigned;

	if (!bytes_u8(b, &assigned) || !bytes_u32(b, &r.status) || !bytes_u32(b, &r.cancel) || !bytes_u64(b, &r.command) ||
	    !bytes_u32(b, &r.command_size) || !bytes_u64(b, &r.response) || !bytes_u32(b, &r.response_size) || assigned > 1 ||
	    r.cancel > 1 || r.status & ~(u32)(CRB_CTRL_STS_ERROR | CRB_CTRL_STS_IDLE))
		return -EPROTO;
	r.assigned = assigned;
	*c = r;
	return 0;
}
