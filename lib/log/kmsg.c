#include "lib/log/kmsg.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int kmsg_fd = -1;
static const char *prefix_here = "paravane";

static void put(unsigned priority, const char *domain, const char *text)
{
	char line[640];
	int len = snprintf(line, sizeof(line), "<%u>%s/%s: %s\n", priority, prefix_here, domain, text);

	/* one write is one record; there is nobody to tell when it fails */
	if (len > 0 && write(kmsg_fd, line, MIN((size_t)len, sizeof(line) - 1)) < 0)
		return;
}

static void sink(enum log_level level, const char *domain, const char *text)
{
	static const u8 priority[LOG_LEVELS] = { 3, 5, 4, 6, 7 }; /* syslog's numbers */

	put(priority[level], domain, text);
}

static bool open_once(void)
{
	if (kmsg_fd < 0)
		kmsg_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	return kmsg_fd >= 0;
}

bool kmsg_install(const char *prefix)
{
	if (!open_once())
		return false;
	prefix_here = prefix;
	log_set_sink(sink);
	return true;
}

void kmsg_emergency(const char *text)
{
	if (open_once())
		put(0, "emergency", text);
}
