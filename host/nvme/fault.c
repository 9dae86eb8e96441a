/* Faults on purpose: before, in place of, and after the carrying out of a command. */
#include "host/nvme/internal.h"
#include "lib/os/file.h"

#define ANY_OPCODE (~0u)
#define WRITES (BIT(NVME_IO_WRITE))
#define TOUCHES_BLOCKS (BIT(NVME_IO_READ) | BIT(NVME_IO_WRITE) | BIT(NVME_IO_COMPARE) | BIT(NVME_IO_WRITE_ZEROES))

enum when { BEFORE, AFTER, STATE };

static const struct {
	enum when when;
	u32 opcodes; /* a bit each */
} table[NVME_FAULT_KINDS] = {
	[NVME_FAULT_DELAY] = { AFTER, ANY_OPCODE },          [NVME_FAULT_DROP] = { AFTER, ANY_OPCODE },
	[NVME_FAULT_LOSE] = { AFTER, ANY_OPCODE },           [NVME_FAULT_CORRUPT] = { AFTER, ANY_OPCODE },
	[NVME_FAULT_DUPLICATE] = { AFTER, ANY_OPCODE },      [NVME_FAULT_SILENT] = { AFTER, ANY_OPCODE },
	[NVME_FAULT_STATUS] = { BEFORE, ANY_OPCODE },        [NVME_FAULT_FATAL] = { BEFORE, ANY_OPCODE },
	[NVME_FAULT_MEDIA] = { BEFORE, TOUCHES_BLOCKS },     [NVME_FAULT_FLUSHFAIL] = { BEFORE, BIT(NVME_IO_FLUSH) },
	[NVME_FAULT_LOSEFLUSH] = { BEFORE, BIT(NVME_IO_FLUSH) }, [NVME_FAULT_LOSEWRITE] = { BEFORE, WRITES },
	[NVME_FAULT_MISDIRECT] = { BEFORE, WRITES },         [NVME_FAULT_FLIP] = { AFTER, BIT(NVME_IO_READ) },
	[NVME_FAULT_STALL] = { STATE, 0 },                   [NVME_FAULT_PROTECT] = { STATE, 0 },
	[NVME_FAULT_CAPACITY] = { STATE, 0 },                [NVME_FAULT_NOTREADY] = { STATE, 0 },
};

static u64 first_block(const struct nvme_command *c)
{
	return (u64)c->cdw11 << 32 | c->cdw10;
}

static u64 blocks_of(const struct nvme_command *c)
{
	return (u64)(c->cdw12 & NVME_RW_NLB) + 1;
}

static bool is_about(const struct nvme_fault *f, const struct nvme_command *c)
{
	u64 first = first_block(c);

	if (c->opcode >= 32 || !(table[f->kind].opcodes & BIT(c->opcode)))
		return false;
	return f->kind != NVME_FAULT_MEDIA || (first - f->argument < f->count || f->argument - first < blocks_of(c));
}

/* the first that strikes; each counts the commands that it is about */
static const struct nvme_fault *due(struct nvme_target *n, const struct nvme_command *c, enum when when)
{
	const struct nvme_fault *first = NULL;

	for (u32 i = 0; i < n->fault_count; i++) {
		const struct nvme_fault *f = &n->faults[i];

		if (table[f->kind].when == when && is_about(f, c) && ++n->fault_seen[i] % f->every == 0 && !first)
			first = f;
	}
	if (first) {
		n->counters.faults++;
		n->faults_met[first->kind]++;
	}
	return first;
}

bool fault_before(struct nvme_target *n, struct execution *x, u16 *ret_status)
{
	const struct nvme_fault *f = due(n, &x->command, BEFORE);

	if (!f)
		return false;
	x->planted = true;
	*ret_status = NVME_SC_SUCCESS;
	switch (f->kind) {
	case NVME_FAULT_STATUS: *ret_status = (u16)f->argument; return true;
	case NVME_FAULT_FATAL:
		x->silent = true;
		controller_fatal(n, "planted");
		return true;
	case NVME_FAULT_MEDIA:
		x->error_lba = MAX(first_block(&x->command), f->argument);
		*ret_status = x->command.opcode == NVME_IO_WRITE || x->command.opcode == NVME_IO_WRITE_ZEROES
				      ? NVME_SC_WRITE_FAULT : NVME_SC_UNRECOVERED_READ;
		return true;
	case NVME_FAULT_FLUSHFAIL: *ret_status = NVME_SC_INTERNAL_ERROR; return true;
	case NVME_FAULT_MISDIRECT:
		/* one bit of the address is another: as near as cables and tables make it */
		x->command.cdw10 ^= range_within(first_block(&x->command) ^ 8, blocks_of(&x->command), 0, n->blocks) ? 8 : 1;
		x->planted = false;
		return false;
	default: return true; /* it is not done, and says it was */
	}
}

static void flip(struct nvme_target *n, const struct nvme_command *c)
{
	struct iovec iov[IOVECS_MAX];
	u64 len = blocks_of(c) << n->block_shift;
	u32 count;

	if (!data_map(n, c, len, iov, &count))
		*((u8 *)iov[0].iov_base + MIN(len / 3, iov[0].iov_len - 1)) ^= 0x10;
}

/* the completion waits among those held, or on for ever */
static bool hold(struct nvme_target *n, struct execution *x, u16 status, u64 due_ns)
{
	struct held *h = held_add(n, x->sq, x->command.cid);

	if (!h)
		return false;
	h->status = status;
	h->dw0 = x->dw0;
	h->due_ns = due_ns;
	return true;
}

bool fault_after(struct nvme_target *n, struct execution *x, u16 status)
{
	const struct nvme_fault *f = due(n, &x->command, AFTER);

	if (!f)
		return false;
	switch (f->kind) {
	case NVME_FAULT_LOSE: return true;
	case NVME_FAULT_CORRUPT:
		queue_complete(n, x->sq, (u16)~x->command.cid, 0, status);
		return true; /* the command itself never completes */
	case NVME_FAULT_DUPLICATE:
		queue_complete(n, x->sq, x->command.cid, x->dw0, status);
		return false; /* and once more */
	case NVME_FAULT_SILENT:
		n->mute = true;
		queue_complete(n, x->sq, x->command.cid, x->dw0, status);
		n->mute = false;
		return true;
	case NVME_FAULT_FLIP:
		if (!status)
			flip(n, &x->command);
		return false;
	case NVME_FAULT_DELAY: return hold(n, x, status, now_ns() + f->argument * 1000000ull);
	default: return hold(n, x, status, ~0ull);
	}
}

/* ---- states */

static const struct nvme_fault *in_force(const struct nvme_target *n, enum nvme_fault_kind kind)
{
	for (u32 i = 0; i < n->fault_count; i++)
		if (n->faults[i].kind == kind)
			return &n->faults[i];
	return NULL;
}

bool fault_stalls(const struct nvme_target *n, u16 sq)
{
	for (u32 i = 0; i < n->fault_count; i++)
		if (n->faults[i].kind == NVME_FAULT_STALL && n->faults[i].argument == sq)
			return true;
	return false;
}

bool fault_is_state(enum nvme_fault_kind kind)
{
	return table[kind].when == STATE;
}

bool fault_keeps_from_ready(const struct nvme_target *n)
{
	return in_force(n, NVME_FAULT_NOTREADY) != NULL;
}

void fault_set_states(struct nvme_target *n)
{
	const struct nvme_fault *capacity = in_force(n, NVME_FAULT_CAPACITY);
	u64 all = n->backing.size >> n->block_shift, blocks = capacity ? MIN(MAX(capacity->argument, 1ull), all) : all;
	bool readonly = n->config.readonly || in_force(n, NVME_FAULT_PROTECT);
	bool changed = blocks != n->blocks || readonly != n->readonly;

	n->blocks = blocks;
	n->readonly = readonly;
	for (u16 q = 1; q <= n->config.io_queues; q++)
		n->sqs[q].stalled = fault_stalls(n, q);
	if (!changed || !n->has_thread)
		return;
	n->namespace_changed = true;
	if (n->features[NVME_FEATURE_ASYNC_EVENTS] & NVME_ASYNC_NAMESPACE)
		event_raise(n, NVME_EVENT_TYPE_NOTICE, NVME_EVENT_NAMESPACES, NVME_LOG_CHANGED_NAMESPACES);
}
