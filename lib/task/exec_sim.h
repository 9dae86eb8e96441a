/*
 * Executors in virtual time, all on the calling thread. Which executor turns next and how long an operation takes come
 * from the seed: the same seed gives the same run. Operations act on real descriptors (pipes, files) when they complete.
 */
#pragma once

#include "lib/task/exec.h"

struct sim;

struct sim *sim_create(u64 seed) __must_check;
/* also destroys its executors */
void sim_destroy(struct sim *sim);
struct exec *sim_exec(struct sim *sim, const char *name) __must_check;
/* turns executors and advances time until nothing can happen any more or the limit is reached; true: all is quiet */
bool sim_run(struct sim *sim, u64 until_ns);
u64 sim_now_ns(struct sim *sim);
/* from the seed; for tests that want their own choices to be part of the run */
u64 sim_random(struct sim *sim);
