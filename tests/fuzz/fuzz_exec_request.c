/* ExecRequest and StartRequest as any client may send them: what is decoded is inside, terminated, bounded. Nothing is run. */
#include <string.h>

#include "diag/server/exec_request.h"
#include "lib/core/check.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct exec_request q;
	size_t total = 0;

	if (!start_request_decode(bytes_of(data, size), &q)) {
		CHECK(!q.argv[0] && q.env_count <= EXEC_ENV_MAX);
		exec_request_fini(&q);
	}
	if (exec_request_decode(bytes_of(data, size), &q))
		return 0;
	CHECK(q.argv[0] && *q.argv[0]);
	for (unsigned i = 0; i <= EXEC_ARGS_MAX && q.argv[i]; i++)
		total += strlen(q.argv[i]);
	CHECK(!q.argv[EXEC_ARGS_MAX + 1] && q.env_count <= EXEC_ENV_MAX);
	for (unsigned i = 0; i < q.env_count; i++) {
		CHECK(*q.env[i].name && !strchr(q.env[i].name, '='));
		total += strlen(q.env[i].name) + (q.env[i].value ? strlen(q.env[i].value) : 0);
	}
	CHECK(total <= size);
	exec_request_fini(&q);
	return 0;
}
