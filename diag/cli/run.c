/* pvdiag run and pvdiag shell: this terminal, or these files, become a program's in VTL2. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "diag/cli/cli.h"
#include "diag/cli/flow.h"

static volatile sig_atomic_t resized, signalled;
static struct termios saved;
static bool raw_mode;

static void on_winch(int number) { resized = 1; }
static void on_signal(int number) { signalled = number; }

static void restore_terminal(void)
{
	if (raw_mode)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
	raw_mode = false;
}

static void set_raw_mode(void)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &saved))
		return;
	t = saved;
	cfmakeraw(&t);
	raw_mode = !tcsetattr(STDIN_FILENO, TCSADRAIN, &t);
	if (raw_mode)
		atexit(restore_terminal);
}

/* a program that ends by itself, whose end nobody waits for: another session, since ours may have a call under way */
static void run_aside(const struct session *s, const char *const *argv)
{
	struct session aside = { .options = s->options, .target = s->target, .fd = -1 };
	struct remote r = { .argv = argv };
	int status;

	if (!remote_start(&aside, &r) && !remote_wait(&aside, r.pid, &status))
		remote_close(&r);
	session_close(&aside);
}

/* the protocol has no message for a window's size: another program sets it on the terminal that the first one has */
static void tell_size(const struct session *s, s32 pid)
{
	struct winsize w;
	char script[160];

	resized = 0;
	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &w) || !w.ws_row)
		return;
	snprintf(script, sizeof(script), "stty -F \"$(readlink /proc/%d/fd/0)\" rows %u cols %u 2>/dev/null; true", pid, w.ws_row,
		 w.ws_col);
	run_aside(s, (const char *const[]){ "/bin/sh", "-c", script, NULL });
}

static void pass_signal(const struct session *s, s32 pid)
{
	char number[16], id[16];

	snprintf(number, sizeof(number), "-%d", (int)signalled);
	snprintf(id, sizeof(id), "%d", pid);
	signalled = 0;
	run_aside(s, (const char *const[]){ "/bin/kill", number, id, NULL });
}

/* until the program's output has ended; what is typed for it may go on for ever */
static void relay(const struct session *s, const struct remote *r)
{
	struct flow in = { .from = STDIN_FILENO, .to = r->fds[0] };
	struct flow out = { .from = r->fds[1], .to = r->fds[1] < 0 ? -1 : STDOUT_FILENO, .shared = true };
	struct flow err = { .from = r->fds[2], .to = r->fds[2] < 0 ? -1 : STDERR_FILENO, .shared = true };

	while (!flow_ended(&out) || !flow_ended(&err)) {
		struct pollfd p[6];

		flow_want(&in, p);
		flow_want(&out, p + 2);
		flow_want(&err, p + 4);
		int n = poll(p, ARRAY_SIZE(p), -1);

		if (resized && r->tty)
			tell_size(s, r->pid);
		if (signalled)
			pass_signal(s, r->pid);
		if (n <= 0)
			continue;
		flow_move(&out, p + 2);
		flow_move(&err, p + 4);
		flow_move(&in, p);
	}
}

static void catch_signals(bool tty)
{
	struct sigaction winch = { .sa_handler = on_winch }, act = { .sa_handler = on_signal };

	signal(SIGPIPE, SIG_IGN);
	if (tty) {
		sigaction(SIGWINCH, &winch, NULL);
		return;
	}
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
}

static enum exit_code run(struct session *s, struct remote *r)
{
	enum exit_code code = remote_start(s, r);
	int status = 0;

	if (code)
		return code;
	catch_signals(r->tty);
	if (r->tty) {
		tell_size(s, r->pid);
		set_raw_mode();
	}
	relay(s, r);
	restore_terminal();
	code = remote_wait(s, r->pid, &status);
	remote_close(r);
	return code ? code : (enum exit_code)status;
}

enum exit_code command_run(struct session *s)
{
	const struct options *o = s->options;
	struct remote r = { .argv = o->words, .env = o->env, .env_count = o->env_count,
			    .clear_env = option_given(o, OPT_CLEAR_ENV),
			    .use_stdin = true, .use_stdout = true, .use_stderr = true };

	return run(s, &r);
}

enum exit_code command_shell(struct session *s)
{
	static const char *const shell[] = { "/bin/sh", NULL };
	const struct options *o = s->options;
	const char *env[ENV_MAX + 1], *term = getenv("TERM");
	char text[80];

	snprintf(text, sizeof(text), "TERM=%.60s", term && *term ? term : "xterm-256color");
	env[0] = text;
	memcpy(env + 1, o->env, sizeof(env[0]) * o->env_count);
	struct remote r = { .argv = o->word_count ? o->words : shell, .env = env, .env_count = o->env_count + 1,
			    .clear_env = option_given(o, OPT_CLEAR_ENV), .tty = isatty(STDIN_FILENO),
			    .use_stdin = true, .use_stdout = true, .use_stderr = !isatty(STDIN_FILENO) };

	return run(s, &r);
}
