#include "pvvmgs/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/cleanup.h"
#include "lib/os/file.h"
#include "pvvmgs/show.h"

#define FILE_MAX (256 * MiB) /* that is dumped */

static struct vmgs store;

static enum file_mode look(const struct pvvmgs_options *o)
{
	return o->live ? FILE_LOOK_LIVE : FILE_LOOK;
}

static int say_problem(const char *path, int error)
{
	fprintf(stderr, "pvvmgs: %s: %s%s\n", path, store.problem[0] ? store.problem : strerror(-error),
		error == -EBADMSG || error == -EINVAL || error == -EPROTONOSUPPORT ? "; pvvmgs check says more" : "");
	return error == -EIO || error == -ENOMEM ? PVVMGS_TROUBLE : PVVMGS_BAD_FILE;
}

int command_list(char **arguments, const struct pvvmgs_options *o)
{
	struct file f;
	int r = file_open(&f, arguments[0], look(o));

	if (!r) {
		int error = file_open_store(&f, &store);

		if (error == -ENODATA)
			show_empty(&f.device, o->json, stdout);
		else if (error)
			r = say_problem(f.path, error);
		else
			show_list(&store, o->json, stdout);
	}
	file_close(&f);
	return r;
}

/* ---- check */
static void check_headers(struct check *c)
{
	static u8 sectors[2 * VMGS_BLOCK_SIZE];
	u32 sector = c->device->sector_size;

	if (c->device->capacity < 2 * sector || c->device->read(c->device->context, 0, sectors, 2 * sector)) {
		c->header_errors[0] = c->header_errors[1] = -EIO;
		snprintf(c->header_words[0], VMGS_WORDS_LEN, "cannot be read");
		snprintf(c->header_words[1], VMGS_WORDS_LEN, "cannot be read");
		return;
	}
	for (u32 i = 0; i < 2; i++) {
		memcpy(&c->headers[i], sectors + i * sector, sizeof(c->headers[i]));
		c->header_errors[i] = vmgs_judge_header(&c->headers[i], c->device->capacity, c->header_words[i]);
	}
}

static void check_files(struct check *c)
{
	u32 free_blocks, largest;
	struct vmgs_file f;

	vmgs_free_blocks(&store, &free_blocks, &largest);
	for (u32 id = 1; id < VMGS_FILE_COUNT; id++) {
		u8 *data = NULL;
		size_t len;

		if (!vmgs_find(&store, id, &f))
			continue;
		if (!c->unreadable && !f.encrypted && f.len <= FILE_MAX &&
		    vmgs_read(&store, c->device, id, FILE_MAX, &data, &len))
			c->unreadable = id;
		free(data);
		if (!c->too_big && f.allocated / VMGS_BLOCK_SIZE > largest)
			c->too_big = id;
	}
	const struct vmgs_file_entry *own = &store.table.entries[VMGS_FILE_TABLE];

	c->entry_disagrees = own->offset != store.header.file_table_offset || own->allocation_size != VMGS_FILE_TABLE_BLOCKS;
}

/* good and empty are what firmware takes */
static int check_status(const struct check *c)
{
	const char *verdict = check_verdict(c);

	if (!strcmp(verdict, "good") || !strcmp(verdict, "empty"))
		return 0;
	return c->error == -EIO || c->unreadable ? PVVMGS_TROUBLE : PVVMGS_BAD_FILE;
}

int command_check(char **arguments, const struct pvvmgs_options *o)
{
	static struct check c;
	struct file f;
	int r = file_open(&f, arguments[0], look(o));

	if (!r) {
		c.device = &f.device;
		c.store = &store;
		check_headers(&c);
		c.error = file_open_store(&f, &store);
		if (!c.error)
			check_files(&c);
		show_check(&c, o->json, stdout);
		r = check_status(&c);
	}
	file_close(&f);
	return r;
}

/* ---- dump */
static int write_out(const u8 *data, size_t len, const struct pvvmgs_options *o)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (o->hex) {
		show_hex(data, len, stdout);
		return 0;
	}
	/* state may be secret: nobody else's to read, also in a file that was there before (a terminal has no such mode) */
	if (o->out)
		fd = open(o->out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0 && fchmod(fd, 0600))
		fprintf(stderr, "pvvmgs: %s: %s; others may be able to read it\n", o->out, strerror(errno));
	r = o->out && fd < 0 ? -errno : fd_write_all(o->out ? fd : STDOUT_FILENO, data, len);
	if (r)
		fprintf(stderr, "pvvmgs: writing %s: %s\n", o->out ? o->out : "to standard output", strerror(-r));
	return r ? PVVMGS_TROUBLE : 0;
}

static int dump(struct file *f, u32 id, const struct pvvmgs_options *o)
{
	size_t len = 0;
	u8 *data = NULL;
	int r = file_open_store(f, &store);

	if (!r)
		r = vmgs_read(&store, &f->device, id, FILE_MAX, &data, &len);
	if (r)
		return say_problem(f->path, r);
	r = write_out(data, len, o);
	if (len)
		explicit_bzero(data, len);
	free(data);
	return r;
}

int command_dump(char **arguments, const struct pvvmgs_options *o)
{
	struct file f;
	u32 id;

	if (!vmgs_parse_name(arguments[1], &id)) {
		fprintf(stderr, "pvvmgs: %s is neither a file's number (1 to 62) nor its name; pvvmgs list shows what there is\n",
			arguments[1]);
		return PVVMGS_USAGE;
	}
	if (!o->hex && !o->out && isatty(STDOUT_FILENO)) {
		fputs("pvvmgs: a terminal is no place for these bytes; give -o FILE or --hex\n", stderr);
		return PVVMGS_USAGE;
	}
	int r = file_open(&f, arguments[0], look(o));

	if (!r)
		r = dump(&f, id, o);
	file_close(&f);
	return r;
}

/* ---- create */
/* a damaged store may be emptied, somebody's letter may not */
static int judge_old(struct file *f)
{
	if (file_open_store(f, &store) != -EINVAL)
		return 0;
	fprintf(stderr, "pvvmgs: %s: %s; what is something else is not overwritten: remove it first\n", f->path, store.problem);
	return PVVMGS_BAD_FILE;
}

int command_create(char **arguments, const struct pvvmgs_options *o)
{
	const char *path = arguments[0];
	bool over = o->force && !access(path, F_OK);
	struct file f;
	int r;

	if (over && (o->size || o->raw)) {
		fprintf(stderr, "pvvmgs: %s is there and keeps its size; leave out --size and --raw, or remove it\n", path);
		return PVVMGS_USAGE;
	}
	r = over ? file_open(&f, path, FILE_CHANGE) : file_create(&f, path, o->size ? o->size : VMGS_DEFAULT_CAPACITY, o->raw);
	if (!r && over)
		r = judge_old(&f);
	if (!r) {
		int error = vmgs_format(&store, &f.device);

		if (error)
			r = say_problem(path, error);
	}
	file_close(&f);
	return r;
}
