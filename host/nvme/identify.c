/* Identify and log pages: what the controller says about itself. */
#include <string.h>

#include "host/nvme/internal.h"

#define VENDOR 0x1414
#define TEMPERATURE_KELVIN 300

static void put_text(char *to, size_t size, const char *text)
{
	size_t len = MIN(strlen(text), size);

	memset(to, ' ', size);
	memcpy(to, text, len);
}

static void put_controller(const struct nvme_target *n, struct nvme_identify_controller *d)
{
	d->vid = d->ssvid = VENDOR;
	put_text(d->sn, sizeof(d->sn), n->config.serial);
	put_text(d->mn, sizeof(d->mn), "Paravane NVMe controller");
	put_text(d->fr, sizeof(d->fr), "1");
	d->rab = 3;
	d->mdts = MDTS;
	d->cntlid = 1;
	d->ver = NVME_VERSION_1_4;
	d->oaes = NVME_OAES_NAMESPACE;
	d->cntrltype = 1; /* I/O controller */
	d->oacs = NVME_OACS_FORMAT;
	d->acl = 7;
	d->aerl = ASYNC_EVENTS_MAX - 1;
	d->frmw = 1 << 1 | 1; /* one slot, read only */
	d->lpa = 1 << 2;      /* extended offsets */
	d->elpe = ERROR_ENTRIES - 1;
	d->wctemp = 343;
	d->cctemp = 353;
	d->sqes = 6 << 4 | 6;
	d->cqes = 4 << 4 | 4;
	d->nn = 1;
	d->oncs = NVME_ONCS_COMPARE | NVME_ONCS_DSM | NVME_ONCS_WRITE_ZEROES;
	d->vwc = n->config.ram_size ? 0 : NVME_VWC_PRESENT | 3 << 1; /* flush of all namespaces is understood */
	d->sgls = NVME_SGLS_SUPPORTED;
	snprintf(d->subnqn, sizeof(d->subnqn), "nqn.2024-01.paravane:nvme:%s", n->config.serial);
	d->psd[0][0] = 0xc4;
	d->psd[0][1] = 0x09; /* 25 W, one state */
}

static void put_namespace(const struct nvme_target *n, struct nvme_identify_namespace *d)
{
	d->nsze = d->ncap = d->nuse = n->blocks;
	d->dlfeat = NVME_DLFEAT_ZEROES | NVME_DLFEAT_WRITE_ZEROES;
	d->nsattr = n->readonly ? 1 : 0;
	memcpy(d->nguid, &n->config.instance, sizeof(d->nguid));
	d->lbaf[0] = n->block_shift << 16;
}

static u32 put_descriptor(u8 *at, u8 type, const void *value, u8 len)
{
	struct nvme_descriptor d = { type, len, 0 };

	memcpy(at, &d, sizeof(d));
	memcpy(at + sizeof(d), value, len);
	return (u32)sizeof(d) + len;
}

u16 identify_run(struct nvme_target *n, const struct nvme_command *c)
{
	u8 local[NVME_IDENTIFY_SIZE] __attribute__((aligned(8))) = { 0 };
	u8 css = (u8)(c->cdw11 >> 24);
	u32 nsid = NSID;

	switch (c->cdw10 & 0xff) {
	case NVME_CNS_NAMESPACE:
	case NVME_CNS_SET_NAMESPACE:
		if (!c->nsid || (c->nsid > 1 && c->nsid != NVME_NSID_ALL))
			return NVME_SC_INVALID_NAMESPACE;
		if ((c->cdw10 & 0xff) == NVME_CNS_SET_NAMESPACE)
			break; /* nothing of the NVM command set is claimed there: zeroes */
		put_namespace(n, (void *)local);
		break;
	case NVME_CNS_CONTROLLER: put_controller(n, (void *)local); break;
	case NVME_CNS_SET_CONTROLLER:
		if (css)
			return NVME_SC_INVALID_FIELD;
		break;
	case NVME_CNS_ACTIVE_NAMESPACES:
		if (c->nsid >= 0xfffffffe)
			return NVME_SC_INVALID_NAMESPACE;
		if (c->nsid < NSID)
			memcpy(local, &nsid, sizeof(nsid));
		break;
	case NVME_CNS_DESCRIPTORS:
		if (c->nsid != NSID)
			return NVME_SC_INVALID_NAMESPACE;
		u32 len = put_descriptor(local, NVME_DESCRIPTOR_NGUID, &n->config.instance, 16);

		put_descriptor(local + len, NVME_DESCRIPTOR_UUID, &n->config.instance, 16);
		break;
	default: return NVME_SC_INVALID_FIELD;
	}
	return prp_copy_out(n, c, local, sizeof(local));
}

/* ---- log pages */

static void put_smart(struct nvme_target *n, struct nvme_smart *s)
{
	const struct nvme_counters *k = &n->counters;

	*s = (struct nvme_smart){ .temperature = TEMPERATURE_KELVIN, .available_spare = 100, .spare_threshold = 10 };
	s->critical_warning = n->csts & NVME_CSTS_CFS ? BIT(2) : 0;
	s->units_read[0] = (k->bytes_read + 511999) / 512000;
	s->units_written[0] = (k->bytes_written + 511999) / 512000;
	s->reads[0] = k->reads;
	s->writes[0] = k->writes;
	s->power_cycles[0] = 1;
	s->media_errors[0] = k->errors;
	s->error_entries[0] = n->error_count;
}

/* the newest entry first */
static void put_errors(const struct nvme_target *n, struct nvme_error_entry *to)
{
	u64 count = MIN(n->error_count, (u64)ERROR_ENTRIES);

	for (u64 i = 0; i < count; i++)
		to[i] = n->error_log[(n->error_count - 1 - i) % ERROR_ENTRIES];
}

u16 log_run(struct nvme_target *n, const struct nvme_command *c)
{
	union {
		u8 bytes[4096];
		struct nvme_smart smart;
		struct nvme_error_entry errors[ERROR_ENTRIES];
	} log = { { 0 } };
	u64 len = (((u64)(c->cdw11 & 0xffff) << 16 | c->cdw10 >> 16) + 1) * 4;
	u64 offset = (u64)c->cdw13 << 32 | c->cdw12;
	u32 size, event;

	switch (c->cdw10 & 0xff) {
	case NVME_LOG_ERROR:
		put_errors(n, log.errors);
		size = sizeof(log.errors);
		event = NVME_EVENT_TYPE_ERROR;
		break;
	case NVME_LOG_SMART:
		put_smart(n, &log.smart);
		size = sizeof(log.smart);
		event = NVME_EVENT_TYPE_SMART;
		break;
	case NVME_LOG_FIRMWARE:
		log.bytes[0] = 1;
		put_text((char *)log.bytes + 8, 8, "1");
		size = 512;
		event = ~0u;
		break;
	case NVME_LOG_CHANGED_NAMESPACES:
		memcpy(log.bytes, &(u32){ n->namespace_changed ? NSID : 0 }, sizeof(u32));
		size = sizeof(log.bytes);
		event = NVME_EVENT_TYPE_NOTICE;
		break;
	default: return NVME_SC_INVALID_LOG_PAGE;
	}
	if (offset & 3 || offset >= size || len > TRANSFER_MAX)
		return NVME_SC_INVALID_FIELD;
	/* what is asked for past the end of the page is not written */
	u16 status = prp_copy_out(n, c, log.bytes + offset, MIN(len, size - offset));

	if (!status && event != ~0u && !(c->cdw10 & NVME_LOG_RETAIN)) {
		n->events_masked[event] = false;
		if (event == NVME_EVENT_TYPE_NOTICE)
			n->namespace_changed = false;
		event_deliver(n);
	}
	return status;
}
