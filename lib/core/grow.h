/* Growing what malloc() gave, for buffers that are appended to. */
#pragma once

#include <stdlib.h>

#include "lib/core/types.h"

/*
 * data_pointer leads to a pointer, T **. What that one leads to, of *room bytes, has room for need afterwards; it doubles at
 * least, and *room stays a multiple of step while it was one. false: no memory; what was there stays. need is the caller's to
 * bound, well below SIZE_MAX / 2.
 */
static inline bool grow(void *data_pointer, size_t *room, size_t need, size_t step)
{
	void **data = data_pointer;
	size_t more = MAX(*room * 2, ALIGN_UP(need, step));
	void *grown;

	if (need <= *room)
		return true;
	grown = realloc(*data, more);
	if (!grown)
		return false;
	*data = grown;
	*room = more;
	return true;
}
