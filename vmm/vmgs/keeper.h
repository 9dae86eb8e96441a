/*
 * What a device's process wants kept (vmm/device_worker/keep.h), kept in files of the machine's own state. Where nothing lasts
 * beyond the machine, it is kept here, so that the process at least finds it when it is started again. Belongs to the store's
 * executor. What the process sends is checked; one that talks nonsense is told of and not listened to any more.
 */
#pragma once

#include "lib/inspect/inspect.h"
#include "vmm/device_worker/keep.h"
#include "vmm/vmgs/store.h"

#define KEEPER_FILES_MAX 4u

struct keeper_config {
	const char *name;     /* of the device, for the log */
	struct exec *exec;
	struct store *store;  /* NULL: nothing lasts */
	const u32 *files;     /* enum vmgs_file_id: those that it may ask for, KEEPER_FILES_MAX at most */
	unsigned file_count;
	void (*ready)(void *context);
	/* it is to be killed. -EPROTO */
	void (*nonsense)(void *context, int error);
	void *context;
};

struct keeper;

/* NULL: no memory. config's lists are the caller's. */
struct keeper *keeper_create(const struct keeper_config *config) __must_check;
/* no process is attached, nothing under way; NULL is fine */
void keeper_destroy(struct keeper *k);
/* the next life of the process; fd becomes the keeper's, in any case. The one before has ended. -errno. */
int keeper_attach(struct keeper *k, int fd) __must_check;
/* is nothing of an earlier life under way? */
bool keeper_idle(const struct keeper *k);
void keeper_inspect(void *keeper, struct inspect *in);
