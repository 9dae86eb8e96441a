#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/gdb/internal.h"
#include "lib/log/log.h"

LOG_DOMAIN("gdb");

/* ---- VPs tell */
static bool breakpoint_at(void *ctx, u64 gpa)
{
	return gdb_soft_at(&((struct gdb_host *)ctx)->memory, gpa);
}

static void on_stopped(void *ctx, u32 vp, enum partition_stop why, u64 value)
{
	struct gdb_host *g = ctx;

	pthread_mutex_lock(&g->lock);
	g->met[vp].yes = true;
	g->met[vp].why = why;
	g->met[vp].value = value;
	pthread_mutex_unlock(&g->lock);
	loop_post(g->loop, &g->met_work);
}

/* false: none */
static bool take_met(struct gdb_host *g, struct gdb_stop *ret)
{
	bool found = false;

	pthread_mutex_lock(&g->lock);
	for (u32 i = 0; i < ARRAY_SIZE(g->met) && !found; i++) {
		if (!g->met[i].yes)
			continue;
		g->met[i].yes = false;
		found = true;
		*ret = (struct gdb_stop){ .vp = i,
					  .reason = g->met[i].why == PARTITION_STOP_STEP ? GDB_STOP_STEP : GDB_STOP_SOFT };
		if (g->met[i].why == PARTITION_STOP_HARDWARE)
			gdb_hard_stop(&g->memory, g->met[i].value, ret);
	}
	pthread_mutex_unlock(&g->lock);
	return found;
}

static void send_out(struct gdb_host *g);

static void have_met(struct loop_work *work)
{
	struct gdb_host *g = container_of(work, struct gdb_host, met_work);
	struct gdb_stop stop;

	/* a stop is being looked at: target_resume() sees to the others */
	if (!g->attached || !g->partition || !g->gdb.running || !take_met(g, &stop))
		return;
	if (!g->holds)
		partition_pause(g->partition);
	g->holds = true;
	gdb_host_forget_registers(g);
	gdb_stopped(&g->gdb, &stop);
	send_out(g);
}

/* ---- the connection */
static void hang_up(struct gdb_host *g)
{
	loop_remove(g->loop, &g->client);
	close(g->client.fd);
	g->client.fd = -1;
	if (g->attached && g->partition)
		gdb_host_let_go(g);
	g->attached = false;
	gdb_fini(&g->gdb);
	log_at(LOG_NOTICE, "the debugger is gone");
}

static void send_out(struct gdb_host *g)
{
	struct gdb_writer *out = &g->gdb.out;

	while (out->len && !out->failed) {
		ssize_t n = send(g->client.fd, out->data, out->len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			hang_up(g);
			return;
		}
		gdb_sent(&g->gdb, (size_t)n);
	}
	if (out->failed || (g->gdb.ended && !out->len))
		hang_up(g);
	else
		loop_update(g->loop, &g->client, EPOLLIN | (out->len ? EPOLLOUT : 0));
}

static void client_ready(struct loop_source *source, u32 events)
{
	struct gdb_host *g = container_of(source, struct gdb_host, client);
	ssize_t n = recv(source->fd, g->in + g->in_len, sizeof(g->in) - g->in_len, MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		n = 0;
	if (!n) {
		hang_up(g);
		return;
	}
	g->in_len += n > 0 ? (size_t)n : 0;
	size_t taken = gdb_receive(&g->gdb, g->in, g->in_len);

	memmove(g->in, g->in + taken, g->in_len - taken);
	g->in_len -= taken;
	send_out(g);
}

static void attach(struct gdb_host *g)
{
	if (!g->holds)
		partition_pause(g->partition);
	g->holds = true;
	memset(g->met, 0, sizeof(g->met)); /* of the client before; nobody writes it now */
	g->attached = true;
	g->config.wait = false; /* later lives go on by themselves */
	partition_debug(g->partition, &g->debugger);
	gdb_host_forget_registers(g);
	gdb_init(&g->gdb, &gdb_host_target, g);
	g->in_len = 0;
	log_at(LOG_NOTICE, "a debugger is attached to VTL2");
}

static void accept_client(struct loop_source *source, u32 events)
{
	struct gdb_host *g = container_of(source, struct gdb_host, listener);
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (g->client.fd >= 0 || !g->partition) {
		log_at(LOG_NOTICE, "a second debugger is turned away");
		close(fd);
		return;
	}
	g->client = (struct loop_source){ .fd = fd, .events = EPOLLIN, .ready = client_ready };
	if (loop_add(g->loop, &g->client)) {
		close(fd);
		g->client.fd = -1;
		return;
	}
	attach(g);
}

/* ---- the socket */
static int listen_unix(struct gdb_host *g)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	if (snprintf(at.sun_path, sizeof(at.sun_path), "%s", g->config.at) >= (int)sizeof(at.sun_path))
		return log_err(-ENAMETOOLONG, "--gdb %s", g->config.at);
	unlink(at.sun_path);
	g->listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (g->listener.fd < 0 || bind(g->listener.fd, (struct sockaddr *)&at, sizeof(at)))
		return log_err(-errno, "--gdb %s", g->config.at);
	memcpy(g->path, at.sun_path, sizeof(g->path));
	return 0;
}

/* [ADDRESS:]PORT; without an address, nobody but this machine's own users */
static int listen_tcp(struct gdb_host *g)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
					.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	const char *colon = strrchr(g->config.at, ':');
	char host[64] = "127.0.0.1";
	struct addrinfo *found;
	int one = 1;

	if (colon)
		snprintf(host, sizeof(host), "%.*s", (int)(colon - g->config.at), g->config.at);
	int e = getaddrinfo(host, colon ? colon + 1 : g->config.at, &hints, &found);

	if (e)
		return log_err(-EINVAL, "--gdb %s: %s", g->config.at, gai_strerror(e));
	g->listener.fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = g->listener.fd < 0 || setsockopt(g->listener.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
		bind(g->listener.fd, found->ai_addr, found->ai_addrlen) ? log_err(-errno, "--gdb %s", g->config.at) : 0;

	freeaddrinfo(found);
	return r;
}

int gdb_host_create(struct loop *loop, const struct gdb_host_config *config, struct gdb_host **ret)
{
	struct gdb_host *g = calloc(1, sizeof(*g));

	if (!g)
		return log_err(-ENOMEM, "--gdb");
	g->config = *config;
	g->loop = loop;
	g->client.fd = -1;
	g->listener = (struct loop_source){ .fd = -1, .events = EPOLLIN, .ready = accept_client };
	g->debugger = (struct partition_debugger){ breakpoint_at, on_stopped, g };
	g->met_work.run = have_met;
	pthread_mutex_init(&g->lock, NULL);
	gdb_memory_init(&g->memory, &gdb_host_memory, g);
	g->memory.opcode = partition_debug_int3() ? GDB_OPCODE_INT3 : GDB_OPCODE_IN;
	int r = strchr(config->at, '/') ? listen_unix(g) : listen_tcp(g);

	if (!r && listen(g->listener.fd, 1))
		r = log_err(-errno, "--gdb %s", config->at);
	if (!r)
		r = loop_add(loop, &g->listener);
	if (r) {
		gdb_host_destroy(g);
		return r;
	}
	if (config->wait)
		log_at(LOG_NOTICE, "the firmware waits for a debugger at %s", config->at);
	*ret = g;
	return 0;
}

void gdb_host_destroy(struct gdb_host *g)
{
	if (!g)
		return;
	g->partition = NULL;
	if (g->client.fd >= 0)
		hang_up(g);
	loop_remove(g->loop, &g->listener);
	if (g->listener.fd >= 0)
		close(g->listener.fd);
	if (g->path[0])
		unlink(g->path);
	gdb_memory_fini(&g->memory);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

/* a reset under a debugger: what runs goes on with its breakpoints, what was held is held at the first instruction */
void gdb_host_begin(struct gdb_host *g, struct partition *p)
{
	if (!g)
		return;
	bool first = g->config.wait && !g->attached;

	g->partition = p;
	memset(g->met, 0, sizeof(g->met)); /* of the life before; its threads have ended */
	if (g->attached) {
		partition_debug(p, &g->debugger);
		gdb_soft_renew(&g->memory);
		if (gdb_host_set_hardware(g))
			log_at(LOG_WARN, "breakpoints in debug registers are gone");
		gdb_host_forget_registers(g);
	}
	g->holds = first || (g->attached && !g->gdb.running);
	if (g->holds)
		partition_pause(p);
}

void gdb_host_end(struct gdb_host *g)
{
	if (g)
		g->partition = NULL;
}
