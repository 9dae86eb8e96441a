/*
 * The TPM's process: born with three sockets (vmm/device_worker/process.h), it closes the door behind it, brings the TPM up, says
 * that it is ready, and plays it until it is told to end.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "vmm/device_worker/keep.h"
#include "vmm/device_worker/process.h"
#include "vmm/device_worker/sandbox.h"
#include "vmm/tpm/device.h"
#include "vmm/tpm/wipe.h"

LOG_DOMAIN("tpm");

#define TPM_UID 7001u /* nobody else's */

/* SIGIO at each message, for tpm_device_signals() */
static int ask_for_signals(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETOWN, getpid()) || fcntl(fd, F_SETFL, flags | O_ASYNC) ? -errno : 0;
}

/* all that wants files, or system calls that are gone afterwards */
static int prepare(struct tpm_device *d)
{
	const struct device_sandbox sandbox = { .uid = TPM_UID, .cores = true };

	/* secrets lie in one heap, which is wiped at the end, not in mappings that come and go */
	if (!mallopt(M_MMAP_MAX, 0) || !mallopt(M_TRIM_THRESHOLD, -1))
		return -EINVAL;
	/* libtpms writes commands there when it fails, authorisation values and all. Nothing is opened from here on. */
	if (close(2))
		return -errno;
	/* no configuration file, now or later */
	if (!OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL))
		return -EPROTO;
	int r = tpm_device_signals(d, DEVICE_FD_EVENTS);

	if (!r)
		r = ask_for_signals(DEVICE_FD_EVENTS);
	return r ? r : device_sandbox_enter(&sandbox);
}

/* a name of its own: a back trace says whose it is */
static __attribute__((noinline)) int tpm_main(void)
{
	static struct tpm_device d = { .parent = DEVICE_FD_PARENT };

	wipe_init();

	if (fcntl(DEVICE_FD_EVENTS, F_GETFD) < 0 || fcntl(DEVICE_FD_COMMANDS, F_GETFD) < 0 ||
	    fcntl(DEVICE_FD_PARENT, F_GETFD) < 0) {
		fputs("paravane-tpm: started by the firmware's control process only\n", stderr);
		return 2;
	}
	keep_log(d.parent);
	d.server = device_server_create(DEVICE_FD_EVENTS, DEVICE_FD_COMMANDS, &tpm_device_ops, &d);
	int r = d.server ? prepare(&d) : -ENOMEM;

	if (r)
		log_err(r, "the sandbox cannot be closed");
	if (!r)
		r = tpm_life_start(&d);
	if (!r)
		r = keep_ready(d.parent);
	if (!r)
		r = device_server_run(d.server);
	tpm_engine_stop();
	device_server_destroy(d.server);
	wipe_and_exit(r ? 1 : 0);
}

int main(int argc, char **argv)
{
	return tpm_main();
}
