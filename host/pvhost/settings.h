/*
 * The VTL2 settings as Hyper-V's management would give them: a document this host does not look into (JSON or protobuf of
 * package underhill.settings), inside the device platform settings that GET sends.
 */
#pragma once

#include "host/pvhost/options.h"

/*
 * The document: --vtl2-settings FILE's bytes, nothing for "none", and without the option a SCSI controller with one disk for
 * each --nvme. malloc()ed. -errno, said.
 */
int settings_load(const struct options *options, char **ret, size_t *ret_len) __must_check;
/* the whole text for GET, with the machine's generation ID; malloc()ed, NULL: no memory */
char *settings_platform(const struct options *options, const u64 generation[2], const char *document, size_t len) __must_check;
