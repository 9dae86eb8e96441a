#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/check.h"
#include "lib/vmgs/internal.h"

/*
 * The steps of each kind. What was written before is flushed before the headers are believed: who wrote them may have died
 * between a header and its flush, and the next change goes over blocks that the older header still needs.
 */
enum open_stage { OPEN_FLUSH, OPEN_HEADERS, OPEN_TABLE, OPEN_OVER };
/* One header is gone for good before the other is touched: without either, a device counts as never formatted. */
enum format_stage { FORMAT_FLUSH, FORMAT_HEADERS, FORMAT_ZERO_OLDER, FORMAT_FLUSH_OLDER, FORMAT_ZERO_ACTIVE, FORMAT_FLUSH_ACTIVE,
		    FORMAT_TABLES, FORMAT_FLUSH_TABLES, FORMAT_HEADER, FORMAT_FLUSH_HEADER, FORMAT_OVER };
enum read_stage { READ_DATA, READ_OVER };
enum commit_stage { COMMIT_DATA, COMMIT_TABLE, COMMIT_FLUSH, COMMIT_HEADER, COMMIT_FLUSH_HEADER, COMMIT_OVER };

static const unsigned stages[] = { [VMGS_OPERATION_OPEN] = OPEN_OVER, [VMGS_OPERATION_FORMAT] = FORMAT_OVER,
				   [VMGS_OPERATION_READ] = READ_OVER, [VMGS_OPERATION_COMMIT] = COMMIT_OVER };

#define FORMAT_TABLE_BLOCK VMGS_MIN_FILE_BLOCK
#define FORMAT_EXTENDED_BLOCK (VMGS_MIN_FILE_BLOCK + 1)

static struct vmgs_step flush_step(void)
{
	return (struct vmgs_step){ .kind = VMGS_FLUSH };
}

static u64 header_offset(const struct vmgs *v, unsigned place)
{
	return (u64)place * v->sector_size;
}

static struct vmgs_step header_step(struct vmgs_operation *op, unsigned place, const struct vmgs_header *h)
{
	u32 sector = op->store->sector_size;

	memset(op->sectors, 0, sector);
	if (h)
		memcpy(op->sectors, h, sizeof(*h));
	return (struct vmgs_step){ VMGS_WRITE, header_offset(op->store, place), op->sectors, sector };
}

static struct vmgs_step table_step(struct vmgs_operation *op, enum vmgs_step_kind kind)
{
	return (struct vmgs_step){ kind, (u64)op->next_header.file_table_offset * VMGS_BLOCK_SIZE, &op->next_table,
				   sizeof(op->next_table) };
}

static struct vmgs_step data_step(const struct vmgs_operation *op, enum vmgs_step_kind kind, size_t len)
{
	return (struct vmgs_step){ kind, op->offset, op->data, len };
}

/* ---- opening */
static struct vmgs_step open_step(struct vmgs_operation *op)
{
	switch (op->stage) {
	case OPEN_HEADERS: return (struct vmgs_step){ VMGS_READ, 0, op->sectors, 2 * op->store->sector_size };
	case OPEN_TABLE: return table_step(op, VMGS_READ);
	}
	return flush_step();
}

static void become(struct vmgs_operation *op)
{
	struct vmgs *v = op->store;

	v->header = op->next_header;
	v->table = op->next_table;
	v->active = op->next_active;
	v->state = VMGS_OPEN;
}

static int opened(struct vmgs_operation *op)
{
	if (op->stage == OPEN_HEADERS) {
		int r = vmgs_headers_judge(op->store, op->sectors, &op->next_active);

		if (!r)
			memcpy(&op->next_header, op->sectors + header_offset(op->store, op->next_active),
			       sizeof(op->next_header));
		return r;
	}
	if (op->stage == OPEN_TABLE) {
		int r = vmgs_table_judge(op->store, &op->next_table, op->next_header.file_table_offset);

		if (!r)
			become(op);
		return r;
	}
	return 0;
}

/* ---- formatting */
static void format_fill(struct vmgs_operation *op)
{
	struct vmgs_file_table *table = &op->next_table;

	table->entries[VMGS_FILE_TABLE] = (struct vmgs_file_entry){
		.offset = FORMAT_TABLE_BLOCK, .allocation_size = 1, .valid_data_size = VMGS_BLOCK_SIZE };
	table->entries[VMGS_EXTENDED_FILE_TABLE] = (struct vmgs_file_entry){
		.offset = FORMAT_EXTENDED_BLOCK, .allocation_size = 1, .valid_data_size = VMGS_BLOCK_SIZE };
	op->next_header = (struct vmgs_header){
		.signature = VMGS_SIGNATURE, .version = VMGS_VERSION_3_0, .sequence = 1,
		.header_size = sizeof(struct vmgs_header), .file_table_offset = FORMAT_TABLE_BLOCK,
		.file_table_size = VMGS_FILE_TABLE_BLOCKS };
	vmgs_header_seal(&op->next_header);
	/* the second block is the extended table: zeroes */
	memcpy(op->data, table, sizeof(*table));
}

static struct vmgs_step format_step(struct vmgs_operation *op)
{
	switch (op->stage) {
	case FORMAT_HEADERS: return (struct vmgs_step){ VMGS_READ, 0, op->sectors, 2 * op->store->sector_size };
	case FORMAT_ZERO_OLDER: return header_step(op, !op->next_active, NULL);
	case FORMAT_ZERO_ACTIVE: return header_step(op, op->next_active, NULL);
	case FORMAT_TABLES: return data_step(op, VMGS_WRITE, op->room);
	case FORMAT_HEADER: return header_step(op, 0, &op->next_header);
	}
	return flush_step();
}

static int formatted(struct vmgs_operation *op)
{
	struct vmgs *v = op->store;

	if (op->stage == FORMAT_HEADERS && vmgs_headers_judge(v, op->sectors, &op->next_active))
		op->next_active = 0; /* nothing to keep */
	if (op->stage == FORMAT_FLUSH_HEADER) {
		op->next_active = 0;
		become(op);
		v->problem[0] = 0;
	}
	return 0;
}

/* ---- changing */
static struct vmgs_step commit_step(struct vmgs_operation *op)
{
	switch (op->stage) {
	case COMMIT_DATA: return data_step(op, VMGS_WRITE, op->room);
	case COMMIT_TABLE: return table_step(op, VMGS_WRITE);
	case COMMIT_HEADER: return header_step(op, op->next_active, &op->next_header);
	}
	return flush_step();
}

static bool is_over(const struct vmgs_operation *op)
{
	return op->error || op->stage >= stages[op->kind];
}

bool vmgs_next(struct vmgs_operation *op, struct vmgs_step *ret)
{
	if (is_over(op))
		return false;
	switch (op->kind) {
	case VMGS_OPERATION_OPEN: *ret = open_step(op); break;
	case VMGS_OPERATION_FORMAT: *ret = format_step(op); break;
	case VMGS_OPERATION_READ: *ret = data_step(op, VMGS_READ, op->room); break;
	case VMGS_OPERATION_COMMIT: *ret = commit_step(op); break;
	}
	return true;
}

/* from here on the device may have the new state already */
static void doubt(struct vmgs_operation *op)
{
	if (op->kind == VMGS_OPERATION_COMMIT && op->stage >= COMMIT_HEADER)
		op->store->state = VMGS_DOUBT;
}

void vmgs_stepped(struct vmgs_operation *op, int error)
{
	CHECK(!is_over(op));
	if (error) {
		doubt(op);
		op->error = vmgs_problem(op->store, error, "the device: %s", strerror(-error));
		return;
	}
	if (op->kind == VMGS_OPERATION_OPEN)
		op->error = opened(op);
	else if (op->kind == VMGS_OPERATION_FORMAT)
		op->error = formatted(op);
	else if (op->kind == VMGS_OPERATION_COMMIT && op->stage == COMMIT_FLUSH_HEADER)
		become(op);
	op->stage++;
}

/* ---- beginning and end */
static void begin(struct vmgs_operation *op, struct vmgs *v, enum vmgs_operation_kind kind)
{
	memset(op, 0, sizeof(*op));
	op->store = v;
	op->kind = kind;
	v->problem[0] = 0;
}

static int give_room(struct vmgs_operation *op, size_t room)
{
	op->data = room ? calloc(1, room) : NULL;
	if (room && !op->data)
		return vmgs_problem(op->store, -ENOMEM, "no memory for %zu bytes", room);
	op->room = room;
	return 0;
}

static int begin_device(struct vmgs_operation *op, struct vmgs *v, u64 capacity, u32 sector_size, enum vmgs_operation_kind kind)
{
	begin(op, v, kind);
	v->state = VMGS_CLOSED;
	v->capacity = capacity;
	v->sector_size = sector_size;
	return vmgs_geometry_judge(v, capacity, sector_size);
}

int vmgs_begin_open(struct vmgs_operation *op, struct vmgs *v, u64 capacity, u32 sector_size)
{
	return begin_device(op, v, capacity, sector_size, VMGS_OPERATION_OPEN);
}

int vmgs_begin_format(struct vmgs_operation *op, struct vmgs *v, u64 capacity, u32 sector_size)
{
	int r = begin_device(op, v, capacity, sector_size, VMGS_OPERATION_FORMAT);

	if (!r)
		r = give_room(op, 2 * VMGS_BLOCK_SIZE);
	if (r)
		return r;
	op->offset = (u64)FORMAT_TABLE_BLOCK * VMGS_BLOCK_SIZE;
	format_fill(op);
	return 0;
}

static int usable(struct vmgs *v)
{
	if (v->state == VMGS_DOUBT)
		return vmgs_problem(v, -EIO, "a change failed half-way: the store must be opened again");
	return v->state == VMGS_OPEN ? 0 : vmgs_problem(v, -EBADF, "the store is not open");
}

static int usable_file(struct vmgs *v, u32 id)
{
	int r = usable(v);

	if (r)
		return r;
	if (!id || id >= VMGS_EXTENDED_FILE_TABLE)
		return vmgs_problem(v, -EPERM, "%u is not the number of a file: 1 to 62 are", id);
	return 0;
}

int vmgs_begin_read(struct vmgs_operation *op, struct vmgs *v, u32 id, u64 max)
{
	struct vmgs_file f;

	begin(op, v, VMGS_OPERATION_READ);
	int r = usable_file(v, id);

	if (r)
		return r;
	if (!vmgs_find(v, id, &f))
		return vmgs_problem(v, -ENOENT, "there is no file %u", id);
	if (f.encrypted)
		return vmgs_problem(v, -ENOKEY, "file %u is encrypted, with a key that is not kept here", id);
	if (f.len > max)
		return vmgs_problem(v, -EFBIG, "file %u has %lu bytes, more than %lu", id, f.len, max);
	op->len = f.len;
	op->offset = (u64)f.block * VMGS_BLOCK_SIZE;
	if (!f.len)
		op->stage = READ_OVER;
	return give_room(op, ALIGN_UP(f.len, v->sector_size));
}

/* places for the new table, and for a file of that many blocks */
static int find_places(struct vmgs_operation *op, u32 blocks, u32 *ret_block)
{
	struct vmgs *v = op->store;
	struct extents used;
	u32 free_count, largest;

	vmgs_extents_of(v, &used);
	op->next_header.file_table_offset = vmgs_extents_hole(&used, VMGS_FILE_TABLE_BLOCKS, block_count(v));
	if (op->next_header.file_table_offset) {
		vmgs_extents_add(&used, op->next_header.file_table_offset, VMGS_FILE_TABLE_BLOCKS);
		*ret_block = blocks ? vmgs_extents_hole(&used, blocks, block_count(v)) : 0;
	}
	if (op->next_header.file_table_offset && (!blocks || *ret_block))
		return 0;
	vmgs_free_blocks(v, &free_count, &largest);
	return vmgs_problem(v, -ENOSPC, "no room: %u blocks together and one for the table are needed, %u are free, %u of them"
			    " together", blocks, free_count, largest);
}

/* what is there, with a header after the one that counts */
static void begin_next(struct vmgs_operation *op)
{
	op->next_header = op->store->header;
	op->next_table = op->store->table;
	op->next_active = !op->store->active;
}

static void seal_next(struct vmgs_operation *op)
{
	op->next_header.sequence++;
	vmgs_header_seal(&op->next_header);
}

static int begin_change(struct vmgs_operation *op, struct vmgs *v, u32 id, u32 blocks, u32 *ret_block)
{
	begin(op, v, VMGS_OPERATION_COMMIT);
	int r = usable_file(v, id);

	if (!r && v->header.encryption_algorithm != VMGS_ENCRYPTION_NONE)
		r = vmgs_problem(v, -ENOKEY, "the store is encrypted, with a key that is not kept here");
	if (r)
		return r;
	begin_next(op);
	r = find_places(op, blocks, ret_block);
	if (r)
		return r;
	op->next_table.entries[VMGS_FILE_TABLE] = (struct vmgs_file_entry){
		.offset = op->next_header.file_table_offset, .allocation_size = VMGS_FILE_TABLE_BLOCKS,
		.valid_data_size = sizeof(op->next_table) };
	seal_next(op);
	return 0;
}

int vmgs_begin_mark(struct vmgs_operation *op, struct vmgs *v, bool reprovisioned)
{
	begin(op, v, VMGS_OPERATION_COMMIT);
	int r = usable(v);

	if (r)
		return r;
	begin_next(op);
	op->next_header.markers &= (u16)~VMGS_MARKER_REPROVISIONED;
	op->next_header.markers |= reprovisioned ? VMGS_MARKER_REPROVISIONED : 0;
	seal_next(op);
	op->stage = COMMIT_HEADER;
	return 0;
}

int vmgs_begin_write(struct vmgs_operation *op, struct vmgs *v, u32 id, const void *data, u64 len)
{
	u32 blocks, block = 0;

	if (len > v->capacity)
		return vmgs_problem(v, -EFBIG, "%lu bytes are more than the device has", len);
	/* an empty file has a block too: one without is none */
	blocks = MAX((u32)(ALIGN_UP(len, VMGS_BLOCK_SIZE) / VMGS_BLOCK_SIZE), 1u);
	int r = begin_change(op, v, id, blocks, &block);

	/* whole blocks: what another file left behind this one's end goes */
	if (!r)
		r = give_room(op, (size_t)blocks * VMGS_BLOCK_SIZE);
	if (r)
		return r;
	op->len = len;
	op->offset = (u64)block * VMGS_BLOCK_SIZE;
	if (len)
		memcpy(op->data, data, len);
	op->next_table.entries[id] = (struct vmgs_file_entry){
		.offset = block, .allocation_size = blocks, .valid_data_size = len };
	return 0;
}

int vmgs_begin_remove(struct vmgs_operation *op, struct vmgs *v, u32 id)
{
	struct vmgs_file f;
	u32 none;
	int r = begin_change(op, v, id, 0, &none);

	if (r)
		return r;
	if (!vmgs_find(v, id, &f))
		return vmgs_problem(v, -ENOENT, "there is no file %u", id);
	op->next_table.entries[id] = (struct vmgs_file_entry){ 0 };
	op->stage = COMMIT_TABLE;
	return 0;
}

void vmgs_end(struct vmgs_operation *op)
{
	if (!is_over(op))
		doubt(op);
	if (op->data)
		explicit_bzero(op->data, op->room);
	free(op->data);
	op->data = NULL;
	op->stage = stages[op->kind];
}
