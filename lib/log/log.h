/*
 * Logging with one domain per file. Levels change at run time, per domain. Any thread.
 *   ERROR paravane is broken · NOTICE the operator should know · WARN the developer · INFO life cycle · DEBUG per request
 * A record goes to the sink of the process (default: stderr; in the firmware: /dev/kmsg).
 */
#pragma once

#include <stdarg.h>
#include <stdatomic.h>

#include "lib/core/types.h"

enum log_level { LOG_ERROR, LOG_NOTICE, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVELS };

struct log_domain {
	const char *name;
	atomic_int level;               /* records above it are not made */
	struct log_domain *next;        /* all domains seen so far; see log_domains() */
	atomic_bool known;
};

/* a place that may be reached as often as a guest likes: at most burst records per second, the rest counted */
struct log_limit {
	atomic_uint_fast64_t window_ns;
	atomic_uint used;
	atomic_uint suppressed;
};

typedef void (*log_sink)(enum log_level level, const char *domain, const char *text);

/* one per file, before use */
#define LOG_DOMAIN(n) static struct log_domain log_domain_here = { .name = n, .level = -1 }

#define log_at(lvl, ...)                                                                                   \
	do {                                                                                               \
		if (log_wanted(&log_domain_here, lvl))                                                     \
			log_write(&log_domain_here, lvl, __VA_ARGS__);                                     \
	} while (0)

/* say an error where it happens and pass it on: return log_err(-ENODEV, "%s: no CAP", name); */
#define log_err(error, ...) log_error(&log_domain_here, error, __VA_ARGS__)

/* for what a guest can provoke: WARN level, at most 10 records a second for this place */
#define log_guest(...)                                                                                     \
	do {                                                                                               \
		static struct log_limit limit_here;                                                        \
		if (log_wanted(&log_domain_here, LOG_WARN) && log_limit_pass(&log_domain_here, &limit_here, 10)) \
			log_write(&log_domain_here, LOG_WARN, __VA_ARGS__);                                \
	} while (0)

bool log_wanted(struct log_domain *domain, enum log_level level);
void log_write(struct log_domain *domain, enum log_level level, const char *format, ...) __printf(3, 4);
int log_error(struct log_domain *domain, int error, const char *format, ...) __printf(3, 4);
bool log_limit_pass(struct log_domain *domain, struct log_limit *limit, unsigned burst);

void log_set_sink(log_sink sink);
/* default level of domains without one of their own */
void log_set_level(enum log_level level);
/*
 * "info", "nvme=debug", "info,nvme=debug,vp=warn": sets the default and/or single domains, also ones not seen yet
 * (up to 32). -EINVAL with nothing changed when a word is not understood.
 */
int log_set_filter(const char *filter) __must_check;
/* the filter in force, in the same form */
void log_get_filter(char *out, size_t size);
u64 log_suppressed_total(void);
