#include "vmm/worker/disks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log/log.h"
#include "vmm/nvme_disk/nvme_disk.h"
#include "vmm/worker/nvme.h"
#include "vmm/worker/worker.h"

LOG_DOMAIN("disks");

#define LATE_NS 15000000000ull /* a disk that is not there by then is said */

static bool guest_memory(void *ctx, const void *at, size_t len, u64 *ret)
{
	return guest_address(((struct worker *)ctx)->board.machine.guest, at, len, ret);
}

/* ---- what is behind a disk */
static const struct disks_ready *find_ready(const struct disks *d, const struct storage_source *s)
{
	for (u32 i = 0; i < d->ready_count; i++)
		if (storage_is_of(s, d->ready[i].index, &d->ready[i].instance) && nvme_state(d->ready[i].nvme) == NVME_READY)
			return &d->ready[i];
	return NULL;
}

/* 0: its first. NULL: the controller is not ready or has no such namespace */
static const struct nvme_namespace *find_namespace(const struct disks_ready *r, u32 nsid)
{
	if (!r)
		return NULL;
	return nsid ? nvme_namespace_of(r->nvme, nsid) : nvme_namespace_at(r->nvme, 0);
}

static struct disk *open_source(struct disks *d, const struct storage_source *s)
{
	const struct disks_ready *r = find_ready(d, s);
	const struct nvme_namespace *space = find_namespace(r, s->nsid);
	struct worker *w = d->worker;
	struct exec *execs[NVME_QUEUES_MAX];
	struct nvme_disk_config config = { .nvme = r->nvme, .nsid = space->nsid, .id = r->instance, .execs = execs,
					   .address = guest_memory, .ctx = w };

	if (nvme_is_translated(r->nvme))
		config.address = NULL; /* behind an IOMMU that VTL0's memory is not mapped in */
	config.exec_count = MIN(w->layout.vp_count, NVME_QUEUES_MAX);
	for (u32 i = 0; i < config.exec_count; i++)
		execs[i] = w->vps[i].vp.exec;
	return nvme_disk_create(&config);
}

static struct disk *open_sources(struct disks *d, const struct storage_disk *s)
{
	struct disk *columns[SETTINGS_COLUMNS_MAX];

	for (u32 i = 0; i < s->source_count; i++) {
		columns[i] = open_source(d, &s->sources[i]);
		if (!columns[i]) {
			while (i)
				disk_destroy(columns[--i]);
			return NULL;
		}
	}
	return s->source_count == 1 ? columns[0] :
	       disk_stripe(columns, s->source_count, s->chunk_bytes / columns[0]->sector_size, &s->id);
}

static bool sources_ready(struct disks *d, const struct storage_disk *s)
{
	for (u32 i = 0; i < s->source_count; i++)
		if (!find_namespace(find_ready(d, &s->sources[i]), s->sources[i].nsid))
			return false;
	return true;
}

/* ---- LUNs */
static void attach(struct disks *d, u32 controller, struct storage_disk *s)
{
	struct guid id = d->config.controllers[controller].instance;
	char place[STORAGE_PLACE_LEN];
	struct disk *disk;

	if (s->attached || s->kind == STORAGE_NONE || (s->kind == STORAGE_NVME && !sources_ready(d, s)))
		return;
	id.data4[7] = (u8)(id.data4[7] + s->channel * 2 + s->location + 1);
	if (s->has_id)
		id = s->id;
	disk = s->kind == STORAGE_RAM ? storage_ram(s, &id) : open_sources(d, s);
	if (disk && s->kind == STORAGE_NVME)
		disk = storage_dress(s, disk, s->has_id ? &s->id : &disk->id);
	if (!disk || (d->scsi[controller] ? storvsp_add(d->scsi[controller], s->location, disk, &s->identity) :
					    assemble_ide_add(d->worker, s, disk)))
		return; /* said; a later change of the device is another chance */
	s->attached = true;
	storage_place(controller, d->config.controllers[controller].bus, s, place);
	log_at(LOG_NOTICE, "%s is there", place);
}

static void detach(struct disks *d, u32 controller, struct storage_disk *s)
{
	if (!s->attached || !d->scsi[controller]) /* IDE knows no hot plug */
		return;
	s->attached = false;
	if (storvsp_remove(d->scsi[controller], s->location))
		return; /* it never was */
	log_at(LOG_NOTICE, "controller %u, LUN %u is taken away", controller, s->location);
}

static void for_each(struct disks *d, void (*visit)(struct disks *, u32 controller, struct storage_disk *))
{
	for (u32 i = 0; i < d->config.count; i++)
		for (u32 k = 0; k < d->config.controllers[i].count; k++)
			visit(d, i, &d->config.controllers[i].disks[k]);
}

/* a namespace may have another size now; IDE knows of no such thing */
static void measure(struct disks *d, u32 controller, struct storage_disk *s)
{
	u64 sectors = s->attached && s->kind == STORAGE_NVME && d->scsi[controller] ?
		      storvsp_measure(d->scsi[controller], s->location) : 0;

	if (sectors)
		log_at(LOG_NOTICE, "controller %u, LUN %u has %llu sectors now", controller, s->location,
		       (unsigned long long)sectors);
}

/* a controller of that instance came anew: what stood on the old one has to be made again */
static void forget(struct disks *d, const struct disks_ready *old)
{
	for (u32 i = 0; i < d->config.count; i++)
		for (u32 k = 0; k < d->config.controllers[i].count; k++) {
			struct storage_disk *s = &d->config.controllers[i].disks[k];

			for (u32 j = 0; j < s->source_count; j++)
				if (storage_is_of(&s->sources[j], old->index, &old->instance))
					detach(d, i, s);
		}
}

static void nvme_ready(void *ctx, struct nvme *n, u32 index, const struct guid *instance)
{
	struct disks *d = ctx;
	u32 i = 0;

	while (i < d->ready_count && !guid_equal(&d->ready[i].instance, instance))
		i++;
	if (i == DISKS_CONTROLLERS_MAX) {
		log_at(LOG_WARN, "more than %u NVMe controllers: one is left out", DISKS_CONTROLLERS_MAX);
		return;
	}
	if (i == d->ready_count)
		d->ready_count++;
	else if (d->ready[i].nvme != n)
		forget(d, &d->ready[i]);
	d->ready[i] = (struct disks_ready){ n, index, *instance };
	for_each(d, measure);
	for_each(d, attach);
	assemble_ide_wait(d->worker);
}

static void say_late(struct disks *d, u32 controller, struct storage_disk *s)
{
	char place[STORAGE_PLACE_LEN];

	storage_place(controller, d->config.controllers[controller].bus, s, place);
	if (!s->attached && s->kind == STORAGE_NVME)
		log_at(LOG_NOTICE, "%s is not there: no NVMe controller or namespace for it yet", place);
}

static void late(struct timer *timer)
{
	for_each(container_of(timer, struct disks, late), say_late);
}

void disks_watch(struct disks *d)
{
	assemble_ide_wait(d->worker);
	nvme_devices_watch(d->worker->nvme, nvme_ready, d);
	d->late.fire = late;
	timer_arm(d->worker->main, &d->late, exec_now_ns(d->worker->main) + LATE_NS);
}

/* ---- the configuration */
static int from_settings(const void *data, size_t len, struct storage_config *ret, struct settings_error *error)
{
	struct settings *settings;
	int r = settings_parse(data, len, &settings, error);

	if (r)
		return r;
	r = storage_from_settings(settings, ret, error);
	settings_free(settings);
	return r;
}

void disks_configure(struct disks *d, struct worker *w, const void *settings, size_t len)
{
	const char *scsi = getenv("PARAVANE_DISKS"), *ide = getenv("PARAVANE_IDE");
	struct settings_error error;

	d->worker = w;
	if (scsi || ide) {
		log_at(LOG_NOTICE, "PARAVANE_DISKS and PARAVANE_IDE take the place of the host's storage settings");
		d->config.fixed = true;
		if (storage_parse(scsi ? scsi : "", &d->config))
			log_at(LOG_NOTICE, "VTL0 has no SCSI disks");
		if (ide && storage_parse_ide(ide, &d->config))
			log_at(LOG_NOTICE, "VTL0 has no IDE disks");
	} else if (from_settings(settings, len, &d->config, &error)) {
		log_at(LOG_ERROR, "the host's settings are refused, VTL0 has no disk: %s: %s", error.id, error.text);
	}
}

int disks_create(struct disks *d)
{
	struct worker *w = d->worker;

	for (u32 i = 0; i < d->config.count; i++) {
		const struct storage_controller *c = &d->config.controllers[i];

		if (c->bus != STORAGE_SCSI)
			continue;
		d->scsi[i] = storvsp_create(w->board.vmbus, w->board.machine.guest, w->main, &c->instance,
					    MIN(c->sub_channels, w->layout.vp_count - 1));
		if (!d->scsi[i])
			return -ENOMEM;
	}
	for_each(d, attach);
	return 0;
}

/* a device that nothing is known of would leave the host waiting for a disk that never comes */
static int check_devices(const struct disks *d, const struct storage_disk *s, struct settings_error *error)
{
	for (u32 i = 0; i < s->source_count; i++) {
		const struct storage_source *source = &s->sources[i];
		struct nvme *n = nvme_devices_find(d->worker->nvme, &source->instance);
		char name[GUID_STRLEN + 1];

		guid_format(&source->instance, name);
		if (!n)
			return settings_refuse(error, "StorageCannotFindVtl2Device", "LUN %u: no NVMe controller %s is assigned",
					       s->location, name);
		if (nvme_state(n) == NVME_READY && !find_namespace(&(struct disks_ready){ .nvme = n }, source->nsid))
			return settings_refuse(error, "StorageCannotFindVtl2Device",
					       "LUN %u: NVMe controller %s has no namespace %u",
					       s->location, name, source->nsid);
	}
	return 0;
}

static int check_new(struct disks *d, struct storage_config *to, struct settings_error *error)
{
	int r = storage_may_change(&d->config, to, error);

	for (u32 i = 0; !r && i < to->count; i++)
		for (u32 k = 0; !r && k < to->controllers[i].count; k++) {
			struct storage_disk *s = &to->controllers[i].disks[k];
			struct storage_disk *old = storage_at(&d->config.controllers[i], s->channel, s->location);

			s->attached = old && storage_same(old, s) && old->attached;
			if (!s->attached)
				r = check_devices(d, s, error);
		}
	return r;
}

int disks_change(struct disks *d, const void *settings, size_t len, struct settings_error *error)
{
	struct storage_config to = { .count = 0 };
	int r;

	nvme_devices_look(d->worker->nvme); /* the host may have plugged a controller in just for this */
	r = from_settings(settings, len, &to, error);
	if (!r)
		r = check_new(d, &to, error);
	if (r) {
		d->refused++;
		log_at(LOG_WARN, "the host's other settings are refused: %s: %s", error->id, error->text);
		storage_free(&to);
		return r;
	}
	for (u32 i = 0; i < d->config.count; i++)
		for (u32 k = 0; k < d->config.controllers[i].count; k++) {
			struct storage_disk *old = &d->config.controllers[i].disks[k];
			struct storage_disk *now = storage_at(&to.controllers[i], old->channel, old->location);

			if (!now || !storage_same(old, now))
				detach(d, i, old);
		}
	storage_free(&d->config);
	d->config = to;
	d->changes++;
	for_each(d, attach);
	log_at(LOG_NOTICE, "the host's other settings are in force");
	return 0;
}

void disks_inspect(void *object, struct inspect *in)
{
	struct disks *d = object;
	char name[8];

	inspect_count(in, "changes", d->changes);
	inspect_count(in, "changes_refused", d->refused);
	for (u32 i = 0; i < d->config.count; i++)
		if (d->scsi[i]) {
			snprintf(name, sizeof(name), "scsi%u", i);
			inspect_child(in, name, storvsp_inspect, d->scsi[i]);
		}
}
