/* Faults on purpose, between a command's fetch and its completion. */
#include "host/nvme/internal.h"
#include "lib/os/file.h"

static const struct nvme_fault *due(const struct nvme_target *n, bool before)
{
	for (u32 i = 0; i < n->fault_count; i++) {
		const struct nvme_fault *f = &n->faults[i];
		bool is_before = f->kind == NVME_FAULT_STATUS || f->kind == NVME_FAULT_FATAL;

		if (f->kind != NVME_FAULT_STALL && is_before == before && n->fault_commands % f->every == 0)
			return f;
	}
	return NULL;
}

bool fault_before(struct nvme_target *n, struct execution *x, u16 *ret_status)
{
	n->fault_commands++;
	const struct nvme_fault *f = due(n, true);

	if (!f)
		return false;
	n->counters.faults++;
	x->planted = true;
	*ret_status = (u16)f->argument;
	if (f->kind == NVME_FAULT_FATAL) {
		x->silent = true;
		controller_fatal(n, "planted");
	}
	return true;
}

bool fault_after(struct nvme_target *n, struct execution *x, u16 status)
{
	const struct nvme_fault *f = due(n, false);
	struct held *h;

	if (!f)
		return false;
	n->counters.faults++;
	if (f->kind == NVME_FAULT_LOSE)
		return true;
	if (f->kind == NVME_FAULT_CORRUPT) {
		queue_complete(n, x->sq, (u16)~x->command.cid, 0, status);
		return true; /* the command itself never completes */
	}
	h = held_add(n, x->sq, x->command.cid);
	if (!h)
		return false;
	h->status = status;
	h->dw0 = x->dw0;
	if (f->kind == NVME_FAULT_DELAY)
		h->due_ns = now_ns() + f->argument * 1000000ull;
	return true;
}
