#include "vmm/vmgs/boot_status.h"

#include <errno.h>

#include "lib/log/log.h"
#include "spec/vmgs.h"

LOG_DOMAIN("watchdog");

static void submit(struct boot_status *b, bool write, u8 value, void (*done)(struct store_request *, int, struct bytes))
{
	b->value = value;
	b->request = (struct store_request){ .id = VMGS_GUEST_WATCHDOG, .write = write, .data = &b->value, .len = 1,
					     .done = done };
	store_submit(b->store, &b->request);
}

static void cleared(struct store_request *request, int error, struct bytes ignored)
{
	struct boot_status *b = container_of(request, struct boot_status, request);

	if (error)
		log_err(error, "that the watchdog reset the guest cannot be cleared: it is told again at its next start");
	b->done(b->context);
}

static void came(struct store_request *request, int error, struct bytes data)
{
	struct boot_status *b = container_of(request, struct boot_status, request);
	u8 value = 0;

	if (error == -EFBIG || (!error && (!bytes_u8(&data, &value) || value > 1)))
		log_at(LOG_WARN, "file %u of the guest state does not say in one byte, 0 or 1, if the watchdog reset the guest: "
		       "taken for no", VMGS_GUEST_WATCHDOG);
	else if (error && error != -ENOENT && error != -ENODATA)
		log_err(error, "whether the watchdog reset the guest cannot be read: taken for no");
	b->watchdog = !error && value == 1;
	if (b->watchdog)
		submit(b, true, 0, cleared);
	else
		b->done(b->context);
}

void boot_status_take(struct boot_status *b, struct store *store, void (*done)(void *context), void *context)
{
	*b = (struct boot_status){ .store = store, .done = done, .context = context };
	if (store)
		submit(b, false, 0, came);
	else
		done(context);
}

static void kept(struct store_request *request, int error, struct bytes ignored)
{
	struct boot_status *b = container_of(request, struct boot_status, request);

	if (error == -ENODATA)
		log_at(LOG_NOTICE, "the host keeps no state: the guest's next life will not know that the watchdog reset it");
	else if (error)
		log_err(error, "the guest's next life will not know that the watchdog reset it");
	b->done(b->context);
}

void boot_status_keep(struct boot_status *b, struct store *store, void (*done)(void *context), void *context)
{
	b->store = store;
	b->done = done;
	b->context = context;
	if (store)
		submit(b, true, 1, kept);
	else
		kept(&b->request, -ENODATA, bytes_of(NULL, 0));
}
