/*
 * The machine's own state, kept by the host: lib/vmgs over GET's guest-state device. In the control process, on GET's executor.
 * Opens the store, formats one that never was, and serves requests for its files one after the other. Where the host keeps no
 * state, or none that can be used, every request is refused: what wants to last then knows that it will not.
 */
#pragma once

#include "lib/inspect/inspect.h"
#include "vmm/get/get.h"

/* what the host wants done with the store at the start: get_protocol dps_json.rs GuestStateLifetime, in this order */
enum store_lifetime { STORE_DEFAULT, STORE_REPROVISION_ON_FAILURE, STORE_REPROVISION, STORE_EPHEMERAL };

/* "Default" and so on; false: none of them */
bool store_parse_lifetime(const char *text, enum store_lifetime *ret);

struct store;

/* the caller's until done(). data of a write is copied before store_submit() returns. */
struct store_request {
	u32 id;                  /* enum vmgs_file_id */
	bool write;
	const void *data;
	u64 len;                 /* of data; the most a read takes */
	/*
	 * Once: 0, with what was read (valid during the call); -ENOENT; -EFBIG; -ENOSPC; -ENODATA the state is ephemeral;
	 * -EIO and others: the store cannot be used. A write that fails with -EIO may have happened.
	 */
	void (*done)(struct store_request *, int error, struct bytes data);
	/* private */
	struct list_node link;
	void *copy;
};

/* NULL: no memory. ready() (or NULL): once after store_start(), when requests are answered; until then they wait. */
struct store *store_create(struct get *get, enum store_lifetime lifetime, void (*ready)(void *context), void *context)
	__must_check;
/* GET must be gone, or nothing under way. Waiting requests are dropped without a word. */
void store_destroy(struct store *s);
void store_start(struct store *s);
void store_submit(struct store *s, struct store_request *request);
/* does what is written last? */
bool store_persists(const struct store *s);
void store_inspect(void *s, struct inspect *in);
