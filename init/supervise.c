#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/init.h"
#include "lib/log/kmsg.h"

LOG_DOMAIN("supervise");

_Noreturn void give_up(const char *why)
{
	char text[160];

	snprintf(text, sizeof(text), "%s; VTL2 resets, which its host sees as a triple fault", why);
	kmsg_emergency(text);
	sync();
	/* no power-off and no firmware to return to: with reboot=t this ends in a triple fault, which a host reports */
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

static pid_t start_control(void)
{
	char name[] = "control";
	char *argv[] = { name, NULL };
	sigset_t none;
	pid_t pid = fork();

	if (pid)
		return pid;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv("/proc/self/exe", argv);
	/* no /proc: the file's usual place */
	execv("/bin/paravane", argv);
	_exit(127);
}

static void status_text(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "the control process died of signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(out, size, "the control process ended with status %d", WEXITSTATUS(status));
}

_Noreturn void supervise(void)
{
	pid_t control = start_control();
	char text[100];
	int status;

	if (control < 0)
		give_up("no control process can be started");
	log_at(LOG_INFO, "control process %d", (int)control);
	for (;;) {
		pid_t pid = wait(&status);

		if (pid == control) {
			status_text(status, text, sizeof(text));
			give_up(text);
		}
		if (pid < 0 && errno == ECHILD)
			give_up("the control process is lost");
		if (pid > 0)
			log_at(LOG_DEBUG, "reaped %d", (int)pid);
	}
}
