/*
 * IGVM files in memory: a reader that has checked everything before it hands anything out, and a writer.
 * No state outside the structures; any thread, one at a time for each object.
 */
#pragma once

#include "lib/core/types.h"
#include "spec/igvm.h"

#define IGVM_PLATFORM_MAX 32u
#define IGVM_AREA_MAX 64u
#define IGVM_VP_REGISTER_MAX 256u

struct igvm_area_info {
	u32 index;
	u64 size;
	bool inserted;
};

/* a checked file; borrows the bytes given to igvm_open(), which must outlive it */
struct igvm_file {
	const u8 *data;
	size_t len;
	u32 format_version;
	u32 headers_start, headers_end; /* byte offsets; data lies behind headers_end */
	u32 header_count;
	u32 skipped_count; /* optional headers of unknown type */
	struct igvm_supported_platform platforms[IGVM_PLATFORM_MAX];
	u32 platform_count;
	struct igvm_area_info areas[IGVM_AREA_MAX];
	u32 area_count;
};

struct igvm_header {
	u32 type; /* without the optional bit */
	bool optional;
	bool known; /* false: only optional ones come through, body holds nothing */
	u32 index; /* counted from 0 */
	u32 offset; /* of the header in the file */
	u32 length; /* of the body */
	u32 compatibility_mask; /* all ones when the type has none */
	union {
		struct igvm_supported_platform platform;
		struct igvm_guest_policy policy;
		struct igvm_relocatable_region relocatable;
		struct igvm_page_table_relocation page_table;
		struct igvm_parameter_area area;
		struct igvm_page_data page;
		struct igvm_parameter_insert insert;
		struct igvm_parameter parameter;
		struct igvm_vp_context vp;
		struct igvm_required_memory required;
		struct igvm_error_range error_range;
	} body;
};

struct igvm_cursor {
	const struct igvm_file *file;
	u32 at;
	u32 index;
};

struct igvm_register {
	u8 vtl;
	u32 name; /* HV_X64_REGISTER_* */
	u64 value[2];
};

/*
 * Checks the whole file: bounds, checksum, order of sections, every body, every reference into the data.
 * 0, or -EINVAL with one line in err that says what is wrong, at which header, and what to do. Unknown
 * optional headers are counted in skipped_count. *ret is valid only on 0.
 */
int igvm_open(const u8 *data, size_t len, struct igvm_file *ret, char *err, size_t err_len) __must_check;

/* walk the headers in file order: start with igvm_headers(), end when igvm_next() says false */
struct igvm_cursor igvm_headers(const struct igvm_file *file);
bool igvm_next(struct igvm_cursor *cursor, struct igvm_header *ret);

/* is type one of those whose body is struct igvm_parameter? */
bool igvm_is_parameter(u32 type);
/* gpa of a VP context header */
u64 igvm_vp_gpa(const struct igvm_vp_context *vp);
/* bytes of a page data header: NULL for a page of zeroes; *ret_len is 4 KiB, or 2 MiB with that flag */
const u8 *igvm_page_bytes(const struct igvm_file *file, const struct igvm_page_data *page, u64 *ret_len);
/* initial bytes of a parameter area, number_of_bytes long; NULL for zeroes */
const u8 *igvm_area_bytes(const struct igvm_file *file, const struct igvm_parameter_area *area);
/* registers of a VP context for VSM_ISOLATION; 0 when the context has another platform's format */
u32 igvm_register_count(const struct igvm_file *file, const struct igvm_vp_context *vp);
struct igvm_register igvm_register_at(const struct igvm_file *file, const struct igvm_vp_context *vp, u32 index);
/* the platform header for a platform type, NULL when the file does not support it */
const struct igvm_supported_platform *igvm_platform(const struct igvm_file *file, u8 platform_type);

/* "PAGE_DATA", "VSM_ISOLATION", "rip"; NULL when there is no name */
const char *igvm_type_name(u32 type);
const char *igvm_platform_name(u8 platform_type);
const char *igvm_register_name(u32 name);
/* length the body must have; 0 when any will do (types whose body we do not read) */
u32 igvm_body_length(u32 type);

/*
 * Writer. Headers come out in the order given; the caller keeps to the order of sections. Same calls,
 * same bytes. Running out of memory is remembered and reported by igvm_writer_finish().
 */
struct igvm_buffer {
	u8 *bytes;
	size_t len, room;
};

struct igvm_writer {
	struct igvm_buffer headers, data;
	bool failed;
};

void igvm_writer_init(struct igvm_writer *w);
void igvm_writer_fini(struct igvm_writer *w);
/* adds a header whose body has no file offset */
void igvm_writer_header(struct igvm_writer *w, u32 type, const void *body, u32 len);
/* adds one page of page data; NULL or a page of zeroes takes no room in the file */
void igvm_writer_page(struct igvm_writer *w, u64 gpa, u32 mask, u32 flags, const u8 *page);
/* adds a parameter area that starts as zeroes */
void igvm_writer_area(struct igvm_writer *w, u32 index, u64 size);
/* adds a VP context for VSM_ISOLATION, VP 0 */
void igvm_writer_vp(struct igvm_writer *w, u32 mask, const struct igvm_register *registers, u32 count);
/*
 * the file, malloc'd, into *ret. 0, -ENOMEM, or -EFBIG past 4 GiB; the writer may only be fini'd
 * afterwards
 */
int igvm_writer_finish(struct igvm_writer *w, u8 **ret, size_t *ret_len) __must_check;
