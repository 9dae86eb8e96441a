/*
 * A measured boot: what is about to run is hashed, its PCR extended, and a record of it appended to a log that the guest gets, in
 * the crypto-agile form of the PFP. Whoever replays the log comes to what the PCRs have. Before the guest runs; not thread safe.
 */
#pragma once

#include "vmm/tpm/commands.h"

/*
 * The log and what ends it: Linux wants a record's end to be less than the area's (include/linux/tpm_eventlog.h), and an empty
 * record behind the last one, so an area of this size, zero behind the log, is what it gets.
 */
#define MEASURE_LOG_AREA (64u * 1024)
#define MEASURE_LOG_MAX (MEASURE_LOG_AREA - 64)

struct measure {
	u32 banks; /* that are hashed, extended and in the log */
	u32 pcr, type;
	bool open, broken;
	void *hash[TPM_BANK_COUNT]; /* libcrypto's; NULL for a bank that is off */
	size_t len;
	u8 *log;
};

/*
 * The TPM is started. Banks that are active in it must all be extended, else what boots could bring a bank of its own choosing to
 * a value of its own choosing: so those are asked of the TPM. -ENOMEM, -ENODEV (no bank), or what commands.h says.
 */
int measure_init(struct measure *m) __must_check;
void measure_fini(struct measure *m);
/* one at a time; the type is a TPM_EV_*. What goes wrong in the middle, measure_end() says. */
void measure_begin(struct measure *m, u32 pcr, u32 type);
void measure_data(struct measure *m, struct bytes data);
/*
 * The PCR has it and the log has it, or neither: 0; -ENOSPC, the log is full; -EIO, hashing failed; or what commands.h says.
 * The event is what the record says of the data in words, or the data itself where that is short.
 */
int measure_end(struct measure *m, struct bytes event) __must_check;
/* begin, data, end */
int measure_all(struct measure *m, u32 pcr, u32 type, struct bytes data, struct bytes event) __must_check;
/* the line between what the firmware did and what it started, in PCRs 0 to 7: PFP 1.05, 3.3 */
int measure_separators(struct measure *m) __must_check;
/* the measure's, until the next end */
struct bytes measure_log(const struct measure *m);
