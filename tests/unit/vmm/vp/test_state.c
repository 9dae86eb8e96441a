/* A VP with its APIC saved and put back: here, where nothing else stops meanwhile */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/model_apics.h"

/* saved, spoilt, and put back: registers, and what the APIC and the SynIC were about to do */
static void state_goes_round(void **state)
{
	struct model_cpu *c = &bed->cpus[0];
	struct saver s;
	struct loader l;

	model_set(c, HV_REGISTER_TIME_REF_COUNT, 1000);
	model_x2apic(c);
	model_wrmsr(c, 0x40000073, MODEL_ASSIST | 1);
	model_wrmsr(c, 0x40000083, MODEL_SLOTS | 1);
	model_wrmsr(c, 0x40000091, 0x51);
	model_wrmsr(c, 0x400000b0, 1u | 0xecu << 4 | BIT(12));
	model_wrmsr(c, 0x400000b1, 1000 + 50000);
	model_assert_vector(0x41, 0);
	assert_int_equal(model_injected(c), 0x41);
	c->fake.page.rflags = 2;
	model_assert_vector(0x33, 0);
	assert_int_equal(model_injected(c), -1);
	vp_stop(&c->vp);
	model_set(c, HV_X64_REGISTER_CR3, 0x1234000);
	model_set(c, HV_X64_REGISTER_LSTAR, 0xffffffff81000000);
	hcl_set_gpr(&c->vp.hcl, HV_RSP, 0x7000);
	assert_int_equal(hcl_set_rip(&c->vp.hcl, 0x4321), 0);
	c->fake.page.valid = 1;
	c->fake.page.version = HV_REGISTER_PAGE_VERSION;
	assert_int_equal(hcl_set_rip(&c->vp.hcl, 0x4322), 0); /* in the page only */
	c->fake.run.context.rbx = 77;
	c->fake.run.context.fx_state[160] = 5;
	model_set(c, HV_X64_REGISTER_DR0 + 2, 0xd2);

	saver_init(&s);
	vp_save(&c->vp, &s);
	vp_save(&bed->cpus[1].vp, &s);
	assert_int_equal(saver_finish(&s), 0);
	assert_int_equal(model_get(c, HV_X64_REGISTER_RIP), 0x4322);

	lapic_reset(vapic_lapic(c->vp.apic));
	synic_reset(vapic_synic(c->vp.apic));
	model_set(c, HV_X64_REGISTER_CR3, 0);
	model_set(c, HV_X64_REGISTER_LSTAR, 0);
	model_set(c, HV_X64_REGISTER_RIP, 0);
	model_set(c, HV_X64_REGISTER_DR0 + 2, 0);
	memset(&c->fake.run.context, 0, sizeof(c->fake.run.context));

	assert_int_equal(loader_init(&l, s.data, s.len), 0);
	assert_int_equal(vp_restore(&c->vp, l), 0);
	assert_int_equal(model_get(c, HV_X64_REGISTER_CR3), 0x1234000);
	assert_int_equal(model_get(c, HV_X64_REGISTER_LSTAR), 0xffffffff81000000);
	assert_int_equal(model_get(c, HV_X64_REGISTER_RIP), 0x4322);
	assert_int_equal(model_get(c, HV_X64_REGISTER_DR0 + 2), 0xd2);
	assert_int_equal(c->fake.run.context.rbx, 77);
	assert_int_equal(c->fake.run.context.fx_state[160], 5);
	assert_int_equal(model_rdmsr(c, 0x1b), 0xfee00d00);
	assert_int_equal(model_rdmsr(c, 0x812), 2); /* 41h is in service */
	assert_int_equal(model_rdmsr(c, 0x40000091), 0x51);
	c->fake.page.rflags = 2 | MODEL_IF; /* 33h still waits behind 41h, which is in service */
	model_play(c);
	assert_int_equal(model_injected(c), -1);
	model_wrmsr(c, 0x80b, 0);
	assert_int_equal(model_injected(c), 0x33);
	model_wrmsr(c, 0x80b, 0);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 6000000);
	assert_int_equal(model_injected(c), 0xec);

	assert_int_equal(vp_restore(&bed->cpus[1].vp, l), 0);
	bed->cpus[1].vp.index = 7; /* a VP that nobody saved */
	assert_int_equal(vp_restore(&bed->cpus[1].vp, l), -ENOENT);
	bed->cpus[1].vp.index = 1;
	/* half of it */
	for (size_t len = 16; len < s.len; len += 37) {
		struct loader part = { bytes_of(s.data + 16, len - 16) };

		if (vp_restore(&c->vp, part) == 0)
			assert_true(len > s.len / 2); /* the first VP's records are all there */
	}
	saver_fini(&s);
}

/* a host of VPs that are held goes on: what it asks for between the save and the restore is not forgotten */
static void what_comes_while_state_goes_round_is_kept(void **state)
{
	struct model_cpu *c = &bed->cpus[0];
	struct saver s;
	struct loader l;

	model_x2apic(c);
	model_wrmsr(c, 0x40000082, MODEL_FLAGS | 1);
	model_wrmsr(c, 0x40000092, 0x52);
	c->fake.page.rflags = 2;
	model_assert_vector(0x33, 0);
	model_play(c);
	vp_stop(&c->vp);
	saver_init(&s);
	vp_save(&c->vp, &s);
	assert_int_equal(saver_finish(&s), 0);

	model_assert_vector(0x61, 0);
	assert_true(synic_signal(vapic_synic(c->vp.apic), 2, 5));
	vapics_set_intr(bed->machine.apics, true);
	vp_want_sint(&c->vp, 2);

	assert_int_equal(loader_init(&l, s.data, s.len), 0);
	assert_int_equal(vp_restore(&c->vp, l), 0);
	assert_true(atomic_load(&vapic_lapic(c->vp.apic)->intr));
	assert_int_equal(atomic_load(&c->vp.wanted_sints), BIT(2));
	assert_int_equal(model_rdmsr(c, 0x823), 1u << (0x61 - 0x60));
	assert_int_equal(model_rdmsr(c, 0x822), 1u << (0x52 - 0x40));
	assert_int_equal(model_rdmsr(c, 0x821), 1u << (0x33 - 0x20));
	saver_fini(&s);
}

struct signaller {
	struct synic *synic;
	u64 *flags;
	atomic_bool done;
	atomic_uint signals;
	unsigned lost;
};

static void *signal_again_and_again(void *object)
{
	struct signaller *g = object;

	while (!atomic_load(&g->done)) {
		__atomic_store_n(g->flags, 0, __ATOMIC_SEQ_CST);
		g->lost += !synic_signal(g->synic, 2, 5);
		atomic_fetch_add(&g->signals, 1);
	}
	return NULL;
}

static void a_signal_meets_no_half_restored_synic(void **state)
{
	struct model_cpu *c = &bed->cpus[0];
	struct signaller g = { .synic = vapic_synic(c->vp.apic) };
	struct iovec page;
	struct saver s;
	struct loader l;
	pthread_t thread;

	model_x2apic(c);
	model_wrmsr(c, 0x40000082, MODEL_FLAGS | 1);
	model_wrmsr(c, 0x40000092, 0x52);
	model_play(c);
	vp_stop(&c->vp);
	assert_int_equal(guest_iovec(bed->machine.guest, MODEL_FLAGS + 2 * 256, 8, &page), 0);
	g.flags = page.iov_base;
	saver_init(&s);
	vp_save(&c->vp, &s);
	assert_int_equal(saver_finish(&s), 0);
	assert_int_equal(loader_init(&l, s.data, s.len), 0);
	assert_int_equal(pthread_create(&thread, NULL, signal_again_and_again, &g), 0);
	while (atomic_load(&g.signals) < 100000)
		assert_int_equal(vp_restore(&c->vp, l), 0);
	atomic_store(&g.done, true);
	pthread_join(thread, NULL);
	assert_int_equal(g.lost, 0);
	saver_fini(&s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, model_apics_create, model_apics_destroy)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(state_goes_round), TEST(what_comes_while_state_goes_round_is_kept),
		TEST(a_signal_meets_no_half_restored_synic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
