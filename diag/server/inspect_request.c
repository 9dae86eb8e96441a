#include "diag/server/inspect_request.h"

#include <errno.h>

#include "lib/inspect/node.h"

int inspect_ask_decode(struct bytes payload, bool update, struct inspect_ask *ret)
{
	struct pb_field f;
	bool bad = false, fits = true;

	*ret = (struct inspect_ask){ .depth = !update, .update = update };
	while (pb_next(&payload, &f, &bad)) {
		if (f.number == 1 && f.wire == PB_BYTES)
			fits &= pb_text(f.body, ret->path, sizeof(ret->path));
		else if (update && f.number == 2 && f.wire == PB_BYTES)
			fits &= pb_text(f.body, ret->value, sizeof(ret->value));
		else if (!update && f.number == 2 && f.wire == PB_VARINT)
			ret->depth = (unsigned)MIN(f.value, (u64)NODE_DEPTH_MAX - 2) + 1;
	}
	return bad ? -EPROTO : fits ? 0 : -E2BIG;
}
