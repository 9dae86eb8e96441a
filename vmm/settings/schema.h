/* The document's messages as tables; both readers, protobuf and JSON, are driven by them. */
#pragma once

#include "vmm/settings/settings.h"

enum field_kind { FIELD_U32, FIELD_U64, FIELD_BOOL, FIELD_ENUM, FIELD_TEXT, FIELD_BYTES, FIELD_MESSAGE, FIELD_LIST,
	FIELD_IGNORED };

struct enum_name {
	const char *name;
	u32 value;
};

struct message;
struct field {
	const char *name;              /* as in the .proto; JSON may write it in camelCase */
	u32 number;
	enum field_kind kind;
	size_t offset;
	const struct message *message; /* MESSAGE, LIST */
	const struct enum_name *names; /* ENUM; ends with NULL */
};

struct message {
	size_t size;
	const struct field *fields;
	unsigned count;
};

/* bytes that are a document of another message */
struct settings_blob {
	u8 *data;
	size_t len;
};

struct settings_chunk {
	char *name;
	struct settings_blob settings;
};

extern const struct message schema_settings, schema_base;

/* into: zeroed, of the message's size; filled as far as it went, to be freed by schema_free() in any case */
int schema_read_protobuf(const struct message *m, const void *data, size_t len, void *into, struct settings_error *error);
int schema_read_json(const struct message *m, const void *data, size_t len, void *into, struct settings_error *error);
/* what a message points at, not the message itself */
void schema_free(const struct message *m, void *object);
/* standard base64 with padding; false: it is none */
bool base64_decode(const char *text, size_t len, struct settings_blob *ret);
