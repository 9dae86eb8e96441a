#include "host/vmbus/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "lib/os/file.h"

LOG_DOMAIN("loop");

#define EVENTS_AT_ONCE 32

struct loop {
	int epoll;
	struct loop_source wake;
	struct list_node timers, work;
	pthread_mutex_t lock;
	atomic_bool stop;
	struct epoll_event *current; /* being handled: a removed source must not be called any more */
	int current_count;
};

static void drained(struct loop_source *source, u32 events)
{
	u64 count;

	if (read(source->fd, &count, sizeof(count)) < 0)
		return; /* nothing was there */
}

struct loop *loop_create(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return NULL;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->wake = (struct loop_source){ .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .events = EPOLLIN, .ready = drained };
	list_init(&loop->timers);
	list_init(&loop->work);
	pthread_mutex_init(&loop->lock, NULL);
	if (loop->epoll < 0 || loop->wake.fd < 0 || loop_add(loop, &loop->wake)) {
		loop_destroy(loop);
		return NULL;
	}
	return loop;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	if (loop->wake.fd >= 0)
		close(loop->wake.fd);
	if (loop->epoll >= 0)
		close(loop->epoll);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

int loop_add(struct loop *loop, struct loop_source *source)
{
	struct epoll_event event = { .events = source->events, .data.ptr = source };

	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, source->fd, &event))
		return log_err(-errno, "epoll");
	source->added = true;
	return 0;
}

void loop_update(struct loop *loop, struct loop_source *source, u32 events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	if (source->events == events)
		return;
	source->events = events;
	if (source->added && epoll_ctl(loop->epoll, EPOLL_CTL_MOD, source->fd, &event))
		log_at(LOG_WARN, "epoll: fd %d is not registered", source->fd);
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
	if (!source->added)
		return;
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
	source->added = false;
	for (int i = 0; i < loop->current_count; i++)
		if (loop->current[i].data.ptr == source)
			loop->current[i].data.ptr = NULL;
}

void loop_disarm(struct loop_timer *timer)
{
	list_remove(&timer->link);
}

void loop_arm(struct loop *loop, struct loop_timer *timer, u64 delay_ns)
{
	loop_disarm(timer);
	timer->deadline_ns = now_ns() + delay_ns;
	list_push(&loop->timers, &timer->link);
}

void loop_post(struct loop *loop, struct loop_work *work)
{
	u64 one = 1;

	pthread_mutex_lock(&loop->lock);
	bool first = list_empty(&loop->work);

	if (!work->queued) {
		work->queued = true;
		list_push(&loop->work, &work->link);
	}
	pthread_mutex_unlock(&loop->lock);
	if (first && write(loop->wake.fd, &one, sizeof(one)) < 0)
		log_at(LOG_DEBUG, "wake-up is pending already");
}

void loop_stop(struct loop *loop)
{
	u64 one = 1;

	atomic_store(&loop->stop, true);
	if (write(loop->wake.fd, &one, sizeof(one)) < 0)
		log_at(LOG_DEBUG, "wake-up is pending already");
}

/* what was posted before this turn; a work that posts itself again waits for the next one, behind sockets and timers */
static void run_work(struct loop *loop)
{
	struct list_node now;

	list_init(&now);
	pthread_mutex_lock(&loop->lock);
	for (struct list_node *node; (node = list_pop(&loop->work));)
		list_push(&now, node);
	pthread_mutex_unlock(&loop->lock);
	for (;;) {
		pthread_mutex_lock(&loop->lock);
		struct list_node *node = list_pop(&now);
		struct loop_work *work = node ? container_of(node, struct loop_work, link) : NULL;

		if (work)
			work->queued = false;
		pthread_mutex_unlock(&loop->lock);
		if (!work)
			return;
		work->run(work);
	}
}

static int fire_timers(struct loop *loop)
{
	u64 now = now_ns(), next = now + 1000000000u;
	bool fired = true;

	while (fired) { /* a timer's function may change the list */
		fired = false;
		list_for_each(node, &loop->timers) {
			struct loop_timer *timer = container_of(node, struct loop_timer, link);

			if (timer->deadline_ns <= now) {
				loop_disarm(timer);
				timer->fire(timer);
				fired = true;
				break;
			}
			next = MIN(next, timer->deadline_ns);
		}
	}
	return (int)((next - now + 999999) / 1000000);
}

void loop_run(struct loop *loop)
{
	struct epoll_event events[EVENTS_AT_ONCE];

	while (!atomic_load(&loop->stop)) {
		run_work(loop);
		int n = epoll_wait(loop->epoll, events, EVENTS_AT_ONCE, fire_timers(loop));

		loop->current = events;
		loop->current_count = n < 0 ? 0 : n;
		for (int i = 0; i < n && !atomic_load(&loop->stop); i++) {
			struct loop_source *source = events[i].data.ptr;

			if (source)
				source->ready(source, events[i].events);
		}
		loop->current_count = 0;
	}
}
