/* Channels: offered, opened, moved, closed, revoked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/check.h"
#include "vmm/vmbus/internal.h"

/* ---- on the channel's executor */
static struct vmbus_vp *vp_of(struct vmbus_channel *c)
{
	return &c->bus->vps[c->vp];
}

static void run_pending(struct task *task)
{
	struct vmbus_vp *v = container_of(task, struct vmbus_vp, task);

	for (unsigned word = 0; word < ARRAY_SIZE(v->pending); word++) {
		u64 bits = atomic_exchange(&v->pending[word], 0);

		for (; bits; bits &= bits - 1) {
			struct vmbus_channel *c = v->running[word * 64 + (unsigned)__builtin_ctzll(bits)];

			if (c)
				c->ops->run(c); /* else it moved; where it went it looks for itself */
		}
	}
}

static void wake(struct vmbus_vp *v, u32 relid)
{
	atomic_fetch_or(&v->pending[relid / 64], BIT(relid % 64));
	task_wake(&v->task);
}

void vmbus_channel_wake(struct vmbus_channel *c)
{
	wake(vp_of(c), c->relid);
}

void vmbus_channel_interrupt(struct vmbus_channel *c)
{
	if (!c->interrupts)
		return;
	atomic_fetch_add_explicit(&c->interrupts_sent, 1, memory_order_relaxed);
	c->bus->io.signal(c->bus->io.ctx, c->vp, VMBUS_SINT, (u16)c->relid);
}

static void start_here(struct op *op, int ignored)
{
	struct vmbus_channel *c = container_of(op, struct vmbus_channel, start_op);

	vp_of(c)->running[c->relid] = c;
	c->ops->start(c, c->fresh);
	wake(vp_of(c), c->relid); /* what was signalled before this found nobody */
}

static void stop_here(struct op *op, int ignored)
{
	struct vmbus_channel *c = container_of(op, struct vmbus_channel, stop_op);

	c->ops->stop(c);
}

static void stopped(struct op *op, int ignored);

void vmbus_channel_stopped(struct vmbus_channel *c)
{
	vp_of(c)->running[c->relid] = NULL;
	exec_post(c->bus->home, &c->stopped_op, stopped, 0);
}

/* ---- any thread */
u16 vmbus_signal(struct vmbus *bus, u32 connection, u16 flag)
{
	u32 relid = connection & 0xfff;
	u32 vp = relid < VMBUS_RELIDS ? atomic_load(&bus->route[relid]) : 0;

	if (!vp || flag || connection != VMBUS_CHANNEL_CONNECTION(relid, VMBUS_SINT, 0)) {
		atomic_fetch_add(&bus->unknown_signals, 1);
		return HV_STATUS_INVALID_CONNECTION_ID;
	}
	wake(&bus->vps[vp - 1], relid);
	return HV_STATUS_SUCCESS;
}

/* ---- on home */
static void start(struct vmbus_channel *c, bool fresh)
{
	struct vmbus_vp *v = &c->bus->vps[c->vp];

	c->fresh = fresh;
	if (c->bus->held) {
		c->state = CHANNEL_HELD;
		return;
	}
	if (!v->exec) {
		v->exec = c->bus->io.exec(c->bus->io.ctx, c->vp);
		task_init(&v->task, v->exec, "vmbus channels", run_pending);
	}
	c->exec = v->exec;
	c->state = CHANNEL_OPEN;
	exec_post(c->exec, &c->start_op, start_here, 0);
	atomic_store(&c->bus->route[c->relid], c->vp + 1);
}

static void stop(struct vmbus_channel *c)
{
	bool runs = c->state == CHANNEL_OPEN;

	atomic_store(&c->bus->route[c->relid], 0);
	c->state = CHANNEL_STOPPING;
	if (runs)
		exec_post(c->exec, &c->stop_op, stop_here, 0);
	else
		exec_post(c->bus->home, &c->stopped_op, stopped, 0);
}

static bool is_open(const struct vmbus_channel *c)
{
	return c->state == CHANNEL_OPEN || c->state == CHANNEL_HELD;
}

bool vmbus_channel_stays_open(const struct vmbus_channel *c)
{
	return (is_open(c) || c->state == CHANNEL_STOPPING) && !c->close && !c->revoke;
}

void vmbus_channel_poke(struct vmbus_channel *c)
{
	if (c->state == CHANNEL_OPEN)
		wake(vp_of(c), c->relid);
}

void channel_gone(struct vmbus_channel *c)
{
	c->bus->channels[c->relid] = NULL;
	c->bus->channel_count--;
	c->listed = false;
	c->ops->gone(c);
}

static void send_rescind(struct vmbus_channel *c)
{
	struct vmbus_relid m = { { VMBUS_RESCIND, 0 }, c->relid };

	c->state = CHANNEL_REVOKED;
	vmbus_send(c->bus, &m, sizeof(m));
}

static void release(struct vmbus_channel *c)
{
	struct gpadl *g = c->gpadl;

	free(c->pages);
	c->pages = NULL;
	c->gpadl = NULL;
	gpadl_release(c->bus, g);
}

static void modify_response(struct vmbus *bus, u32 relid, u32 status)
{
	struct vmbus_modify_channel_response m = { { VMBUS_MODIFY_CHANNEL_RESPONSE, 0 }, relid, status };

	if (bus->version >= VMBUS_VERSION_IRON)
		vmbus_send(bus, &m, sizeof(m));
}

static void take_next_vp(struct vmbus_channel *c)
{
	c->move = false;
	c->vp = c->next_vp;
	c->interrupts = c->next_interrupts;
}

static void stopped(struct op *op, int ignored)
{
	struct vmbus_channel *c = container_of(op, struct vmbus_channel, stopped_op);
	struct vmbus *bus = c->bus;

	if (c->move) {
		take_next_vp(c);
		modify_response(bus, c->relid, VMBUS_STATUS_SUCCESS);
	}
	if (!c->close && !c->revoke) {
		start(c, false);
		vmbus_held(bus);
		return;
	}
	c->close = false;
	c->state = CHANNEL_OFFERED;
	release(c);
	c->ops->closed(c);
	if (c->revoke)
		send_rescind(c);
	vmbus_reset_progress(bus);
	vmbus_held(bus);
}

static void send_offer(struct vmbus_channel *c)
{
	struct vmbus_offer m = {
		.header.type = VMBUS_OFFER, .interface = c->interface, .instance = c->instance, .flags = c->flags,
		.sub_channel_index = c->sub_index, .relid = c->relid, .monitor_id = VMBUS_NO_MONITOR, .dedicated_interrupt = 1,
		.connection_id = VMBUS_CHANNEL_CONNECTION(c->relid, VMBUS_SINT, 0),
	};

	memcpy(m.user, c->user, sizeof(m.user));
	c->state = CHANNEL_OFFERED;
	vmbus_send(c->bus, &m, sizeof(m));
}

int vmbus_offer(struct vmbus *bus, struct vmbus_channel *c)
{
	u32 relid = 1;

	while (relid < VMBUS_RELIDS && bus->channels[relid])
		relid++;
	if (relid == VMBUS_RELIDS)
		return -ENOSPC;
	c->bus = bus;
	c->relid = relid;
	c->state = CHANNEL_HIDDEN;
	c->listed = true;
	c->revoke = c->close = c->move = false;
	bus->channels[relid] = c;
	bus->channel_count++;
	if (bus->offers_requested && bus->after_reset == RESET_NONE)
		send_offer(c);
	return 0;
}

void vmbus_revoke(struct vmbus_channel *c)
{
	CHECK(c->listed && !c->revoke);
	c->revoke = true;
	if (c->state == CHANNEL_HIDDEN)
		channel_gone(c);
	else if (c->state == CHANNEL_OFFERED)
		send_rescind(c);
	else if (is_open(c))
		stop(c);
}

void channel_send_offers(struct vmbus *bus)
{
	for (u32 i = 1; i < VMBUS_RELIDS; i++)
		if (bus->channels[i] && bus->channels[i]->state == CHANNEL_HIDDEN)
			send_offer(bus->channels[i]);
}

static struct vmbus_channel *find(struct vmbus *bus, u32 relid, const char *what)
{
	struct vmbus_channel *c = relid < VMBUS_RELIDS ? bus->channels[relid] : NULL;

	if (c && c->state != CHANNEL_HIDDEN)
		return c;
	vmbus_mistake(bus, what, relid);
	return NULL;
}

bool gpadl_in_use(const struct vmbus *bus, const struct gpadl *g)
{
	const struct vmbus_channel *c = bus->channels[g->relid];

	return c && c->gpadl == g;
}

static bool set_vp(struct vmbus *bus, u32 target, u32 *ret_vp, bool *ret_interrupts)
{
	if (target != VMBUS_VP_NO_INTERRUPT && target >= bus->io.vp_count)
		return false;
	*ret_interrupts = target != VMBUS_VP_NO_INTERRUPT;
	*ret_vp = *ret_interrupts ? target : 0;
	return true;
}

bool channel_make_rings(struct vmbus_channel *c, const struct vmbus_open *m)
{
	struct gpadl *g = gpadl_find(c->bus, m->gpadl);

	if (!g || g->relid != c->relid || !g->complete || g->teardown || m->downstream_page >= g->page_count)
		return false;
	c->pages = gpadl_pages(c->bus, g);
	if (!c->pages || ring_init(&c->in, c->pages, m->downstream_page, true) ||
	    ring_init(&c->out, c->pages + m->downstream_page, g->page_count - m->downstream_page, false)) {
		free(c->pages);
		c->pages = NULL;
		return false;
	}
	c->gpadl = g;
	return true;
}

void channel_open(struct vmbus *bus, struct bytes b)
{
	struct vmbus_open m;
	struct vmbus_open_result result = { .header.type = VMBUS_OPEN_RESULT, .status = VMBUS_STATUS_UNSUCCESSFUL };
	struct vmbus_channel *c;

	if (!bytes_copy(&b, &m, sizeof(m))) {
		vmbus_mistake(bus, "open cut short", (u32)b.left);
		return;
	}
	result.relid = m.relid;
	result.open_id = m.open_id;
	c = find(bus, m.relid, "open of a channel that is none");
	if (c && c->state == CHANNEL_OFFERED && set_vp(bus, m.target_vp, &c->vp, &c->interrupts) && channel_make_rings(c, &m)) {
		c->broken = false;
		c->open_id = m.open_id;
		c->opens++;
		result.status = VMBUS_STATUS_SUCCESS;
		start(c, true);
	} else {
		vmbus_mistake(bus, "open that cannot be", m.relid);
	}
	vmbus_send(bus, &result, sizeof(result));
}

static bool get_relid(struct vmbus *bus, struct bytes b, u32 *ret)
{
	if (bytes_skip(&b, sizeof(struct vmbus_header)) && bytes_u32(&b, ret))
		return true;
	vmbus_mistake(bus, "message cut short", (u32)b.left);
	return false;
}

void channel_close(struct vmbus *bus, struct bytes b)
{
	u32 relid;
	struct vmbus_channel *c = get_relid(bus, b, &relid) ? find(bus, relid, "close of a channel that is none") : NULL;

	if (!c)
		return;
	if (is_open(c)) {
		c->close = true;
		stop(c);
	} else if (c->state == CHANNEL_STOPPING && !c->close) {
		c->close = true;
	} else if (c->state != CHANNEL_REVOKED) { /* the guest may close what was revoked meanwhile */
		vmbus_mistake(bus, "close of a channel that is not open", relid);
	}
}

void channel_modify(struct vmbus *bus, struct bytes b)
{
	struct vmbus_modify_channel m;
	struct vmbus_channel *c;
	u32 vp;
	bool interrupts;

	if (!bytes_copy(&b, &m, sizeof(m))) {
		vmbus_mistake(bus, "modification cut short", (u32)b.left);
		return;
	}
	c = find(bus, m.relid, "modification of a channel that is none");
	if (!c || !is_open(c) || !set_vp(bus, m.target_vp, &vp, &interrupts)) {
		vmbus_mistake(bus, "modification that cannot be", m.relid);
		modify_response(bus, m.relid, VMBUS_STATUS_UNSUCCESSFUL);
		return;
	}
	c->next_vp = vp;
	c->next_interrupts = interrupts;
	c->move = true;
	stop(c); /* it goes on at its new VP: its work in flight is the old executor's until it is done */
}

void channel_relid_released(struct vmbus *bus, struct bytes b)
{
	u32 relid;
	struct vmbus_channel *c = get_relid(bus, b, &relid) ? find(bus, relid, "release of a channel that is none") : NULL;

	if (!c)
		return;
	if (c->state != CHANNEL_REVOKED) {
		vmbus_mistake(bus, "release of a channel that was not revoked", relid);
		return;
	}
	gpadl_free_all(bus, relid);
	channel_gone(c);
}

void channel_reset_all(struct vmbus *bus)
{
	for (u32 i = 1; i < VMBUS_RELIDS; i++) {
		struct vmbus_channel *c = bus->channels[i];

		if (!c)
			continue;
		if (is_open(c))
			stop(c);
		c->close = c->state == CHANNEL_STOPPING;
	}
}

bool channel_all_closed(const struct vmbus *bus)
{
	for (u32 i = 1; i < VMBUS_RELIDS; i++)
		if (bus->channels[i] && (is_open(bus->channels[i]) || bus->channels[i]->state == CHANNEL_STOPPING))
			return false;
	return true;
}

void channel_forget_relids(struct vmbus *bus)
{
	for (u32 i = 1; i < VMBUS_RELIDS; i++) {
		struct vmbus_channel *c = bus->channels[i];

		if (!c)
			continue;
		if (c->state == CHANNEL_REVOKED)
			channel_gone(c);
		else
			c->state = CHANNEL_HIDDEN;
	}
}

/* ---- held for saved state; the rest is in channel_state.c */
void channel_hold_all(struct vmbus *bus)
{
	for (u32 i = 1; i < VMBUS_RELIDS; i++)
		if (bus->channels[i] && bus->channels[i]->state == CHANNEL_OPEN)
			stop(bus->channels[i]);
}

void channel_go_on_all(struct vmbus *bus)
{
	for (u32 i = 1; i < VMBUS_RELIDS; i++)
		if (bus->channels[i] && bus->channels[i]->state == CHANNEL_HELD)
			start(bus->channels[i], bus->channels[i]->fresh);
}

int channel_init_vps(struct vmbus *bus)
{
	CHECK(bus->io.vp_count && bus->io.vp_count <= VMBUS_VPS_MAX);
	bus->vps = calloc(bus->io.vp_count, sizeof(*bus->vps));
	for (u32 i = 0; bus->vps && i < bus->io.vp_count; i++)
		bus->vps[i].bus = bus;
	return bus->vps ? 0 : -ENOMEM;
}

static void one_inspect(void *object, struct inspect *in)
{
	static const char *const states[] = { "hidden", "offered", "open", "stopping", "held", "revoked" };
	struct vmbus_channel *c = object;
	char text[GUID_STRLEN + 1];

	inspect_str(in, "name", c->name);
	inspect_str(in, "state", states[c->state]);
	guid_format(&c->interface, text);
	inspect_str(in, "interface", text);
	guid_format(&c->instance, text);
	inspect_str(in, "instance", text);
	inspect_u64(in, "sub_index", c->sub_index);
	inspect_u64(in, "vp", c->vp);
	inspect_bool(in, "interrupts", c->interrupts);
	inspect_bool(in, "broken", c->broken);
	inspect_count(in, "opens", c->opens);
	inspect_count(in, "interrupts_sent", atomic_load(&c->interrupts_sent));
	if (c->state == CHANNEL_OPEN) {
		inspect_u64(in, "in_pages", c->in.page_count);
		inspect_u64(in, "out_pages", c->out.page_count);
		inspect_hex(in, "in_index", c->in.own_index);
		inspect_hex(in, "out_index", c->out.own_index);
	}
}

void channel_inspect_all(void *object, struct inspect *in)
{
	struct vmbus *bus = object;

	for (u32 i = 1; i < VMBUS_RELIDS; i++)
		if (bus->channels[i])
			inspect_child_index(in, i, one_inspect, bus->channels[i]);
}
