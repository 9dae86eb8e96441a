/* The CRB's registers as PTP 1.05 has them, as Linux' tpm_crb and Hyper-V's firmware use them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>

#include <cmocka.h>

#include "vmm/tpm/crb.h"

static void firmware_finds_it_ready(void **state)
{
	struct crb c;

	crb_init(&c);
	/* Tpm2DeviceLib.c: Start and Status are 0, nothing is asked for before a command */
	assert_int_equal(crb_read(&c, 0x30, 4), 0x4011);
	assert_int_equal(crb_read(&c, 0x44, 4), 0);
	assert_int_equal(crb_read(&c, 0x4c, 4), 0);
	assert_int_equal(crb_read(&c, 0x5c, 8), 0);
	crb_set_buffers(&c, 0x123456000, 4096, 0x123457000, 2048);
	assert_int_equal(crb_read(&c, 0x58, 4), 4096);
	assert_int_equal(crb_read(&c, 0x5c, 4), 0x23456000);
	assert_int_equal(crb_read(&c, 0x60, 4), 1);
	assert_int_equal(crb_read(&c, 0x64, 4), 2048);
	assert_int_equal(crb_read(&c, 0x68, 8), 0x123457000);
	/* bytes of a register, and what is not there */
	assert_int_equal(crb_read(&c, 0x5d, 1), 0x60);
	assert_int_equal(crb_read(&c, 0x6c, 8), ~0ull);
	assert_int_equal(crb_read(&c, 0x70, 1), ~0ull);
	assert_int_equal(crb_write(&c, 0x4c, 1), CRB_EXECUTE);
}

/* what Linux does around a command, and waits for */
static void a_command_of_linux(void **state)
{
	struct crb c;

	crb_init(&c);
	assert_int_equal(crb_read(&c, 0, 4), 0x81);
	assert_int_equal(crb_write(&c, 0x08, 1), CRB_NOTHING);
	assert_int_equal(crb_read(&c, 0, 4), 0x83);
	assert_int_equal(crb_read(&c, 0x0c, 4), 1);
	assert_int_equal(crb_write(&c, 0x40, 1), CRB_NOTHING);
	assert_int_equal(crb_read(&c, 0x40, 4), 0);
	assert_int_equal(crb_write(&c, 0x48, 0), CRB_NOTHING);
	assert_int_equal(crb_write(&c, 0x4c, 1), CRB_EXECUTE);
	assert_int_equal(crb_read(&c, 0x4c, 4), 1);
	/* while it runs nothing starts, nothing becomes idle; it may be cancelled */
	assert_int_equal(crb_write(&c, 0x4c, 1), CRB_NOTHING);
	assert_int_equal(crb_write(&c, 0x40, 2), CRB_NOTHING);
	assert_int_equal(crb_read(&c, 0x44, 4), 0);
	assert_int_equal(crb_write(&c, 0x48, 1), CRB_CANCEL);
	assert_int_equal(crb_read(&c, 0x48, 4), 1);
	crb_done(&c, false);
	assert_int_equal(crb_read(&c, 0x4c, 4), 0);
	assert_int_equal(crb_read(&c, 0x44, 4), 0);
	assert_int_equal(crb_write(&c, 0x40, 2), CRB_NOTHING);
	assert_int_equal(crb_read(&c, 0x44, 4), 2);
	/* idle: no command */
	assert_int_equal(crb_write(&c, 0x4c, 1), CRB_NOTHING);
	assert_int_equal(crb_read(&c, 0x4c, 4), 0);
	assert_int_equal(crb_write(&c, 0x08, 2), CRB_NOTHING);
	assert_int_equal(crb_read(&c, 0, 4), 0x81);
	assert_int_equal(c.ignored, 3);
}

static void buffers_that_are_not_there(void **state)
{
	struct crb c;

	crb_init(&c);
	assert_int_equal(crb_write(&c, 0x4c, 1), CRB_EXECUTE);
	crb_done(&c, true);
	assert_int_equal(crb_read(&c, 0x44, 4), 1);
	assert_int_equal(crb_read(&c, 0x4c, 4), 0);
	/* the next one begins anew */
	assert_int_equal(crb_write(&c, 0x4c, 1), CRB_EXECUTE);
	crb_done(&c, false);
	assert_int_equal(crb_read(&c, 0x44, 4), 0);
}

static void its_state_goes_round(void **state)
{
	struct crb c, d;
	struct saver s;

	crb_init(&c);
	crb_set_buffers(&c, 0x201000, 4096, 0x202000, 4096);
	assert_int_equal(crb_write(&c, 0x08, 1), CRB_NOTHING);
	assert_int_equal(crb_write(&c, 0x40, 2), CRB_NOTHING);
	saver_init(&s);
	crb_save(&c, &s);
	assert_int_equal(s.error, 0);
	/* behind the header that the saver fills in at its end */
	u8 *raw = s.data + 16;
	size_t len = s.len - 16;
	struct bytes b = bytes_of(raw, len), cut = bytes_of(raw, len - 1);

	crb_init(&d);
	assert_int_equal(crb_restore(&d, &cut), -EPROTO);
	assert_int_equal(d.command, 0);
	assert_int_equal(crb_restore(&d, &b), 0);
	for (u32 offset = 0; offset < TPM_CRB_LEN; offset += 4)
		assert_int_equal(crb_read(&d, offset, 4), crb_read(&c, offset, 4));
	raw[0] = 2; /* somebody who is there twice */
	b = bytes_of(raw, len);
	assert_int_equal(crb_restore(&d, &b), -EPROTO);
	saver_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(firmware_finds_it_ready), cmocka_unit_test(a_command_of_linux),
		cmocka_unit_test(buffers_that_are_not_there), cmocka_unit_test(its_state_goes_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
