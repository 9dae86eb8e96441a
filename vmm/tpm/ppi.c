#include "vmm/tpm/ppi.h"

#include <errno.h>
#include <string.h>

#include "lib/log/log.h"

LOG_DOMAIN("tpm");

enum meaning {
	UNKNOWN,
	IDLE, /* none at all; or of TPM 1.2, and without effect: as in openvmm, also what would switch off what has no switch */
	CLEAR,
	BANKS,
};

static const enum meaning meanings[] = {
	[PPI_NO_OPERATION] = IDLE, [PPI_ENABLE] = IDLE, [PPI_DISABLE] = IDLE, [PPI_ACTIVATE] = IDLE,
	[PPI_DEACTIVATE] = IDLE, [PPI_CLEAR] = CLEAR, [PPI_ENABLE_ACTIVATE] = IDLE, [PPI_DEACTIVATE_DISABLE] = IDLE,
	[PPI_OWNER_INSTALL_TRUE] = IDLE, [PPI_OWNER_INSTALL_FALSE] = IDLE, [PPI_ENABLE_ACTIVATE_OWNER_TRUE] = IDLE,
	[PPI_DEACTIVATE_DISABLE_OWNER_FALSE] = IDLE, [PPI_CLEAR_ENABLE_ACTIVATE] = CLEAR,
	[PPI_NO_PPI_PROVISION_FALSE] = IDLE, [PPI_NO_PPI_PROVISION_TRUE] = IDLE, [PPI_ENABLE_ACTIVATE_CLEAR] = CLEAR,
	[PPI_ENABLE_ACTIVATE_CLEAR_ENABLE_ACTIVATE] = CLEAR, [PPI_SET_PCR_BANKS] = BANKS,
};

static enum meaning meaning_of(u32 operation)
{
	return operation < ARRAY_SIZE(meanings) ? meanings[operation] : UNKNOWN;
}

/* ---- the file */
int ppi_load(struct ppi *p, struct bytes file)
{
	size_t len = file.left;

	*p = (struct ppi){ 0 };
	if (len != sizeof(p->file))
		return log_err(-EBADMSG, "the file of physical presence has %zu bytes, not %zu", len, sizeof(p->file));
	(void)!bytes_copy(&file, &p->file, sizeof(p->file));
	return 0;
}

struct bytes ppi_bytes(const struct ppi *p)
{
	return bytes_of(&p->file, sizeof(p->file));
}

/* ---- ports */
static void submit(struct ppi_file *f, u32 operation)
{
	if (meaning_of(operation) == UNKNOWN) {
		log_guest("physical presence: there is no operation %u", operation);
		f->set_operation_state = PPI_SUBMIT_NOT_SUPPORTED;
		return;
	}
	f->pending_operation = operation;
	f->set_operation_state = PPI_SUBMIT_SUCCESS;
}

bool ppi_port_write(struct ppi *p, u32 command, u32 value)
{
	struct ppi_file *f = &p->file, before = *f;

	switch (command) {
	case TPM_PORT_PPI_SET_OPERATION:
		submit(f, value);
		break;
	case TPM_PORT_PPI_USER_CONFIRMATION:
		f->in_query_operation = value;
		break;
	case TPM_PORT_PPI_SET_OPERATION_ARG:
		f->set_operation_arg = value;
		break;
	case TPM_PORT_HASH_ALGORITHMS:
		f->hash_algorithms = value;
		break;
	}
	return memcmp(f, &before, sizeof(before)) != 0;
}

bool ppi_port_read(const struct ppi *p, u32 command, u32 *ret)
{
	const struct ppi_file *f = &p->file;

	switch (command) {
	case TPM_PORT_PPI_PENDING_OPERATION:
		*ret = f->pending_operation;
		return true;
	case TPM_PORT_PPI_LAST_OPERATION:
		*ret = f->last_operation;
		return true;
	case TPM_PORT_PPI_LAST_RESULT:
		*ret = f->last_result;
		return true;
	case TPM_PORT_PPI_SET_OPERATION:
		*ret = f->set_operation_state;
		return true;
	case TPM_PORT_PPI_USER_CONFIRMATION:
		/* nobody sits at this machine who could be asked */
		*ret = meaning_of(f->in_query_operation) == UNKNOWN ? PPI_CONFIRMATION_NOT_IMPLEMENTED :
								       PPI_CONFIRMATION_NOT_NEEDED;
		return true;
	}
	return false;
}

/* ---- the start */
/* the TPM's response code or a PPI_RESULT_*, into *ret */
static int set_banks(const struct ppi_file *f, u32 *ret, bool *ret_restart)
{
	u32 active, supported;
	int r = tpm_pcr_banks(&active, &supported);

	if (r < 0)
		return r;
	if (r > 0) {
		*ret = (u32)r;
		return 0;
	}
	/* banks that the guest's firmware does not know it does not switch off by not naming them */
	u32 known = f->hash_algorithms ? f->hash_algorithms & supported : supported;
	u32 wanted = (active & ~known) | (f->set_operation_arg & known);

	*ret = PPI_RESULT_SUCCESS;
	if (wanted == active)
		return 0;
	r = wanted ? tpm_pcr_allocate(wanted, supported) : -ENOSPC;
	if (r < 0 && r != -ENOSPC)
		return r;
	*ret = r == -ENOSPC ? PPI_RESULT_FIRMWARE_FAILURE : (u32)r;
	*ret_restart = !r;
	return 0;
}

static int execute(const struct ppi_file *f, u32 *ret, bool *ret_restart)
{
	int r = 0;

	switch (meaning_of(f->pending_operation)) {
	case CLEAR:
		r = tpm_clear();
		break;
	case BANKS:
		return set_banks(f, ret, ret_restart);
	case UNKNOWN: /* no port took it: another firmware wrote the file */
		*ret = PPI_RESULT_FIRMWARE_FAILURE;
		return 0;
	case IDLE:
		break;
	}
	*ret = (u32)r;
	return MIN(r, 0);
}

int ppi_execute(struct ppi *p, bool *ret_restart)
{
	struct ppi_file *f = &p->file;
	u32 result = 0;

	*ret_restart = false;
	if (f->pending_operation == PPI_NO_OPERATION)
		return 0;
	int r = execute(f, &result, ret_restart);

	if (r)
		return log_err(r, "physical presence: operation %u was not done", f->pending_operation);
	log_at(LOG_NOTICE, "physical presence: operation %u, which was asked for, ended with %#x", f->pending_operation, result);
	f->last_operation = f->pending_operation;
	f->pending_operation = PPI_NO_OPERATION;
	f->last_result = result;
	return 1;
}

bool ppi_cleared(const struct ppi *p)
{
	return meaning_of(p->file.last_operation) == CLEAR && p->file.last_result == PPI_RESULT_SUCCESS;
}
