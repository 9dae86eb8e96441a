#include "lib/inspect/inspect.h"
#include "lib/log/log.h"

static void filter_get(void *object, char *text, size_t size)
{
	log_get_filter(text, size);
}

static int filter_set(void *object, const char *text)
{
	return log_set_filter(text);
}

void inspect_log(void *object, struct inspect *in)
{
	static const struct inspect_text filter = { filter_get, filter_set };

	inspect_rw_text(in, "filter", &filter, object);
	inspect_count(in, "suppressed", log_suppressed_total());
}
