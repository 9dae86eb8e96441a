#include <errno.h>
#include <libtpms/tpm_error.h>
#include <libtpms/tpm_library.h>
#include <libtpms/tpm_memory.h>
#include <libtpms/tpm_nvfilename.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log/log.h"
#include "vmm/tpm/engine.h"

LOG_DOMAIN("tpm");

/* libtpms keeps its own in globals as well */
static struct {
	const struct tpm_engine_store *store;
	struct bytes volatile_state;
	unsigned locality;
	bool started;
	int load_error;
	unsigned char *response; /* libtpms's, from command to command */
	uint32_t response_room;
} engine;

/* ---- what libtpms asks */
static TPM_RESULT storage_init(void)
{
	return TPM_SUCCESS;
}

static TPM_RESULT hand_over(const void *data, size_t len, unsigned char **ret, uint32_t *ret_len)
{
	if (TPM_Malloc(ret, (uint32_t)len) != TPM_SUCCESS)
		return TPM_FAIL;
	memcpy(*ret, data, len);
	*ret_len = (uint32_t)len;
	return TPM_SUCCESS;
}

/* TPM_RETRY means: there is none */
static TPM_RESULT load_permanent(unsigned char **ret, uint32_t *ret_len)
{
	u8 *data = NULL;
	size_t len = 0;
	int r = engine.store->load(engine.store->context, &data, &len);

	if (r == -ENOENT)
		return TPM_RETRY;
	if (!r && (!len || len > TPM_STATE_MAX))
		r = -EBADMSG;
	if (r) {
		engine.load_error = r;
		free(data);
		return TPM_FAIL;
	}
	TPM_RESULT result = hand_over(data, len, ret, ret_len);

	explicit_bzero(data, len);
	free(data);
	return result;
}

static TPM_RESULT load_data(unsigned char **ret, uint32_t *ret_len, uint32_t number, const char *name)
{
	if (!strcmp(name, TPM_PERMANENT_ALL_NAME))
		return load_permanent(ret, ret_len);
	if (!strcmp(name, TPM_VOLATILESTATE_NAME) && engine.volatile_state.left)
		return hand_over(engine.volatile_state.at, engine.volatile_state.left, ret, ret_len);
	return TPM_RETRY;
}

static TPM_RESULT store_data(const unsigned char *data, uint32_t len, uint32_t number, const char *name)
{
	if (strcmp(name, TPM_PERMANENT_ALL_NAME))
		return TPM_FAIL; /* of TPM 1.2 */
	int r = engine.store->store(engine.store->context, data, len);

	if (r)
		log_err(r, "the TPM's memory cannot be kept; it fails from now on");
	return r ? TPM_FAIL : TPM_SUCCESS;
}

/* nothing that is stored here is ever deleted by a TPM 2.0; it asks for its volatile state, which is not here any more */
static TPM_RESULT delete_name(uint32_t number, const char *name, TPM_BOOL must_exist)
{
	engine.volatile_state = bytes_of(NULL, 0);
	return TPM_SUCCESS;
}

static TPM_RESULT io_init(void)
{
	return TPM_SUCCESS;
}

static TPM_RESULT get_locality(TPM_MODIFIER_INDICATOR *locality, uint32_t number)
{
	*locality = engine.locality;
	return TPM_SUCCESS;
}

static TPM_RESULT get_physical_presence(TPM_BOOL *presence, uint32_t number)
{
	*presence = FALSE;
	return TPM_SUCCESS;
}

/* ---- */
int tpm_engine_start(const struct tpm_engine_store *store, struct bytes volatile_state)
{
	struct libtpms_callbacks callbacks = {
		.sizeOfStruct = sizeof(callbacks), .tpm_nvram_init = storage_init, .tpm_nvram_loaddata = load_data,
		.tpm_nvram_storedata = store_data, .tpm_nvram_deletename = delete_name, .tpm_io_init = io_init,
		.tpm_io_getlocality = get_locality, .tpm_io_getphysicalpresence = get_physical_presence,
	};

	if (engine.started)
		return -EALREADY;
	engine.store = store;
	engine.volatile_state = volatile_state;
	engine.load_error = 0;
	/* before anybody's first use of it: else it looks for openssl.cnf, as the environment says */
	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
		return log_err(-EPROTO, "libcrypto does not start");
	if (TPMLIB_ChooseTPMVersion(TPMLIB_TPM_VERSION_2) != TPM_SUCCESS || TPMLIB_RegisterCallbacks(&callbacks) != TPM_SUCCESS)
		return log_err(-EPROTO, "libtpms has no TPM 2.0, or wants other callbacks");
	TPM_RESULT result = TPMLIB_MainInit();

	engine.volatile_state = bytes_of(NULL, 0);
	if (result == TPM_SUCCESS) {
		engine.started = true;
		return 0;
	}
	TPMLIB_Terminate();
	if (engine.load_error)
		return log_err(engine.load_error, "the TPM's memory cannot be read");
	return log_err(-EBADMSG, "libtpms does not take this state: %#x", result);
}

int tpm_engine_command(struct bytes command, unsigned locality, u8 response[TPM_COMMAND_MAX], size_t *ret_len)
{
	uint32_t len = 0;

	if (!engine.started)
		return -EIO;
	if (command.left > TPM_COMMAND_MAX)
		return -EMSGSIZE;
	engine.locality = locality;
	/* it takes a pointer that is not const, and writes nothing there */
	TPM_RESULT result = TPMLIB_Process(&engine.response, &len, &engine.response_room, (unsigned char *)command.at,
					   (uint32_t)command.left);

	if (result != TPM_SUCCESS || !len || len > TPM_COMMAND_MAX)
		return -EIO;
	memcpy(response, engine.response, len);
	explicit_bzero(engine.response, len);
	*ret_len = len;
	return 0;
}

void tpm_engine_cancel(void)
{
	TPMLIB_CancelCommand(); /* sets a flag, which the next command clears */
}

void tpm_engine_save(struct saver *s)
{
	unsigned char *data = NULL;
	uint32_t len = 0;

	if (!engine.started || TPMLIB_VolatileAll_Store(&data, &len) != TPM_SUCCESS) {
		s->error = s->error ? s->error : -EIO;
		return;
	}
	saver_put(s, data, len);
	explicit_bzero(data, len);
	TPM_Free(data);
}

void tpm_engine_stop(void)
{
	if (engine.started)
		TPMLIB_Terminate();
	engine.started = false;
	TPM_Free(engine.response);
	engine.response = NULL;
	engine.response_room = 0;
}
