#include "init/init.h"

#include <signal.h>
#include <unistd.h>

#include "lib/log/kmsg.h"

LOG_DOMAIN("init");

int init_main(int argc, char **argv)
{
	if (getpid() != 1) {
		log_at(LOG_ERROR, "init is for process 1 of the firmware; this is process %d", (int)getpid());
		return 2;
	}
	setup_mounts();
	kmsg_install("init");
	setup_standard_files();
	/* what a child or a terminal would do to others must not end process 1 */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	environment_from_kernel();
	setup_kernel();
	setup_drivers();
	log_at(LOG_INFO, "the firmware's user space is up");
	supervise();
}
