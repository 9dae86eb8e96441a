/* Node bytes from another process: decode, print, encode and decode again must agree */
#include <stdlib.h>

#include "lib/core/check.h"
#include "lib/inspect/node.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t len);
int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	struct node *node, *again;
	struct pb_writer w;

	if (node_decode(bytes_of(data, len), "x", &node))
		return 0;
	struct text tree = node_print_tree(node), json = node_print_json(node);

	pb_init(&w);
	node_encode(node, &w);
	CHECK(node_decode(bytes_of(w.data, w.len), "x", &again) == 0);
	struct text same = node_print_json(again);

	CHECK(same.len == json.len && !__builtin_memcmp(same.data, json.data, json.len));
	free(tree.data);
	free(json.data);
	free(same.data);
	node_destroy(node);
	node_destroy(again);
	pb_fini(&w);
	return 0;
}
