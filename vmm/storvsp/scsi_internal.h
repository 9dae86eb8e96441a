/* Between the files of the SCSI layer. A command function ends in exactly one of scsi_good, scsi_check, scsi_reply, steps. */
#pragma once

#include <string.h>

#include "vmm/storvsp/scsi.h"

static inline u16 be16_get(const u8 *p) { return (u16)(p[0] << 8 | p[1]); }
static inline u32 be24_get(const u8 *p) { return (u32)p[0] << 16 | be16_get(p + 1); }
static inline u32 be32_get(const u8 *p) { return (u32)be16_get(p) << 16 | be16_get(p + 2); }
static inline u64 be64_get(const u8 *p) { return (u64)be32_get(p) << 32 | be32_get(p + 4); }
static inline void be16_put(u8 *p, u64 v) { p[0] = (u8)(v >> 8); p[1] = (u8)v; }
static inline void be32_put(u8 *p, u64 v) { be16_put(p, v >> 16); be16_put(p + 2, v); }
static inline void be64_put(u8 *p, u64 v) { be32_put(p, v >> 32); be32_put(p + 4, v); }

void scsi_good(struct scsi_request *r, u32 transferred);
void scsi_check(struct scsi_request *r, enum scsi_sense_key key, enum scsi_asc asc);
void scsi_status(struct scsi_request *r, enum scsi_status status);
/* data to the initiator: the least of len, allocation length and its buffer */
void scsi_reply(struct scsi_request *r, const void *data, size_t len, u32 allocation);
/* len bytes of the initiator's data, copied once; false: it sent fewer, or none */
bool scsi_fetch(struct scsi_request *r, void *to, size_t len);
void scsi_fill_sense(u8 sense[SCSI_SENSE_LEN], enum scsi_sense_key key, enum scsi_asc asc);
static inline void scsi_bad_cdb(struct scsi_request *r) { scsi_check(r, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB); }
static inline void scsi_bad_list(struct scsi_request *r)
{
	scsi_check(r, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_PARAMETERS);
}

/* runs next_step() and its disk request until there is none or one failed; no stack grows with the number of steps */
void scsi_steps(struct scsi_request *r, bool (*next)(struct scsi_request *));
/* one disk request, filled in by the caller but for exec and done */
void scsi_one(struct scsi_request *r);

void scsi_inquiry(struct scsi_request *r);
void scsi_mode_sense_6(struct scsi_request *r);
void scsi_mode_sense_10(struct scsi_request *r);
void scsi_mode_select_6(struct scsi_request *r);
void scsi_mode_select_10(struct scsi_request *r);
void scsi_reserve_in(struct scsi_request *r);
void scsi_reserve_out(struct scsi_request *r);
void scsi_read_capacity_10(struct scsi_request *r);
void scsi_service_action_in(struct scsi_request *r);
void scsi_read_write(struct scsi_request *r);
void scsi_synchronize_cache(struct scsi_request *r);
void scsi_verify(struct scsi_request *r);
void scsi_unmap(struct scsi_request *r);
void scsi_write_same(struct scsi_request *r);
