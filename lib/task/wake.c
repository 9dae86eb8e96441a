#include "lib/task/wake.h"

bool wake_notify(struct wake *wake)
{
	return atomic_exchange(&wake->state, WAKE_NOTIFIED) == WAKE_WAITING;
}

void wake_prepare(struct wake *wake)
{
	atomic_store(&wake->state, WAKE_WAITING);
}

void wake_done(struct wake *wake)
{
	atomic_store(&wake->state, WAKE_AWAKE);
}
