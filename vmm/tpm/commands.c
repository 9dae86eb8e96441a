#include "vmm/tpm/commands.h"

#include <errno.h>
#include <string.h>

#include "lib/log/log.h"
#include "vmm/tpm/wire.h"

LOG_DOMAIN("tpm");

#define PASSWORD_SIZE 9u /* handle u32, nonce TPM2B, attributes u8, password TPM2B: both empty */
#define RANDOM_MAX 32u   /* no bank's digest is shorter than what is asked for: part 3, 16.1 */

const struct tpm_bank tpm_banks[TPM_BANK_COUNT] = {
	{ "sha1", TPM_ALG_SHA1, 20 }, { "sha256", TPM_ALG_SHA256, 32 },
	{ "sha384", TPM_ALG_SHA384, 48 }, { "sha512", TPM_ALG_SHA512, 64 },
};

struct command {
	struct wire w;
	bool sessions;
	u8 bytes[TPM_COMMAND_MAX];
	u8 response[TPM_COMMAND_MAX];
};

/* ---- all of them */
static void begin(struct command *c, enum tpm_cc code, bool sessions)
{
	c->w = wire_of(c->bytes, sizeof(c->bytes));
	c->sessions = sessions;
	wire_u16(&c->w, sessions ? TPM_ST_SESSIONS : TPM_ST_NO_SESSIONS);
	wire_u32(&c->w, 0);
	wire_u32(&c->w, code);
}

/* an empty password for the one handle that wants authorisation; handles are written before it */
static void password(struct command *c)
{
	wire_u32(&c->w, PASSWORD_SIZE);
	wire_u32(&c->w, TPM_RS_PW);
	wire_u16(&c->w, 0);
	wire_u8(&c->w, 0);
	wire_u16(&c->w, 0);
}

static void begin_with(struct command *c, enum tpm_cc code, u32 handle)
{
	begin(c, code, true);
	wire_u32(&c->w, handle);
	password(c);
}

/* with 0: *ret_body is what follows the header, in c->response. handle: of the response, or NULL when it has none */
static int run(struct command *c, u32 *handle, struct bytes *ret_body)
{
	struct wire size = wire_of(c->bytes + 2, sizeof(u32));
	size_t len;
	u32 response_size, rc, parameters;
	struct bytes b, body;

	if (c->w.full)
		return log_err(-EMSGSIZE, "a command of more than %u bytes", TPM_COMMAND_MAX);
	wire_u32(&size, (u32)c->w.len);
	int r = tpm_engine_command(bytes_of(c->bytes, c->w.len), 0, c->response, &len);

	if (r)
		return r;
	b = bytes_of(c->response, len);
	if (!bytes_skip(&b, 2) || !wire_get_u32(&b, &response_size) || !wire_get_u32(&b, &rc) || response_size != len ||
	    rc > 0xffff)
		return -EPROTO;
	if (rc)
		return (int)rc;
	if (handle && !wire_get_u32(&b, handle))
		return -EPROTO;
	/* the sessions' part behind the parameters has nothing for a password */
	if (!c->sessions)
		parameters = (u32)b.left;
	else if (!wire_get_u32(&b, &parameters))
		return -EPROTO;
	if (!bytes_take(&b, parameters, &body))
		return -EPROTO;
	*ret_body = body;
	return 0;
}

static int run_for_nothing(struct command *c)
{
	struct bytes ignored;

	return run(c, NULL, &ignored);
}

int tpm_startup_clear(void)
{
	struct command c;

	begin(&c, TPM_CC_STARTUP, false);
	wire_u16(&c.w, TPM_SU_CLEAR);
	return run_for_nothing(&c);
}

/* up to count values of a capability from the first on; more: there are others. Part 3, 30.2 */
static int capability(struct command *c, u32 what, u32 first, u32 count, struct bytes *ret)
{
	u32 is;

	begin(c, TPM_CC_GET_CAPABILITY, false);
	wire_u32(&c->w, what);
	wire_u32(&c->w, first);
	wire_u32(&c->w, count);
	int r = run(c, NULL, ret);

	if (r)
		return r;
	return bytes_skip(ret, 1) && wire_get_u32(ret, &is) && is == what ? 0 : -EPROTO;
}

int tpm_property(u32 property, u32 *ret)
{
	struct command c;
	struct bytes b;
	u32 count, is, value;
	int r = capability(&c, TPM_CAP_TPM_PROPERTIES, property, 1, &b);

	if (r)
		return r;
	if (!wire_get_u32(&b, &count))
		return -EPROTO;
	if (!count)
		return -ENOENT;
	if (!wire_get_u32(&b, &is) || !wire_get_u32(&b, &value))
		return -EPROTO;
	if (is != property)
		return -ENOENT;
	*ret = value;
	return 0;
}

int tpm_random(void *to, size_t len)
{
	struct command c;
	struct bytes b, random;

	if (len > RANDOM_MAX)
		return -EMSGSIZE;
	begin(&c, TPM_CC_GET_RANDOM, false);
	wire_u16(&c.w, (u16)len);
	int r = run(&c, NULL, &b);

	if (r)
		return r;
	return wire_get_sized(&b, &random) && bytes_copy(&random, to, len) ? 0 : -EPROTO;
}

/* ---- PCRs */
static u32 bank_of(u16 algorithm)
{
	for (u32 i = 0; i < TPM_BANK_COUNT; i++) {
		if (tpm_banks[i].algorithm == algorithm)
			return (u32)BIT(i);
	}
	return 0;
}

int tpm_pcr_banks(u32 *ret_active, u32 *ret_supported)
{
	struct command c;
	struct bytes b, select;
	u32 count, active = 0, supported = 0;
	u16 algorithm;
	u8 size;
	int r = capability(&c, TPM_CAP_PCRS, 0, 1, &b);

	if (r)
		return r;
	if (!wire_get_u32(&b, &count))
		return -EPROTO;
	for (u32 i = 0; i < count; i++) {
		bool any = false;

		if (!wire_get_u16(&b, &algorithm) || !bytes_u8(&b, &size) || !bytes_take(&b, size, &select))
			return -EPROTO;
		for (size_t k = 0; k < select.left; k++)
			any |= select.at[k];
		supported |= bank_of(algorithm);
		active |= any ? bank_of(algorithm) : 0;
	}
	*ret_active = active;
	*ret_supported = supported;
	return 0;
}

int tpm_pcr_extend(u32 pcr, const struct tpm_digests *digests)
{
	struct command c;

	begin_with(&c, TPM_CC_PCR_EXTEND, pcr);
	wire_u32(&c.w, (u32)__builtin_popcount(digests->banks));
	for (u32 i = 0; i < TPM_BANK_COUNT; i++) {
		if (!(digests->banks & BIT(i)))
			continue;
		wire_u16(&c.w, tpm_banks[i].algorithm);
		wire_put(&c.w, digests->digest[i], tpm_banks[i].digest_len);
	}
	return run_for_nothing(&c);
}

/* TPMS_PCR_SELECTION: part 2, 10.6.2 */
static void selection(struct wire *w, u16 algorithm, u32 pcrs)
{
	wire_u16(w, algorithm);
	wire_u8(w, TPM_PCR_SELECT_SIZE);
	for (u32 i = 0; i < TPM_PCR_SELECT_SIZE; i++)
		wire_u8(w, (u8)(pcrs >> 8 * i));
}

int tpm_pcr_read(u32 bank, u32 pcr, u8 ret_value[TPM_DIGEST_MAX])
{
	u32 i = (u32)__builtin_ctz(bank | BIT(31)), selections, digests;
	struct command c;
	struct bytes b, digest;

	if (i >= TPM_BANK_COUNT || pcr >= TPM_PCR_COUNT)
		return -ENOENT;
	begin(&c, TPM_CC_PCR_READ, false);
	wire_u32(&c.w, 1);
	selection(&c.w, tpm_banks[i].algorithm, (u32)BIT(pcr));
	int r = run(&c, NULL, &b);

	if (r)
		return r;
	/* behind its update counter: which PCRs the values are of. One was asked for. */
	if (!bytes_skip(&b, 4) || !wire_get_u32(&b, &selections) || selections > 1 || !bytes_skip(&b, selections * 6) ||
	    !wire_get_u32(&b, &digests))
		return -EPROTO;
	if (!digests)
		return -ENOENT;
	if (!wire_get_sized(&b, &digest) || digest.left != tpm_banks[i].digest_len)
		return -EPROTO;
	memcpy(ret_value, digest.at, digest.left);
	return 0;
}

int tpm_pcr_allocate(u32 active, u32 supported)
{
	struct command c;
	struct bytes b;
	u8 success;

	begin_with(&c, TPM_CC_PCR_ALLOCATE, TPM_RH_PLATFORM);
	wire_u32(&c.w, (u32)__builtin_popcount(supported & (BIT(TPM_BANK_COUNT) - 1)));
	for (u32 i = 0; i < TPM_BANK_COUNT; i++) {
		if (supported & BIT(i))
			selection(&c.w, tpm_banks[i].algorithm, active & BIT(i) ? 0xffffff : 0);
	}
	int r = run(&c, NULL, &b);

	if (r)
		return r;
	if (!bytes_u8(&b, &success))
		return -EPROTO;
	return success ? 0 : -ENOSPC;
}

/* ---- hierarchies */
int tpm_lockout_parameters(u32 tries, u32 recovery_s, u32 lockout_recovery_s)
{
	struct command c;

	begin_with(&c, TPM_CC_DICTIONARY_ATTACK_PARAMETERS, TPM_RH_LOCKOUT);
	wire_u32(&c.w, tries);
	wire_u32(&c.w, recovery_s);
	wire_u32(&c.w, lockout_recovery_s);
	return run_for_nothing(&c);
}

int tpm_clear(void)
{
	struct command c;

	begin_with(&c, TPM_CC_CLEAR_CONTROL, TPM_RH_PLATFORM);
	wire_u8(&c.w, 0);
	int r = run_for_nothing(&c);

	if (r)
		return r;
	begin_with(&c, TPM_CC_CLEAR, TPM_RH_PLATFORM);
	return run_for_nothing(&c);
}

int tpm_platform_off(void)
{
	struct command c;

	begin_with(&c, TPM_CC_HIERARCHY_CONTROL, TPM_RH_PLATFORM);
	wire_u32(&c.w, TPM_RH_PLATFORM);
	wire_u8(&c.w, 0);
	return run_for_nothing(&c);
}

/* ---- objects */
static int public_of(struct bytes *b, struct tpm_public *ret)
{
	struct bytes public;

	if (!wire_get_sized(b, &public) || public.left > sizeof(ret->bytes))
		return -EPROTO;
	memcpy(ret->bytes, public.at, public.left);
	ret->len = public.left;
	return 0;
}

int tpm_create_primary(u32 hierarchy, const struct tpm_public *template, u32 *ret_handle, struct tpm_public *ret_public)
{
	struct command c;
	struct bytes b;
	u32 handle;

	begin_with(&c, TPM_CC_CREATE_PRIMARY, hierarchy);
	size_t sensitive = wire_open(&c.w);

	wire_u16(&c.w, 0); /* no authorisation value */
	wire_u16(&c.w, 0); /* no data: the TPM makes the key */
	wire_close(&c.w, sensitive);
	wire_sized(&c.w, template->bytes, (u16)template->len);
	wire_u16(&c.w, 0); /* outsideInfo */
	wire_u32(&c.w, 0); /* creationPCR */
	int r = run(&c, &handle, &b);

	if (r)
		return r;
	if (public_of(&b, ret_public)) {
		(void)!tpm_flush(handle);
		return -EPROTO;
	}
	*ret_handle = handle;
	return 0;
}

int tpm_read_public(u32 handle, struct tpm_public *ret)
{
	struct command c;
	struct bytes b;

	begin(&c, TPM_CC_READ_PUBLIC, false);
	wire_u32(&c.w, handle);
	int r = run(&c, NULL, &b);

	return r ? r : public_of(&b, ret);
}

int tpm_evict_control(u32 hierarchy, u32 object, u32 persistent)
{
	struct command c;

	begin(&c, TPM_CC_EVICT_CONTROL, true);
	wire_u32(&c.w, hierarchy);
	wire_u32(&c.w, object);
	password(&c);
	wire_u32(&c.w, persistent);
	return run_for_nothing(&c);
}

int tpm_flush(u32 handle)
{
	struct command c;

	begin(&c, TPM_CC_FLUSH_CONTEXT, false);
	wire_u32(&c.w, handle);
	return run_for_nothing(&c);
}

int tpm_next_handle(u32 from, u32 *ret_handle)
{
	struct command c;
	struct bytes b;
	u32 count, handle = 0;
	int r = capability(&c, TPM_CAP_HANDLES, from, 1, &b);

	if (r)
		return r;
	if (!wire_get_u32(&b, &count) || (count && !wire_get_u32(&b, &handle)))
		return -EPROTO;
	*ret_handle = handle;
	return 0;
}

int tpm_handle_exists(u32 handle, bool *ret)
{
	u32 found;
	int r = tpm_next_handle(handle, &found);

	if (!r)
		*ret = found == handle;
	return r;
}

/* ---- NV indices */
int tpm_nv_define(const struct tpm_nv *nv)
{
	struct command c;

	begin_with(&c, TPM_CC_NV_DEFINE_SPACE, TPM_RH_PLATFORM);
	wire_u16(&c.w, 0); /* no authorisation value */
	size_t public = wire_open(&c.w);

	wire_u32(&c.w, nv->index);
	wire_u16(&c.w, TPM_ALG_SHA256);
	wire_u32(&c.w, nv->attributes);
	wire_u16(&c.w, 0); /* no policy */
	wire_u16(&c.w, nv->size);
	wire_close(&c.w, public);
	return run_for_nothing(&c);
}

/* commands on an index have the handle whose authorisation it is first */
static void begin_nv(struct command *c, enum tpm_cc code, u32 index)
{
	begin(c, code, true);
	wire_u32(&c->w, TPM_RH_PLATFORM);
	wire_u32(&c->w, index);
	password(c);
}

int tpm_nv_undefine(u32 index)
{
	struct command c;

	begin_nv(&c, TPM_CC_NV_UNDEFINE_SPACE, index);
	return run_for_nothing(&c);
}

int tpm_nv_write(u32 index, struct bytes data)
{
	struct bytes part;
	struct command c;
	u16 offset = 0;
	int r = 0;

	while (!r && bytes_take(&data, MIN(data.left, TPM_NV_BUFFER_MAX), &part) && part.left) {
		begin_nv(&c, TPM_CC_NV_WRITE, index);
		wire_sized(&c.w, part.at, (u16)part.left);
		wire_u16(&c.w, offset);
		r = run_for_nothing(&c);
		offset = (u16)(offset + part.left);
	}
	return r;
}

int tpm_nv_write_lock(u32 index)
{
	struct command c;

	begin_nv(&c, TPM_CC_NV_WRITE_LOCK, index);
	return run_for_nothing(&c);
}

int tpm_nv_read(u32 index, void *to, size_t len)
{
	struct command c;
	struct bytes b, part;

	for (size_t at = 0; at < len; at += part.left) {
		size_t want = MIN(len - at, TPM_NV_BUFFER_MAX);

		begin_nv(&c, TPM_CC_NV_READ, index);
		wire_u16(&c.w, (u16)want);
		wire_u16(&c.w, (u16)at);
		int r = run(&c, NULL, &b);

		if (r)
			return r;
		if (!wire_get_sized(&b, &part) || part.left != want)
			return -EPROTO;
		memcpy((u8 *)to + at, part.at, want);
	}
	return 0;
}

int tpm_nv_read_public(u32 index, struct tpm_nv *ret)
{
	struct command c;
	struct bytes b, public, policy;
	struct tpm_nv nv;
	u16 algorithm;

	begin(&c, TPM_CC_NV_READ_PUBLIC, false);
	wire_u32(&c.w, index);
	int r = run(&c, NULL, &b);

	if (r > 0 && tpm_rc_base(r) == TPM_RC_HANDLE)
		return -ENOENT;
	if (r)
		return r;
	if (!wire_get_sized(&b, &public) || !wire_get_u32(&public, &nv.index) || !wire_get_u16(&public, &algorithm) ||
	    !wire_get_u32(&public, &nv.attributes) || !wire_get_sized(&public, &policy) || !wire_get_u16(&public, &nv.size) ||
	    nv.index != index)
		return -EPROTO;
	*ret = nv;
	return 0;
}
