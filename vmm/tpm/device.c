#include "vmm/tpm/device.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "spec/tpm.h"
#include "vmm/tpm/measure.h"

LOG_DOMAIN("tpm");

#define COMMAND_HEADER 10u  /* tag, size, code: TPM 2.0 part 1, 18 */
#define TICK_US 20000
#define LIMIT_TICKS (90 * 1000000 / TICK_US) /* as long as firmware waits (mu_msvm Tpm2DeviceLib.c); then it is cancelled */
#define GRACE_TICKS (30 * 1000000 / TICK_US) /* who does not hear that is killed */
#define STATE_VERSION 1u

/* what signal handlers look at */
static volatile sig_atomic_t executing, cancelled, ticks;
static int events_fd;

/* ---- cancelling a command that runs, from a signal: one thread is all there is */
static bool cancels(const struct device_message *m)
{
	return m->type == DEVICE_ACCESS && m->write && m->value && m->region <= TPM_REGION_PAGE && m->offset == CRB_CTRL_CANCEL;
}

/* something came: only the first message is looked at, the registers are read from RAM while a command runs */
static void on_message(int signal)
{
	struct device_message m;
	int saved = errno;

	if (executing && recv(events_fd, &m, sizeof(m), MSG_PEEK | MSG_DONTWAIT) == sizeof(m) && cancels(&m))
		cancelled = 1;
	if (cancelled)
		tpm_engine_cancel();
	errno = saved;
}

/* again and again: the engine forgets a cancel that came just before a command */
static void on_time(int signal)
{
	ticks++;
	if (ticks >= LIMIT_TICKS + GRACE_TICKS)
		_exit(TPM_EXIT_OVERDUE);
	if (ticks >= LIMIT_TICKS)
		cancelled = 1;
	if (cancelled)
		tpm_engine_cancel();
}

static void watch_begin(struct tpm_device *d)
{
	const struct itimerval tick = { .it_value.tv_usec = TICK_US, .it_interval.tv_usec = TICK_US };

	ticks = 0;
	cancelled = d->crb.cancel != 0;
	executing = 1;
	setitimer(ITIMER_REAL, &tick, NULL);
	/* also what came before the signal was let through */
	sigprocmask(SIG_UNBLOCK, &d->message_signal, NULL);
	on_message(0);
}

static void watch_end(struct tpm_device *d)
{
	const struct itimerval off = { .it_value.tv_sec = 0 };

	sigprocmask(SIG_BLOCK, &d->message_signal, NULL);
	executing = 0;
	setitimer(ITIMER_REAL, &off, NULL);
	d->overdue += ticks >= LIMIT_TICKS;
}

/* ---- registers in the guest's RAM */
/* what changed goes there before the access is answered: the guest looks right after it */
static void publish(struct tpm_device *d)
{
	u8 image[TPM_CRB_LEN];
	u32 first = 0, end = TPM_CRB_LEN;

	if (!d->place.registers)
		return;
	crb_image(&d->crb, image);
	while (first < end && image[first] == d->shown[first])
		first++;
	while (end > first && image[end - 1] == d->shown[end - 1])
		end--;
	if (first == end)
		return;
	if (device_server_memory(d->server, d->place.registers + first, image + first, end - first, true))
		d->memory_failures++;
	else
		memcpy(d->shown, image, sizeof(image));
}

/* ---- commands */
static u32 be32(const u8 *p)
{
	return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

static size_t failure(u8 *response, u32 code)
{
	const u8 bytes[COMMAND_HEADER] = { 0x80, 1, 0, 0, 0, COMMAND_HEADER, (u8)(code >> 24), (u8)(code >> 16), (u8)(code >> 8),
					   (u8)code };

	memcpy(response, bytes, sizeof(bytes));
	return sizeof(bytes);
}

static int memory(struct tpm_device *d, u64 gpa, u8 *data, size_t len, bool write)
{
	int r = 0;

	for (size_t at = 0; !r && at < len; at += DEVICE_MEMORY_MAX)
		r = device_server_memory(d->server, gpa + at, data + at, MIN(len - at, (size_t)DEVICE_MEMORY_MAX), write);
	return r;
}

/* the length of a response to what the buffer has, or -errno: the guest's memory is not there */
static int run(struct tpm_device *d)
{
	u32 room = MIN(d->crb.command_size, (u32)TPM_COMMAND_MAX);
	size_t len = 0;
	int r = room < COMMAND_HEADER ? -EFAULT : memory(d, d->crb.command, d->command, COMMAND_HEADER, false);

	if (r)
		return r;
	u32 size = be32(d->command + 2);

	if (size < COMMAND_HEADER || size > room)
		return (int)failure(d->response, TPM_RC_COMMAND_SIZE);
	if (size > COMMAND_HEADER)
		r = memory(d, d->crb.command + COMMAND_HEADER, d->command + COMMAND_HEADER, size - COMMAND_HEADER, false);
	if (r)
		return r;
	watch_begin(d);
	r = tpm_engine_command(bytes_of(d->command, size), 0, d->response, &len);
	watch_end(d);
	return r ? (int)failure(d->response, TPM_RC_FAILURE) : (int)len;
}

static void execute(struct tpm_device *d)
{
	int len = run(d), r = len < 0 ? len : 0;

	d->commands++;
	if (!r && (u32)len > d->crb.response_size)
		r = -EFAULT;
	if (!r) {
		d->last_code = be32(d->response + 6);
		d->failed_commands += d->last_code != 0;
		r = memory(d, d->crb.response, d->response, (size_t)len, true);
	}
	if (r) {
		d->memory_failures++;
		log_guest("the buffers of a command cannot be reached: %s", strerror(-r));
	}
	crb_done(&d->crb, r != 0);
	publish(d);
	/* authorisation values and keys go through here */
	explicit_bzero(d->command, sizeof(d->command));
	explicit_bzero(d->response, sizeof(d->response));
}

/* ---- accesses */
static void write_register(struct tpm_device *d, struct device_access *a)
{
	if (a->size > 4 || a->offset % 4) {
		d->bad_accesses++;
		return;
	}
	enum crb_action action = crb_write(&d->crb, (u32)a->offset, (u32)a->value);

	publish(d);
	if (action != CRB_EXECUTE)
		return;
	/* the guest goes on, and polls */
	device_server_answer(d->server, a);
	execute(d);
}

/* the proxy lets it be there from now on: it has seen the same access */
static void map_shared_memory(struct tpm_device *d, u32 gpa)
{
	if (d->crb.start)
		return;
	crb_set_buffers(&d->crb, gpa, TPM_BUFFER_LEN, gpa + (u64)TPM_BUFFER_LEN, TPM_BUFFER_LEN);
	publish(d);
}

static void write_data(struct tpm_device *d, u32 value)
{
	if (d->port_command == TPM_PORT_MAP_SHARED_MEMORY)
		map_shared_memory(d, value);
	else if (ppi_port_write(&d->ppi, d->port_command, value) && tpm_life_keep_ppi(d))
		log_guest("a physical presence request cannot be kept: it is forgotten with this machine");
}

static u32 read_data(struct tpm_device *d)
{
	u32 value = ~0u;

	if (d->port_command == TPM_PORT_ESTABLISHED)
		value = (u32)d->crb.command;
	else if (!ppi_port_read(&d->ppi, d->port_command, &value))
		value = ~0u;
	return value;
}

static void port(struct tpm_device *d, struct device_access *a)
{
	if (a->size != 4 || (a->offset != TPM_PORT_CONTROL && a->offset != TPM_PORT_DATA))
		d->bad_accesses++;
	else if (a->write && a->offset == TPM_PORT_CONTROL)
		d->port_command = (u32)a->value;
	else if (a->write)
		write_data(d, (u32)a->value);
	else if (a->offset == TPM_PORT_DATA)
		a->value = read_data(d);
}

static void access_it(void *device, struct device_access *a)
{
	struct tpm_device *d = device;

	if (a->region == TPM_REGION_PORTS)
		port(d, a);
	else if (a->region > TPM_REGION_PAGE || !range_within(a->offset, a->size, 0, TPM_CRB_LEN))
		d->bad_accesses++;
	else if (a->write)
		write_register(d, a);
	else
		a->value = crb_read(&d->crb, (u32)a->offset, a->size);
}

/* ---- what the worker asks */
static int place(struct tpm_device *d, struct bytes in)
{
	struct tpm_place p;

	if (!bytes_copy(&in, &p, sizeof(p)) || in.left)
		return -EPROTO;
	d->place = p;
	memset(d->shown, 0xff, sizeof(d->shown)); /* nothing is there yet */
	if (p.buffers)
		crb_set_buffers(&d->crb, p.buffers, TPM_BUFFER_LEN, p.buffers + TPM_BUFFER_LEN, TPM_BUFFER_LEN);
	publish(d);
	return 0;
}

/* what VTL0 is made of is measured; the firmware itself gives no command any more */
static int measure_last(struct tpm_device *d)
{
	int r = measure_separators(&d->measure);

	if (!r)
		r = tpm_life_hand_over(d);
	d->measured = true;
	return r;
}

static int read_log(struct tpm_device *d, u8 *out, size_t *ret_len)
{
	struct bytes log = measure_log(&d->measure);

	if (log.left > DEVICE_PAYLOAD_MAX)
		return -E2BIG;
	if (log.left)
		memcpy(out, log.at, log.left);
	*ret_len = log.left;
	return 0;
}

static int measuring(struct tpm_device *d, u64 operation, struct bytes in)
{
	struct tpm_measure m;

	if (d->measured)
		return -EPERM; /* VTL0 may run: what is measured now is its own business */
	switch (operation) {
	case TPM_CALL_MEASURE_BEGIN:
		if (!bytes_copy(&in, &m, sizeof(m)) || in.left || m.pcr >= TPM_MEASURE_PCRS || d->measure.open)
			return -EPROTO;
		measure_begin(&d->measure, m.pcr, m.event);
		return 0;
	case TPM_CALL_MEASURE_DATA:
		if (!d->measure.open)
			return -EPROTO;
		measure_data(&d->measure, in);
		return 0;
	case TPM_CALL_MEASURE_END: return d->measure.open ? measure_end(&d->measure, in) : -EPROTO;
	case TPM_CALL_MEASURE_LAST: return d->measure.open ? -EPROTO : measure_last(d);
	}
	return -ENOTSUP;
}

static int call(void *device, u64 operation, struct bytes in, u8 *out, size_t *ret_len)
{
	struct tpm_device *d = device;

	if (operation == TPM_CALL_PLACE)
		return place(d, in);
	if (operation == TPM_CALL_LOG)
		return read_log(d, out, ret_len);
	int r = measuring(d, operation, in);

	if (r > 0)
		return log_err(-EIO, "measuring: the TPM says %#x", r);
	return r;
}

static void reset(void *device)
{
	struct tpm_device *d = device;

	crb_init(&d->crb);
	d->port_command = 0;
	d->measured = false;
	tpm_life_restart(d);
	if (d->place.buffers)
		crb_set_buffers(&d->crb, d->place.buffers, TPM_BUFFER_LEN, d->place.buffers + TPM_BUFFER_LEN, TPM_BUFFER_LEN);
	publish(d);
}

/*
 * What goes through the worker: registers. What the TPM remembers stays in this process, which lives on when a worker is followed
 * by another; the worker must not see it.
 */
static void save(void *device, struct saver *s)
{
	struct tpm_device *d = device;
	size_t mark = saver_open(s, STATE_TAG('T', 'C', 'R', 'B'), STATE_VERSION, 0);

	crb_save(&d->crb, s);
	saver_u32(s, d->port_command);
	saver_close(s, mark);
}

static int restore(void *device, struct bytes state)
{
	struct tpm_device *d = device;
	struct loader l;
	struct record registers;
	struct crb crb = d->crb;
	u32 port_command;
	int r = loader_init(&l, state.at, state.left);

	if (!r)
		r = loader_find(l, STATE_TAG('T', 'C', 'R', 'B'), STATE_VERSION, &registers);
	if (!r)
		r = crb_restore(&crb, &registers.body);
	if (!r && !bytes_u32(&registers.body, &port_command))
		r = -EPROTO;
	if (r)
		return r;
	d->crb = crb;
	d->port_command = port_command;
	publish(d);
	return 0;
}

static void inspect(void *device, struct inspect *in)
{
	struct tpm_device *d = device;

	inspect_count(in, "commands", d->commands);
	inspect_count(in, "failed_commands", d->failed_commands);
	inspect_hex(in, "last_response_code", d->last_code);
	inspect_count(in, "overdue", d->overdue);
	inspect_count(in, "memory_failures", d->memory_failures);
	inspect_count(in, "bad_accesses", d->bad_accesses);
	inspect_count(in, "ignored_writes", d->crb.ignored);
	inspect_hex(in, "status", d->crb.status);
	inspect_bool(in, "locality_assigned", d->crb.assigned);
	inspect_hex(in, "command_buffer", d->crb.command);
	inspect_hex(in, "response_buffer", d->crb.response);
	inspect_bool(in, "measured", d->measured);
	inspect_u64(in, "ppi_pending", d->ppi.file.pending_operation);
	tpm_life_inspect(d, in);
}

const struct device_server_ops tpm_device_ops = {
	.access = access_it, .reset = reset, .save = save, .restore = restore, .inspect = inspect, .call = call,
};

int tpm_device_signals(struct tpm_device *d, int fd)
{
	const struct sigaction message = { .sa_handler = on_message, .sa_flags = SA_RESTART };
	const struct sigaction time = { .sa_handler = on_time, .sa_flags = SA_RESTART };

	events_fd = fd;
	sigemptyset(&d->message_signal);
	sigaddset(&d->message_signal, SIGIO);
	if (sigprocmask(SIG_BLOCK, &d->message_signal, NULL) || sigaction(SIGIO, &message, NULL) ||
	    sigaction(SIGALRM, &time, NULL))
		return -errno;
	return 0;
}
