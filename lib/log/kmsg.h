/* Log records to the kernel's log, where every process of the firmware writes and the host can read. */
#pragma once

#include "lib/log/log.h"

/*
 * Opens /dev/kmsg and makes it the sink: "<level>prefix/domain: text". prefix must live on. false: it cannot be opened, the
 * sink stays what it was.
 */
bool kmsg_install(const char *prefix);
/* one record at emergency level, also when no sink was installed */
void kmsg_emergency(const char *text);
