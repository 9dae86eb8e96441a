/*
 * One message of GET's log channel (spec/get.h) as a line. VTL2 may be any firmware: every size, offset and character is
 * judged here. No state; any thread.
 */
#pragma once

#include "lib/core/bytes.h"

#define GUEST_RECORD_LINE_MAX 32768u

/*
 * when: the host's time, shown first. The line into out, with its newline and without other control characters, and not
 * terminated; its length. json: the record's own JSON object with "host_time" added, ASCII; else for people:
 *   WHEN [   12.345678] LEVEL  target: text name=value...
 * JSON that is none (OpenHCL cuts what is too long) is shown as the text it is. 0: not even the header is right.
 */
size_t guest_record_line(struct bytes message, bool json, const char *when, char out[GUEST_RECORD_LINE_MAX]);
/* the same for a word of the host's own; text: printable ASCII without quotes or backslashes */
size_t guest_record_note(const char *text, bool json, const char *when, char out[GUEST_RECORD_LINE_MAX]);
