/*
 * What an inspect request costs a VP: everything that runs on the VP's executor between two exits, for callgrind. usage:
 * bench_inspect COUNT
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/task/exec_sim.h"
#include "vmm/vp/vp.h"

int main(int argc, char **argv)
{
	long count = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
	struct machine machine = { 0 };
	struct sim *sim = sim_create(1);
	static struct vp vp;

	if (count < 1 || !sim) {
		fprintf(stderr, "usage: bench_inspect COUNT\n");
		return 2;
	}
	vp_init(&vp, &machine, 0, sim_exec(sim, "vp0"));
	for (long i = 0; i < count; i++)
		node_destroy(inspect_now("", NODE_DEPTH_MAX - 1, NULL, vp_inspect, &vp));
	sim_destroy(sim);
	return 0;
}
