/* Inside lib/igvm: what a single header must satisfy. */
#pragma once

#include "lib/igvm/igvm.h"

struct igvm_check {
	struct igvm_file *file;
	const struct igvm_header *header;
	char *err;
	size_t err_len;
};

/* says what is wrong with the current header and returns -EINVAL */
int igvm_bad(struct igvm_check *check, const char *format, ...) __printf(2, 3);
/* checks the body of check->header and books platforms and parameter areas in check->file; 0 or -EINVAL */
int igvm_check_body(struct igvm_check *check) __must_check;
