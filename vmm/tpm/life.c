#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log/log.h"
#include "spec/tpm.h"
#include "spec/vmgs.h"
#include "vmm/device_worker/keep.h"
#include "vmm/tpm/commands.h"
#include "vmm/tpm/device.h"
#include "vmm/tpm/identity.h"
#include "vmm/tpm/measure.h"

LOG_DOMAIN("tpm");

#define SPOILT_PCRS 16u /* those that only a start of the machine resets */

/* ---- what the engine remembers, at the parent's */
static int load(void *context, u8 **ret_data, size_t *ret_len)
{
	struct tpm_device *d = context;
	int r = keep_load(d->parent, VMGS_TPM_NVRAM, ret_data, ret_len);

	d->made |= r == -ENOENT;
	return r;
}

static int store(void *context, const void *data, size_t len)
{
	struct tpm_device *d = context;
	int r = keep_store(d->parent, VMGS_TPM_NVRAM, data, len);

	d->stores++;
	d->store_failures += r != 0;
	return r;
}

static struct tpm_engine_store state = { load, store, NULL };

int tpm_life_keep_ppi(struct tpm_device *d)
{
	struct bytes bytes = ppi_bytes(&d->ppi);

	return keep_store(d->parent, VMGS_TPM_PPI, bytes.at, bytes.left);
}

static int load_ppi(struct tpm_device *d)
{
	u8 *bytes = NULL;
	size_t len = 0;
	int r = keep_load(d->parent, VMGS_TPM_PPI, &bytes, &len);

	if (!r)
		r = ppi_load(&d->ppi, bytes_of(bytes, len));
	else if (r == -ENOENT)
		r = 0;
	free(bytes);
	return r;
}

/* ---- its start */
/*
 * A machine that was switched on. The full self-test is left to the guest, which asks for one, and to each algorithm's first use:
 * it costs as much as an RSA key.
 */
static int begin(struct tpm_device *d)
{
	int r = tpm_startup_clear();

	d->platform_on = !r;
	return r;
}

/* what was begun with another memory is stopped; again from the parent's */
static int engine_again(struct tpm_device *d)
{
	tpm_engine_stop();
	int r = tpm_engine_start(&state, bytes_of(NULL, 0));

	return r ? r : begin(d);
}

/* *ret_cleared: what was asked for took the owner's keys and words */
static int do_ppi(struct tpm_device *d, bool *ret_cleared)
{
	bool again = false;
	int r = ppi_execute(&d->ppi, &again);

	if (r < 0)
		return r;
	*ret_cleared = r && ppi_cleared(&d->ppi);
	if (r && tpm_life_keep_ppi(d))
		log_at(LOG_NOTICE, "that a physical presence request is done cannot be kept: it will be done again");
	return again ? engine_again(d) : 0;
}

/*
 * libtpms takes three wrong words, and counts one when a machine goes down hard after one was given. A TPM of a PC takes 32, as
 * Windows sets it, and forgets one in ten minutes.
 */
static int set_lockout(void)
{
	return tpm_lockout_parameters(32, 600, 86400);
}

/* until it has keys and certificates it is none that a guest may see; what was done for the guest may have cost it keys */
static int make(struct tpm_device *d, bool cleared)
{
	static const struct identity_config config = { .authority = "Paravane vTPM authority", .model = "Paravane vTPM" };
	bool there = false, again = false;
	int r = identity_is_there(&there);

	if (!r && there && cleared)
		r = identity_restore_keys();
	if (r || there)
		return r || !cleared ? r : set_lockout();
	log_at(LOG_INFO, "a TPM is made: PCR banks, keys, certificates");
	r = identity_banks(&again);
	if (!r && again)
		r = engine_again(d);
	if (!r)
		r = set_lockout();
	/* last, for what it makes last says that all is there */
	return r ? r : identity_manufacture(&config);
}

/*
 * The process died and with it what the PCRs had. They must not come back empty: the guest could then fill them as it likes. What
 * is not sealed to them goes on.
 */
static int spoil(struct tpm_device *d)
{
	static const char why[] = "Paravane: the TPM's process was started again";
	struct bytes text = bytes_of(why, sizeof(why) - 1);
	int r = 0;

	for (u32 pcr = 0; !r && pcr < SPOILT_PCRS; pcr++)
		r = measure_all(&d->measure, pcr, TPM_EV_COMPACT_HASH, text, text);
	log_at(LOG_WARN, "its process was started again (%u): its PCRs are spoilt until the machine's next start", d->starts);
	d->measured = true;
	return r ? r : tpm_life_hand_over(d);
}

static int bring_up(struct tpm_device *d)
{
	bool cleared = false;
	int r = load_ppi(d);

	if (r) /* said; the request is lost, the TPM is not */
		log_at(LOG_WARN, "the physical presence state is forgotten");
	state.context = d;
	r = engine_again(d);
	if (!r)
		r = do_ppi(d, &cleared);
	if (!r)
		r = make(d, cleared);
	if (!r)
		r = measure_init(&d->measure);
	return !r && d->starts ? spoil(d) : r;
}

int tpm_life_start(struct tpm_device *d)
{
	crb_init(&d->crb);
	int r = keep_hello(d->parent, &d->starts);

	if (!r)
		r = bring_up(d);
	if (r > 0)
		return log_err(-EIO, "the TPM does not come up: it says %#x", r);
	return r ? log_err(r, "the TPM does not come up") : 0;
}

void tpm_life_restart(struct tpm_device *d)
{
	measure_fini(&d->measure);
	if (bring_up(d))
		log_at(LOG_ERROR, "after a reset the TPM does not come up");
}

int tpm_life_hand_over(struct tpm_device *d)
{
	int r = d->platform_on ? tpm_platform_off() : 0;

	d->platform_on &= r != 0;
	return r;
}

void tpm_life_inspect(struct tpm_device *d, struct inspect *in)
{
	inspect_u64(in, "starts", d->starts + 1);
	inspect_bool(in, "made", d->made);
	inspect_bool(in, "platform_hierarchy", d->platform_on);
	inspect_count(in, "stores", d->stores);
	inspect_count(in, "store_failures", d->store_failures);
}
