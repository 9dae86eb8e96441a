#include "lib/log/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/check.h"

#define FILTER_MAX 32
#define NAME_MAX_LEN 24

struct filter_entry {
	char domain[NAME_MAX_LEN];
	int level;
};

static const char *const level_names[LOG_LEVELS] = { "error", "notice", "warn", "info", "debug" };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct log_domain *domains;
static atomic_int default_level = LOG_INFO;
static struct filter_entry filters[FILTER_MAX];
static unsigned filter_count;
static _Atomic(log_sink) sink_now;
static atomic_uint_fast64_t suppressed_total;

static void sink_stderr(enum log_level level, const char *domain, const char *text)
{
	fprintf(stderr, "%s: %s: %s\n", level_names[level], domain, text);
}

void log_set_sink(log_sink sink)
{
	atomic_store(&sink_now, sink);
}

static int level_of(const char *domain)
{
	for (unsigned i = 0; i < filter_count; i++)
		if (!strcmp(filters[i].domain, domain))
			return filters[i].level;
	return -1;
}

static void register_domain(struct log_domain *domain)
{
	pthread_mutex_lock(&lock);
	if (!atomic_load(&domain->known)) {
		atomic_store(&domain->level, level_of(domain->name));
		domain->next = domains;
		domains = domain;
		atomic_store(&domain->known, true);
	}
	pthread_mutex_unlock(&lock);
}

bool log_wanted(struct log_domain *domain, enum log_level level)
{
	if (!atomic_load_explicit(&domain->known, memory_order_acquire))
		register_domain(domain);
	int limit = atomic_load_explicit(&domain->level, memory_order_relaxed);

	if (limit < 0)
		limit = atomic_load_explicit(&default_level, memory_order_relaxed);
	return (int)level <= limit;
}

static void emit(struct log_domain *domain, enum log_level level, const char *format, va_list args, int error)
{
	char text[512];
	int len = vsnprintf(text, sizeof(text), format, args);

	if (len < 0)
		return;
	if (error < 0 && (size_t)len < sizeof(text))
		snprintf(text + len, sizeof(text) - (size_t)len, ": %s", strerror(-error));
	log_sink sink = atomic_load(&sink_now);

	(sink ? sink : sink_stderr)(level, domain->name, text);
}

void log_write(struct log_domain *domain, enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	emit(domain, level, format, args, 0);
	va_end(args);
}

int log_error(struct log_domain *domain, int error, const char *format, ...)
{
	va_list args;

	if (!log_wanted(domain, LOG_ERROR))
		return error;
	va_start(args, format);
	emit(domain, LOG_ERROR, format, args, error);
	va_end(args);
	return error;
}

bool log_limit_pass(struct log_domain *domain, struct log_limit *limit, unsigned burst)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	u64 ns = (u64)now.tv_sec * 1000000000u + (u64)now.tv_nsec;
	u64 window = atomic_load(&limit->window_ns);

	if (ns - window > 1000000000u && atomic_compare_exchange_strong(&limit->window_ns, &window, ns)) {
		unsigned lost = atomic_exchange(&limit->suppressed, 0);

		atomic_store(&limit->used, 0);
		if (lost)
			log_write(domain, LOG_WARN, "%u records like the next were suppressed", lost);
	}
	if (atomic_fetch_add(&limit->used, 1) < burst)
		return true;
	atomic_fetch_add(&limit->suppressed, 1);
	atomic_fetch_add(&suppressed_total, 1);
	return false;
}

u64 log_suppressed_total(void)
{
	return atomic_load(&suppressed_total);
}

void log_set_level(enum log_level level)
{
	atomic_store(&default_level, (int)level);
}

static int parse_level(const char *text, size_t len)
{
	for (int i = 0; i < LOG_LEVELS; i++)
		if (strlen(level_names[i]) == len && !memcmp(level_names[i], text, len))
			return i;
	return -1;
}

/* one word of a filter into entries[*count] (a domain) or *fallback (a bare level) */
static int parse_word(const char *word, size_t len, struct filter_entry *entries, unsigned *count, int *fallback)
{
	const char *equals = memchr(word, '=', len);
	int level;

	if (!equals) {
		level = parse_level(word, len);
		if (level < 0)
			return -EINVAL;
		*fallback = level;
		return 0;
	}
	size_t name_len = (size_t)(equals - word);

	level = parse_level(equals + 1, len - name_len - 1);
	if (level < 0 || !name_len || name_len >= NAME_MAX_LEN || *count == FILTER_MAX)
		return -EINVAL;
	memcpy(entries[*count].domain, word, name_len);
	entries[*count].domain[name_len] = 0;
	entries[(*count)++].level = level;
	return 0;
}

int log_set_filter(const char *filter)
{
	struct filter_entry entries[FILTER_MAX];
	unsigned count = 0;
	int fallback = atomic_load(&default_level);

	for (const char *at = filter; *at;) {
		size_t len = strcspn(at, ",");
		int r = len ? parse_word(at, len, entries, &count, &fallback) : -EINVAL;

		if (r)
			return r;
		at += len;
		if (*at == ',')
			at++;
	}
	pthread_mutex_lock(&lock);
	memcpy(filters, entries, sizeof(filters[0]) * count);
	filter_count = count;
	atomic_store(&default_level, fallback);
	for (struct log_domain *d = domains; d; d = d->next)
		atomic_store(&d->level, level_of(d->name));
	pthread_mutex_unlock(&lock);
	return 0;
}

void log_get_filter(char *out, size_t size)
{
	pthread_mutex_lock(&lock);
	int at = snprintf(out, size, "%s", level_names[atomic_load(&default_level)]);

	for (unsigned i = 0; i < filter_count && at >= 0 && (size_t)at < size; i++)
		at += snprintf(out + at, size - (size_t)at, ",%s=%s", filters[i].domain, level_names[filters[i].level]);
	pthread_mutex_unlock(&lock);
}

_Noreturn void check_failed(const char *expression, const char *file, int line)
{
	char text[256];
	log_sink sink = atomic_load(&sink_now);

	snprintf(text, sizeof(text), "CHECK(%s) failed at %s:%d: this is a bug in Paravane", expression, file, line);
	(sink ? sink : sink_stderr)(LOG_ERROR, "check", text);
	abort();
}
