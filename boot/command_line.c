#include "boot/command_line.h"

#include "boot/host_tree.h"
#include "boot/text.h"
#include "spec/bootparam.h"

/*
 * noxsave: VTL2's XSAVE state is shared with VTL0, and the kernel panics if it may use it. A paravisor
 * that dies must end at once (panic), by triple fault (reboot), the only reset VTL2 has. The host's TSC
 * needs no watchdog: there is no other clock to compare it with. While the initramfs is unpacked it is
 * in memory twice: no driver is to take its own meanwhile (initramfs_async).
 */
static const char always[] = "noxsave panic=-1 reboot=t tsc=reliable initramfs_async=0";

static bool append(char *out, u32 *used, const char *text, u32 len, const char *whose, char *err)
{
	if (!len)
		return true;
	if (*used + 1 + len >= BOOT_COMMAND_LINE_SIZE) {
		text_format(err, HOST_ERROR_MAX, "kernel command line: with the %u characters %s it passes %u; shorten it",
			    len, whose, BOOT_COMMAND_LINE_SIZE - 1);
		return false;
	}
	if (*used)
		out[(*used)++] = ' ';
	__builtin_memcpy(out + *used, text, len);
	*used += len;
	out[*used] = 0;
	return true;
}

bool command_line_make(const struct openhcl_command_line *page, const char *bootargs, char *out, char *err)
{
	u32 len = page->static_command_line_len, used = 0;

	if (len > OPENHCL_COMMAND_LINE_MAX || page->policy > OPENHCL_COMMAND_LINE_APPEND_CHOSEN) {
		text_format(err, HOST_ERROR_MAX, "command line page of the image: policy %u, length %u; rebuild the image",
			    (u32)page->policy, len);
		return false;
	}
	for (u32 i = 0; i < len; i++) {
		if (page->static_command_line[i])
			continue;
		text_format(err, HOST_ERROR_MAX, "command line page of the image: NUL at character %u; rebuild the image", i);
		return false;
	}
	if (!append(out, &used, always, sizeof(always) - 1, "always given", err) ||
	    !append(out, &used, page->static_command_line, len, "of the image", err))
		return false;
	if (page->policy == OPENHCL_COMMAND_LINE_STATIC)
		return true;
	return append(out, &used, bootargs, text_length(bootargs), "of the host (/chosen bootargs)", err);
}
