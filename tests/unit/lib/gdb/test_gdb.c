/* The remote protocol on a machine that is only a table */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/fake_gdb_target.h"

static struct fake_gdb_target *t;
static char last[8 * GDB_PACKET_MAX];

/* the answers to one packet, without frames; several are joined by blanks */
static const char *ask_bytes(const char *packet, size_t len)
{
	struct gdb_writer w = { 0 };
	struct gdb_reader *r = calloc(1, sizeof(*r));
	size_t at = 0;

	gdb_begin(&w);
	gdb_put_binary(&w, packet, len);
	gdb_end(&w);
	fake_gdb_feed(t, w.data, w.len);
	gdb_writer_fini(&w);
	last[0] = 0;
	for (size_t i = 0; i < t->gdb.out.len; i++)
		if (gdb_read(r, t->gdb.out.data[i]) == GDB_PACKET) {
			at += (size_t)snprintf(last + at, sizeof(last) - at, "%s%s", at ? " " : "", (char *)r->data);
			at = MIN(at, sizeof(last) - 1);
		}
	gdb_sent(&t->gdb, t->gdb.out.len);
	free(r);
	return last;
}

static const char *ask(const char *packet)
{
	return ask_bytes(packet, strlen(packet));
}

static const char *stop(unsigned vp, enum gdb_stop_reason reason, enum gdb_break watch, u64 address)
{
	gdb_stopped(&t->gdb, &(struct gdb_stop){ vp, reason, watch, address });
	return ask("qC") ? last : last;
}

static void registers_are_read_and_written(void **state)
{
	char g[4096];

	t->regs[0].gpr[HV_RBX] = 0x1122334455667788;
	t->regs[0].rip = 0xffffffff81000000;
	t->regs[0].segment[1].selector = 0x10;
	snprintf(g, sizeof(g), "%s", ask("g"));
	assert_memory_equal(g + 16, "8877665544332211", 16);
	assert_memory_equal(g + 16 * 16, "00000081ffffffff", 16);
	assert_string_equal(ask("p1"), "8877665544332211");
	assert_string_equal(ask("p12"), "10000000");
	assert_string_equal(ask("P10=0807060504030201"), "OK");
	assert_int_equal(t->regs[0].rip, 0x0102030405060708);
	assert_int_equal(t->puts, 1);
	char whole[4096];
	snprintf(whole, sizeof(whole), "G%s", g);
	assert_string_equal(ask(whole), "OK");
	assert_int_equal(t->regs[0].rip, 0xffffffff81000000);
	whole[strlen(whole) - 1] = 0;
	assert_string_equal(ask(whole), "E16");
	assert_string_equal(ask("P10=08"), "E16");
	assert_string_equal(ask("pfff"), "E16");
	t->refuse_put = true;
	assert_string_equal(ask("P10=0807060504030201"), "E05");
}

static void each_register_has_its_place(void **state)
{
	struct gdb_registers a = { 0 };
	u8 value[16], back[16];
	u64 units = 0;

	for (unsigned i = 0; i < gdb_register_count(); i++) {
		struct gdb_registers b = { 0 };
		bool tag = !strcmp(gdb_register_name(i), "ftag");
		size_t len = gdb_register_size(i);

		memset(value, 0x5a, sizeof(value));
		if (!gdb_register_set(&b, i, value)) {
			assert_memory_equal(gdb_register_name(i), "dr", 2);
			continue;
		}
		units |= b.changed;
		assert_int_equal(__builtin_popcountll(b.changed), 1);
		assert_int_equal(!!(b.changed & UNITS_SYSTEM), gdb_register_class(i) == GDB_SYSTEM);
		assert_int_equal(gdb_register_get(&b, i, back), len);
		if (!tag)
			assert_int_equal(back[0], 0x5a);
		/* nothing else was touched */
		assert_true(gdb_register_set(&b, i, (u8[16]){ 0 }));
		b.changed = 0;
		if (tag)
			b.fx[4] = 0;
		assert_memory_equal(&a, &b, sizeof(a));
	}
	assert_int_equal(__builtin_popcountll(units), UNITS - 6);
	assert_int_equal(gdb_register_size(gdb_register_count()), 0);
}

static void x87_tags_are_those_of_fstenv(void **state)
{
	struct gdb_registers r = { 0 };
	u8 value[16];
	unsigned ftag = 0;

	while (strcmp(gdb_register_name(ftag), "ftag"))
		ftag++;
	r.fx[4] = 0x81;
	gdb_register_get(&r, ftag, value);
	assert_int_equal(value[0] | value[1] << 8, 0x3ffc);
	assert_true(gdb_register_set(&r, ftag, (u8[]){ 0xff, 0xfc, 0, 0 }));
	assert_int_equal(r.fx[4], 0x10);
}

static void the_description_fits_the_registers(void **state)
{
	struct gdb_writer xml = { 0 };
	unsigned regs = 0;

	gdb_target_xml(&xml);
	gdb_put_raw(&xml, 0);
	for (const char *at = (char *)xml.data; (at = strstr(at, "<reg ")); at++)
		regs++;
	assert_int_equal(regs, gdb_register_count());
	/* piece by piece it is the same */
	size_t got = 0;

	for (;;) {
		char packet[80];

		snprintf(packet, sizeof(packet), "qXfer:features:read:target.xml:%zx,100", got);
		ask(packet);
		assert_memory_equal(last + 1, xml.data + got, strlen(last) - 1);
		got += strlen(last) - 1;
		if (last[0] == 'l')
			break;
		assert_int_equal(last[0], 'm');
	}
	assert_int_equal(got, xml.len - 1);
	gdb_writer_fini(&xml);
	assert_string_equal(ask("qXfer:features:read:other.xml:0,100"), "E00");
	assert_string_equal(ask("qXfer:features:read:target.xml:ffffff,100"), "E16");
	assert_string_equal(ask("qXfer:auxv:read::0,100"), "");
	assert_non_null(strstr(ask("qXfer:memory-map:read::0,1000"), "type=\"ram\""));
	assert_non_null(strstr(ask("qXfer:threads:read::0,1000"), "thread id=\"3\""));
}

static void memory_is_read_and_written(void **state)
{
	assert_string_equal(ask("M100,3:010203"), "OK");
	assert_string_equal(ask("m100,4"), "01020300");
	assert_string_equal(ask_bytes("X102,3:$#}", 10), "OK");
	assert_string_equal(ask("m101,5"), "0224237d00");
	assert_memory_equal(ask("x102,3"), "b$#}", 4);
	/* as much as there is; nothing is an error */
	assert_string_equal(ask("mfffe,10"), "0000");
	assert_string_equal(ask("m10000,1"), "E0e");
	assert_string_equal(ask("Mffff,2:0102"), "E0e");
	assert_string_equal(ask("M100,3:0102"), "E16");
	assert_string_equal(ask("X100,3:ab"), "E16");
	assert_string_equal(ask("m100"), "E16");
	assert_string_equal(ask("m100,0"), "");
	assert_string_equal(ask("X100,0:"), "OK");
	assert_string_equal(ask("qqemu.PhyMemMode"), "0");
	assert_string_equal(ask("Qqemu.PhyMemMode:1"), "OK");
	assert_string_equal(ask("M10000,1:55"), "OK");
	assert_string_equal(ask("m10000,1"), "55");
	assert_string_equal(ask("Qqemu.PhyMemMode:2"), "E16");
}

static void slow_targets_are_asked_again(void **state)
{
	t->slow = true;
	assert_string_equal(ask("M100,3:010203"), "OK");
	assert_string_equal(ask("m100,4"), "01020300");
	assert_string_equal(ask("P10=0807060504030201"), "OK");
	assert_int_equal(t->regs[0].rip, 0x0102030405060708);
	/* the next packet waits for the one before */
	const char two[] = "$m100,1#5b$m101,1#5c";
	size_t taken = gdb_receive(&t->gdb, two, strlen(two));

	assert_true(taken < strlen(two) && t->gdb.waits);
	gdb_ready(&t->gdb);
	assert_int_equal(gdb_receive(&t->gdb, two + taken, strlen(two) - taken), strlen(two) - taken);
}

static void breakpoints(void **state)
{
	assert_string_equal(ask("Z0,100,1"), "OK");
	assert_string_equal(ask("Z2,200,4"), "OK");
	assert_true(t->breaks[1].used && t->breaks[1].kind == GDB_WATCH_WRITE && t->breaks[1].address == 0x200);
	assert_string_equal(ask("z2,200,4"), "OK");
	assert_string_equal(ask("z2,200,4"), "E02");
	assert_string_equal(ask("Z3,200,4"), "");
	assert_string_equal(ask("Z5,200,4"), "");
	assert_string_equal(ask("Z0,100"), "E16");
	for (unsigned i = 0; i < FAKE_BREAKS - 1; i++)
		assert_string_equal(ask("Z1,300,1"), "OK");
	assert_string_equal(ask("Z1,300,1"), "E1c");
}

static void runs_and_stops(void **state)
{
	assert_string_equal(ask("vCont?"), "vCont;c;C;s;S;r");
	assert_memory_equal(ask("?"), "T05thread:1;", 12);
	assert_string_equal(ask("vCont;s:2;c"), "");
	assert_int_equal(t->resumes, 1);
	assert_int_equal(t->resumed[0].action, GDB_CONTINUE);
	assert_int_equal(t->resumed[1].action, GDB_STEP);
	/* nothing but Ctrl-C while it runs */
	assert_string_equal(ask("g"), "E10");
	fake_gdb_feed(t, "\003", 1);
	assert_int_equal(t->interrupts, 1);
	t->regs[1].rip = 0x1234;
	gdb_stopped(&t->gdb, &(struct gdb_stop){ 1, GDB_STOP_SOFT, 0, 0 });
	assert_memory_equal(ask("?"), "T05thread:2;swbreak:;", 21);
	assert_non_null(strstr(last, "10:3412000000000000;"));
	/* registers are now those of the VP that stopped */
	assert_string_equal(ask("p10"), "3412000000000000");
	assert_string_equal(ask("vCont;r1000,2000:1"), "");
	assert_int_equal(t->resumed[0].from, 0x1000);
	assert_int_equal(t->resumed[1].action, GDB_STAY);
	assert_non_null(strstr(stop(0, GDB_STOP_WATCH, GDB_WATCH_ACCESS, 0x5678), "awatch:5678;"));
	assert_string_equal(ask("vCont;c:3"), "");
	assert_non_null(strstr(stop(2, GDB_STOP_INTERRUPTED, 0, 0), "T02thread:3;"));
	assert_string_equal(ask("Hc1"), "OK");
	assert_string_equal(ask("s2000"), "");
	assert_int_equal(t->regs[0].rip, 0x2000);
	assert_int_equal(t->resumed[0].action, GDB_STEP);
	assert_int_equal(t->resumed[2].action, GDB_STAY);
	stop(0, GDB_STOP_STEP, 0, 0);
	assert_string_equal(ask("vCont;q"), "E16");
	assert_string_equal(ask("vCont;c:9"), "E16");
	assert_string_equal(ask("vCont"), "E16");
	assert_string_equal(ask("C"), "E16");
	assert_string_equal(ask("S05;3000x"), "E16");
}

static void threads(void **state)
{
	assert_string_equal(ask("qfThreadInfo"), "m1,2,3");
	assert_string_equal(ask("qsThreadInfo"), "l");
	assert_string_equal(ask("T3"), "OK");
	assert_string_equal(ask("T4"), "E02");
	assert_string_equal(ask("T0"), "E02");
	assert_string_equal(ask("Hg2"), "OK");
	assert_string_equal(ask("Hg4"), "E16");
	assert_string_equal(ask("Hx1"), "E16");
	assert_string_equal(ask("Hg0"), "OK");
	assert_string_equal(ask("qThreadExtraInfo,2"), "56502031");
	assert_string_equal(ask("qThreadExtraInfo,0"), "E16");
}

static void monitor_commands(void **state)
{
	assert_string_equal(ask("Hg3"), "OK");
	assert_string_equal(ask("qRcmd,68656c6c6f"), "O565020320a OK");
	assert_memory_equal(ask("qRcmd,787878"), "O6e6f2073", 9);
	assert_memory_equal(ask("qRcmd,626164"), "O6572726f72", 11);
	assert_string_equal(ask("qRcmd,6"), "E16");
	assert_string_equal(ask("qRcmd,zz"), "E16");
	/* several packets of output */
	assert_string_equal(ask("qRcmd,6c6f6e67") + strlen(last) - 3, " OK");
	assert_non_null(strstr(last, " O"));
}

static void what_is_unknown_is_answered(void **state)
{
	assert_string_equal(ask("vMustReplyEmpty"), "");
	assert_string_equal(ask(""), "");
	assert_string_equal(ask("!"), "");
	assert_non_null(strstr(ask("qSupported:multiprocess+"), "PacketSize=4000;"));
	assert_string_equal(ask("qAttached"), "1");
	assert_string_equal(ask("qSymbol::"), "OK");
}

static void acknowledged_or_not(void **state)
{
	fake_gdb_feed(t, "$qC#b4", 6);
	assert_int_equal(t->gdb.out.data[0], '+');
	gdb_sent(&t->gdb, t->gdb.out.len);
	fake_gdb_feed(t, "-", 1); /* once more */
	assert_memory_equal(t->gdb.out.data, "$QC1#", 5);
	gdb_sent(&t->gdb, t->gdb.out.len);
	fake_gdb_feed(t, "$qC#b5", 6);
	assert_int_equal(t->gdb.out.data[0], '-');
	gdb_sent(&t->gdb, t->gdb.out.len);
	ask("QStartNoAckMode");
	fake_gdb_feed(t, "$qC#b4", 6);
	assert_int_equal(t->gdb.out.data[0], '$');
}

static void it_ends(void **state)
{
	assert_string_equal(ask("D"), "OK");
	assert_true(t->gdb.ended && t->detached == 1);
	assert_string_equal(ask("g"), "");
	gdb_fini(&t->gdb);
	gdb_init(&t->gdb, &fake_gdb_ops, t);
	assert_string_equal(ask("k"), "");
	assert_true(t->gdb.ended && t->killed == 1);
	gdb_fini(&t->gdb);
	gdb_init(&t->gdb, &fake_gdb_ops, t);
	assert_string_equal(ask("vKill;1"), "OK");
	assert_int_equal(t->killed, 2);
}

static int set_up(void **state)
{
	t = calloc(1, sizeof(*t));
	if (t)
		gdb_init(&t->gdb, &fake_gdb_ops, t);
	return !t;
}

static int tear_down(void **state)
{
	gdb_fini(&t->gdb);
	free(t);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(registers_are_read_and_written), TEST(each_register_has_its_place), TEST(x87_tags_are_those_of_fstenv),
		TEST(the_description_fits_the_registers), TEST(memory_is_read_and_written), TEST(slow_targets_are_asked_again),
		TEST(breakpoints), TEST(runs_and_stops), TEST(threads), TEST(monitor_commands), TEST(what_is_unknown_is_answered),
		TEST(acknowledged_or_not), TEST(it_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
