/* CDBs and parameter data of any kind, for a small disk: each command must be answered once, within its buffer. */
#include <string.h>

#include "lib/task/exec_sim.h"
#include "vmm/storvsp/scsi.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static unsigned answered;

static void done(struct scsi_request *r)
{
	answered++;
	if (r->transferred > r->data_len)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const struct guid id = { 1, 2, 3, { 4 } };
	static struct scsi_target target;
	static struct sim *sim;
	static struct exec *exec;
	static struct scsi_request r;
	static u8 buffer[8192];

	if (!sim) {
		sim = sim_create(1);
		exec = sim_exec(sim, "fuzz");
		atomic_store(&target.units[0], scsi_unit_create(disk_ram(256 * KiB, 512, &id), NULL));
		atomic_store(&target.units[1], scsi_unit_create(disk_ram(256 * KiB, 4096, &id), NULL));
	}
	if (size < 20)
		return 0;
	struct iovec iov[2] = { { buffer, data[17] * 16u }, { buffer + 4096, 4096 - data[17] * 16u } };

	memset(&r, 0, sizeof(r));
	memcpy(r.cdb, data, 16);
	r.cdb_len = data[16] % 17;
	memset(r.cdb + r.cdb_len, 0, 16u - r.cdb_len);
	r.data_in = data[18] & 1;
	r.data_len = data[18] & 2 ? 4096 : data[19];
	r.iov = iov;
	r.iov_count = 2;
	r.exec = exec;
	r.done = done;
	memcpy(buffer, data + 20, MIN(size - 20, 4096u));
	answered = 0;
	scsi_execute(&target, data[18] >> 2 & 3, &r);
	sim_run(sim, sim_now_ns(sim) + 1000000000);
	if (answered != 1)
		__builtin_trap();
	return 0;
}
