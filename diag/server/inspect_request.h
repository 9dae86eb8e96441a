/* InspectRequest and UpdateRequest of inspect_service.proto, decoded and checked: nothing here looks at anything. */
#pragma once

#include "lib/core/bytes.h"

#define INSPECT_PATH_MAX 256u /* with the NUL */
#define INSPECT_VALUE_MAX 512u

struct inspect_ask {
	char path[INSPECT_PATH_MAX];
	unsigned depth;                 /* of lib/inspect: levels below the node; 0 for an update */
	bool update;
	char value[INSPECT_VALUE_MAX];  /* of an update */
};

/*
 * -EPROTO malformed, -E2BIG a text is too long or has a NUL inside; fields of other numbers or wire types are skipped. On the
 * wire depth counts the levels below the node's own children, which are always there: zero is one level of ours
 * (support/inspect/src/initiate.rs:415 adds the root).
 */
int inspect_ask_decode(struct bytes payload, bool update, struct inspect_ask *ret) __must_check;
