#include <signal.h>
#include <time.h>

#include "diag/cli/cli.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	interrupted = 1;
}

void again_begin(struct again *a, const struct options *o, double seconds)
{
	struct sigaction act = { .sa_handler = on_interrupt };

	*a = (struct again){ .seconds = option_given(o, OPT_WATCH) ? o->number[OPT_WATCH] : seconds,
			     .counted = option_given(o, OPT_COUNT), .left = (unsigned)o->number[OPT_COUNT] };
	sigaction(SIGINT, &act, NULL);
}

bool again_wait(struct again *a)
{
	const struct timespec time = { (time_t)a->seconds, (long)((a->seconds - (double)(time_t)a->seconds) * 1e9) };

	if (interrupted || (a->counted && !a->left--))
		return false;
	nanosleep(&time, NULL);
	return !interrupted;
}
