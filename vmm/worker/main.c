/* The worker as a program of its own, for tests; in the firmware the multi-call binary calls worker_main() */
#include "vmm/worker/worker.h"

int main(int argc, char **argv)
{
	return worker_main(argc, argv);
}
