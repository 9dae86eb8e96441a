/*
 * The VM's generation ID: 16 bytes in VTL0's memory that say which run of history this is (VM Generation ID, Microsoft, 2012).
 * The host chooses them; a guest whose host does not gets random ones, as in OpenHCL (underhill_core/src/worker.rs).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/log/log.h"
#include "vmm/mem/places.h"
#include "vmm/worker/worker.h"

LOG_DOMAIN("generation");

#define ID_LEN sizeof(((struct worker *)0)->generation.id)

static bool generation_parse(const char *text, u8 ret[16])
{
	static const char digits[] = "0123456789abcdef";

	if (!text || strlen(text) != 2 * ID_LEN || strspn(text, digits) != 2 * ID_LEN)
		return false;
	for (size_t i = 0; i < ID_LEN; i++)
		ret[i] = (u8)((strchr(digits, text[2 * i]) - digits) << 4 | (strchr(digits, text[2 * i + 1]) - digits));
	return true;
}

int generation_start(struct worker *w)
{
	const char *text = getenv("PARAVANE_GENERATION_ID");

	if (!generation_parse(text, w->generation.id)) {
		if (text)
			log_at(LOG_WARN, "PARAVANE_GENERATION_ID=%s: not 32 hexadecimal digits; a random one it is", text);
		if (getrandom(w->generation.id, ID_LEN, 0) != (ssize_t)ID_LEN)
			return log_err(-EIO, "no random generation ID");
	}
	return guest_write(w->board.machine.guest, places[PLACE_GENERATION_ID].base, w->generation.id, ID_LEN);
}

static void get_text(void *object, char *text, size_t size)
{
	const struct worker *w = object;

	for (size_t i = 0; i < ID_LEN && 2 * i + 2 < size; i++)
		snprintf(text + 2 * i, 3, "%02x", w->generation.id[i]);
}

/* the id first, the event after it: a guest that hears of it reads the new one */
static int set_text(void *object, const char *text)
{
	struct worker *w = object;
	u8 id[ID_LEN];

	if (!generation_parse(text, id))
		return -EINVAL;
	memcpy(w->generation.id, id, ID_LEN);
	w->generation.changes++;
	int r = guest_write(w->board.machine.guest, places[PLACE_GENERATION_ID].base, id, ID_LEN);

	if (!r)
		pm_gpe(&w->board.pm, PM_GPE_GENERATION_ID);
	return r;
}

void generation_inspect(void *object, struct inspect *in)
{
	static const struct inspect_text id = { get_text, set_text };
	struct worker *w = object;

	inspect_rw_text(in, "id", &id, w);
	inspect_count(in, "changes", w->generation.changes);
}
