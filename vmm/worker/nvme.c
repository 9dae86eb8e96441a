/* VFIO as the NVMe driver's transport, and the list of controllers. */
#include "vmm/worker/nvme.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log/log.h"
#include "vmm/vfio/vfio.h"

LOG_DOMAIN("nvme");

#define DEVICES_MAX 16u
/* the kernel finds and binds functions beside us: look a few times after the start, while one has gone, and when asked */
#define LOOKS 10u
#define LOOK_NS 1000000000ull

struct nvme_device {
	struct nvme_transport transport;
	struct nvme_devices *owner;
	struct guid instance;
	char name[16];
	struct vfio_device *vfio;
	struct dma_pool *dma; /* NULL when it has gone, and the disks over it */
	u32 own_pieces;       /* of its own queues */
	u8 *registers;
	u64 registers_len;
	struct nvme *controller;
	struct op shut_down, removed;
	struct task request; /* the kernel wants the device back */
	/* the first block is read once through each queue, so that one without interrupts or memory is noticed at once */
	void *probe_page;
	u64 probe_address;
	struct probe {
		struct nvme_device *device;
		struct nvme_request request;
		struct nvme_segment segment;
		struct op post;
		int result;
	} probes[NVME_QUEUES_MAX];
	atomic_uint probes_good, probes_bad;
};

struct nvme_devices {
	struct exec *home;
	struct exec *const *execs;
	struct exec *exec_list[NVME_QUEUES_MAX];
	u32 exec_count, count, ending;
	struct op *done;
	struct nvme_device *list[DEVICES_MAX];
	struct timer look_again;
	u32 looks_left, replaced;
	nvme_ready_fn ready;
	void *ctx;
};

/* ---- transport */

static u32 read_register(struct nvme_transport *t, u32 offset)
{
	struct nvme_device *d = container_of(t, struct nvme_device, transport);

	return offset + 4 <= d->registers_len ? *(volatile u32 *)(d->registers + offset) : ~0u;
}

static void write_register(struct nvme_transport *t, u32 offset, u32 value)
{
	struct nvme_device *d = container_of(t, struct nvme_device, transport);

	atomic_thread_fence(memory_order_seq_cst);
	if (offset + 4 <= d->registers_len)
		*(volatile u32 *)(d->registers + offset) = value;
}

static void *dma_alloc(struct nvme_transport *t, u32 len, u64 *ret_address)
{
	return dma_pool_alloc(container_of(t, struct nvme_device, transport)->dma, len, ret_address);
}

/* of a controller that has gone, nobody uses what is its own: with the last disk over it all goes back */
static void drop_memory(struct nvme_device *d)
{
	if (d->registers_len || !d->dma || dma_pool_pieces(d->dma) > d->own_pieces)
		return;
	dma_pool_destroy(d->dma);
	d->dma = NULL;
}

static void dma_free(struct nvme_transport *t, void *at, u32 len, u64 address)
{
	struct nvme_device *d = container_of(t, struct nvme_device, transport);

	dma_pool_free(d->dma, at, len, address);
	drop_memory(d);
}

static int listen(struct nvme_transport *t, u32 vector, struct task *task)
{
	return vfio_listen(container_of(t, struct nvme_device, transport)->vfio, vector, task);
}

static const struct nvme_transport_ops transport_ops = {
	.read = read_register, .write = write_register, .dma_alloc = dma_alloc, .listen = listen,
	.dma_free = dma_free,
};

/* ---- probe */

static void probed(struct nvme_request *r, int result)
{
	struct probe *p = container_of(r, struct probe, request);
	struct nvme_device *d = p->device;

	p->result = result;
	atomic_fetch_add(result ? &d->probes_bad : &d->probes_good, 1);
	if (result)
		log_at(LOG_NOTICE, "%s: queue %u does not read block 0: error %d, status %#x", d->name, (u32)(p - d->probes) + 1,
		       result, r->status);
	if (atomic_load(&d->probes_good) + atomic_load(&d->probes_bad) == d->owner->exec_count)
		log_at(LOG_INFO, "%s: %u queues read, %u do not", d->name, atomic_load(&d->probes_good),
		       atomic_load(&d->probes_bad));
}

static void probe_there(struct op *op, int index)
{
	struct probe *p = container_of(op, struct probe, post);

	nvme_submit(nvme_queue_of(p->device->controller, (u32)index), &p->request);
}

static void probe(struct nvme_device *d)
{
	const struct nvme_namespace *s = nvme_namespace_at(d->controller, 0);

	for (u32 i = 0; s && s->blocks && i < d->owner->exec_count && nvme_queue_of(d->controller, i); i++) {
		struct probe *p = &d->probes[i];

		*p = (struct probe){ .device = d, .segment = { d->probe_address, s->block_size } };
		p->request = (struct nvme_request){ .operation = NVME_READ, .nsid = s->nsid, .blocks = 1, .segments = &p->segment,
						    .segment_count = 1, .done = probed };
		exec_post(d->owner->execs[i], &p->post, probe_there, (int)i);
	}
}

static void changed(struct nvme *n)
{
	struct nvme_device *d = nvme_context(n);
	struct nvme_devices *all = d->owner;

	for (u32 i = 0; all->ready && nvme_state(n) == NVME_READY && i < all->count; i++)
		if (all->list[i] == d)
			all->ready(all->ctx, n, i, &d->instance);
}

static void started(struct nvme *n, int result)
{
	struct nvme_device *d = nvme_context(n);

	if (result) {
		log_err(result, "%s is not usable", d->name);
		return;
	}
	if (!d->probes[0].device)
		probe(d);
	changed(n);
}

/* ---- opening */

/* of a device that could not be opened wholly */
static void device_discard(struct nvme_device *d)
{
	if (d->vfio && d->transport.vector_count) {
		/* executors may have orders to listen to its interrupts: what those point at stays */
		vfio_release(d->vfio);
		return;
	}
	vfio_close(d->vfio);
	dma_pool_destroy(d->dma);
	free(d);
}

/* what was taken away may be brought back, with no other word than that the kernel has bound it */
static void watch_for_return(struct nvme_devices *all)
{
	if (!all->look_again.slot)
		timer_arm(all->home, &all->look_again, exec_now_ns(all->home) + LOOK_NS);
}

static void give_back(struct op *op, int ignored)
{
	struct nvme_device *d = container_of(op, struct nvme_device, removed);

	d->registers_len = 0;
	vfio_release(d->vfio);
	drop_memory(d);
	log_at(LOG_NOTICE, "%s is gone", d->name);
	watch_for_return(d->owner);
}

static void requested(struct task *task)
{
	struct nvme_device *d = container_of(task, struct nvme_device, request);

	if (d->removed.done)
		return; /* asked for already: the kernel repeats itself */
	d->removed.done = give_back;
	nvme_remove(d->controller, &d->removed);
}

static int device_open(struct nvme_device *d)
{
	void *registers = NULL;
	int r = vfio_open(&d->instance, &d->vfio);

	if (r)
		return r;
	snprintf(d->name, sizeof(d->name), "%s", vfio_address(d->vfio));
	d->dma = dma_pool_create(d->vfio);
	if (!d->dma)
		return log_err(-ENOMEM, "%s", d->name);
	r = vfio_map_bar(d->vfio, 0, &registers, &d->registers_len);
	d->registers = registers;
	d->transport.ops = &transport_ops;
	d->transport.translated = vfio_has_iommu(d->vfio);
	d->transport.vector_count = MIN(vfio_vector_count(d->vfio), d->owner->exec_count + 1);
	if (!r)
		r = vfio_enable_interrupts(d->vfio, d->transport.vector_count);
	if (!r) {
		d->probe_page = dma_pool_alloc(d->dma, PAGE_SIZE, &d->probe_address);
		r = d->probe_page ? 0 : -ENOMEM;
	}
	if (r)
		return r;
	struct nvme_config config = { .name = d->name, .home = d->owner->home, .execs = d->owner->execs,
				      .exec_count = d->owner->exec_count, .started = started, .changed = changed, .ctx = d };

	r = nvme_create(&d->transport, &config, &d->controller);
	d->own_pieces = dma_pool_pieces(d->dma);
	task_init(&d->request, d->owner->home, "vfio request", requested);
	return r ? r : vfio_on_request(d->vfio, &d->request);
}

static void start_there(struct op *op, int ignored)
{
	nvme_start(container_of(op, struct nvme_device, shut_down)->controller);
}

/* where a controller of this instance goes; NULL: one is there, or there is no room */
static struct nvme_device **place_for(struct nvme_devices *all, const struct guid *instance)
{
	for (u32 i = 0; i < all->count; i++)
		if (guid_equal(&all->list[i]->instance, instance))
			return all->list[i]->registers_len ? NULL : &all->list[i]; /* given back: another life of it */
	return all->count < DEVICES_MAX ? &all->list[all->count] : NULL;
}

static int by_text(const void *a, const void *b)
{
	char x[GUID_STRLEN + 1], y[GUID_STRLEN + 1];

	guid_format(a, x);
	guid_format(b, y);
	return strcmp(x, y);
}

static int look(struct nvme_devices *all)
{
	struct guid found[DEVICES_MAX];
	u32 count = vfio_find(found, DEVICES_MAX);

	/* the kernel's order is none; of those that come together the host's lowest instance is first */
	qsort(found, count, sizeof(found[0]), by_text);
	for (u32 i = 0; i < count; i++) {
		struct nvme_device **place = place_for(all, &found[i]);
		struct nvme_device *d = place ? calloc(1, sizeof(*d)) : NULL;

		if (!place)
			continue;
		if (!d)
			return log_err(-ENOMEM, "NVMe controllers");
		d->owner = all;
		d->instance = found[i];
		if (device_open(d)) {
			device_discard(d); /* said there; the guest may do without */
			continue;
		}
		if (place == &all->list[all->count])
			all->count++;
		else
			all->replaced++; /* the old one stays in memory: its rings' polls of eventfds never end */
		*place = d;
		exec_post(all->home, &d->shut_down, start_there, 0);
	}
	return 0;
}

static bool one_is_away(const struct nvme_devices *all)
{
	u32 i = 0;

	while (i < all->count && all->list[i]->registers_len)
		i++;
	return i < all->count;
}

static void look_again(struct timer *timer)
{
	struct nvme_devices *all = container_of(timer, struct nvme_devices, look_again);

	if (all->ending || look(all))
		return;
	all->looks_left -= all->looks_left != 0;
	if (all->looks_left || one_is_away(all))
		timer_arm(all->home, timer, exec_now_ns(all->home) + LOOK_NS);
}

int nvme_devices_open(struct exec *home, struct exec *const *execs, u32 exec_count, struct nvme_devices **ret)
{
	struct nvme_devices *all = calloc(1, sizeof(*all));

	if (!all)
		return log_err(-ENOMEM, "NVMe controllers");
	all->home = home;
	all->exec_count = MIN(exec_count, NVME_QUEUES_MAX);
	for (u32 i = 0; i < all->exec_count; i++)
		all->exec_list[i] = execs[i];
	all->execs = all->exec_list;
	*ret = all;
	all->look_again.fire = look_again;
	all->looks_left = LOOKS;
	timer_arm(home, &all->look_again, exec_now_ns(home) + LOOK_NS);
	return look(all);
}

void nvme_devices_watch(struct nvme_devices *all, nvme_ready_fn ready, void *ctx)
{
	all->ready = ready;
	all->ctx = ctx;
}

static void one_ended(struct op *op, int result)
{
	struct nvme_device *d = container_of(op, struct nvme_device, shut_down);

	if (result)
		log_err(result, "%s: shutdown", d->name);
	if (!--d->owner->ending)
		d->owner->done->done(d->owner->done, 0);
}

void nvme_devices_shutdown(struct nvme_devices *all, struct exec *home, struct op *done)
{
	if (!all || !all->count) {
		exec_post(home, done, done->done, 0);
		return;
	}
	all->done = done;
	all->ending = all->count;
	for (u32 i = 0; i < all->count; i++) {
		all->list[i]->shut_down.done = one_ended;
		nvme_shutdown(all->list[i]->controller, &all->list[i]->shut_down);
	}
}

void nvme_devices_look(struct nvme_devices *all)
{
	if (all && !all->ending)
		look(all);
}

struct nvme *nvme_devices_find(struct nvme_devices *all, const struct guid *instance)
{
	for (u32 i = 0; all && i < all->count; i++)
		if (guid_equal(&all->list[i]->instance, instance))
			return all->list[i]->controller;
	return NULL;
}

static void device_inspect(void *object, struct inspect *in)
{
	struct nvme_device *d = object;
	char instance[GUID_STRLEN + 1];

	guid_format(&d->instance, instance);
	inspect_str(in, "instance", instance);
	inspect_u64(in, "probes_good", atomic_load(&d->probes_good));
	inspect_u64(in, "probes_bad", atomic_load(&d->probes_bad));
	inspect_child(in, "controller", nvme_inspect, d->controller);
	inspect_child(in, "pci", vfio_inspect, d->vfio);
	if (d->dma)
		inspect_child(in, "dma", dma_pool_inspect, d->dma);
}

static void look_get(void *object, char *text, size_t size)
{
	snprintf(text, size, "%u", ((struct nvme_devices *)object)->count);
}

static int look_set(void *object, const char *text)
{
	return look(object);
}

void nvme_devices_inspect(void *object, struct inspect *in)
{
	static const struct inspect_text look_ops = { look_get, look_set };
	struct nvme_devices *all = object;

	if (!all)
		return;
	inspect_rw_text(in, "look", &look_ops, all);
	inspect_count(in, "replaced", all->replaced);
	for (u32 i = 0; i < all->count; i++)
		inspect_child(in, all->list[i]->name, device_inspect, all->list[i]);
}
