#include "lib/state/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/crc32.h"
#include "lib/core/grow.h"

#define HEADER_LEN 16u
#define STATE_MAX (64 * MiB)

void saver_put(struct saver *s, const void *data, size_t len)
{
	if (s->error)
		return;
	if (s->len + len > STATE_MAX) {
		s->error = -EFBIG;
		return;
	}
	if (!grow(&s->data, &s->room, s->len + len, 1024)) {
		s->error = -ENOMEM;
		return;
	}
	if (len)
		memcpy(s->data + s->len, data, len);
	s->len += len;
}

void saver_init(struct saver *s)
{
	static const u8 room[HEADER_LEN];

	*s = (struct saver){ 0 };
	saver_put(s, room, sizeof(room));
}

void saver_fini(struct saver *s)
{
	free(s->data);
	*s = (struct saver){ 0 };
}

void saver_u8(struct saver *s, u8 value) { saver_put(s, &value, sizeof(value)); }
void saver_u16(struct saver *s, u16 value) { saver_put(s, &value, sizeof(value)); }
void saver_u32(struct saver *s, u32 value) { saver_put(s, &value, sizeof(value)); }
void saver_u64(struct saver *s, u64 value) { saver_put(s, &value, sizeof(value)); }

size_t saver_open(struct saver *s, u32 tag, u16 version, u16 flags)
{
	saver_u32(s, tag);
	saver_u16(s, version);
	saver_u16(s, flags);
	saver_u32(s, 0);
	return s->len;
}

static void patch(struct saver *s, size_t at, u32 value)
{
	memcpy(s->data + at, &value, sizeof(value));
}

void saver_close(struct saver *s, size_t mark)
{
	if (!s->error)
		patch(s, mark - 4, (u32)(s->len - mark));
}

int saver_finish(struct saver *s)
{
	if (s->error)
		return s->error;
	patch(s, 0, STATE_MAGIC);
	patch(s, 4, STATE_VERSION);
	patch(s, 8, (u32)(s->len - HEADER_LEN));
	patch(s, 12, crc32_update(0, s->data + HEADER_LEN, s->len - HEADER_LEN));
	return 0;
}

int loader_init(struct loader *l, const void *data, size_t len)
{
	struct bytes b = bytes_of(data, len);
	u32 magic, version, length, crc;

	if (!bytes_u32(&b, &magic) || !bytes_u32(&b, &version) || !bytes_u32(&b, &length) || !bytes_u32(&b, &crc))
		return -EPROTO;
	if (magic != STATE_MAGIC || length != b.left)
		return -EPROTO;
	if (version != STATE_VERSION)
		return -ENOTSUP;
	if (crc32_update(0, b.at, b.left) != crc)
		return -EBADMSG;
	l->left = b;
	return 0;
}

struct loader loader_within(const struct record *record)
{
	return (struct loader){ record->body };
}

int loader_next(struct loader *l, struct record *ret)
{
	struct bytes b = l->left;
	struct record r;
	u32 length;

	if (!b.left)
		return 0;
	if (!bytes_u32(&b, &r.tag) || !bytes_u16(&b, &r.version) || !bytes_u16(&b, &r.flags) || !bytes_u32(&b, &length) ||
	    !bytes_take(&b, length, &r.body))
		return -EPROTO;
	l->left = b;
	*ret = r;
	return 1;
}

int loader_unknown(const struct record *record)
{
	return record->flags & STATE_OPTIONAL ? 0 : -ENOTSUP;
}

int loader_find(struct loader l, u32 tag, u16 max_version, struct record *ret)
{
	struct record r;
	int more;

	while ((more = loader_next(&l, &r)) > 0) {
		if (r.tag != tag)
			continue;
		if (r.version > max_version)
			return -ENOTSUP;
		*ret = r;
		return 0;
	}
	return more ? more : -ENOENT;
}
