/* The firmware's end of the log: the kernel's log is a socket of records, the channel is the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "diag/server/host_log.h"
#include "lib/task/exec_sim.h"
#include "spec/get.h"

#define SENT_MAX 4096

struct fixture {
	struct sim *sim;
	struct host_log *log;
	struct host_log_port port;
	char kmsg_path[64];
	int kmsg;                /* what the kernel writes into */
	int open_result, send_result;
	unsigned opens, closes, sent;
	char texts[SENT_MAX][128]; /* the JSON's fields */
};

static int fake_open(void *context, struct host_log *log)
{
	struct fixture *f = context;

	f->opens++;
	return f->open_result;
}

static int fake_send(void *context, const void *message, size_t len)
{
	struct fixture *f = context;
	struct get_log_header h;
	char json[GET_LOG_MESSAGE_MAX + 1];

	if (f->send_result)
		return f->send_result;
	assert_true(len >= sizeof(h) && len <= GET_LOG_NOTIFICATION_MAX);
	memcpy(&h, message, sizeof(h));
	memcpy(json, (const u8 *)message + sizeof(h) + h.message.offset, h.message.size);
	json[h.message.size] = 0;
	snprintf(f->texts[f->sent++ % SENT_MAX], sizeof(f->texts[0]), "%s", strstr(json, "\"fields\":"));
	return 0;
}

static void fake_close(void *context)
{
	((struct fixture *)context)->closes++;
}

static void turn(struct fixture *f, u64 ms)
{
	sim_run(f->sim, sim_now_ns(f->sim) + ms * 1000000);
}

/* a FIFO keeps no records apart, so the reader gets one at a time */
static void kernel_says(struct fixture *f, const char *record)
{
	assert_int_equal(write(f->kmsg, record, strlen(record)), strlen(record));
	turn(f, 50);
}

static struct fixture *start(int open_result, const char *filter)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->port = (struct host_log_port){ fake_open, fake_send, fake_close, NULL };
	f->sim = sim_create(7);
	f->open_result = open_result;
	snprintf(f->kmsg_path, sizeof(f->kmsg_path), "/tmp/host-log-%d", (int)getpid());
	unlink(f->kmsg_path);
	assert_int_equal(mkfifo(f->kmsg_path, 0600), 0);
	f->kmsg = open(f->kmsg_path, O_RDWR | O_NONBLOCK);
	assert_true(f->kmsg >= 0);
	f->log = host_log_create(sim_exec(f->sim, "control"), &f->port, f, f->kmsg_path, filter);
	assert_non_null(f->log);
	return f;
}

static void end(struct fixture *f)
{
	host_log_destroy(f->log);
	turn(f, 1000);
	sim_destroy(f->sim);
	close(f->kmsg);
	unlink(f->kmsg_path);
	free(f);
}

static void walk(void *log, struct inspect *in)
{
	host_log_inspect(log, in);
}

static u64 count(struct fixture *f, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "host/%s", name);
	struct node *n = inspect_now(path, 3, NULL, walk, f->log);
	u64 value;

	assert_non_null(n);
	value = n->number;
	node_destroy(n);
	return value;
}

static bool set_filter(struct fixture *f, const char *text)
{
	struct node *n = inspect_now("host_filter", 1, text, walk, f->log);
	bool ok = n && n->kind != NODE_FAILED;

	node_destroy(n);
	return ok;
}

static void records_go_to_the_host(void **state)
{
	struct fixture *f = start(0, NULL);

	kernel_says(f, "14,0,100,-;control/x: one\n");
	kernel_says(f, "6,1,100,-;two\n");
	kernel_says(f, "15,2,100,-;control/x: for developers\n");
	assert_int_equal(f->sent, 2);
	assert_string_equal(f->texts[0], "\"fields\":{\"message\":\"one\"}}");
	assert_string_equal(f->texts[1], "\"fields\":{\"message\":\"two\"}}");
	assert_int_equal(count(f, "sent"), 2);
	assert_int_equal(count(f, "filtered"), 1);
	assert_int_equal(count(f, "lost"), 0);
	end(f);
}

static void what_was_lost_is_told_first(void **state)
{
	struct fixture *f = start(0, NULL);

	kernel_says(f, "14,3,100,-;a/b: after the log began\n");
	kernel_says(f, "14,4,100,-;a/b: next\n");
	kernel_says(f, "14,15,100,-;a/b: later\n");
	assert_int_equal(f->sent, 5);
	assert_string_equal(f->texts[0], "\"fields\":{\"message\":\"3 records were lost\",\"missed_entries\":3}}");
	assert_string_equal(f->texts[3], "\"fields\":{\"message\":\"10 records were lost\",\"missed_entries\":10}}");
	assert_string_equal(f->texts[4], "\"fields\":{\"message\":\"later\"}}");
	assert_int_equal(count(f, "lost"), 13);
	assert_int_equal(count(f, "lost_told"), 2);
	end(f);
}

static void a_host_that_does_not_read_holds_back_the_reader_only(void **state)
{
	struct fixture *f = start(0, NULL);
	char rest[64];

	f->send_result = -EAGAIN;
	kernel_says(f, "14,0,100,-;a/b: one\n");
	/* it stays with the kernel, whose log turns over meanwhile */
	kernel_says(f, "14,1,100,-;a/b: two\n");
	assert_int_equal(read(f->kmsg, rest, sizeof(rest)), 20);
	assert_int_equal(f->sent, 0);
	f->send_result = 0;
	host_log_writable(f->log);
	turn(f, 50);
	assert_int_equal(f->sent, 1);
	kernel_says(f, "14,2,100,-;a/b: three\n");
	assert_int_equal(f->sent, 3);
	assert_string_equal(f->texts[0], "\"fields\":{\"message\":\"one\"}}");
	assert_string_equal(f->texts[1], "\"fields\":{\"message\":\"1 records were lost\",\"missed_entries\":1}}");
	assert_string_equal(f->texts[2], "\"fields\":{\"message\":\"three\"}}");
	end(f);
}

static void the_channel_may_come_late_and_go(void **state)
{
	struct fixture *f = start(-ENOENT, NULL);

	kernel_says(f, "14,0,100,-;a/b: one\n");
	turn(f, 60000);
	assert_true(f->opens > 40 && f->opens < 80);
	f->open_result = 0;
	turn(f, 6000);
	assert_int_equal(f->sent, 1);
	/* the host takes it back: what was in hand waits for the next one */
	f->send_result = -EPIPE;
	kernel_says(f, "14,1,100,-;a/b: two\n");
	host_log_closed(f->log, -EPIPE);
	assert_int_equal(f->closes, 1);
	f->send_result = 0;
	turn(f, 6000);
	assert_int_equal(f->sent, 2);
	assert_string_equal(f->texts[1], "\"fields\":{\"message\":\"two\"}}");
	/* after nonsense there is no second try */
	unsigned opens = f->opens;

	host_log_closed(f->log, -EPROTO);
	turn(f, 60000);
	assert_int_equal(f->opens, opens);
	end(f);
}

static void the_filter_changes_while_it_runs(void **state)
{
	struct fixture *f = start(0, "off");

	kernel_says(f, "14,0,100,-;a/b: kept\n");
	assert_int_equal(f->opens, 0);
	assert_true(set_filter(f, "warn"));
	turn(f, 50);
	assert_int_equal(f->opens, 1);
	assert_int_equal(count(f, "filtered"), 1);
	kernel_says(f, "12,1,100,-;a/b: grave\n");
	assert_false(set_filter(f, "loud"));
	assert_true(set_filter(f, "off"));
	kernel_says(f, "11,2,100,-;a/b: worse\n");
	assert_true(set_filter(f, "debug"));
	kernel_says(f, "15,3,100,-;a/b: detail\n");
	assert_int_equal(f->sent, 2);
	assert_string_equal(f->texts[1], "\"fields\":{\"message\":\"detail\"}}");
	end(f);
	f = start(0, "nonsense");
	kernel_says(f, "14,0,100,-;a/b: info it is\n");
	assert_int_equal(f->sent, 1);
	end(f);
}

static void what_is_no_record_is_counted(void **state)
{
	struct fixture *f = start(0, NULL);

	kernel_says(f, "nonsense\n");
	f->send_result = -EMSGSIZE;
	kernel_says(f, "14,0,100,-;a/b: too long for that ring\n");
	f->send_result = 0;
	kernel_says(f, "14,1,100,-;a/b: fits\n");
	assert_int_equal(f->sent, 1);
	assert_int_equal(count(f, "malformed"), 1);
	assert_int_equal(count(f, "lost"), 1);
	end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_go_to_the_host), cmocka_unit_test(what_was_lost_is_told_first),
		cmocka_unit_test(a_host_that_does_not_read_holds_back_the_reader_only),
		cmocka_unit_test(the_channel_may_come_late_and_go), cmocka_unit_test(the_filter_changes_while_it_runs),
		cmocka_unit_test(what_is_no_record_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
