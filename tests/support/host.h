/* A small host for tests of backend plugins: what sallyport lends
 * (include/sallyport/auth_backend.h), without sallyport. The loop is the caller's; jobs run on a
 * few threads of the host's own; the log goes into a buffer that tests can look into; metrics are
 * plain numbers that can be asked for. */
#ifndef SP_TEST_HOST_H
#define SP_TEST_HOST_H

#include "sallyport/auth_backend.h"

struct test_host;

/* Fails the test when it cannot. `loop` may be NULL, as for a config's host. */
struct test_host *test_host_new(uv_loop_t *loop, const char *backend);
/* All work must be done: run the loop to its end first. */
void test_host_free(struct test_host **host);
const struct sp_auth_host *test_host_lend(struct test_host *host);

/* From now on work() says SP_ERR_FULL (true) or queues again (false). */
void test_host_refuse_work(struct test_host *host, bool refuse);
/* Jobs taken and not yet done. */
unsigned test_host_jobs(const struct test_host *host);
/* Everything logged so far, a line each, "level: text". Borrowed. */
const char *test_host_log(struct test_host *host);
/* The value of a metric, by its name and labels as the plugin wrote them; 0 when there is none. */
int64_t test_host_metric(struct test_host *host, const char *name, const char *labels);

/* A table's defaults into a zeroed options struct, as the core would do it (numbers, times, sizes,
 * words, lists). test_options_free gives back what is on the heap. */
void test_options_default(const struct sp_option *table, void *options);
/* One option by name, written as in a file ("5s", "true", "a, b"; a secret's own text). */
void test_options_set(const struct sp_option *table, void *options, const char *name,
                      const char *value);
void test_options_free(const struct sp_option *table, void *options);

#endif
