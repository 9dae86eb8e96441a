/* VPs that stand still together. An access that KVM has begun to emulate is finished first: registers are then those between two
 * instructions. */
#include <sys/ioctl.h>

#include "host/vtl/vp.h"
#include "lib/log/log.h"

LOG_DOMAIN("pause");

void pause_init(struct partition *p)
{
	pthread_mutex_init(&p->pause.lock, NULL);
	pthread_cond_init(&p->pause.parked_changed, NULL);
	pthread_cond_init(&p->pause.resumed, NULL);
}

void pause_fini(struct partition *p)
{
	pthread_cond_destroy(&p->pause.resumed);
	pthread_cond_destroy(&p->pause.parked_changed);
	pthread_mutex_destroy(&p->pause.lock);
}

void pause_thread(struct partition *p, int change)
{
	pthread_mutex_lock(&p->pause.lock);
	p->pause.threads += (u32)change;
	pthread_cond_broadcast(&p->pause.parked_changed);
	pthread_mutex_unlock(&p->pause.lock);
}

void pause_break(struct partition *p)
{
	pthread_mutex_lock(&p->pause.lock);
	pthread_cond_broadcast(&p->pause.resumed);
	pthread_cond_broadcast(&p->pause.parked_changed);
	pthread_mutex_unlock(&p->pause.lock);
}

void pause_here(struct vp *vp)
{
	struct partition *p = vp->partition;

	if (!atomic_load_explicit(&p->pause.asked, memory_order_relaxed) &&
	    !atomic_load_explicit(&vp->firmware_debug.held, memory_order_relaxed))
		return;
	finish_vtl2(vp);
	pthread_mutex_lock(&p->pause.lock);
	p->pause.parked++;
	pthread_cond_broadcast(&p->pause.parked_changed);
	while ((atomic_load(&p->pause.asked) || atomic_load(&vp->firmware_debug.held)) && !atomic_load(&p->stopping))
		pthread_cond_wait(&p->pause.resumed, &p->pause.lock);
	p->pause.parked--;
	pthread_mutex_unlock(&p->pause.lock);
	clock_arm(vp);
}

void partition_pause(struct partition *p)
{
	if (atomic_fetch_add(&p->pause.asked, 1))
		return;
	for (u32 i = 0; i < p->vp_count; i++)
		vp_kick(&p->vps[i]);
	pthread_mutex_lock(&p->pause.lock);
	while (p->pause.parked < p->pause.threads && !atomic_load(&p->stopping))
		pthread_cond_wait(&p->pause.parked_changed, &p->pause.lock);
	clock_stop(p);
	pthread_mutex_unlock(&p->pause.lock);
}

void partition_resume(struct partition *p)
{
	pthread_mutex_lock(&p->pause.lock);
	if (atomic_load(&p->pause.asked) == 1 && clock_go_on(p))
		log_at(LOG_WARN, "the time that was spent paused is seen by the guest");
	atomic_fetch_sub(&p->pause.asked, 1);
	pthread_cond_broadcast(&p->pause.resumed);
	pthread_mutex_unlock(&p->pause.lock);
}
