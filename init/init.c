#include "init/init.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "diag/server/boot.h"
#include "lib/log/kmsg.h"
#include "lib/os/file.h"

LOG_DOMAIN("init");

int init_main(int argc, char **argv)
{
	if (getpid() != 1) {
		log_at(LOG_ERROR, "init is for process 1 of the firmware; this is process %d", (int)getpid());
		return 2;
	}
	char began[24];

	snprintf(began, sizeof(began), "%llu", (unsigned long long)now_ns());
	setup_mounts();
	kmsg_install("init");
	setup_standard_files();
	/* what a child or a terminal would do to others must not end process 1 */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	environment_from_kernel();
	setenv(BOOT_INIT_VARIABLE, began, 1);
	setup_kernel();
	setup_drivers();
	log_at(LOG_INFO, "the firmware's user space is up");
	supervise();
}
