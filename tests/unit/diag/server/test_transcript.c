/*
 * A transcript: for every method of the three services a request written byte by byte from the public definitions, and of each
 * answer every field's number, wire type and value, in order, with the line it was derived from. Lines are of openvmm 1488a37b:
 * diag.proto (openhcl/diag_proto/src), inspect_service.proto (support/inspect_proto/src), message.rs (support/mesh/mesh_rpc/src),
 * initiate.rs and lib.rs (support/inspect/src). That an enum is a message with one field, and a variant with a value a message
 * {1: value}, is from support/mesh/mesh_protobuf/src/protofile/writer.rs:577 ff.
 */
#include "tests/unit/diag/server/server_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

/* ---- what an answer has to be */
enum shape { END, MESSAGE, EMPTY, NUMBER, POSITIVE, FIXED64, TEXT, BYTES, SOME_TEXT };

struct want {
	u32 field;
	enum shape shape;
	u64 number;
	const char *text;
	size_t len;
	const char *source;
};

#define MSG(n, source) { n, MESSAGE, 0, NULL, 0, source }
#define NUM(n, v, source) { n, NUMBER, v, NULL, 0, source }
#define STR(n, v, source) { n, TEXT, 0, v, sizeof(v) - 1, source }
#define NOTHING(n, source) { n, EMPTY, 0, NULL, 0, source }
#define CLOSE { 0, END, 0, NULL, 0, NULL }

#define PAYLOAD "message.rs:137 Response::Payload, transparent: bytes"
#define STATUS "message.rs:135 Response::Status, transparent: google/rpc/status.proto"
#define CODE "google/rpc/status.proto: int32 code = 1"
#define REASON "google/rpc/status.proto: string message = 2"
#define RESULT "inspect_service.proto:22 Node result = 1"
#define NODE_VALUE_HERE MSG(3, "initiate.rs:47 Node::Value"), MSG(1, "initiate.rs:48 its value, Value")
#define KIND "lib.rs:1191 Value.kind = 1"

static void wrong(const struct want *w, const struct pb_field *f, const char *why)
{
	fail_msg("field %u, wire type %u: %s; wanted field %u by %s", f->number, f->wire, why, w->field, w->source ? w->source :
		 "(end)");
}

static void check_field(const struct want *w, const struct pb_field *f)
{
	static const enum pb_wire wires[] = { [MESSAGE] = PB_BYTES, [EMPTY] = PB_BYTES, [NUMBER] = PB_VARINT,
					      [POSITIVE] = PB_VARINT,
					      [FIXED64] = PB_FIXED64, [TEXT] = PB_BYTES, [BYTES] = PB_BYTES,
						      [SOME_TEXT] = PB_BYTES };

	if (w->shape == END || w->field != f->number || f->wire != wires[w->shape])
		wrong(w, f, "not this field");
	if (((w->shape == NUMBER || w->shape == FIXED64) && f->value != w->number) || (w->shape == POSITIVE && !f->value))
		wrong(w, f, "another number");
	if ((w->shape == TEXT || w->shape == BYTES) && (f->body.left != w->len || memcmp(f->body.at, w->text, w->len)))
		wrong(w, f, "other bytes");
	if ((w->shape == EMPTY && f->body.left) || (w->shape == SOME_TEXT && !f->body.left))
		wrong(w, f, "another length");
}

/* the message's fields against the rows from *at on, up to its CLOSE, which is consumed */
static void check_message(struct bytes b, const struct want **at)
{
	struct pb_field f;
	bool bad = false;

	while (pb_next(&b, &f, &bad)) {
		const struct want *w = (*at)++;

		check_field(w, &f);
		if (w->shape == MESSAGE)
			check_message(f.body, at);
	}
	assert_false(bad);
	if ((*at)->shape != END)
		fail_msg("missing: field %u by %s", (*at)->field, (*at)->source);
	(*at)++;
}

/* message.rs:26 MessageHeader {length u32 BE, stream_id u32 BE, message_type u8, flags u8} */
static void check_answer(struct fixture *f, u32 stream, const struct want *rows)
{
	struct ttrpc_header h;

	assert_true(f->got_len >= TTRPC_HEADER_LEN);
	ttrpc_header_decode(f->got, &h);
	assert_int_equal(h.length, f->got_len - TTRPC_HEADER_LEN);
	assert_int_equal(h.stream, stream);
	assert_int_equal(h.type, 2);
	assert_int_equal(h.flags, 0);
	check_message(bytes_of(f->got + TTRPC_HEADER_LEN, h.length), &rows);
}

/* ---- requests: message.rs:124 Request {service 1, method 2, payload 3} */
static void call(struct fixture *f, const char *service, const char *method, const void *payload, size_t len,
		 const struct want *rows)
{
	static u32 stream = 1;
	u8 frame[512];
	size_t at = 10, s = strlen(service), m = strlen(method);

	frame[at++] = 0x0a;
	frame[at++] = (u8)s;
	memcpy(frame + at, service, s);
	at += s;
	frame[at++] = 0x12;
	frame[at++] = (u8)m;
	memcpy(frame + at, method, m);
	at += m;
	if (len) {
		frame[at++] = 0x1a;
		frame[at++] = (u8)len;
		memcpy(frame + at, payload, len);
		at += len;
	}
	memcpy(frame, (u8[10]){ 0, 0, 0, (u8)(at - 10), 0, 0, 0, (u8)stream, 1, 0 }, 10);
	ask(f, frame, at);
	check_answer(f, stream, rows);
	stream = (stream + 2) % 256;
}

#define CALL(f, service, method, payload, ...)                                                                       \
	call(f, service, method, payload, sizeof(payload) - 1, (const struct want[]){ __VA_ARGS__, CLOSE })
#define DIAG "diag.UnderhillDiag"
#define DIAG2 "diag.OpenhclDiag"
#define INSPECT "inspect.InspectService"
#define FAILED(code, text) MSG(1, STATUS), NUM(1, code, CODE), STR(2, text, REASON), CLOSE

static u64 connect_data(struct fixture *f, int *ret)
{
	u64 id = 0;

	data_adopt(f->control.data, pair_of(ret));
	turn(f);
	/* openhcl/diag_client/src/lib.rs:241: eight bytes in native order, first on the connection */
	assert_int_equal(read(*ret, &id, sizeof(id)), 8);
	return id;
}

static void diag_methods(void **state)
{
	struct fixture f;

	start(&f);
	CALL(&f, DIAG2, "Ping", "", NOTHING(2, PAYLOAD "; diag.proto:16 Empty"));
	CALL(&f, DIAG2, "MemoryProfileTrace", "\x08\x01", MSG(1, STATUS), NUM(1, 12, CODE), { 2, SOME_TEXT, 0, NULL, 0, REASON },
	     CLOSE);
	CALL(&f, DIAG, "PacketCapture", "", NOTHING(2, PAYLOAD "; diag.proto:104 num_streams = 1, zero is left out"));
	CALL(&f, DIAG, "PacketCapture", "\x18\x02", NOTHING(2, PAYLOAD "; diag.proto:94 Stop = 2"));
	CALL(&f, DIAG, "PacketCapture", "\x18\x01\x22\x04\x08\x40\x10\x01",
	     FAILED(9, "this VM has no network device to capture from"));
	CALL(&f, DIAG, "PacketCapture", "\x18\x07", FAILED(3, "unsupported operation 7"));
	CALL(&f, DIAG, "Start", "", FAILED(9, "the firmware is still starting"));
	CALL(&f, DIAG, "Restart", "", FAILED(9, "no worker was started yet"));
	CALL(&f, DIAG, "Pause", "", FAILED(9, "pause: no worker runs"));
	CALL(&f, DIAG, "Resume", "", FAILED(9, "resume: no worker runs"));
	CALL(&f, DIAG, "DumpSavedState", "", FAILED(9, "saving state: no worker runs"));
	CALL(&f, DIAG, "Crash", "\x08\x01", MSG(1, STATUS), NUM(1, 5, CODE), { 2, SOME_TEXT, 0, NULL, 0, REASON }, CLOSE);
	CALL(&f, DIAG, "Crash", "\x08", FAILED(3, "malformed request"));
	CALL(&f, DIAG, "Frobnicate", "", FAILED(12, "unknown method Frobnicate"));
	CALL(&f, "diag.NoSuch", "Ping", "", FAILED(12, "unknown service diag.NoSuch"));
	CALL(&f, DIAG, "Wait", "\x08\x63", FAILED(5, "pid not found: it was not started by Exec, or was waited for"));
	CALL(&f, DIAG, "Wait", "\x08", FAILED(3, "malformed request"));
	CALL(&f, DIAG, "Kmsg", "\x10\x63", FAILED(2, "invalid connection id"));
	CALL(&f, DIAG, "ReadFile", "\x10\x63\x1a\x01/", FAILED(2, "invalid connection id"));
	end(&f);
}

static void exec_and_wait(void **state)
{
	struct fixture f;
	char text[64], wait[8];
	struct pb_field field;
	struct bytes b;
	bool bad;
	int out;

	start(&f);
	assert_int_equal(connect_data(&f, &out), 1);
	/* diag.proto:36 command = 1, :37 args = 2 (two), :40 stdout = 5, :43 env = 8 {name 1, value 2}, :44 clear_env = 9 */
	CALL(&f, DIAG, "Exec",
	     "\x0a\x07/bin/sh\x12\x02-c\x12\x10" "echo $A; exit 42" "\x28\x01\x42\x07\x0a\x01" "A\x12\x02hi\x48\x01",
	     MSG(2, PAYLOAD), { 1, POSITIVE, 0, NULL, 0, "diag.proto:54 int32 pid = 1" }, CLOSE);
	b = bytes_of(f.got + 12, (size_t)f.got_len - 12);
	assert_true(pb_next(&b, &field, &bad));
	u64 pid = field.value;

	for (int i = 0; i < 200 && f.control.processes.running_count; i++) {
		usleep(10000);
		turn(&f);
	}
	turn(&f);
	assert_int_equal(read(out, text, sizeof(text)), 3);
	assert_memory_equal(text, "hi\n", 3);
	assert_int_equal(read(out, text, sizeof(text)), 0);
	close(out);
	assert_true(pid < 1 << 28);
	wait[0] = 0x08;
	for (int i = 0; i < 4; i++)
		wait[1 + i] = (char)((pid >> (7 * i) & 0x7f) | (i < 3 ? 0x80 : 0));
	call(&f, DIAG, "Wait", wait, 5,
	     (const struct want[]){ MSG(2, PAYLOAD), NUM(1, 42, "diag.proto:62 int32 exit_code = 1"), CLOSE, CLOSE });
	CALL(&f, DIAG, "Exec", "\x0a\x03nix\x28\x63", FAILED(5, "connection of stdout: No such file or directory"));
	CALL(&f, DIAG, "Exec", "\x12\x01x", FAILED(3, "Exec: no command, or a string with a NUL or a variable without a name"));
	end(&f);
}

static void files(void **state)
{
	char path[] = "/tmp/transcript.XXXXXX", request[64], text[64];
	int file = mkstemp(path), conn;
	struct fixture f;

	start(&f);
	assert_int_equal(write(file, "6,1,2,-;hello\n", 14), 14);
	f.control.kmsg_path = path;
	assert_int_equal(connect_data(&f, &conn), 1);
	CALL(&f, DIAG, "Kmsg", "\x10\x01", NOTHING(2, PAYLOAD "; diag.proto:26 Empty"));
	/* openhcl/diag_client/src/kmsg_stream.rs: records end with a NUL */
	assert_int_equal(read(conn, text, sizeof(text)), 15);
	assert_memory_equal(text, "6,1,2,-;hello\n", 15);
	close(conn);
	assert_int_equal(connect_data(&f, &conn), 2);
	int len = snprintf(request, sizeof(request), "%c%c%c%c%s", 0x10, 2, 0x1a, (int)strlen(path), path);

	call(&f, DIAG, "ReadFile", request, (size_t)len,
	     (const struct want[]){ NOTHING(2, PAYLOAD "; diag.proto:30 Empty"), CLOSE });
	turn(&f);
	assert_int_equal(read(conn, text, sizeof(text)), 14);
	close(conn);
	close(file);
	unlink(path);
	turn(&f);
	end(&f);
}

static void crash(void **state)
{
	struct fixture f;
	char request[6] = { 0x08 };
	int status;
	pid_t child = fork();

	if (!child) {
		signal(SIGSEGV, SIG_DFL); /* the sanitizer's handler would tell a story */
		for (;;)
			pause();
	}
	usleep(50000);
	start(&f);
	f.control.worker.pid = child;
	for (int i = 0; i < 4; i++)
		request[1 + i] = (char)((child >> (7 * i) & 0x7f) | (i < 3 ? 0x80 : 0));
	call(&f, DIAG, "Crash", request, 5, (const struct want[]){ NOTHING(2, PAYLOAD "; diag.proto:25 Empty"), CLOSE });
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	f.control.worker.pid = 0;
	end(&f);
}

/* ---- what the worker answers over vmm/worker/link.h, played here */
static void worker_replies(struct fixture *f, enum link_op op, const void *body, size_t len)
{
	struct link_request r;
	struct link_reply reply = { .len = (u32)(8 + len) };
	u8 path[LINK_BODY_MAX];

	assert_int_equal(read(f->worker, &r, sizeof(r)), sizeof(r));
	assert_int_equal(r.op, op);
	assert_true(!r.path_len || read(f->worker, path, r.path_len) == r.path_len);
	reply.id = r.id;
	assert_int_equal(write(f->worker, &reply, sizeof(reply)), sizeof(reply));
	assert_true(!len || write(f->worker, body, len) == (ssize_t)len);
	turn(f);
	f->got_len = read(f->client, f->got, sizeof(f->got));
}

static void through_the_worker(struct fixture *f, const char *service, const char *method, const char *payload,
			       size_t payload_len,
			       enum link_op op, const char *body, size_t len, const struct want *rows)
{
	u8 frame[128];
	size_t at = 10, s = strlen(service), m = strlen(method);

	at += (size_t)snprintf((char *)frame + at, sizeof(frame) - at, "\x0a%c%s\x12%c%s", (int)s, service, (int)m, method);
	if (payload_len) {
		frame[at++] = 0x1a;
		frame[at++] = (u8)payload_len;
		memcpy(frame + at, payload, payload_len);
		at += payload_len;
	}
	memcpy(frame, (u8[10]){ 0, 0, 0, (u8)(at - 10), 0, 0, 0, 9, 1, 0 }, 10);
	ask(f, frame, at);
	assert_int_equal(f->got_len, -1); /* not before the worker has */
	worker_replies(f, op, body, len);
	check_answer(f, 9, rows);
}

static void vm_methods(void **state)
{
	struct fixture f;

	start(&f);
	f.control.worker.link = link_create(f.control.exec, pair_of(&f.worker), link_gone, NULL);
	through_the_worker(&f, DIAG, "Pause", "", 0, LINK_PAUSE, "", 0,
			   (const struct want[]){ NOTHING(2, PAYLOAD "; diag.proto:28 Empty"), CLOSE });
	through_the_worker(&f, DIAG, "Resume", "", 0, LINK_RESUME, "", 0,
			   (const struct want[]){ NOTHING(2, PAYLOAD "; diag.proto:29 Empty"), CLOSE });
	through_the_worker(&f, DIAG, "DumpSavedState", "", 0, LINK_SAVE, "\0state", 6,
			   (const struct want[]){ MSG(2, PAYLOAD), { 1, BYTES, 0, "\0state", 6, "diag.proto:82 bytes data = 1" },
						  CLOSE,
						  CLOSE });
	end(&f);
}

static void inspect_values(void **state)
{
	struct fixture f;

	start(&f);
	f.control.ping_requests = 300;
	CALL(&f, INSPECT, "Inspect", "\x0a\x12" "build_info/program", MSG(2, PAYLOAD), MSG(1, RESULT), NODE_VALUE_HERE,
	     MSG(1, KIND),
	     MSG(6, "lib.rs:1273 ValueKind::String"), STR(1, "paravane", "its value"), CLOSE, CLOSE, CLOSE, CLOSE, CLOSE, CLOSE);
	/* UNVERIFIED by their own bytes: that the flags, a tuple struct, are a message {1: u64} */
	CALL(&f, INSPECT, "Inspect", "\x0a\x0buhdiag/ping", MSG(2, PAYLOAD), MSG(1, RESULT), NODE_VALUE_HERE, MSG(1, KIND),
	     MSG(2, "lib.rs:1261 ValueKind::Unsigned"), NUM(1, 300, "its value"), CLOSE, CLOSE,
	     MSG(2, "lib.rs:1194 Value.flags = 2"), NUM(1, 2,
							"unverified: ValueFlags, bit 1 count"), CLOSE, CLOSE, CLOSE, CLOSE,
								CLOSE);
	CALL(&f, INSPECT, "Inspect", "\x0a\x11uhdiag/restricted", MSG(2, PAYLOAD), MSG(1, RESULT), NODE_VALUE_HERE, MSG(1, KIND),
	     MSG(5, "lib.rs:1270 ValueKind::Bool"), NUM(1, 0, "its value"), CLOSE, CLOSE, CLOSE, CLOSE, CLOSE, CLOSE);
	f.control.worker.pid = -3;
	CALL(&f, INSPECT, "Inspect", "\x0a\x0aworker/pid", MSG(2, PAYLOAD), MSG(1, RESULT), NODE_VALUE_HERE, MSG(1, KIND),
	     MSG(1, "lib.rs:1258 ValueKind::Signed"), NUM(1, 5,
							  "i64 is sint64: zigzag of -3"), CLOSE, CLOSE, CLOSE, CLOSE, CLOSE,
								  CLOSE);
	f.control.worker.pid = 0;
	end(&f);
}

/* an entry of a directory, with a number in it and its flags' rows */
#define ENTRY(name, ...)                                                                                            \
	MSG(1, "initiate.rs:51 its value, repeated Entry"), STR(1, name, "initiate.rs:60 Entry.name = 1"),               \
		MSG(2, "initiate.rs:63 Entry.node = 2"), NODE_VALUE_HERE, MSG(1, KIND),                                  \
		MSG(2, "lib.rs:1261 ValueKind::Unsigned"), NUM(1, 0, "its value"), CLOSE, CLOSE, ##__VA_ARGS__, CLOSE,   \
		CLOSE, CLOSE, MSG(3, "initiate.rs:66 Entry.sensitivity = 3"),                                            \
		NOTHING(2, "lib.rs:546 SensitivityLevel::Unspecified"), CLOSE, CLOSE
#define COUNT MSG(2, "lib.rs:1194 Value.flags = 2"), NUM(1, 2, "unverified: ValueFlags"), CLOSE

#define UNEVALUATED(name)                                                                                           \
	MSG(1, "initiate.rs:51 its value, repeated Entry"), STR(1, name, "initiate.rs:60 Entry.name = 1"),               \
		MSG(2, "initiate.rs:63 Entry.node = 2"), NOTHING(1, "initiate.rs:41 Node::Unevaluated"), CLOSE,          \
		MSG(3, "initiate.rs:66 Entry.sensitivity = 3"),                                                          \
		NOTHING(2, "lib.rs:546 SensitivityLevel::Unspecified"), CLOSE, CLOSE

static void inspect_nodes(void **state)
{
	struct fixture f;

	start(&f);
	/* depth 0 shows a node's children, and not what is in them: initiate.rs:415 */
	CALL(&f, INSPECT, "Inspect", "\x0a\x10uhdiag/processes", MSG(2, PAYLOAD), MSG(1, RESULT),
	     MSG(4, "initiate.rs:50 Node::Dir"),
	     ENTRY("started", COUNT), ENTRY("failed", COUNT), ENTRY("reaped", COUNT), ENTRY("dropped", COUNT),
	     UNEVALUATED("running"), UNEVALUATED("ended"), CLOSE, CLOSE, CLOSE);
	CALL(&f, INSPECT, "Inspect", "\x0a\x07nowhere", MSG(2, PAYLOAD), MSG(1, RESULT),
	     MSG(2, "initiate.rs:44 Node::Failed"),
	     MSG(1, "initiate.rs:45 its value, Error"), NOTHING(6, "initiate.rs:97 Error::NotFound"), CLOSE, CLOSE, CLOSE, CLOSE);
	CALL(&f, INSPECT, "Inspect", "\x0a\x14" "build_info/program/x", MSG(2, PAYLOAD), MSG(1, RESULT),
	     MSG(2, "initiate.rs:44 Node::Failed"), MSG(1, "initiate.rs:45 its value, Error"),
	     NOTHING(5, "initiate.rs:93 Error::NotADirectory"), CLOSE, CLOSE, CLOSE, CLOSE);
	CALL(&f, INSPECT, "Inspect", "\x0a\x02vm", MSG(2, PAYLOAD), MSG(1, RESULT), MSG(2, "initiate.rs:44 Node::Failed"),
	     MSG(1, "initiate.rs:45 its value, Error"), MSG(2, "initiate.rs:81 Error::Mesh"), STR(1, "no worker runs",
												  "its value"), CLOSE, CLOSE,
	     CLOSE, CLOSE, CLOSE);
	CALL(&f, INSPECT, "Inspect", "\x0a\x0euhdiag/streams", MSG(2, PAYLOAD), MSG(1, RESULT),
	     MSG(4, "initiate.rs:50 Node::Dir"),
	     ENTRY("open"), ENTRY("started", COUNT), ENTRY("records", COUNT), ENTRY("lost", COUNT), CLOSE, CLOSE, CLOSE);
	end(&f);
}

static void the_workers_values(void **state)
{
	/* Node::Value, Double 1.5; in a directory beside bytes and a number with the hex flag, as a worker of ours sends it */
	static const char body[] = "\x1a\x0f\x0a\x0d\x0a\x0b\x22\x09\x09\0\0\0\0\0\0\xf8\x3f";
	struct fixture f;

	start(&f);
	f.control.worker.link = link_create(f.control.exec, pair_of(&f.worker), link_gone, NULL);
	through_the_worker(&f, INSPECT, "Inspect", "\x0a\x04vm/x", 6, LINK_INSPECT, body, sizeof(body) - 1,
			   (const struct want[]){ MSG(2, PAYLOAD), MSG(1, RESULT), NODE_VALUE_HERE, MSG(1, KIND),
						  MSG(4, "lib.rs:1267 ValueKind::Double"),
						  { 1, FIXED64, 0x3ff8000000000000, NULL, 0,
						    "f64 is double: fixed64" }, CLOSE, CLOSE, CLOSE,
						  CLOSE, CLOSE, CLOSE, CLOSE });
	static const char bytes[] = "\x1a\x0c\x0a\x0a\x0a\x08\x3a\x06\x0a\x04\1\0\xff\2";

	through_the_worker(&f, INSPECT, "Inspect", "\x0a\x04vm/y", 6, LINK_INSPECT, bytes, sizeof(bytes) - 1,
			   (const struct want[]){ MSG(2, PAYLOAD), MSG(1, RESULT), NODE_VALUE_HERE, MSG(1, KIND),
						  MSG(7, "lib.rs:1276 ValueKind::Bytes"),
						  { 1, BYTES, 0, "\1\0\xff\2", 4,
						    "its value" }, CLOSE, CLOSE, CLOSE, CLOSE, CLOSE, CLOSE,
						  CLOSE });
	end(&f);
}

static void updates(void **state)
{
	struct fixture f;

	start(&f);
	CALL(&f, INSPECT, "Update", "\x0a\x0ctrace/filter\x12\x04warn", MSG(2, PAYLOAD),
	     MSG(1, "inspect_service.proto:31 Value new_value = 1"),
	     MSG(1, KIND), MSG(6, "lib.rs:1273 ValueKind::String"), STR(1, "warn", "its value"), CLOSE, CLOSE, CLOSE, CLOSE);
	assert_int_equal(log_set_filter("info"), 0);
	CALL(&f, INSPECT, "Update", "\x0a\x12" "build_info/program\x12\x01x", FAILED(2, "immutable node"));
	CALL(&f, INSPECT, "Update", "\x0a\x07nowhere\x12\x01x", FAILED(2, "not found"));
	end(&f);
}

static void the_production_policy(void **state)
{
	static const char *const methods[] = { "Exec", "Start", "Restart", "Pause", "Resume", "DumpSavedState", "PacketCapture",
						"ReadFile", "Crash" };
	struct fixture f;
	char text[96];

	start(&f);
	f.control.restricted = true;
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		snprintf(text, sizeof(text), "%s is disabled here (PARAVANE_DIAGNOSTICS=restricted)", methods[i]);
		call(&f, DIAG, methods[i], "", 0,
		     (const struct want[]){ MSG(1, STATUS), NUM(1, 7, CODE), { 2, TEXT, 0, text, strlen(text), REASON }, CLOSE,
					    CLOSE });
	}
	CALL(&f, INSPECT, "Update", "\x0a\x0ctrace/filter\x12\x04warn",
	     FAILED(7, "Update is disabled here (PARAVANE_DIAGNOSTICS=restricted)"));
	CALL(&f, DIAG2, "Ping", "", NOTHING(2, PAYLOAD));
	assert_int_equal(f.control.refused_requests, ARRAY_SIZE(methods) + 1);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(diag_methods),	  cmocka_unit_test(exec_and_wait),	cmocka_unit_test(files),
			cmocka_unit_test(crash),
		cmocka_unit_test(vm_methods),	  cmocka_unit_test(inspect_values),	cmocka_unit_test(inspect_nodes),
		cmocka_unit_test(the_workers_values), cmocka_unit_test(updates), cmocka_unit_test(the_production_policy),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
