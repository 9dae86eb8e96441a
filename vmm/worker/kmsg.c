#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "vmm/worker/worker.h"

static int kmsg = -1;

static void sink(enum log_level level, const char *domain, const char *text)
{
	static const u8 priority[LOG_LEVELS] = { 3, 5, 4, 6, 7 }; /* syslog's numbers */
	char line[640];
	int len = snprintf(line, sizeof(line), "<%u>vmm/%s: %s\n", priority[level], domain, text);

	/* one write is one record; there is nobody to tell when it fails */
	if (len > 0 && write(kmsg, line, MIN((size_t)len, sizeof(line) - 1)) < 0)
		return;
}

void kmsg_sink_install(void)
{
	kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (kmsg >= 0)
		log_set_sink(sink);
}
