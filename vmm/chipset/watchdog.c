#include "vmm/chipset/watchdog.h"

#include <errno.h>

#define DEFAULT_COUNT 120u
#define SECOND_NS 1000000000ull
#define KNOWN (WATCHDOG_CONFIGURED | WATCHDOG_ENABLED | WATCHDOG_ONE_SHOT | WATCHDOG_BOOT_STATUS)
#define RUNS (WATCHDOG_CONFIGURED | WATCHDOG_ENABLED)

static void fire(struct timer *timer)
{
	struct watchdog *w = container_of(timer, struct watchdog, timer);

	device_lock(&w->dev);
	u64 now = exec_now_ns(w->dev.home);
	bool expired = w->deadline_ns && !w->stopped && now >= w->deadline_ns;

	if (expired) {
		w->expired++;
		w->config &= ~RUNS;
		w->deadline_ns = 0;
	} else if (w->deadline_ns && !w->stopped) {
		timer_arm(w->dev.home, &w->timer, w->deadline_ns);
	}
	device_unlock(&w->dev);
	if (expired)
		w->power->event(w->power, POWER_EVENT_WATCHDOG, "the guest's watchdog expired");
}

static void rearm(struct op *op, int ignored)
{
	struct watchdog *w = container_of(op, struct watchdog, post);

	device_lock(&w->dev);
	w->post_busy = false;
	if (w->deadline_ns && !w->stopped)
		timer_arm(w->dev.home, &w->timer, w->deadline_ns);
	else
		timer_disarm(w->dev.home, &w->timer);
	device_unlock(&w->dev);
}

/* the timer is home's, and an access comes from anywhere */
static void schedule(struct watchdog *w)
{
	if (w->post_busy)
		return;
	w->post_busy = true;
	exec_post(w->dev.home, &w->post, rearm, 0);
}

static void start(struct watchdog *w)
{
	w->starts++;
	w->deadline_ns = exec_now_ns(w->dev.home) + w->count * SECOND_NS;
	w->left_ns = w->count * SECOND_NS;
	w->count = w->period;
	schedule(w);
}

static enum io_status configure(struct watchdog *w, u32 value)
{
	if (value & ~KNOWN)
		return IO_NO_REGISTER;
	u32 status = value & WATCHDOG_BOOT_STATUS ? 0 : w->config & WATCHDOG_BOOT_STATUS;

	w->config = (value & ~WATCHDOG_BOOT_STATUS) | status;
	if ((value & RUNS) == RUNS) {
		start(w);
		return IO_OK;
	}
	if (!(value & WATCHDOG_CONFIGURED))
		w->count = 0;
	w->deadline_ns = 0;
	schedule(w);
	return IO_OK;
}

static enum io_status data(struct watchdog *w, struct io_access *io)
{
	switch (w->index) {
	case WATCHDOG_CONFIG:
		if (io->write)
			return configure(w, (u32)io->value);
		io->value = w->config;
		return IO_OK;
	case WATCHDOG_RESOLUTION:
		if (io->write)
			return IO_NO_REGISTER;
		io->value = 1;
		return IO_OK;
	case WATCHDOG_COUNT:
		if (io->write)
			w->count = w->period = (u32)io->value;
		io->value = w->count;
		return IO_OK;
	}
	return IO_NO_REGISTER;
}

static enum io_status watchdog_access(struct device *dev, unsigned region, struct io_access *io)
{
	struct watchdog *w = container_of(dev, struct watchdog, dev);

	if (io->size != 4)
		return IO_BAD_SIZE;
	if (io->offset % 4)
		return IO_UNALIGNED;
	if (io->offset)
		return data(w, io);
	if (io->write)
		w->index = (u32)io->value;
	io->value = w->index;
	return IO_OK;
}

static void stop_locked(struct watchdog *w)
{
	u64 now = exec_now_ns(w->dev.home);

	if (w->stopped)
		return;
	w->stopped = true;
	w->left_ns = w->deadline_ns > now ? w->deadline_ns - now : 0;
	schedule(w);
}

static void start_locked(struct watchdog *w)
{
	if (!w->stopped)
		return;
	w->stopped = false;
	if (w->deadline_ns)
		w->deadline_ns = exec_now_ns(w->dev.home) + w->left_ns;
	schedule(w);
}

static void watchdog_stop(struct device *dev)
{
	stop_locked(container_of(dev, struct watchdog, dev));
}

static void watchdog_start(struct device *dev)
{
	start_locked(container_of(dev, struct watchdog, dev));
}

void watchdog_pause(struct watchdog *w, bool paused)
{
	device_lock(&w->dev);
	if (paused)
		stop_locked(w);
	else
		start_locked(w);
	device_unlock(&w->dev);
}

static void watchdog_reset(struct device *dev)
{
	struct watchdog *w = container_of(dev, struct watchdog, dev);

	w->index = w->config = 0;
	w->count = w->period = DEFAULT_COUNT;
	w->deadline_ns = w->left_ns = 0;
	schedule(w);
}

static void watchdog_save(struct device *dev, struct saver *s)
{
	struct watchdog *w = container_of(dev, struct watchdog, dev);
	u64 now = exec_now_ns(dev->home);
	u64 left = w->stopped ? w->left_ns : w->deadline_ns > now ? w->deadline_ns - now : 0;

	saver_u32(s, w->index);
	saver_u32(s, w->config);
	saver_u32(s, w->count);
	saver_u32(s, w->period);
	saver_u8(s, w->deadline_ns != 0);
	saver_u64(s, left);
}

static int watchdog_restore(struct device *dev, struct bytes b)
{
	struct watchdog *w = container_of(dev, struct watchdog, dev);
	u8 runs;

	if (!bytes_u32(&b, &w->index) || !bytes_u32(&b, &w->config) || !bytes_u32(&b, &w->count) || !bytes_u32(&b, &w->period) ||
	    !bytes_u8(&b, &runs) || !bytes_u64(&b, &w->left_ns) || w->config & ~KNOWN ||
	    (runs != 0) != ((w->config & RUNS) == RUNS) || w->left_ns > 0xffffffffull * SECOND_NS)
		return -EPROTO;
	w->deadline_ns = runs ? exec_now_ns(dev->home) + w->left_ns : 0;
	schedule(w);
	return 0;
}

static void watchdog_inspect(struct device *dev, struct inspect *in)
{
	struct watchdog *w = container_of(dev, struct watchdog, dev);
	u64 now = exec_now_ns(dev->home);

	inspect_hex(in, "config", w->config);
	inspect_bool(in, "boot_status", w->config & WATCHDOG_BOOT_STATUS);
	inspect_bool(in, "runs", w->deadline_ns != 0);
	inspect_u64(in, "period_s", w->period);
	inspect_u64(in, "left_s", (w->stopped ? w->left_ns : w->deadline_ns > now ? w->deadline_ns - now : 0) / SECOND_NS);
	inspect_count(in, "starts", w->starts);
	inspect_count(in, "expired", w->expired);
}

static const struct device_ops ops = {
	.access = watchdog_access, .start = watchdog_start, .stop = watchdog_stop, .reset = watchdog_reset, .save = watchdog_save,
	.restore = watchdog_restore, .inspect = watchdog_inspect,
};
static const struct region regions[] = { { "watchdog", SPACE_PIO, WATCHDOG_PORT, 8 } };

void watchdog_init(struct watchdog *w, struct exec *home, struct power *power, bool boot_status)
{
	*w = (struct watchdog){ .dev = { .name = "watchdog", .tag = STATE_TAG('W', 'D', 'O', 'G'), .ops = &ops,
					 .regions = regions, .region_count = ARRAY_SIZE(regions), .home = home },
				.power = power, .timer.fire = fire, .count = DEFAULT_COUNT, .period = DEFAULT_COUNT,
				.config = boot_status ? WATCHDOG_BOOT_STATUS : 0 };
}
