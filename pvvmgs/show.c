#include "pvvmgs/show.h"

#include <errno.h>
#include <string.h>

static void put_json_string(const char *text, FILE *out)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		if ((u8)*text >= ' ')
			fputc(*text, out);
	}
	fputc('"', out);
}

static const char *word(bool yes)
{
	return yes ? "true" : "false";
}

static void list_json(const struct vmgs *v, FILE *out)
{
	u32 free_blocks, largest, n = 0;
	struct vmgs_file f;

	vmgs_free_blocks(v, &free_blocks, &largest);
	fprintf(out, "{\"formatted\":true,\"version\":\"%u.%u\",\"capacity\":%lu,\"sector_size\":%u,\"sequence\":%u,"
		"\"encrypted\":%s,\"reprovisioned\":%s,\"free_bytes\":%lu,\"largest_free_bytes\":%lu,\"files\":[",
		v->header.version >> 16, v->header.version & 0xffff, v->capacity, v->sector_size, v->header.sequence,
		word(v->header.encryption_algorithm), word(v->header.markers & VMGS_MARKER_REPROVISIONED),
		(u64)free_blocks * VMGS_BLOCK_SIZE, (u64)largest * VMGS_BLOCK_SIZE);
	for (u32 id = 1; id < VMGS_FILE_COUNT; id++) {
		if (!vmgs_find(v, id, &f))
			continue;
		fprintf(out, "%s{\"id\":%u,\"name\":", n++ ? "," : "", id);
		put_json_string(vmgs_name(id) ? vmgs_name(id) : "", out);
		fprintf(out, ",\"bytes\":%lu,\"allocated\":%lu,\"block\":%u,\"encrypted\":%s}", f.len, f.allocated, f.block,
			word(f.encrypted));
	}
	fputs("]}\n", out);
}

void show_list(const struct vmgs *v, bool json, FILE *out)
{
	u32 free_blocks, largest;
	struct vmgs_file f;

	if (json) {
		list_json(v, out);
		return;
	}
	vmgs_free_blocks(v, &free_blocks, &largest);
	fprintf(out, "VMGS %u.%u, %lu KiB, sectors of %u bytes, sequence %u%s%s; %lu KiB free\n", v->header.version >> 16,
		v->header.version & 0xffff, v->capacity / 1024, v->sector_size, v->header.sequence,
		v->header.encryption_algorithm ? ", encrypted" : "",
		v->header.markers & VMGS_MARKER_REPROVISIONED ? ", made anew on request" : "",
		(u64)free_blocks * VMGS_BLOCK_SIZE / 1024);
	fprintf(out, "%3s  %-22s %10s %10s %8s\n", "id", "name", "bytes", "allocated", "block");
	for (u32 id = 1; id < VMGS_FILE_COUNT; id++)
		if (vmgs_find(v, id, &f))
			fprintf(out, "%3u  %-22s %10lu %10lu %8u%s\n", id, vmgs_name(id) ? vmgs_name(id) : "-", f.len,
				f.allocated, f.block, f.encrypted ? "  encrypted" : "");
}

void show_empty(const struct vmgs_device *device, bool json, FILE *out)
{
	if (json)
		fprintf(out, "{\"formatted\":false,\"capacity\":%lu,\"files\":[]}\n", device->capacity);
	else
		fprintf(out, "%lu KiB, not formatted yet: firmware does that at its first start, or pvvmgs create --force\n",
			device->capacity / 1024);
}

/* ---- check */
const char *check_verdict(const struct check *c)
{
	if (c->error == -ENODATA)
		return "empty";
	if (c->error || c->unreadable)
		return "bad";
	return c->store->header.encryption_algorithm ? "encrypted" : "good";
}

static void check_json(const struct check *c, FILE *out)
{
	fprintf(out, "{\"verdict\":\"%s\",\"problem\":", check_verdict(c));
	put_json_string(c->store->problem, out);
	fputs(",\"headers\":[", out);
	for (u32 i = 0; i < 2; i++) {
		fprintf(out, "%s{\"valid\":%s,\"active\":%s,\"sequence\":%u,\"problem\":", i ? "," : "",
			word(!c->header_errors[i]), word(!c->error && c->store->active == i), c->headers[i].sequence);
		put_json_string(c->header_words[i], out);
		fputc('}', out);
	}
	fprintf(out, "],\"unreadable\":%u,\"table_entry_disagrees\":%s,\"too_big_to_rewrite\":%u}\n", c->unreadable,
		word(c->entry_disagrees), c->too_big);
}

static const char *advice(int error)
{
	switch (error) {
	case -EINVAL: return "It is something else, or was cut short: give pvhost --vmgs another name.";
	case -EPROTONOSUPPORT:
		return "This firmware cannot use it: give pvhost --vmgs another name, and keep this one for who can.";
	case -EBADMSG:
		return "It is damaged, and firmware will refuse it. Keep a copy; give pvhost --vmgs another name, or empty\n"
		       "this one with pvvmgs create --force.";
	}
	return "";
}

static void check_notes(const struct check *c, FILE *out)
{
	if (c->unreadable)
		fprintf(out, "file %u cannot be read from the disk below: copy what can be read, and use another disk\n",
			c->unreadable);
	if (c->entry_disagrees)
		fputs("note: the table's entry for itself names another place; the next change mends it\n", out);
	if (c->too_big)
		fprintf(out, "note: file %u cannot be rewritten with its size: there is too little room beside it\n", c->too_big);
}

void show_check(const struct check *c, bool json, FILE *out)
{
	if (json) {
		check_json(c, out);
		return;
	}
	for (u32 i = 0; i < 2; i++)
		if (c->header_errors[i])
			fprintf(out, "header %u: %s\n", i + 1, c->header_words[i]);
		else
			fprintf(out, "header %u: sequence %u%s\n", i + 1, c->headers[i].sequence,
				!c->error && c->store->active == i ? ", counts" : "");
	check_notes(c, out);
	fputs(check_verdict(c), out);
	if (c->error == -ENODATA)
		fputs(": not formatted yet; firmware does that at its first start", out);
	else if (c->error)
		fprintf(out, ": %s\n%s", c->store->problem, advice(c->error));
	else if (c->store->header.encryption_algorithm)
		fputs(": with a key that is not in it; only the firmware that has it can use this file, ours cannot", out);
	fputc('\n', out);
}

void show_hex(const u8 *data, size_t len, FILE *out)
{
	for (size_t at = 0; at < len; at += 16) {
		size_t n = MIN(len - at, (size_t)16);

		fprintf(out, "%08zx ", at);
		for (size_t i = 0; i < 16; i++)
			fprintf(out, i < n ? " %02x" : "   ", i < n ? data[at + i] : 0);
		fputs("  ", out);
		for (size_t i = 0; i < n; i++)
			fputc(data[at + i] >= ' ' && data[at + i] <= '~' ? data[at + i] : '.', out);
		fputc('\n', out);
	}
}
