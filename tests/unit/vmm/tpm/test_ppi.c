/* Physical presence: what a guest asks by the ports is done at the next start, and the file is openvmm's. */
#include "tests/lib/model_tpm.h"
#include "vmm/tpm/ppi.h"

static struct model_tpm tpm;
static struct ppi ppi;

#define ALL_BANKS (TPM_BANK_SHA1 | TPM_BANK_SHA256 | TPM_BANK_SHA384 | TPM_BANK_SHA512)

static int on(void **state)
{
	ppi = (struct ppi){ 0 };
	model_tpm_new(&tpm);
	return 0;
}

static int off(void **state)
{
	model_tpm_fini(&tpm);
	return 0;
}

static u32 port(u32 command)
{
	u32 value = 0xdeadbeef;

	assert_true(ppi_port_read(&ppi, command, &value));
	return value;
}

/* as at a start */
static int execute(void)
{
	bool restart = true;
	int r = ppi_execute(&ppi, &restart);

	if (restart)
		model_tpm_restart(&tpm);
	return r;
}

static void the_file_is_openvmms(void **state)
{
	static const u8 file[28] = { 23, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 14, 0, 0, 0, 0xf1, 0xff, 0xff, 0xff, 6, 0, 0, 0,
				     0xf, 0, 0, 0 };

	assert_int_equal(ppi_load(&ppi, bytes_of(file, sizeof(file))), 0);
	assert_int_equal(port(3), 23);
	assert_int_equal(port(5), 14);
	assert_int_equal(port(6), 0xfffffff1);
	assert_int_equal(port(7), 0);
	assert_int_equal(port(8), 4);
	assert_int_equal(ppi.file.set_operation_arg, 6);
	assert_int_equal(ppi_bytes(&ppi).left, sizeof(file));
	assert_memory_equal(ppi_bytes(&ppi).at, file, sizeof(file));
	for (size_t len = 0; len < sizeof(file); len++)
		assert_int_equal(ppi_load(&ppi, bytes_of(file, len)), -EBADMSG);
	assert_int_equal(port(3), 0);
	static const u8 longer[29];

	assert_int_equal(ppi_load(&ppi, bytes_of(longer, sizeof(longer))), -EBADMSG);
}

static void ports(void **state)
{
	static const u8 known[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 16, 21, 22, 23 };
	static const u32 none[] = { 12, 13, 17, 18, 19, 20, 24, 34, 96, 128, 0xffffffff };
	u32 value = 7;

	for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
		ppi_port_write(&ppi, 7, known[i]);
		assert_int_equal(port(7), 0);
		assert_int_equal(port(3), known[i]);
		ppi_port_write(&ppi, 8, known[i]);
		assert_int_equal(port(8), 4);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(none); i++) {
		ppi_port_write(&ppi, 7, none[i]);
		assert_int_equal(port(7), 1);
		assert_int_equal(port(3), 23);
		ppi_port_write(&ppi, 8, none[i]);
		assert_int_equal(port(8), 0);
	}
	/* stored when it is another */
	assert_true(ppi_port_write(&ppi, 7, 5));
	assert_false(ppi_port_write(&ppi, 7, 5));
	assert_true(ppi_port_write(&ppi, 32, 6));
	assert_false(ppi_port_write(&ppi, 32, 6));
	assert_true(ppi_port_write(&ppi, 65, 0xf));
	assert_true(ppi_port_write(&ppi, 7, 0));
	assert_int_equal(port(3), 0);
	/* what is no command of these, and what is written only */
	static const u32 others[] = { 0, 1, 2, 4, 9, 32, 64, 65, 0xffffffff };

	for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(ppi_port_read(&ppi, others[i], &value));
	assert_int_equal(value, 7);
	assert_false(ppi_port_write(&ppi, 3, 9));
	assert_false(ppi_port_write(&ppi, 0xffffffff, 9));
}

static void a_clear_is_done_once(void **state)
{
	static const u32 clears[] = { 5, 14, 21, 22 };
	struct tpm_public before, after;
	u32 handle;

	assert_int_equal(execute(), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(clears); i++) {
		assert_int_equal(tpm_create_primary(TPM_RH_OWNER, &model_storage_key, &handle, &before), 0);
		ppi_port_write(&ppi, 7, clears[i]);
		assert_int_equal(execute(), 1);
		assert_int_equal(port(3), 0);
		assert_int_equal(port(5), clears[i]);
		assert_int_equal(port(6), 0);
		assert_int_equal(execute(), 0);
		assert_int_equal(tpm_create_primary(TPM_RH_OWNER, &model_storage_key, &handle, &after), 0);
		assert_memory_not_equal(before.bytes, after.bytes, before.len);
		assert_int_equal(tpm_flush(handle), 0);
	}
	/* what the TPM refuses is done, too, with its code */
	assert_int_equal(tpm_platform_off(), 0);
	ppi_port_write(&ppi, 7, 5);
	assert_int_equal(execute(), 1);
	assert_int_not_equal(port(6), 0);
	assert_in_range(port(6), 1, 0xfff);
	/* of TPM 1.2: nothing, and done */
	ppi_port_write(&ppi, 7, 6);
	assert_int_equal(execute(), 1);
	assert_int_equal(port(5), 6);
	assert_int_equal(port(6), 0);
	/* of another firmware's future */
	ppi.file.pending_operation = 24;
	assert_int_equal(execute(), 1);
	assert_int_equal(port(5), 24);
	assert_int_equal(port(6), 0xfffffff1);
}

static u32 banks_after(u32 known, u32 wanted)
{
	u32 active = 0, supported;

	ppi_port_write(&ppi, 65, known);
	ppi_port_write(&ppi, 32, wanted);
	ppi_port_write(&ppi, 7, 23);
	assert_int_equal(execute(), 1);
	assert_int_equal(port(5), 23);
	assert_int_equal(tpm_pcr_banks(&active, &supported), 0);
	return active;
}

static void banks_are_chosen(void **state)
{
	assert_int_equal(banks_after(0, TPM_BANK_SHA256 | TPM_BANK_SHA384), TPM_BANK_SHA256 | TPM_BANK_SHA384);
	assert_int_equal(port(6), 0);
	/* those that are there already, and those of no engine */
	assert_int_equal(banks_after(0, TPM_BANK_SHA256 | TPM_BANK_SHA384 | 0x10), TPM_BANK_SHA256 | TPM_BANK_SHA384);
	assert_int_equal(port(6), 0);
	/* who does not know SHA-384 does not switch it off */
	assert_int_equal(banks_after(3, TPM_BANK_SHA1), TPM_BANK_SHA1 | TPM_BANK_SHA384);
	assert_int_equal(port(6), 0);
	assert_int_equal(banks_after(0xf, 0), TPM_BANK_SHA1 | TPM_BANK_SHA384);
	assert_int_equal(port(6), 0xfffffff1);
	assert_int_equal(banks_after(0, 0x10), TPM_BANK_SHA1 | TPM_BANK_SHA384);
	assert_int_equal(port(6), 0xfffffff1);
	assert_int_equal(banks_after(0x1f, ALL_BANKS), ALL_BANKS);
	assert_int_equal(port(6), 0);
}

/* and goes on being asked for */
static void without_an_engine_nothing_is_done(void **state)
{
	tpm_engine_stop();
	ppi_port_write(&ppi, 7, 5);
	assert_int_equal(execute(), -EIO);
	assert_int_equal(port(3), 5);
	ppi_port_write(&ppi, 7, 23);
	assert_int_equal(execute(), -EIO);
	assert_int_equal(port(3), 23);
	assert_int_equal(port(5), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, on, off)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_file_is_openvmms), TEST(ports), TEST(a_clear_is_done_once), TEST(banks_are_chosen),
		TEST(without_an_engine_nothing_is_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
