/* A TPM whose memory is memory: what it stored, how often, and a power that goes after so many stores. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/tpm/commands.h"
#include "vmm/tpm/engine.h"

/* a storage key, ECC P-256, for any hierarchy: another one after Clear */
static const struct tpm_public model_storage_key = { 26, { 0, 0x23, 0, 0x0b, 0, 3, 0, 0x72, 0, 0, 0, 6, 0, 0x80, 0, 0x43, 0, 0x10,
							   0, 3, 0, 0x10, 0, 0, 0, 0 } };

struct model_tpm {
	u8 *data;
	size_t len;
	unsigned stores;
	int power; /* so many stores are made yet, then none; negative: all */
	struct tpm_engine_store store;
};

static inline int model_tpm_load(void *context, u8 **ret_data, size_t *ret_len)
{
	struct model_tpm *t = context;

	if (!t->data)
		return -ENOENT;
	*ret_data = malloc(t->len);
	memcpy(*ret_data, t->data, t->len);
	*ret_len = t->len;
	return 0;
}

static inline int model_tpm_store(void *context, const void *data, size_t len)
{
	struct model_tpm *t = context;

	if (!t->power)
		return -EIO;
	if (t->power > 0)
		t->power--;
	t->stores++;
	free(t->data);
	t->data = malloc(len);
	memcpy(t->data, data, len);
	t->len = len;
	return 0;
}

/* as delivered: no state */
static inline void model_tpm_init(struct model_tpm *t)
{
	*t = (struct model_tpm){ .power = -1, .store = { model_tpm_load, model_tpm_store, t } };
}

/* switched on with all its power, and started as a firmware does */
static inline void model_tpm_on(struct model_tpm *t)
{
	t->power = -1;
	assert_int_equal(tpm_engine_start(&t->store, bytes_of(NULL, 0)), 0);
	assert_int_equal(tpm_startup_clear(), 0);
}

/* one that was just delivered, switched on */
static inline void model_tpm_new(struct model_tpm *t)
{
	model_tpm_init(t);
	model_tpm_on(t);
}

/* it is not asked before: a power cut, for its memory is all in the store */
static inline void model_tpm_restart(struct model_tpm *t)
{
	tpm_engine_stop();
	model_tpm_on(t);
}

static inline void model_tpm_fini(struct model_tpm *t)
{
	tpm_engine_stop();
	free(t->data);
	t->data = NULL;
}
