/* sweep_exits SEED COUNT [--plant MISTAKE]: so many exits, in lives of 20,000, each with the next seed; 1: one was wrong. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log/log.h"
#include "tests/sweep/sweep.h"

#define LIFE 20000u

static void quiet(enum log_level level, const char *domain, const char *text) {}

static unsigned descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static void count(u64 sums[EXIT_REASONS], u64 *injected, const struct sweep *s)
{
	for (unsigned i = 0; i < SWEEP_VPS; i++) {
		for (unsigned k = 0; k < EXIT_REASONS; k++)
			sums[k] += s->cpus[i].vp.exits[k];
		*injected += s->cpus[i].vp.injected;
	}
}

static int sweep(u64 seed, u64 exits, enum sweep_plant plant)
{
	u64 sums[EXIT_REASONS] = { 0 }, injected = 0, saves = 0, power = 0, lives = 0;
	unsigned before = descriptors();

	for (u64 done = 0; done < exits; lives++) {
		u64 now = MIN(exits - done, (u64)LIFE);
		struct sweep *s = sweep_create(seed + lives, plant);

		if (!s || !sweep_run(s, now)) {
			printf("seed %llu, after %llu exits: %s\n", (unsigned long long)(seed + lives),
			       s ? (unsigned long long)(now - s->left) : 0, s ? s->wrong : "no memory");
			return 1;
		}
		count(sums, &injected, s);
		saves += s->saves;
		power += s->power_events;
		sweep_destroy(s);
		done += now;
	}
	printf("%llu exits in %llu lives: %llu port, %llu memory, %llu MSR, %llu hypercall, %llu CPUID, %llu halt, %llu others\n",
	       (unsigned long long)exits, (unsigned long long)lives, (unsigned long long)sums[EXIT_IO],
	       (unsigned long long)sums[EXIT_MEMORY], (unsigned long long)sums[EXIT_MSR],
	       (unsigned long long)sums[EXIT_HYPERCALL],
	       (unsigned long long)sums[EXIT_CPUID], (unsigned long long)sums[EXIT_HALT],
	       (unsigned long long)(sums[EXIT_EXCEPTION] + sums[EXIT_APIC_EOI] + sums[EXIT_INTERRUPTION_DELIVERABLE] +
				    sums[EXIT_SINT_DELIVERABLE]));
	printf("%llu faults injected, %llu times the power was to go off, %llu times saved and restored; none wrong\n",
	       (unsigned long long)injected, (unsigned long long)power, (unsigned long long)saves);
	if (descriptors() != before) {
		printf("%u descriptors were open before, %u are now\n", before, descriptors());
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const plants[] = { [PLANT_MUTE] = "mute-device", [PLANT_JUMP] = "jump",
					      [PLANT_KEEP] = "unsaved-byte" };
	enum sweep_plant plant = PLANT_NONE;

	if (argc == 5 && !strcmp(argv[3], "--plant"))
		for (unsigned i = PLANT_MUTE; i < ARRAY_SIZE(plants); i++)
			plant = strcmp(argv[4], plants[i]) ? plant : i;
	if (argc != 3 && !plant) {
		fprintf(stderr, "Usage: sweep_exits SEED COUNT [--plant mute-device|jump|unsaved-byte]\n");
		return 2;
	}
	log_set_sink(quiet);
	return sweep(strtoull(argv[1], NULL, 0), strtoull(argv[2], NULL, 0), plant);
}
