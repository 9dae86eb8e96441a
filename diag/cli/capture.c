/* pvdiag packet-capture: one file a stream, as many as the VM's network devices have. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "diag/cli/cli.h"
#include "lib/os/file.h"

/* NetworkPacketCaptureRequest {operation 3, start_data 4 {snaplen 1, conns 2}}, …Response {num_streams 1} */
enum { OPERATION = 3, START_DATA };
enum { SNAPLEN = 1, CONNS };
enum { QUERY, START, STOP };
#define STREAMS_MAX 16
#define SNAPLEN_ALL 65535

struct stream { int from, to; };

static enum exit_code call(struct session *s, unsigned operation, const u64 *ids, unsigned count, unsigned *ret_streams)
{
	struct ttrpc_answer answer;
	struct pb_writer w;
	struct pb_field f;
	bool bad;

	pb_init(&w);
	if (operation)
		pb_u64(&w, OPERATION, operation);
	if (operation == START) {
		size_t mark = pb_open(&w, START_DATA);

		pb_u64(&w, SNAPLEN, SNAPLEN_ALL);
		for (unsigned i = 0; i < count; i++)
			pb_u64(&w, CONNS, ids[i]);
		pb_close(&w, mark);
	}
	enum exit_code code = session_call(s, "diag.UnderhillDiag", "PacketCapture", &w, &answer);

	pb_fini(&w);
	if (code)
		return code;
	*ret_streams = 0;
	for (struct bytes b = answer.response.payload; pb_next(&b, &f, &bad);)
		if (f.number == 1 && f.wire == PB_VARINT)
			*ret_streams = (unsigned)MIN(f.value, (u64)STREAMS_MAX);
	ttrpc_answer_fini(&answer);
	return EXIT_OK;
}

static enum exit_code open_stream(struct session *s, unsigned index, struct stream *ret, u64 *ret_id)
{
	const char *stem = s->options->text[OPT_OUTPUT] ? s->options->text[OPT_OUTPUT] : "nic";
	char path[512];

	snprintf(path, sizeof(path), "%s-%u.pcap", stem, index);
	ret->to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (ret->to < 0) {
		fprintf(stderr, "pvdiag: %s: %s\n", path, strerror(errno));
		return EXIT_FAILED;
	}
	return session_data(s, &ret->from, ret_id);
}

static void copy(struct stream *streams, unsigned count, u64 end_ns)
{
	char data[65536];

	for (u64 now; (now = now_ns()) < end_ns;) {
		struct pollfd p[STREAMS_MAX];

		for (unsigned i = 0; i < count; i++)
			p[i] = (struct pollfd){ streams[i].from, POLLIN, 0 };
		if (poll(p, count, (int)((end_ns - now) / 1000000 + 1)) <= 0)
			return;
		for (unsigned i = 0; i < count; i++) {
			ssize_t n = p[i].revents ? read(streams[i].from, data, sizeof(data)) : 1;

			if (n <= 0 || (p[i].revents && fd_write_all(streams[i].to, data, (size_t)n))) {
				close(streams[i].from);
				streams[i].from = -1;
			}
		}
	}
}

enum exit_code command_packet_capture(struct session *s)
{
	struct stream streams[STREAMS_MAX];
	u64 ids[STREAMS_MAX];
	unsigned count, opened = 0, ignored;
	enum exit_code code = call(s, QUERY, NULL, 0, &count);

	if (!code && !count) {
		fprintf(stderr, "pvdiag: this VM has no network device to capture from\n");
		code = EXIT_FAILED;
	}
	memset(streams, 0xff, sizeof(streams));
	while (!code && opened < count) {
		code = open_stream(s, opened, &streams[opened], &ids[opened]);
		opened++;
	}
	if (!code)
		code = call(s, START, ids, count, &ignored);
	if (!code) {
		copy(streams, count, now_ns() + (u64)(s->options->number[OPT_SECONDS] * 1e9));
		code = call(s, STOP, NULL, 0, &ignored);
	}
	for (unsigned i = 0; i < opened; i++) {
		if (streams[i].from >= 0)
			close(streams[i].from);
		if (streams[i].to >= 0)
			close(streams[i].to);
	}
	return code;
}
