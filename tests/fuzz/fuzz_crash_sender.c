/*
 * Messages of a hostile host to the crash helper, and a core of any shape through it: the first u16 is how many bytes the core
 * has, which follow; then a run of {u8 length, bytes}, the host's messages; length 0xff closes the channel.
 */
#include "diag/crash/core.h"
#include "diag/crash/sender.h"
#include "lib/core/check.h"
#include "lib/log/log.h"
#include "spec/crash.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

struct bed {
	struct bytes input;
	struct core *core;
	u64 out;
	u32 expected;
	unsigned dones;
};

static int port_send(void *ctx, const void *data, size_t len)
{
	struct bed *bed = ctx;
	struct crash_write_request w;

	CHECK(len && len <= CRASH_CHUNK_MAX && !bed->dones);
	if (bed->expected) {
		CHECK(len == bed->expected);
		bed->expected = 0;
		bed->out += len;
		return 0;
	}
	CHECK(len >= sizeof(struct crash_header));
	if (len == sizeof(w)) {
		__builtin_memcpy(&w, data, sizeof(w));
		CHECK(w.header.type == CRASH_NIX_DUMP_WRITE && w.offset == bed->out && w.size);
		bed->expected = w.size;
	}
	return 0;
}

static int port_read(void *ctx, void *buf, size_t room)
{
	return core_read(((struct bed *)ctx)->core, buf, room);
}

static void done(void *ctx, int error)
{
	CHECK(++((struct bed *)ctx)->dones == 1);
}

static int input_read(void *ctx, void *buf, size_t room)
{
	struct bed *bed = ctx;
	size_t n = MIN(room, bed->input.left);

	CHECK(room);
	return bytes_copy(&bed->input, buf, n) ? (int)n : 0;
}

static size_t input_log(void *ctx, char *buf, size_t room)
{
	__builtin_memset(buf, 'x', room);
	return room;
}

static void quiet(enum log_level level, const char *domain, const char *text)
{
}

static void run(struct sender *s)
{
	while (sender_run(s))
		;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const struct sender_port port = { port_send, port_read, done };
	static const struct sender_kernel kernel = { 7, 3, "Linux" };
	struct bytes b = bytes_of(data, size), message;
	struct bed bed = { 0 };
	struct core_input input = { input_read, input_log, &bed };
	u16 core_len;
	u8 len;
	bool cut;

	log_set_sink(quiet);
	if (!bytes_u16(&b, &core_len) || !bytes_take(&b, core_len, &bed.input))
		return 0;
	bed.core = core_create(&input);
	struct sender *s = sender_create(&port, &bed, &kernel);

	run(s);
	while (bytes_u8(&b, &len)) {
		if (len == 0xff)
			sender_closed(s, -1);
		else if (bytes_take(&b, len, &message))
			sender_received(s, message.at, message.left);
		else
			break;
		run(s);
	}
	CHECK(sender_sent(s, &cut) <= bed.out);
	CHECK(bed.out <= (u64)core_len + CRASH_KMSG_NOTE_LEN);
	sender_destroy(s);
	core_destroy(bed.core);
	return 0;
}
