#include "vmm/device_worker/message.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define BOTH (1u << DEVICE_COMMAND | 1u << DEVICE_ANSWER)

/* what may come in which direction, with how much behind it; that of an answer, where it differs */
static const struct rule {
	u32 directions, least, most, answer_most;
} rules[DEVICE_MESSAGE_TYPES] = {
	[DEVICE_ACCESS] = { 1u << DEVICE_TO_DEVICE, 0, 0, 0 },
	[DEVICE_ACCESS_DONE] = { 1u << DEVICE_TO_PROXY, 0, 0, 0 },
	[DEVICE_LINE] = { 1u << DEVICE_TO_PROXY, 0, 0, 0 },
	[DEVICE_MEMORY_READ] = { 1u << DEVICE_TO_PROXY, 0, 0, 0 },
	[DEVICE_MEMORY_WRITE] = { 1u << DEVICE_TO_PROXY, 1, DEVICE_MEMORY_MAX, 0 },
	[DEVICE_MEMORY_DONE] = { 1u << DEVICE_TO_DEVICE, 0, DEVICE_MEMORY_MAX, 0 },
	[DEVICE_START] = { BOTH, 0, 0, 0 },
	[DEVICE_STOP] = { BOTH, 0, 0, 0 },
	[DEVICE_RESET] = { BOTH, 0, 0, 0 },
	[DEVICE_SAVE] = { BOTH, 0, 0, DEVICE_PAYLOAD_MAX },
	[DEVICE_RESTORE] = { BOTH, 1, DEVICE_PAYLOAD_MAX, 0 },
	[DEVICE_INSPECT] = { BOTH, 0, DEVICE_PATH_MAX, DEVICE_PAYLOAD_MAX },
	[DEVICE_CALL] = { BOTH, 0, DEVICE_PAYLOAD_MAX, DEVICE_PAYLOAD_MAX },
	[DEVICE_END] = { BOTH, 0, 0, 0 },
};

static bool fields_fit(const struct device_message *m)
{
	switch (m->type) {
	case DEVICE_ACCESS: return (m->size == 1 || m->size == 2 || m->size == 4 || m->size == 8) && m->write <= 1;
	case DEVICE_LINE: return m->value <= 1;
	case DEVICE_MEMORY_READ: return m->value && m->value <= DEVICE_MEMORY_MAX;
	case DEVICE_INSPECT: return m->value <= UINT32_MAX;
	}
	return true;
}

bool device_message_parse(struct bytes b, enum device_direction direction, struct device_message *ret,
			  struct bytes *ret_payload)
{
	struct device_message m;

	if (!bytes_copy(&b, &m, sizeof(m)) || m.len != b.left || !m.type || m.type >= DEVICE_MESSAGE_TYPES || m.error > 0 ||
	    m.error < -4095 || m.pad)
		return false;
	const struct rule *r = &rules[m.type];
	bool answer = direction == DEVICE_ANSWER;

	if (!(r->directions & 1u << direction) || m.len < (answer ? 0 : r->least) ||
	    m.len > (answer ? r->answer_most : r->most) || !fields_fit(&m))
		return false;
	*ret = m;
	*ret_payload = b;
	return true;
}

int device_message_send(int fd, const struct device_message *m, const void *payload)
{
	struct iovec iov[2] = { { (void *)m, sizeof(*m) }, { (void *)payload, m->len } };
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = m->len ? 2 : 1 };
	ssize_t n = sendmsg(fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n < 0 ? -errno : (size_t)n == sizeof(*m) + m->len ? 0 : -EMSGSIZE;
}
