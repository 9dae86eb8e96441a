/* The host's end of the log: lines made of messages, and the file they go to. The ring is played by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/vmbus/guest_log.h"
#include "host/vmbus/guest_record.h"
#include "spec/get.h"

struct message {
	struct get_log_header header;
	char buffer[600];
	size_t len;
};

static struct message message(u8 level, const char *target, const char *json)
{
	struct message m = { .header = { .level = level, .timestamp = 123456789 } };
	u16 t = (u16)strlen(target), j = (u16)strlen(json);

	m.header.target = (struct get_log_part){ t, 0 };
	m.header.fields = (struct get_log_part){ 0, t };
	m.header.message = (struct get_log_part){ j, t };
	memcpy(m.buffer, target, t);
	memcpy(m.buffer + t, json, j);
	m.len = sizeof(m.header) + t + j;
	return m;
}

static const char *line_of(const struct message *m, bool json)
{
	static char line[GUEST_RECORD_LINE_MAX + 1];
	size_t n = guest_record_line(bytes_of(m, m->len), json, "NOW", line);

	line[n] = 0;
	return line;
}

static void records_become_lines(void **state)
{
	/* what OpenHCL sends: an event (json_layer.rs), a record of its kernel's log (kmsg_stream.rs), a span (json_common.rs) */
	struct message event = message(4, "underhill_core", "{\"timestamp\":\"12.345678900s\",\"level\":\"INFO\",\"target\":"
				       "\"underhill_core::x\",\"fields\":{\"message\":\"started\",\"vp\":3,\"why\":[\"a\"]}}");
	struct message kmsg = message(3, "kmsg", "{\"timestamp\":\"1.000000000s\",\"level\":\"4\",\"target\":\"kmsg\",\"fields\":"
				      "{\"message\":\"\\u001b[1mx\\u0085\\n\"}}");
	struct message span = message(4, "t", "{\"name\":\"open\",\"op_code\":1,\"target\":\"t\",\"level\":\"DEBUG\"}");
	struct message cut = message(2, "t\xff", "{\"level\":\"INFO\",\"target\":\"x\x1b");

	assert_string_equal(line_of(&event, false), "NOW [   12.345678] INFO   underhill_core::x: started vp=3 why=[\"a\"]\n");
	assert_string_equal(line_of(&kmsg, false), "NOW [   12.345678] WARN   kmsg: \\x1b[1mx\\u0085\\x0a\n");
	assert_string_equal(line_of(&span, false), "NOW [   12.345678] DEBUG  t: open\n");
	assert_string_equal(line_of(&cut, false), "NOW [   12.345678] ERROR  t\\xff: {\"level\":\"INFO\",\"target\":\"x\\x1b\n");
	assert_string_equal(line_of(&span, true),
			    "{\"name\":\"open\",\"op_code\":1,\"target\":\"t\",\"level\":\"DEBUG\",\"host_time\":\"NOW\"}\n");
	assert_string_equal(line_of(&cut, true), "{\"level\":\"ERROR\",\"target\":\"t\\\\xff\",\"fields\":{\"message\":"
			    "\"{\\\"level\\\":\\\"INFO\\\",\\\"target\\\":\\\"x\\\\x1b\"},\"host_time\":\"NOW\"}\n");
}

static void bounds_are_checked(void **state)
{
	struct message m = message(4, "t", "{}");

	for (size_t len = 0; len < m.len; len++) {
		struct message shorter = m;

		shorter.len = len;
		assert_string_equal(line_of(&shorter, false), "");
	}
	m.header.message.offset = 0xffff;
	assert_string_equal(line_of(&m, true), "");
	m = message(4, "t", "{}");
	m.header.target.size = 0xffff;
	assert_string_equal(line_of(&m, false), "");
}

/* ---- the file; the channel is never opened here */
struct fixture {
	struct loop *loop;
	struct vmbus *bus;
	struct guest_log *log;
	struct loop_timer stop;
	char dir[32], path[64];
};

static u64 lines_in(const char *path)
{
	FILE *f = fopen(path, "r");
	u64 n = 0;

	for (int c; f && (c = fgetc(f)) != EOF;)
		n += c == '\n';
	if (f)
		fclose(f);
	return n;
}

static bool post(void *ctx, u32 vp, u8 sint, const void *m, u32 len)
{
	return true;
}

static void *no_memory(void *ctx, u64 gpa, u64 len)
{
	return NULL;
}

/* where: NULL is "log" in a folder of its own */
static int start(struct fixture *f, const char *where)
{
	static const struct vmbus_io io = { .memory = no_memory, .post = post, .vp_count = 1 };

	*f = (struct fixture){ .loop = loop_create(), .dir = "/tmp/guest-log-XXXXXX" };
	f->bus = vmbus_create(f->loop, &io);
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/log", f->dir);
	return guest_log_create(f->loop, f->bus, where ? where : f->path, &f->log);
}

static void end(struct fixture *f)
{
	vmbus_destroy(f->bus);
	guest_log_destroy(f->log);
	loop_destroy(f->loop);
	unlink(f->path);
	rmdir(f->dir);
}

static void stop_now(struct loop_timer *timer)
{
	loop_stop(container_of(timer, struct fixture, stop)->loop);
}

static void pass_ms(struct fixture *f, u64 ms)
{
	f->stop.fire = stop_now;
	loop_arm(f->loop, &f->stop, ms * 1000000);
	loop_run(f->loop);
}

static void say(struct fixture *f, const char *json)
{
	struct message m = message(4, "t", json);
	u8 packet[sizeof(m) + 8];
	u32 head[2] = { VMBUS_PIPE_DATA, (u32)m.len };

	memcpy(packet, head, 8);
	memcpy(packet + 8, &m, m.len);
	guest_log_take(f->log, bytes_of(packet, 8 + m.len));
}

static void the_file_is_the_owners(void **state)
{
	struct fixture f;
	struct stat what;

	assert_int_equal(start(&f, NULL), 0);
	say(&f, "{\"level\":\"INFO\",\"target\":\"t\",\"fields\":{\"message\":\"x\"}}");
	assert_int_equal(stat(f.path, &what), 0);
	assert_int_equal(what.st_mode & 0777, 0600);
	assert_int_equal(lines_in(f.path), 1);
	end(&f);
	assert_true(start(&f, "/nowhere/at/all") < 0);
	end(&f);
}

static void a_file_that_is_full_is_put_aside(void **state)
{
	char full[64], old[80];
	struct fixture f;

	snprintf(full, sizeof(full), "/tmp/guest-log-full-%d", (int)getpid());
	snprintf(old, sizeof(old), "%s.1", full);
	FILE *file = fopen(full, "w");

	assert_int_equal(ftruncate(fileno(file), GUEST_LOG_FILE_MAX - 10), 0);
	fclose(file);
	assert_int_equal(start(&f, full), 0);
	say(&f, "{}");
	say(&f, "{}");
	assert_int_equal(lines_in(old), 1);
	assert_int_equal(lines_in(full), 1);
	end(&f);
	unlink(full);
	unlink(old);
}

static void a_flood_is_cut_and_counted(void **state)
{
	struct fixture f;
	u64 records, left_out;

	assert_int_equal(start(&f, NULL), 0);
	for (int i = 0; i < 1500; i++)
		say(&f, "{}");
	guest_log_take(f.log, bytes_of("nonsense", 8));
	guest_log_counts(f.log, &records, &left_out);
	assert_int_equal(records, 1501);
	/* a slow machine may be in its second second already */
	assert_true(left_out >= 1 && left_out <= 501);
	assert_int_equal(lines_in(f.path), 1501 - left_out);
	pass_ms(&f, 1200);
	assert_int_equal(lines_in(f.path), 1501 - left_out + 1);
	end(&f);
}

static void a_full_disk_costs_records_only(void **state)
{
	struct fixture f;
	u64 records, left_out;

	assert_int_equal(start(&f, "/dev/full"), 0);
	for (int i = 0; i < 3; i++)
		say(&f, "{}");
	pass_ms(&f, 2500);
	say(&f, "{}");
	guest_log_counts(f.log, &records, &left_out);
	assert_int_equal(records, 4);
	assert_int_equal(left_out, 4);
	end(&f);
}

/* nobody reads it: lines are kept for a while, then counted */
static void a_full_pipe_does_not_block(void **state)
{
	struct fixture f;
	u64 records, left_out;
	char fifo[64];

	snprintf(fifo, sizeof(fifo), "/tmp/guest-log-fifo-%d", (int)getpid());
	assert_int_equal(mkfifo(fifo, 0600), 0);
	int reader = open(fifo, O_RDWR | O_NONBLOCK);

	assert_int_equal(start(&f, fifo), 0);
	for (int second = 0; second < 12; second++) {
		for (int i = 0; i < 1000; i++)
			say(&f, "{\"fields\":{\"message\":\"----------------------------------------------------\"}}");
		pass_ms(&f, 1050);
		guest_log_counts(f.log, &records, &left_out);
		if (left_out)
			break;
	}
	assert_true(left_out > 0);
	end(&f);
	close(reader);
	unlink(fifo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_become_lines), cmocka_unit_test(bounds_are_checked),
		cmocka_unit_test(the_file_is_the_owners), cmocka_unit_test(a_file_that_is_full_is_put_aside),
		cmocka_unit_test(a_flood_is_cut_and_counted),
		cmocka_unit_test(a_full_disk_costs_records_only), cmocka_unit_test(a_full_pipe_does_not_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
