/* pvhost's device thread: one epoll loop that owns VMBus, GET, sockets and consoles. Others post() to it. */
#pragma once

#include <pthread.h>

#include "lib/core/list.h"

struct loop;

struct loop_source {
	int fd;
	u32 events; /* EPOLLIN, EPOLLOUT; 0 keeps it registered and silent */
	void (*ready)(struct loop_source *source, u32 events);
	bool added;
};

struct loop_timer {
	u64 deadline_ns;
	void (*fire)(struct loop_timer *timer);
	struct list_node link;
};

struct loop_work { /* runs once on the loop's thread for any number of posts before it */
	void (*run)(struct loop_work *work);
	struct list_node link;
	bool queued;
};

struct loop *loop_create(void);
void loop_destroy(struct loop *loop);
/* until loop_stop(); on the thread that then owns all sources */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop); /* any thread */

/* loop thread */
int loop_add(struct loop *loop, struct loop_source *source) __must_check;
void loop_update(struct loop *loop, struct loop_source *source, u32 events);
void loop_remove(struct loop *loop, struct loop_source *source);
void loop_arm(struct loop *loop, struct loop_timer *timer, u64 delay_ns);
void loop_disarm(struct loop_timer *timer);

/* any thread */
void loop_post(struct loop *loop, struct loop_work *work);
