/* From a controller in any state to one that takes I/O: explicit states, each with a time-out (base, 3.5.1). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/core/bytes.h"
#include "lib/log/log.h"
#include "vmm/nvme/internal.h"

LOG_DOMAIN("nvme");

#define POLL_NS 1000000ull
#define ENTRY_SIZES (6u << 16 | 4u << 20) /* CC.IOSQES and CC.IOCQES: 64 and 16 bytes */

static const char *const state_names[] = {
	[NVME_OFF] = "off", [NVME_STOPPING] = "stopping queues", [NVME_DISABLING] = "disabling", [NVME_ENABLING] = "enabling",
	[NVME_IDENTIFYING] = "identifying", [NVME_ASKING_EVENTS] = "asking for events",
	[NVME_COUNTING] = "counting queues", [NVME_LISTING] = "listing namespaces",
	[NVME_NAMESPACES] = "identifying namespaces", [NVME_QUEUES] = "creating queues", [NVME_READY] = "ready",
	[NVME_SHUTDOWN_QUEUES] = "stopping queues for shutdown", [NVME_SHUTDOWN] = "shutting down",
	[NVME_SHUT_DOWN] = "shut down", [NVME_FAILED] = "failed", [NVME_GONE] = "gone",
};

const char *bringup_state_name(enum nvme_state state)
{
	return state < ARRAY_SIZE(state_names) ? state_names[state] : "?";
}

static void enter(struct nvme *n, enum nvme_state state)
{
	log_at(LOG_DEBUG, "%s: %s", n->config.name, bringup_state_name(state));
	n->state = state;
}

static u32 get(struct nvme *n, u32 offset)
{
	return n->transport->ops->read(n->transport, offset);
}

static void put(struct nvme *n, u32 offset, u32 value)
{
	n->transport->ops->write(n->transport, offset, value);
}

static void poll_until(struct nvme *n, u64 timeout_ns)
{
	u64 now = exec_now_ns(n->config.home);

	n->deadline_ns = now + timeout_ns;
	timer_arm(n->config.home, &n->timer, now + POLL_NS);
}

static void ended(struct nvme *n)
{
	n->admin.up = false;
	if (n->config.started)
		n->config.started(n, n->state == NVME_GONE ? -ENODEV : -EIO);
}

void bringup_fail(struct nvme *n, int result, const char *what)
{
	bool gone = controller_is_gone(n);

	log_err(result, "%s: %s while %s", n->config.name, what, bringup_state_name(n->state));
	if (!gone && ++n->resets_in_a_row <= RESETS_IN_A_ROW) {
		bringup_disable(n);
		return;
	}
	timer_disarm(n->config.home, &n->timer);
	enter(n, gone ? NVME_GONE : NVME_FAILED);
	queue_fail_all(&n->admin, -ENODEV);
	queues_order(n, order_fail, -ENODEV, ended);
}

/* ---- commands of the sequence, one at a time */

static void identified(struct nvme *n);
static void counted(struct nvme *n, u32 dw0);
static void listed(struct nvme *n);
static void namespace_known(struct nvme *n);
static void create_next(struct nvme *n);
static void list_namespaces(struct nvme *n);
static void count_queues(struct nvme *n);
static void look_next(struct nvme *n);
static void log_read(struct nvme *n, const struct nvme_command *c);

static void step_done(struct nvme_io *io, int result, u32 dw0)
{
	struct nvme *n = container_of(io, struct nvme, step);
	u8 opcode = io->command.opcode;

	n->step_busy = false;
	n->last_status = io->status;
	if (n->state == NVME_DISABLING || n->state >= NVME_SHUTDOWN_QUEUES || n->state == NVME_STOPPING ||
		n->state == NVME_ENABLING)
		return; /* a life that is over */
	if (result && n->state == NVME_READY) {
		log_at(LOG_WARN, "%s: what an event told of cannot be read: status %#x", n->config.name, io->status);
		look_next(n);
		return;
	}
	if (opcode == NVME_ADMIN_SET_FEATURES && io->command.cdw10 == NVME_FEATURE_ASYNC_EVENTS) {
		if (result)
			log_at(LOG_NOTICE, "%s: events cannot be switched on: status %#x", n->config.name, io->status);
		count_queues(n);
		return;
	}
	if (result) {
		char text[64];

		snprintf(text, sizeof(text), "admin command %#x ended with status %#x", opcode, io->status);
		bringup_fail(n, result, text);
		return;
	}
	switch (opcode) {
	case NVME_ADMIN_GET_LOG_PAGE: log_read(n, &io->command); return;
	case NVME_ADMIN_SET_FEATURES: counted(n, dw0); return;
	case NVME_ADMIN_CREATE_CQ:
	case NVME_ADMIN_CREATE_SQ: create_next(n); return;
	}
	switch (io->command.cdw10) {
	case NVME_CNS_CONTROLLER: identified(n); return;
	case NVME_CNS_ACTIVE_NAMESPACES: listed(n); return;
	case NVME_CNS_NAMESPACE: namespace_known(n); return;
	}
}

static void step(struct nvme *n, struct nvme_command command)
{
	n->step = (struct nvme_io){ .command = command, .done = step_done };
	n->step_busy = true;
	queue_submit(&n->admin, &n->step);
}

static void identify(struct nvme *n, u32 cns, u32 nsid)
{
	memset(n->page, 0, NVME_IDENTIFY_SIZE);
	step(n, (struct nvme_command){ .opcode = NVME_ADMIN_IDENTIFY, .nsid = nsid, .prp1 = n->page_address, .cdw10 = cns });
}

static void copy_text(char *to, const char *from, size_t len)
{
	size_t end = 0;

	for (size_t i = 0; i < len; i++) {
		to[i] = from[i] >= ' ' && from[i] < 127 ? from[i] : ' ';
		if (to[i] != ' ')
			end = i + 1;
	}
	to[end] = 0;
}

static void identified(struct nvme *n)
{
	struct nvme_identify_controller c;
	u32 most = NVME_TRANSFER_MAX;

	memcpy(&c, n->page, sizeof(c)); /* once: the device could write it again */
	copy_text(n->serial, c.sn, sizeof(c.sn));
	copy_text(n->model, c.mn, sizeof(c.mn));
	copy_text(n->firmware, c.fr, sizeof(c.fr));
	n->max_transfer = c.mdts && c.mdts < 20 ? MIN(most, PAGE_SIZE << c.mdts) : most;
	n->write_cache = c.vwc & NVME_VWC_PRESENT;
	n->has_write_zeroes = c.oncs & NVME_ONCS_WRITE_ZEROES;
	n->has_dsm = c.oncs & NVME_ONCS_DSM;
	if ((c.sqes & 0xf) > 6 || c.sqes >> 4 < 6 || (c.cqes & 0xf) > 4 || c.cqes >> 4 < 4) {
		bringup_fail(n, -EPROTO, "queue entries of other sizes than 64 and 16 bytes");
		return;
	}
	/* what a controller reports without being asked is its maker's choice: some report nothing */
	enter(n, NVME_ASKING_EVENTS);
	step(n, (struct nvme_command){ .opcode = NVME_ADMIN_SET_FEATURES, .cdw10 = NVME_FEATURE_ASYNC_EVENTS,
		.cdw11 = NVME_ASYNC_CRITICAL_KNOWN | (u32)(c.oaes & NVME_OAES_NAMESPACE ? NVME_ASYNC_NAMESPACE : 0) });
}

static void count_queues(struct nvme *n)
{
	u32 wanted = n->config.exec_count - 1;

	enter(n, NVME_COUNTING);
	step(n, (struct nvme_command){ .opcode = NVME_ADMIN_SET_FEATURES, .cdw10 = NVME_FEATURE_QUEUES,
		.cdw11 = wanted | wanted << 16 });
}

static void counted(struct nvme *n, u32 dw0)
{
	u32 granted = MIN((dw0 & 0xffff) + 1, (dw0 >> 16) + 1), most = n->transport->vector_count - 1;

	n->queue_count = MIN(MIN(granted, most), n->config.exec_count);
	if (n->queue_count < n->config.exec_count)
		log_at(LOG_NOTICE, "%s: %u queues for %u processors: the others have to borrow", n->config.name, n->queue_count,
		       n->config.exec_count);
	enter(n, NVME_LISTING);
	list_namespaces(n);
}

static void list_namespaces(struct nvme *n)
{
	identify(n, NVME_CNS_ACTIVE_NAMESPACES, 0);
}

/* the table that is not in use */
static struct namespaces *scratch(struct nvme *n)
{
	return n->known == &n->tables[0] ? &n->tables[1] : &n->tables[0];
}

static void next_namespace(struct nvme *n)
{
	struct namespaces *t = scratch(n);

	if (n->namespace_at < t->count) {
		identify(n, NVME_CNS_NAMESPACE, t->list[n->namespace_at].nsid);
		return;
	}
	n->known = t;
	if (n->state == NVME_READY) {
		n->rescans++;
		if (n->config.changed)
			n->config.changed(n);
		look_next(n);
		return;
	}
	enter(n, NVME_QUEUES);
	n->step_queue = 0;
	create_next(n);
}

static void listed(struct nvme *n)
{
	struct bytes b = bytes_of(n->page, NVME_IDENTIFY_SIZE);
	u32 nsid;

	struct namespaces *t = scratch(n);

	n->namespace_at = 0;
	memset(t, 0, sizeof(*t));
	while (t->count < NVME_NAMESPACES_MAX && bytes_u32(&b, &nsid) && nsid)
		t->list[t->count++].nsid = nsid;
	if (n->state != NVME_READY)
		enter(n, NVME_NAMESPACES);
	next_namespace(n);
}

static void namespace_known(struct nvme *n)
{
	struct nvme_namespace *s = &scratch(n)->list[n->namespace_at++];
	struct nvme_identify_namespace d;

	memcpy(&d, n->page, sizeof(d));
	u32 format = d.lbaf[d.flbas & NVME_FLBAS_FORMAT], shift = FIELD_GET(NVME_LBAF_DATA_SIZE, format);

	memcpy(s->nguid, d.nguid, sizeof(s->nguid));
	memcpy(s->eui64, d.eui64, sizeof(s->eui64));
	s->readonly = d.nsattr & 1;
	s->deallocates = (d.dlfeat & 7) == NVME_DLFEAT_ZEROES;
	if (shift < 9 || shift > 12 || format & NVME_LBAF_METADATA || d.nsze > ~0ull >> shift) {
		/* it stays in the list with no blocks, so that whoever looks sees why it cannot be used */
		log_at(LOG_NOTICE, "%s: namespace %u cannot be used: blocks of 2^%u bytes, format %#x",
			n->config.name, s->nsid, shift,
		       format);
	} else {
		s->block_size = 1u << shift;
		s->blocks = d.nsze;
	}
	next_namespace(n);
}

/* CQ and SQ of each queue in turn */
static void create_next(struct nvme *n)
{
	u32 i = n->step_queue / 2, size = (NVME_QUEUE_DEPTH - 1) << 16;

	if (i == n->queue_count) {
		enter(n, NVME_READY);
		n->resets_in_a_row = 0;
		log_at(LOG_INFO, "%s: %s, serial %s: %u queues, %u namespaces", n->config.name, n->model, n->serial,
			n->queue_count,
		       nvme_namespace_count(n));
		event_request(n);
		queues_order(n, order_resume, 0, NULL);
		if (n->config.started)
			n->config.started(n, 0);
		return;
	}
	struct nvme_queue *q = n->queues[i];

	if (n->step_queue++ & 1)
		step(n, (struct nvme_command){ .opcode = NVME_ADMIN_CREATE_SQ, .prp1 = q->sq_address, .cdw10 = size | q->id,
					       .cdw11 = (u32)q->id << 16 | NVME_QUEUE_CONTIGUOUS });
	else
		step(n, (struct nvme_command){ .opcode = NVME_ADMIN_CREATE_CQ, .prp1 = q->cq_address, .cdw10 = size | q->id,
					       .cdw11 = (u32)q->id << 16 | NVME_CQ_INTERRUPTS | NVME_QUEUE_CONTIGUOUS });
}

/* ---- logs that events name: reading one is what lets the next event of its type come */

static void look_next(struct nvme *n)
{
	u32 type = 0;

	while (type < ARRAY_SIZE(n->logs_wanted) && !n->logs_wanted[type])
		type++;
	if (n->state != NVME_READY || n->step_busy || type == ARRAY_SIZE(n->logs_wanted))
		return;
	u8 log = n->logs_wanted[type];
	u32 len = log == NVME_LOG_CHANGED_NAMESPACES ? 4096 : log == NVME_LOG_ERROR ? sizeof(struct nvme_error_entry) : 512;

	n->logs_wanted[type] = 0;
	memset(n->page, 0, NVME_IDENTIFY_SIZE);
	step(n, (struct nvme_command){ .opcode = NVME_ADMIN_GET_LOG_PAGE, .nsid = NVME_NSID_ALL, .prp1 = n->page_address,
				       .cdw10 = (len / 4 - 1) << 16 | log });
}

static void log_read(struct nvme *n, const struct nvme_command *c)
{
	struct nvme_smart smart;
	struct nvme_error_entry error;

	switch (c->cdw10 & 0xff) {
	case NVME_LOG_CHANGED_NAMESPACES: list_namespaces(n); return;
	case NVME_LOG_SMART:
		memcpy(&smart, n->page, sizeof(smart));
		n->critical_warning = smart.critical_warning;
		log_at(LOG_NOTICE, "%s: critical warning %#x, %u K", n->config.name, smart.critical_warning,
			(u32)smart.temperature);
		break;
	case NVME_LOG_ERROR:
		memcpy(&error, n->page, sizeof(error));
		log_at(LOG_NOTICE, "%s: the device complains: queue %u, command %u, status %#x", n->config.name, error.sq_id,
			error.cid, error.status >> 1);
		break;
	}
	look_next(n);
}

void bringup_look(struct nvme *n, u32 type, u8 log)
{
	if (type >= ARRAY_SIZE(n->logs_wanted) || !log)
		return;
	n->logs_wanted[type] = log; /* while another is read: its turn comes, and a change meanwhile is not missed */
	look_next(n);
}

/* ---- registers */

void bringup_disable(struct nvme *n)
{
	enter(n, NVME_DISABLING);
	n->admin.up = false;
	put(n, NVME_CC, get(n, NVME_CC) & ~NVME_CC_EN & ~NVME_CC_SHN);
	poll_until(n, n->ready_timeout_ms * 1000000ull);
}

static void enable(struct nvme *n)
{
	struct nvme_queue *a = &n->admin;

	queue_stop(a);
	queue_resume(a); /* what the old life left ends here */
	a->up = false;
	n->abort_busy = false;
	memset(n->logs_wanted, 0, sizeof(n->logs_wanted)); /* everything is read anew */
	enter(n, NVME_ENABLING);
	put(n, NVME_AQA, (NVME_QUEUE_DEPTH - 1) | (NVME_QUEUE_DEPTH - 1) << 16);
	put(n, NVME_ASQ, (u32)a->sq_address);
	put(n, NVME_ASQ + 4, (u32)(a->sq_address >> 32));
	put(n, NVME_ACQ, (u32)a->cq_address);
	put(n, NVME_ACQ + 4, (u32)(a->cq_address >> 32));
	put(n, NVME_CC, NVME_CC_EN | ENTRY_SIZES);
	poll_until(n, n->ready_timeout_ms * 1000000ull);
}

static void shut_down(struct nvme *n, int result)
{
	struct op *done = n->shutdown_done;

	put(n, NVME_CC, 0);
	enter(n, NVME_SHUT_DOWN);
	queue_fail_all(&n->admin, -ENODEV);
	queues_order(n, order_fail, -ENODEV, NULL);
	n->shutdown_done = NULL;
	if (done)
		done->done(done, result);
}

static bool reached(struct nvme *n, u32 csts)
{
	switch (nvme_state(n)) {
	case NVME_DISABLING: return !(csts & NVME_CSTS_RDY);
	case NVME_ENABLING: return csts & NVME_CSTS_RDY;
	case NVME_SHUTDOWN: return FIELD_GET(NVME_CSTS_SHST, csts) == NVME_CSTS_SHST_COMPLETE;
	default: return false;
	}
}

static void proceed(struct nvme *n)
{
	switch (nvme_state(n)) {
	case NVME_DISABLING: enable(n); return;
	case NVME_ENABLING:
		n->admin.up = true;
		enter(n, NVME_IDENTIFYING);
		identify(n, NVME_CNS_CONTROLLER, 0);
		return;
	default: shut_down(n, 0);
	}
}

void bringup_timer(struct timer *timer)
{
	struct nvme *n = container_of(timer, struct nvme, timer);
	u64 now = exec_now_ns(n->config.home);
	u32 csts = get(n, NVME_CSTS);

	if (csts != ~0u && reached(n, csts)) {
		proceed(n);
	} else if (now < n->deadline_ns && csts != ~0u && !(csts & NVME_CSTS_CFS && n->state == NVME_ENABLING)) {
		timer_arm(n->config.home, &n->timer, now + POLL_NS);
	} else if (n->state == NVME_SHUTDOWN) {
		log_at(LOG_WARN, "%s: shutdown is not answered, CSTS %#x", n->config.name, csts);
		shut_down(n, -ETIMEDOUT);
	} else if (n->state == NVME_DISABLING || n->state == NVME_ENABLING) {
		char text[48];

		snprintf(text, sizeof(text), "CSTS stays %#x", csts);
		bringup_fail(n, -ETIMEDOUT, text);
	}
}

void bringup_begin(struct nvme *n)
{
	u32 low = get(n, NVME_CAP), high = get(n, NVME_CAP + 4);
	u64 cap = (u64)high << 32 | low;

	if (controller_is_gone(n) || !cap) {
		n->resets_in_a_row = RESETS_IN_A_ROW; /* no use in trying */
		bringup_fail(n, -ENODEV, "no controller there");
		return;
	}
	n->doorbell_stride = 4u << FIELD_GET(NVME_CAP_DSTRD, cap);
	n->ready_timeout_ms = 500 * (u32)MAX(FIELD_GET(NVME_CAP_TO, cap), 1u);
	if ((low & NVME_CAP_MQES) + 1 < NVME_QUEUE_DEPTH || !(cap & NVME_CAP_CSS_NVM) || FIELD_GET(NVME_CAP_MPSMIN, cap) ||
	    n->doorbell_stride > 64) {
		n->resets_in_a_row = RESETS_IN_A_ROW;
		bringup_fail(n, -EOPNOTSUPP, "queues, page size or command set that this driver does not have");
		return;
	}
	bringup_disable(n);
}
