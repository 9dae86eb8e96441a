/*
 * The TPM's registers, ports and the framing of commands, against a guest that does anything: accesses of any size, buffers
 * anywhere, memory that is not there, calls of the worker in any order. The engine and who keeps its state are played here; what
 * reaches the engine is a whole command that fits.
 *
 * Input: a run of {u8 what, u8 region or call, u16 offset, u32 value}; what the guest's buffers have is the input itself.
 */
#include <errno.h>
#include <string.h>

#include "lib/core/check.h"
#include "lib/log/log.h"
#include "vmm/tpm/device.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define REGISTERS 0x200000ull
#define BUFFERS 0x201000ull

static struct tpm_device device;
static struct bytes guest;
static unsigned answers, commands;
static bool shut;

/* ---- the server */
void device_server_answer(struct device_server *s, struct device_access *a)
{
	answers += !a->answered;
	a->answered = true;
}

int device_server_memory(struct device_server *s, u64 gpa, void *data, size_t len, bool write)
{
	CHECK(len && len <= DEVICE_MEMORY_MAX);
	/* a guest may name its own registers' page for a buffer: it fools nobody but itself */
	if (range_within(gpa, len, REGISTERS, TPM_CRB_LEN)) {
		if (!write)
			memset(data, 0, len);
		return 0;
	}
	if (shut || !range_within(gpa, len, BUFFERS, 2 * TPM_BUFFER_LEN))
		return -EACCES;
	for (size_t i = 0; !write && i < len; i++)
		((u8 *)data)[i] = guest.left ? guest.at[(gpa - BUFFERS + i) % guest.left] : 0;
	return 0;
}

/* ---- the engine, its life */
int tpm_engine_command(struct bytes command, unsigned locality, u8 response[TPM_COMMAND_MAX], size_t *ret_len)
{
	CHECK(command.left >= 10 && command.left <= TPM_COMMAND_MAX && !locality);
	CHECK(((u32)command.at[2] << 24 | (u32)command.at[3] << 16 | (u32)command.at[4] << 8 | command.at[5]) == command.left);
	commands++;
	if (command.at[command.left - 1] == 0xee)
		return -EIO;
	*ret_len = 10 + command.at[9] * 16u;
	memset(response, 0xaa, *ret_len);
	return 0;
}

void tpm_engine_cancel(void)
{
}

int tpm_life_keep_ppi(struct tpm_device *d)
{
	return shut ? -EIO : 0;
}

void tpm_life_restart(struct tpm_device *d)
{
}

int tpm_life_hand_over(struct tpm_device *d)
{
	d->platform_on = false;
	return 0;
}

void tpm_life_inspect(struct tpm_device *d, struct inspect *in)
{
}

/* ---- */
static void quiet(enum log_level level, const char *domain, const char *text)
{
}

static void do_access(u8 what, u8 region, u16 offset, u64 value)
{
	struct device_access a = { .region = region % (TPM_REGIONS + 1), .offset = offset, .size = (u8)(1u << (what >> 4 & 3)),
				   .write = what & 4, .value = what & 4 ? value : ~0ull };
	unsigned before = commands;

	/* near the registers mostly: the whole page is the guest's to write to */
	if (what & 8)
		a.offset = a.region == TPM_REGION_PORTS ? offset % 8 & ~3u : offset % TPM_CRB_LEN & ~3u;
	tpm_device_ops.access(&device, &a);
	/* who started a command does not wait for its end */
	CHECK(commands == before || a.answered);
	CHECK(!device.crb.start);
}

static void save_and_restore(void)
{
	struct saver s;

	saver_init(&s);
	tpm_device_ops.save(&device, &s);
	CHECK(!saver_finish(&s) && !tpm_device_ops.restore(&device, bytes_of(s.data, s.len)));
	saver_fini(&s);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static u8 out[DEVICE_PAYLOAD_MAX];
	struct bytes b = bytes_of(data, size), rest;
	u8 what, region;
	u16 offset;
	u32 value;
	size_t len;

	log_set_sink(quiet);
	memset(&device, 0, sizeof(device));
	crb_init(&device.crb);
	guest = bytes_of(data + size / 2, size - size / 2);
	shut = false;
	while (bytes_u8(&b, &what) && bytes_u8(&b, &region) && bytes_u16(&b, &offset) && bytes_u32(&b, &value)) {
		const struct tpm_place place = { what & 4 ? REGISTERS : 0, what & 8 ? value : BUFFERS };

		switch (what & 3) {
		case 0:
		case 1: do_access(what, region, offset, value); break;
		case 2:
			if (what & 0x80)
				shut = !shut;
			else if (what & 0x40)
				save_and_restore();
			else
				(void)!tpm_device_ops.call(&device, TPM_CALL_PLACE, bytes_of(&place, sizeof(place)), out, &len);
			break;
		case 3:
			rest = bytes_of(b.at, MIN(b.left, (size_t)(offset & 63)));
			len = 0;
			/* the hashes are libcrypto's, and need a TPM that says which */
			if (region % 8 == TPM_CALL_PLACE || region % 8 > TPM_CALL_MEASURE_LAST)
				(void)!tpm_device_ops.call(&device, region % 8, rest, out, &len);
			else if (region & 0x80)
				(void)!tpm_device_ops.restore(&device, rest);
			CHECK(len <= sizeof(out));
		}
	}
	return 0;
}
