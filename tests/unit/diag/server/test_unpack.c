/* A program out of its gzip file: whole, cut anywhere, damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "diag/server/tpm.h"
#include "lib/os/file.h"

static char packed[64], program[64], dir[] = "/tmp/unpackXXXXXX";

static void make(void)
{
	char command[300];

	snprintf(command, sizeof(command), "head -c 300000 /bin/bash >%s && gzip -9nc %s >%s && rm %s", program, program, packed,
		 program);
	assert_int_equal(system(command), 0);
}

static void it_unpacks(void **state)
{
	char command[300];
	struct stat s;

	make();
	assert_int_equal(unpack_program(packed, program), 0);
	snprintf(command, sizeof(command), "head -c 300000 /bin/bash | cmp - %s", program);
	assert_int_equal(system(command), 0);
	assert_int_equal(stat(program, &s), 0);
	assert_int_equal(s.st_mode & 0777, 0755);
	assert_int_not_equal(access(packed, F_OK), 0);
	/* again: there is nothing to do, and what is there stays */
	assert_int_equal(unpack_program(packed, program), 0);
	assert_int_equal(access(program, X_OK), 0);
	unlink(program);
}

static void what_is_damaged_is_no_program(void **state)
{
	struct stat s;
	u8 *data;
	size_t len;

	make();
	assert_int_equal(stat(packed, &s), 0);
	assert_int_equal(truncate(packed, s.st_size - 9), 0);
	assert_int_equal(unpack_program(packed, program), -ENODATA);
	assert_int_not_equal(access(program, F_OK), 0);
	make();
	assert_int_equal(file_read(packed, 1 << 20, &data, &len), 0);
	data[len / 2] ^= 0x55;
	FILE *f = fopen(packed, "w");

	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
	free(data);
	assert_int_equal(unpack_program(packed, program), -EBADMSG);
	assert_int_not_equal(access(program, F_OK), 0);
	/* it stays, for whoever looks */
	assert_int_equal(access(packed, F_OK), 0);
	unlink(packed);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(it_unpacks), cmocka_unit_test(what_is_damaged_is_no_program) };

	if (!mkdtemp(dir))
		return 1;
	snprintf(packed, sizeof(packed), "%s/p.gz", dir);
	snprintf(program, sizeof(program), "%s/p", dir);
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	rmdir(dir);
	return r;
}
