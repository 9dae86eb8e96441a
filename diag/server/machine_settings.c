/*
 * What the host says of VTL0's machine beside its disks, on its way to the worker: words of its environment, which the command
 * line's own words go before; a new generation ID while it runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag/server/control.h"
#include "lib/log/log.h"
#include "lib/os/env.h"
#include "vmm/settings/settings.h"

LOG_DOMAIN("settings");

#define CHANGE_TIMEOUT_NS 5000000000ull
#define GENERATION_ID "PARAVANE_GENERATION_ID"

static void put_id(const u8 id[16], bool overwrite)
{
	char text[33];

	for (size_t i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", id[i]);
	if (setenv(GENERATION_ID, text, overwrite))
		log_at(LOG_ERROR, "no memory for the generation ID");
}

void machine_settings_start(struct control *c)
{
	const char *platform = get_settings(c->get);
	u64 id[2];

	if (settings_platform_u64(platform, "GenerationIdLow", &id[0]) &&
	    settings_platform_u64(platform, "GenerationIdHigh", &id[1]) && (id[0] || id[1]))
		put_id((u8 *)id, false);
	if (settings_platform_bool(platform, "WatchdogEnabled"))
		setenv("PARAVANE_WATCHDOG", "1", false);
}

bool machine_settings_watchdog(void)
{
	return env_on("PARAVANE_WATCHDOG");
}

void machine_settings_boot_status(bool watchdog)
{
	if (watchdog)
		log_at(LOG_NOTICE, "it was the watchdog that reset the guest: it is told so");
	if (setenv("PARAVANE_WATCHDOG_EXPIRED", watchdog ? "1" : "0", true))
		log_at(LOG_ERROR, "no memory for the watchdog's word");
}

static void changed(struct link_query *q, int error, struct bytes body)
{
	struct control *c = container_of(q, struct control, generation.query);

	c->generation.busy = false;
	if (error)
		log_at(LOG_ERROR, "VTL0 was not told its new generation ID: %s", strerror(-error));
}

bool machine_settings_notified(struct control *c, u16 id, struct bytes body)
{
	struct get_update_generation_id m;

	if (id != GET_UPDATE_GENERATION_ID)
		return false;
	if (body.left != sizeof(m) - sizeof(m.header) || !bytes_copy(&body, (u8 *)&m + sizeof(m.header), body.left)) {
		log_at(LOG_WARN, "the host's new generation ID is malformed");
		return true;
	}
	put_id(m.generation_id, true); /* for a worker to come */
	log_at(LOG_NOTICE, "VTL0 has a new generation ID");
	if (!c->worker.link)
		return true;
	if (c->generation.busy ||
	    link_query_set(&c->generation.query, LINK_UPDATE, "vm/generation_id/id", 0, getenv(GENERATION_ID))) {
		log_at(LOG_ERROR, "another generation ID is under way: VTL0 does not get this one");
		return true;
	}
	c->generation.busy = true;
	c->generation.query.done = changed;
	link_ask(c->worker.link, &c->generation.query, CHANGE_TIMEOUT_NS);
	return true;
}
