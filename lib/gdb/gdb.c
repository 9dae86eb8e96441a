#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/gdb/internal.h"

#define SIGNAL_INT 2
#define SIGNAL_TRAP 5
#define SIGNAL_SEGV 11

/* ---- answers */
static void keep_last(struct gdb *g, size_t from)
{
	free(g->last);
	g->last_len = g->out.failed ? 0 : g->out.len - from;
	g->last = g->last_len ? malloc(g->last_len) : NULL;
	if (g->last)
		memcpy(g->last, g->out.data + from, g->last_len);
	else
		g->last_len = 0;
}

void gdb_end_packet(struct gdb *g)
{
	gdb_end(&g->out);
	g->replies++;
	if (!g->no_ack)
		keep_last(g, g->out.packet);
}

void gdb_answer(struct gdb *g, const char *text)
{
	gdb_begin(&g->out);
	gdb_put(&g->out, text);
	gdb_end_packet(g);
}

void gdb_fail(struct gdb *g, unsigned number)
{
	g->errors++;
	gdb_begin(&g->out);
	gdb_printf(&g->out, "E%02x", number);
	gdb_end_packet(g);
}

void gdb_answer_result(struct gdb *g, int r)
{
	if (r == -EAGAIN)
		g->waits = true;
	else if (r == -ENOTSUP)
		gdb_answer(g, "");
	else if (r)
		gdb_fail(g, r == -EFAULT ? E_FAULT : r == -ENOENT ? E_NOTHING : (unsigned)-r & 0xff);
	else
		gdb_answer(g, "OK");
}

static unsigned count(struct gdb *g)
{
	return MIN(g->ops->count(g->ctx), GDB_VPS_MAX);
}

/* a thread that gdb names: 0 and -1 mean any; false: there is none */
static bool vp_of(struct gdb *g, s64 thread, unsigned *ret)
{
	if (thread == 0 || thread == -1)
		return true;
	if (thread < 0 || thread > (s64)count(g))
		return false;
	*ret = (unsigned)thread - 1;
	return true;
}

/* ---- running */
static void tell_stop(struct gdb *g)
{
	static const char *const watches[] = { [GDB_WATCH_WRITE] = "watch", [GDB_WATCH_READ] = "rwatch",
					       [GDB_WATCH_ACCESS] = "awatch" };
	static const u8 told[] = { GDB_REGISTER_RBP, GDB_REGISTER_RSP, GDB_REGISTER_RIP };
	const struct gdb_stop *s = &g->stop;
	struct gdb_registers *regs = NULL;
	u8 value[16];

	gdb_begin(&g->out);
	gdb_printf(&g->out, "T%02xthread:%x;", s->reason == GDB_STOP_INTERRUPTED ? SIGNAL_INT :
		   s->reason == GDB_STOP_FAULT ? SIGNAL_SEGV : SIGNAL_TRAP, s->vp + 1);
	if (s->reason == GDB_STOP_SOFT || s->reason == GDB_STOP_HARD)
		gdb_put(&g->out, s->reason == GDB_STOP_SOFT ? "swbreak:;" : "hwbreak:;");
	else if (s->reason == GDB_STOP_WATCH)
		gdb_printf(&g->out, "%s:%llx;", watches[MAX(s->watch, GDB_WATCH_WRITE)], (unsigned long long)s->address);
	/* what gdb asks for after each stop anyway */
	if (!g->ops->registers(g->ctx, s->vp, GDB_CORE, &regs))
		for (size_t i = 0; i < ARRAY_SIZE(told); i++) {
			gdb_printf(&g->out, "%02x:", told[i]);
			gdb_put_hex(&g->out, value, gdb_register_get(regs, told[i], value));
			gdb_put(&g->out, ";");
		}
	gdb_end_packet(g);
}

static void run(struct gdb *g, const struct gdb_resume *vps)
{
	g->running = true;
	g->ops->resume(g->ctx, vps);
}

/* c, s, C and S: an old form of vCont with an address to go on at; signals mean nothing to a processor */
static void run_plain(struct gdb *g, struct gdb_words *w, enum gdb_action action, bool signal)
{
	struct gdb_resume vps[GDB_VPS_MAX] = { { 0 } };
	unsigned n = count(g), vp = g->resumed ? g->resumed - 1 : g->general;
	u64 ignored, address;
	bool good = !signal || gdb_take_hex(w, &ignored);

	if (good && signal && gdb_left(w))
		good = gdb_take(w, ";") && gdb_left(w);
	bool at = good && gdb_left(w);

	if (!good || (at && (!gdb_take_hex(w, &address) || gdb_left(w)))) {
		gdb_fail(g, E_INVALID);
		return;
	}
	if (at) {
		struct gdb_registers *regs;
		int r = g->ops->registers(g->ctx, vp, GDB_CORE, &regs);

		if (r) {
			gdb_answer_result(g, r);
			return;
		}
		regs->rip = address;
		regs->changed |= BIT(UNIT_RIP);
		r = g->ops->put(g->ctx, vp);
		if (r) {
			gdb_answer_result(g, r);
			return;
		}
	}
	for (unsigned i = 0; i < n; i++)
		if (i == vp || !g->resumed)
			vps[i].action = i == vp ? action : GDB_CONTINUE;
	run(g, vps);
}

static void on_continue(struct gdb *g, struct gdb_words *w) { run_plain(g, w, GDB_CONTINUE, false); }
static void on_step(struct gdb *g, struct gdb_words *w) { run_plain(g, w, GDB_STEP, false); }
static void on_continue_signal(struct gdb *g, struct gdb_words *w) { run_plain(g, w, GDB_CONTINUE, true); }
static void on_step_signal(struct gdb *g, struct gdb_words *w) { run_plain(g, w, GDB_STEP, true); }

static bool take_action(struct gdb_words *w, struct gdb_resume *ret)
{
	u64 signal;

	*ret = (struct gdb_resume){ .action = GDB_CONTINUE };
	if (gdb_take(w, "c") || (gdb_take(w, "C") && gdb_take_hex(w, &signal)))
		return true;
	ret->action = GDB_STEP;
	if (gdb_take(w, "s") || (gdb_take(w, "S") && gdb_take_hex(w, &signal)))
		return true;
	return gdb_take(w, "r") && gdb_take_hex(w, &ret->from) && gdb_take(w, ",") && gdb_take_hex(w, &ret->to);
}

/* vCont;action[:thread]...: for each thread the first action that fits; a thread without one stays */
static void on_vcont(struct gdb *g, struct gdb_words *w)
{
	struct gdb_resume vps[GDB_VPS_MAX] = { { 0 } };
	bool has[GDB_VPS_MAX] = { false }, any = false;
	unsigned n = count(g);

	while (gdb_take(w, ";")) {
		struct gdb_resume one;
		s64 thread = -1;
		unsigned vp = GDB_VPS_MAX;

		if (!take_action(w, &one) || (gdb_take(w, ":") && (!gdb_take_thread(w, &thread) || !vp_of(g, thread, &vp)))) {
			gdb_fail(g, E_INVALID);
			return;
		}
		for (unsigned i = 0; i < n; i++)
			if ((vp == GDB_VPS_MAX || vp == i) && !has[i]) {
				vps[i] = one;
				has[i] = any = true;
			}
	}
	if (gdb_left(w) || !any)
		gdb_fail(g, E_INVALID);
	else
		run(g, vps);
}

static void on_vcont_what(struct gdb *g, struct gdb_words *w)
{
	gdb_answer(g, "vCont;c;C;s;S;r");
}

/* ---- threads */
static void on_select(struct gdb *g, struct gdb_words *w)
{
	bool for_running = gdb_take(w, "c");
	unsigned vp = g->general;
	s64 thread;

	if ((!for_running && !gdb_take(w, "g")) || !gdb_take_thread(w, &thread) || gdb_left(w) || !vp_of(g, thread, &vp)) {
		gdb_fail(g, E_INVALID);
		return;
	}
	if (for_running)
		g->resumed = thread > 0 ? vp + 1 : 0;
	else if (thread > 0)
		g->general = vp;
	gdb_answer(g, "OK");
}

static void on_alive(struct gdb *g, struct gdb_words *w)
{
	unsigned vp;
	s64 thread;

	if (gdb_take_thread(w, &thread) && !gdb_left(w) && thread > 0 && vp_of(g, thread, &vp))
		gdb_answer(g, "OK");
	else
		gdb_fail(g, E_NOTHING);
}

static void on_threads(struct gdb *g, struct gdb_words *w)
{
	gdb_begin(&g->out);
	gdb_put(&g->out, "m");
	for (unsigned i = 0; i < count(g); i++)
		gdb_printf(&g->out, i ? ",%x" : "%x", i + 1);
	gdb_end_packet(g);
}

static void on_no_more_threads(struct gdb *g, struct gdb_words *w)
{
	gdb_answer(g, "l");
}

static void on_thread_info(struct gdb *g, struct gdb_words *w)
{
	char text[128] = "";
	unsigned vp;
	s64 thread;

	if (!gdb_take_thread(w, &thread) || gdb_left(w) || thread <= 0 || !vp_of(g, thread, &vp)) {
		gdb_fail(g, E_INVALID);
		return;
	}
	g->ops->describe(g->ctx, vp, text, sizeof(text));
	gdb_begin(&g->out);
	gdb_put_hex(&g->out, text, strlen(text));
	gdb_end_packet(g);
}

static void on_current(struct gdb *g, struct gdb_words *w)
{
	gdb_begin(&g->out);
	gdb_printf(&g->out, "QC%x", g->stop.vp + 1);
	gdb_end_packet(g);
}

/* ---- queries */
static void on_supported(struct gdb *g, struct gdb_words *w)
{
	gdb_begin(&g->out);
	gdb_printf(&g->out, "PacketSize=%x;qXfer:features:read+;qXfer:memory-map:read+;qXfer:threads:read+;QStartNoAckMode+;"
			    "vContSupported+;swbreak+;hwbreak+;binary-upload+", GDB_PACKET_MAX);
	gdb_end_packet(g);
}

static void on_no_ack(struct gdb *g, struct gdb_words *w)
{
	gdb_answer(g, "OK");
	g->no_ack = true;
}

/* linear addresses: nothing is known of them but that gdb may try all */
static void memory_map(struct gdb *g, struct gdb_writer *xml)
{
	gdb_put(xml, "<?xml version=\"1.0\"?><!DOCTYPE memory-map SYSTEM \"gdb-memory-map.dtd\"><memory-map>"
		     "<memory type=\"ram\" start=\"0x0\" length=\"0x8000000000000000\"/>"
		     "<memory type=\"ram\" start=\"0x8000000000000000\" length=\"0x8000000000000000\"/></memory-map>");
}

static void thread_list(struct gdb *g, struct gdb_writer *xml)
{
	gdb_put(xml, "<?xml version=\"1.0\"?><threads>");
	for (unsigned i = 0; i < count(g); i++) {
		char text[128] = "";

		g->ops->describe(g->ctx, i, text, sizeof(text));
		gdb_printf(xml, "<thread id=\"%x\" core=\"%u\" name=\"VP %u\">", i + 1, i, i);
		gdb_put(xml, text);
		gdb_put(xml, "</thread>");
	}
	gdb_put(xml, "</threads>");
}

static void target_xml(struct gdb *g, struct gdb_writer *xml)
{
	gdb_target_xml(xml);
}

/* qXfer:object:read:annex:offset,length */
static void on_transfer(struct gdb *g, struct gdb_words *w)
{
	static const struct { const char *object; void (*write)(struct gdb *, struct gdb_writer *); } objects[] = {
		{ "features:read:target.xml:", target_xml }, { "memory-map:read::", memory_map },
		{ "threads:read::", thread_list },
	};
	struct gdb_writer xml = { 0 };
	u64 offset, len;

	for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
		if (!gdb_take(w, objects[i].object))
			continue;
		if (!gdb_take_range(w, &offset, &len) || gdb_left(w)) {
			gdb_fail(g, E_INVALID);
			return;
		}
		objects[i].write(g, &xml);
		if (xml.failed || offset > xml.len) {
			gdb_fail(g, E_INVALID);
		} else {
			/* half of a packet has room for all that may be escaped */
			size_t left = xml.len - (size_t)offset, piece = (size_t)MIN(MIN(len, (u64)left), (u64)GDB_MEMORY_MAX);

			gdb_begin(&g->out);
			gdb_put(&g->out, piece < left ? "m" : "l");
			gdb_put_binary(&g->out, xml.data + offset, piece);
			gdb_end_packet(g);
		}
		gdb_writer_fini(&xml);
		return;
	}
	if (gdb_take(w, "features:read:"))
		gdb_fail(g, 0); /* such an annex is not there */
	else
		gdb_answer(g, "");
}

static void on_attached(struct gdb *g, struct gdb_words *w) { gdb_answer(g, "1"); }
static void on_ok(struct gdb *g, struct gdb_words *w) { gdb_answer(g, "OK"); }
static void on_unknown(struct gdb *g, struct gdb_words *w) { gdb_answer(g, ""); }

/* QEMU's way of switching to physical addresses, which gdb scripts know */
static void on_physical_ask(struct gdb *g, struct gdb_words *w)
{
	gdb_answer(g, g->physical ? "1" : "0");
}

static void on_physical_set(struct gdb *g, struct gdb_words *w)
{
	u64 on;

	if (!gdb_take_hex(w, &on) || gdb_left(w) || on > 1) {
		gdb_fail(g, E_INVALID);
		return;
	}
	g->physical = on;
	gdb_answer(g, "OK");
}

/* the answer in packets of console output, then OK */
static void answer_text(struct gdb *g)
{
	const size_t piece = GDB_PACKET_MAX / 2 - 16;

	for (size_t at = 0; at < g->text.len; at += piece) {
		gdb_begin(&g->out);
		gdb_put(&g->out, "O");
		gdb_put_hex(&g->out, g->text.data + at, MIN(piece, g->text.len - at));
		gdb_end(&g->out);
	}
	gdb_answer(g, "OK");
}

static void on_monitor(struct gdb *g, struct gdb_words *w)
{
	char words[512];
	size_t len = gdb_left(w) / 2;

	if (gdb_left(w) % 2 || len >= sizeof(words) || !gdb_take_bytes(w, (u8 *)words, len)) {
		gdb_fail(g, E_INVALID);
		return;
	}
	words[len] = 0;
	gdb_text_fini(&g->text);
	int r = -ENOENT;

	if (!strcmp(words, "physical on") || !strcmp(words, "physical off")) {
		g->physical = !strcmp(words, "physical on");
		gdb_say(&g->text, "addresses are %s\n", g->physical ? "physical" : "linear");
		r = 0;
	} else if (strlen(words) == len) {
		r = g->ops->monitor(g->ctx, g->general, words, &g->text);
	}
	if (r == -EAGAIN) {
		g->waits = true;
		return;
	}
	if (r == -ENOENT) {
		gdb_text_fini(&g->text);
		gdb_say(&g->text, "no such command: 'monitor help' has a list\n");
	} else if (r) {
		gdb_say(&g->text, "error: %s\n", strerror(-r));
	}
	answer_text(g);
	gdb_text_fini(&g->text);
}

/* ---- ends */
static void on_detach(struct gdb *g, struct gdb_words *w)
{
	g->ops->detach(g->ctx);
	gdb_answer(g, "OK");
	g->ended = true;
}

static void on_kill(struct gdb *g, struct gdb_words *w)
{
	g->ops->kill(g->ctx);
	if (gdb_left(w)) /* vKill;pid */
		gdb_answer(g, "OK");
	g->ended = true;
}

static void on_why(struct gdb *g, struct gdb_words *w)
{
	tell_stop(g);
}

/* ---- dispatch: the first that fits; `all` says that nothing may follow */
static const struct command {
	const char *word;
	bool all;
	void (*run)(struct gdb *, struct gdb_words *);
} commands[] = {
	{ "g", true, gdb_on_read_all }, { "G", false, gdb_on_write_all },
	{ "p", false, gdb_on_read_one }, { "P", false, gdb_on_write_one },
	{ "m", false, gdb_on_read_memory }, { "M", false, gdb_on_write_memory },
	{ "X", false, gdb_on_write_binary }, { "x", false, gdb_on_read_binary },
	{ "vCont?", true, on_vcont_what }, { "vCont", false, on_vcont }, { "vKill", false, on_kill },
	{ "c", false, on_continue }, { "s", false, on_step }, { "C", false, on_continue_signal }, { "S", false, on_step_signal },
	{ "H", false, on_select }, { "T", false, on_alive },
	{ "Z", false, gdb_on_insert_break }, { "z", false, gdb_on_remove_break },
	{ "?", true, on_why }, { "D", false, on_detach }, { "k", true, on_kill },
	{ "qSupported", false, on_supported }, { "QStartNoAckMode", true, on_no_ack }, { "qXfer:", false, on_transfer },
	{ "qfThreadInfo", true, on_threads }, { "qsThreadInfo", true, on_no_more_threads },
	{ "qThreadExtraInfo,", false, on_thread_info }, { "qC", true, on_current }, { "qAttached", false, on_attached },
	{ "qSymbol:", false, on_ok }, { "qRcmd,", false, on_monitor },
	{ "qqemu.PhyMemMode", true, on_physical_ask }, { "Qqemu.PhyMemMode:", false, on_physical_set },
	{ "", false, on_unknown },
};

static void dispatch(struct gdb *g)
{
	struct gdb_words w = gdb_words_of(&g->reader);

	g->waits = false;
	if (g->running) { /* all-stop: gdb has to interrupt first */
		gdb_fail(g, E_BUSY);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		struct gdb_words rest = w;

		if (!gdb_take(&rest, commands[i].word) || (commands[i].all && gdb_left(&rest)))
			continue;
		commands[i].run(g, &rest);
		return;
	}
}

static void take(struct gdb *g, enum gdb_event event)
{
	switch (event) {
	case GDB_PACKET:
		g->packets++;
		if (!g->no_ack)
			gdb_put_raw(&g->out, '+');
		dispatch(g);
		return;
	case GDB_LONG_PACKET:
		g->packets++;
		if (!g->no_ack)
			gdb_put_raw(&g->out, '+');
		gdb_fail(g, E_INVALID);
		return;
	case GDB_BAD_PACKET:
		g->bad++;
		if (!g->no_ack)
			gdb_put_raw(&g->out, '-');
		else
			gdb_fail(g, E_INVALID);
		return;
	case GDB_NAK:
		g->bad++;
		for (size_t i = 0; !g->no_ack && i < g->last_len; i++)
			gdb_put_raw(&g->out, (char)g->last[i]);
		return;
	case GDB_INTERRUPT:
		if (g->running)
			g->ops->interrupt(g->ctx);
		return;
	case GDB_ACK:
	case GDB_NOTHING:
		return;
	}
}

void gdb_init(struct gdb *g, const struct gdb_target_ops *ops, void *ctx)
{
	*g = (struct gdb){ .ops = ops, .ctx = ctx, .stop.reason = GDB_STOP_STEP };
}

void gdb_fini(struct gdb *g)
{
	gdb_writer_fini(&g->out);
	gdb_text_fini(&g->text);
	free(g->last);
	g->last = NULL;
	g->last_len = 0;
}

size_t gdb_receive(struct gdb *g, const void *data, size_t len)
{
	const u8 *bytes = data;
	size_t at = 0;

	while (at < len && !g->waits && !g->ended && !g->out.failed)
		take(g, gdb_read(&g->reader, bytes[at++]));
	return g->ended ? len : at;
}

void gdb_ready(struct gdb *g)
{
	if (g->waits)
		dispatch(g);
}

void gdb_stopped(struct gdb *g, const struct gdb_stop *stop)
{
	g->stop = *stop;
	if (!g->running)
		return;
	g->running = false;
	g->stops++;
	g->general = stop->vp;
	tell_stop(g);
}

void gdb_sent(struct gdb *g, size_t len)
{
	if (!len)
		return;
	memmove(g->out.data, g->out.data + len, g->out.len - len);
	g->out.len -= len;
}
