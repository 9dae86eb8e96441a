#pragma once

#include "lib/core/types.h"
#include "spec/loader_defs.h"

/*
 * The kernel's command line: what every VTL2 kernel needs, then the image's text, then (if the image's
 * policy says so) the host's bootargs. out holds BOOT_COMMAND_LINE_SIZE bytes. False with a line in err
 * (HOST_ERROR_MAX bytes). Pure.
 */
bool command_line_make(const struct openhcl_command_line *page, const char *bootargs, char *out, char *err) __must_check;
