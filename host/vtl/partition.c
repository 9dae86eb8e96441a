#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/vtl/vp.h"
#include "lib/core/check.h"
#include "lib/log/log.h"

LOG_DOMAIN("partition");

int partition_create(const struct partition_config *config, struct partition **ret)
{
	struct partition *p = calloc(1, sizeof(*p));

	if (!p)
		return log_err(-ENOMEM, "partition");
	CHECK(config->vp_count && config->vp_count <= PARTITION_MAX_VPS && config->ram_count <= PARTITION_MAX_RAM);
	p->config = *config;
	p->kvm_fd = p->vm_fd[VTL0] = p->vm_fd[VTL2] = -1;
	pthread_mutex_init(&p->lock, NULL);
	pause_init(p);
	p->vps = calloc(config->vp_count, sizeof(*p->vps));
	int r = p->vps ? kvm_open(p) : log_err(-ENOMEM, "%u VPs", config->vp_count);

	if (!r)
		r = memory_map(p);
	if (!r)
		r = kvm_make_vms(p);
	/* all of them count before the first is made: each VP's CPUID tells how many there are */
	for (u32 i = 0; p->vps && i < config->vp_count; i++)
		p->vps[i].per[VTL0].vcpu.fd = p->vps[i].per[VTL2].vcpu.fd = -1;
	p->vp_count = p->vps ? config->vp_count : 0;
	for (u32 i = 0; !r && i < config->vp_count; i++)
		r = vp_create(p, i);
	if (r) {
		partition_destroy(p);
		return r;
	}
	*ret = p;
	return 0;
}

void partition_destroy(struct partition *p)
{
	if (!p)
		return;
	partition_stop(p);
	for (u32 i = 0; i < p->vp_count; i++)
		vp_destroy(&p->vps[i]);
	kvm_close(p);
	memory_unmap(p);
	pause_fini(p);
	pthread_mutex_destroy(&p->lock);
	free(p->vps);
	free(p);
}

int partition_set_register(struct partition *p, u32 vp, enum vtl vtl, u32 name, const u64 value[2])
{
	union hv_register_value v = { .u64 = { value[0], value[1] } };

	return vp >= p->vp_count || register_set(&p->vps[vp], vtl, name, &v) ? -EINVAL : 0;
}

int partition_get_register(struct partition *p, u32 vp, enum vtl vtl, u32 name, u64 ret_value[2])
{
	union hv_register_value v;

	if (vp >= p->vp_count || register_get(&p->vps[vp], vtl, name, &v))
		return -EINVAL;
	ret_value[0] = v.u64[0];
	ret_value[1] = v.u64[1];
	return 0;
}

void partition_boot_times(struct partition *p, struct partition_boot *ret)
{
	ret->vtl2_entered = atomic_load(&p->boot_vtl2);
	ret->vtl2_kernel = atomic_load(&p->boot_kernel);
	ret->vtl0_entered = atomic_load(&p->boot_vtl0);
}

int partition_start(struct partition *p)
{
	atomic_store(&p->boot_vtl2, partition_reference_time(p));
	atomic_store(&p->vps[0].started, true);
	for (u32 i = 0; i < p->vp_count; i++) {
		int r = vp_start_thread(&p->vps[i]);

		if (r)
			return r;
	}
	return 0;
}

void partition_stop(struct partition *p)
{
	atomic_store(&p->stopping, true);
	pause_break(p);
	for (u32 i = 0; i < p->vp_count; i++) {
		struct vp *vp = &p->vps[i];

		if (!vp->thread)
			continue;
		atomic_store(&vp->kicked, false);
		vp_kick(vp);
		pthread_join(vp->thread, NULL);
		vp->thread = 0;
	}
}

void partition_interrupt(struct partition *p, u32 vp, enum vtl vtl, u8 vector)
{
	CHECK(vp < p->vp_count);
	lapic_request(&p->vps[vp].per[vtl].apic, vector, false, false);
	p->vps[vp].counters.interrupts[vtl]++;
	vp_kick(&p->vps[vp]);
}

u32 partition_vp_count(struct partition *p)
{
	return p->vp_count;
}

void partition_read_counters(struct partition *p, u32 vp, struct partition_counters *ret)
{
	*ret = p->vps[vp].counters;
	for (int vtl = 0; vtl < VTL_COUNT; vtl++) {
		ret->messages += p->vps[vp].per[vtl].synic.messages;
		ret->events += p->vps[vp].per[vtl].synic.events;
	}
}

static struct partition_interrupts interrupts_of(const struct vp_vtl *per)
{
	struct partition_interrupts i = { .queued = queued_interrupt(&per->vcpu), .lazy_eoi = per->apic.no_eoi };

	lapic_highest(&per->apic, &i.requested, &i.in_service);
	return i;
}

void partition_vp_state(struct partition *p, u32 index, struct partition_vp_state *ret)
{
	struct vp *vp = &p->vps[index];
	enum vtl vtl = atomic_load(&vp->vtl);
	struct vcpu *v = &vp->per[vtl].vcpu;

	*ret = (struct partition_vp_state){
		.started = atomic_load(&vp->started),
		.vtl = vtl,
		.waiting = atomic_load(&vp->waiting),
		.rip = REGS(v).rip,
		.rflags = REGS(v).rflags,
		.cr3 = SREGS(v).cr3,
		.pending_vector = { lapic_pending(&vp->per[VTL0].apic), lapic_pending(&vp->per[VTL2].apic) },
		.interrupts = { interrupts_of(&vp->per[VTL0]), interrupts_of(&vp->per[VTL2]) },
	};
}
