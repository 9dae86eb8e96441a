/*
 * A device's process that lies to its keeper: requests of any form on the stream, cut anywhere. Then it is dead, and another
 * finds what was kept. Input: a run of {u8 what, u8 length, bytes}: what & 1: a header is made, else the bytes go as they are;
 * what & 2: the executor has its turn.
 */
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/core/check.h"
#include "lib/task/exec_sim.h"
#include "spec/vmgs.h"
#include "vmm/vmgs/keeper.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static unsigned readies, nonsense;

static void quiet(enum log_level level, const char *domain, const char *text)
{
}

static void ready(void *context)
{
	readies++;
}

static void talks_nonsense(void *context, int error)
{
	CHECK(++nonsense == 1);
}

static void live(struct keeper *k, struct sim *sim, struct bytes *b)
{
	struct { struct keep_request head; u8 bytes[256]; } m;
	u8 answers[4096], what, len;
	int pair[2];

	nonsense = 0;
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair) && !keeper_attach(k, pair[0]));
	for (unsigned i = 0; i < 40 && bytes_u8(b, &what) && bytes_u8(b, &len); i++) {
		size_t n = MIN((size_t)len, b->left);
		u8 *at = what & 1 ? m.bytes : (u8 *)&m;

		if (what & 1)
			m.head = (struct keep_request){ what >> 2 & 7, what & 0x20 ? VMGS_TPM_NVRAM : what >> 6, (u32)n };
		bytes_copy(b, at, n);
		if (send(pair[1], &m, n + (what & 1 ? sizeof(m.head) : 0), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		if (what & 2)
			sim_run(sim, sim_now_ns(sim) + 1000000);
		while (recv(pair[1], answers, sizeof(answers), MSG_DONTWAIT) > 0)
			;
	}
	close(pair[1]);
	sim_run(sim, sim_now_ns(sim) + 1000000000);
	CHECK(keeper_idle(k));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const u32 files[] = { VMGS_TPM_PPI, VMGS_TPM_NVRAM };
	struct bytes b = bytes_of(data, size);
	struct sim *sim = sim_create(1);
	const struct keeper_config config = { .name = "it", .exec = sim_exec(sim, "control"), .files = files, .file_count = 2,
					      .ready = ready, .nonsense = talks_nonsense };
	struct keeper *k = keeper_create(&config);

	log_set_sink(quiet);
	signal(SIGPIPE, SIG_IGN); /* as control does */
	live(k, sim, &b);
	live(k, sim, &b);
	keeper_destroy(k);
	sim_destroy(sim);
	return 0;
}
