/*
 * Physical presence: what a guest's operating system asks the firmware to do with the TPM at the next start, where it has no
 * authority itself. Kept in a file of its own, as openvmm keeps it (struct ppi_file): either reads what the other wrote.
 *
 * Where this differs from openvmm: an operation that is none is refused (function 7 answers 1, "not supported", function 8
 * answers 0, "not implemented") instead of accepted and reported done, and in a file it ends with a failure; a set of
 * PCR banks that would leave none is refused without asking the TPM; a set of banks is understood also where nobody told which
 * the guest's firmware knows (port command 65).
 */
#pragma once

#include "spec/tpm.h"
#include "vmm/tpm/commands.h"

/* all zero: nobody ever asked for anything */
struct ppi {
	struct ppi_file file;
};

/* the file's bytes; -EBADMSG, with the reason in the log: of another size, which is all that can be known. Then as {0}. */
int ppi_load(struct ppi *p, struct bytes file) __must_check;
/* the file, to be stored: the ppi's */
struct bytes ppi_bytes(const struct ppi *p);

/* the guest's; command as latched from the control port. true: the file is another now, and must last before the write is done */
bool ppi_port_write(struct ppi *p, u32 command, u32 value);
/* false: no command of this part of the TPM, or one that cannot be read; *ret is not touched */
bool ppi_port_read(const struct ppi *p, u32 command, u32 *ret);

/*
 * What was asked, at the machine's start: the TPM is started, with its platform hierarchy open. 1: it was done, or refused with a
 * result: store the file. 0: nothing was asked. -errno: the engine does not answer; it stays asked. *ret_restart, always
 * written: PCR banks change with the engine's next start, which is wanted now. Doing it twice is harmless: power may go before
 * the file is stored.
 */
int ppi_execute(struct ppi *p, bool *ret_restart) __must_check;
/* did what was done last clear the TPM? */
bool ppi_cleared(const struct ppi *p);
