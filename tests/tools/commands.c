/* What nvme_drive can be told to do. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/os/file.h"
#include "tests/tools/drive.h"

#define COPY_BYTES (256 * KiB)

/* ---- commands: NAME[:ARGUMENT]..., numbers but for files */

struct arguments {
	u64 number[4];
	const char *file;
};

static void inspect_all(struct drive *d, const struct arguments *a)
{
	char *text = drive_ask(d, "", NULL);

	printf("%s\n", text);
	free(text);
}

/* the file's bytes from that block on, through all executors in turn; then a flush. write: else compare. */
static void copy_file(struct drive *d, const struct arguments *a, bool write)
{
	struct disk *disk = drive_disk(d, (u32)a->number[0]);
	u64 sector = a->number[1];
	u8 *data, *buffer = drive_memory(d, COPY_BYTES);
	size_t len;
	int r = file_read(a->file, ARENA_LEN, &data, &len);

	if (r)
		FAIL("%s: %d", a->file, r);
	len = ALIGN_DOWN(len, disk->sector_size);
	for (u64 at = 0, n, i = 0; !r && at < len; at += n, i++) {
		n = MIN(len - at, (u64)COPY_BYTES);
		if (write)
			memcpy(buffer, data + at, n);
		r = drive_request(d, disk, (u32)(i % d->exec_count), write ? DISK_WRITE : DISK_READ,
				  sector + at / disk->sector_size, n / disk->sector_size, buffer);
		if (!r && !write && memcmp(buffer, data + at, n))
			FAIL("bytes from %lu of %s are others", at, a->file);
	}
	if (!r && write)
		r = drive_request(d, disk, 0, DISK_FLUSH, 0, 0, NULL);
	if (r)
		FAIL("copying %s: %d", a->file, r);
	printf("%s %zu bytes, sectors of %u\n", write ? "copied" : "compared", len, disk->sector_size);
	free(data);
}

static void copy(struct drive *d, const struct arguments *a) { copy_file(d, a, true); }
static void compare(struct drive *d, const struct arguments *a) { copy_file(d, a, false); }

#define LOAD_MIN 400u    /* requests: on a machine with other things to do the seconds alone may be few */
#define LOAD_LIMIT_S 60u

/* NSID, SECONDS, SEED */
static void plain_load(struct drive *d, const struct arguments *a)
{
	struct load *l = load_start(d, (u32)a->number[0], a->number[2], false);

	sleep((u32)a->number[1]);
	for (u32 i = 0; i < LOAD_LIMIT_S && load_requests(l) < LOAD_MIN; i++)
		sleep(1);
	load_stop(l);
}

static void reset_there(void *ctx, int ignored)
{
	nvme_reset(((struct drive *)ctx)->nvme);
}

/*
 * Lets the device fetch what was submitted, but nothing new begins. QEMU 7.2 ends with SIGSEGV when a controller is disabled
 * that has commands yet to fetch: they start while it drains, and complete when their queue is gone.
 */
static void hold(struct load *l)
{
	load_hold(l, true);
	usleep(20000);
}

/* NSID, RESETS, SEED */
static void resets(struct drive *d, const struct arguments *a)
{
	u64 before = drive_ask_number(d, "resets"), retries = 0;
	struct load *l = load_start(d, (u32)a->number[0], a->number[2], true);

	for (u64 i = 0; i < a->number[1]; i++) {
		usleep(200000);
		hold(l);
		drive_call(d->home, reset_there, d, 0);
		if (!drive_wait(&d->started, 30) || d->started_result)
			FAIL("the reset does not end well: %d", d->started_result);
		load_hold(l, false);
	}
	load_stop(l);
	for (u32 i = 1; i <= d->exec_count; i++) {
		char path[40];

		snprintf(path, sizeof(path), "queues/%u/retries", i);
		retries += drive_ask_number(d, path);
	}
	printf("resets %lu, commands given again %lu\n", drive_ask_number(d, "resets") - before, retries);
}

static void set_timeout(struct drive *d, const char *ms)
{
	free(drive_ask(d, "timeout_ms", ms));
}

/* NSID, QUEUE, SEED: the queue's doorbells do not reach the device. Abort cannot help, a reset does. */
static void deaf(struct drive *d, const struct arguments *a)
{
	u64 aborts = drive_ask_number(d, "aborts"), resets_before = drive_ask_number(d, "resets");
	struct load *l;

	set_timeout(d, "1000");
	l = load_start(d, (u32)a->number[0], a->number[2], true);
	usleep(300000);
	d->deaf = (u32)a->number[1];
	usleep(100000);
	hold(l);
	if (!drive_wait(&d->started, 30) || d->started_result)
		FAIL("no reset came: %d", d->started_result);
	load_hold(l, false);
	sleep(1);
	load_stop(l);
	set_timeout(d, "10000");
	printf("aborts %lu, resets %lu\n", drive_ask_number(d, "aborts") - aborts, drive_ask_number(d, "resets") - resets_before);
}

/* NSID, SEED: somebody disables the controller behind the driver's back */
static void disable(struct drive *d, const struct arguments *a)
{
	struct load *l;
	u64 begin;

	set_timeout(d, "1000");
	l = load_start(d, (u32)a->number[0], a->number[1], true);
	usleep(300000);
	hold(l);
	begin = now_ns();
	drive_write(&d->transport, NVME_CC, drive_read(&d->transport, NVME_CC) & ~(u32)NVME_CC_EN);
	if (!drive_wait(&d->started, 40) || d->started_result)
		FAIL("the driver does not recover: %d", d->started_result);
	u64 took = now_ns() - begin;

	load_hold(l, false);
	load_stop(l);
	set_timeout(d, "10000");
	printf("recovered in %lu ms\n", took / 1000000);
}

/* NSID, SECTOR: reading the sector's page fails on the device's side; what lies before it does not */
static void unreadable(struct drive *d, const struct arguments *a)
{
	struct disk *disk = drive_disk(d, (u32)a->number[0]);
	u8 *at = drive_memory(d, 64 * KiB);
	int bad = drive_request(d, disk, 0, DISK_READ, a->number[1], 1, at);
	int around = drive_request(d, disk, 0, DISK_READ, a->number[1] - 8, 16, at);
	int good = drive_request(d, disk, 0, DISK_READ, a->number[1] - 64, 32, at);

	printf("the sector %d, with others %d, others %d\n", bad, around, good);
}

/* SECONDS: the device tells something by itself */
static void event(struct drive *d, const struct arguments *a)
{
	u64 before = drive_ask_number(d, "events");

	printf("waiting for an event\n");
	fflush(stdout);
	for (u64 i = 0; drive_ask_number(d, "events") == before; i++, usleep(100000))
		if (i == a->number[0] * 10)
			FAIL("no event came");
	usleep(500000);
	printf("events %lu, critical warning %#lx\n", drive_ask_number(d, "events") - before,
	       drive_ask_number(d, "critical_warning"));
}

/* NSID, SECONDS, SEED */
static void unplug(struct drive *d, const struct arguments *a)
{
	struct load *l = load_start(d, (u32)a->number[0], a->number[2], true);

	load_may_end(l);
	printf("waiting for removal\n");
	fflush(stdout);
	if (!drive_wait(&d->removed, (u32)a->number[1]))
		FAIL("nobody took the device away");
	load_stop(l);
	printf("removed after %lu requests; the next one ends with %d\n", load_requests(l),
	       drive_request(d, drive_disk(d, (u32)a->number[0]), 0, DISK_FLUSH, 0, 0, NULL));
}

static void shut_down_there(void *ctx, int ignored)
{
	struct drive *d = ctx;

	nvme_shutdown(d->nvme, &d->removal);
}

static void shut_down_done(struct op *op, int result)
{
	struct drive *d = container_of(op, struct drive, removal);

	d->started_result = result;
	sem_post(&d->removed);
}

static void shut_down(struct drive *d, const struct arguments *a)
{
	d->removal.done = shut_down_done;
	drive_call(d->home, shut_down_there, d, 0);
	if (!drive_wait(&d->removed, 30))
		FAIL("shutdown is not answered");
	printf("shutdown ended with %d, CSTS %#x\n", d->started_result, drive_read(&d->transport, NVME_CSTS));
}

static const struct {
	const char *name;
	void (*run)(struct drive *, const struct arguments *);
	u32 numbers;
	bool file;
} commands[] = {
	{ "inspect", inspect_all, 0, false }, { "copy", copy, 2, true },	 { "compare", compare, 2, true },
	{ "load", plain_load, 3, false },     { "resets", resets, 3, false }, { "deaf", deaf, 3, false },
	{ "disable", disable, 2, false },     { "event", event, 1, false },	 { "unplug", unplug, 3, false },
	{ "shutdown", shut_down, 0, false },  { "unreadable", unreadable, 2, false },
};

void drive_run(struct drive *d, char *text)
{
	struct arguments a = { .file = NULL };
	char *rest = text, *name = strsep(&rest, ":");
	u32 i = 0;

	while (i < ARRAY_SIZE(commands) && strcmp(commands[i].name, name))
		i++;
	if (i == ARRAY_SIZE(commands))
		FAIL("'%s' is no command", name);
	for (u32 k = 0; k < commands[i].numbers; k++) {
		char *word = strsep(&rest, ":");

		if (!word)
			FAIL("%s wants %u numbers", name, commands[i].numbers);
		a.number[k] = strtoull(word, NULL, 0);
	}
	a.file = rest;
	if (commands[i].file != (rest != NULL))
		FAIL("%s wants %s file", name, commands[i].file ? "a" : "no");
	printf("%s: ", name);
	fflush(stdout);
	commands[i].run(d, &a);
	fflush(stdout);
}
