/* physical presence: a file of any length and content, then what a guest does at the ports, and starts of the machine */
#include <stdlib.h>
#include <string.h>

#include "lib/core/check.h"
#include "lib/log/log.h"
#include "vmm/tpm/ppi.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t len);

static void quiet(enum log_level level, const char *domain, const char *text)
{
}

/* libtpms is not there: what would ask it changes nothing, the rest is done */
static void start(struct ppi *p)
{
	struct ppi before = *p;
	bool restart = true;
	int r = ppi_execute(p, &restart);

	CHECK(!restart);
	if (r == 1)
		CHECK(p->file.last_operation == before.file.pending_operation && !p->file.pending_operation);
	else
		CHECK(!memcmp(p, &before, sizeof(before)) && (r < 0) == (before.file.pending_operation != 0));
}

static void write_port(struct ppi *p, u32 command, u32 value)
{
	struct ppi before = *p;
	bool other = ppi_port_write(p, command, value);

	CHECK(other == (memcmp(p, &before, sizeof(before)) != 0));
	/* what a guest asks for has one of the numbers that there are, or nothing changes */
	CHECK(p->file.pending_operation == before.file.pending_operation || p->file.pending_operation <= PPI_SET_PCR_BANKS);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	struct bytes b = bytes_of(data, len), file = { 0 };
	struct ppi p, again;
	u8 size, what;
	u32 command, value;

	log_set_sink(quiet);
	if (!bytes_u8(&b, &size) || !bytes_take(&b, size, &file))
		return 0;
	CHECK((ppi_load(&p, file) == 0) == (size == sizeof(struct ppi_file)));
	while (bytes_u8(&b, &what) && bytes_u32(&b, &value)) {
		command = what & 0x3f;
		if (what == 0x3f)
			start(&p);
		else if (what >> 6 == 0)
			write_port(&p, command, value);
		else if (what >> 6 == 1)
			(void)ppi_port_read(&p, command, &value);
		else if (what >> 6 == 2)
			write_port(&p, TPM_PORT_HASH_ALGORITHMS, value);
		else
			write_port(&p, value, command);
	}
	CHECK(ppi_load(&again, ppi_bytes(&p)) == 0 && !memcmp(&again, &p, sizeof(p)));
	return 0;
}
