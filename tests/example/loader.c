/* Loads the example plugin as sallyport does and puts it through its paces: a right and a wrong
 * password, an unknown user, a cancel, and a close that leaves nothing on the loop.
 * example_loader FILE.so */
#include "sallyport/auth_backend.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT(condition)                                                         \
    do {                                                                          \
        if (!(condition)) {                                                       \
            (void)fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition); \
            exit(1);                                                              \
        }                                                                         \
    } while (0)

struct seen {
    unsigned calls;
    enum sp_verdict verdict;
    char user[32];
};

static void on_done(void *owner, const struct sp_auth_result *result)
{
    struct seen *seen = owner;

    seen->calls++;
    seen->verdict = result->verdict;
    (void)snprintf(seen->user, sizeof seen->user, "%.*s", (int)result->user.len,
                   result->user.base != NULL ? result->user.base : "");
}

static void on_closed(void *owner)
{
    ++*(unsigned *)owner;
}

static struct sp_span span(const char *text)
{
    return (struct sp_span){text, strlen(text)};
}

static struct seen ask(const struct sp_auth_backend_ops *ops, struct sp_auth_backend *backend,
                       uv_loop_t *loop, const char *user, const char *password, bool cancel)
{
    const struct sp_auth_input input = {
        .ask = SP_AUTH_PASSWORD, .user = span(user), .password = span(password)};
    struct sp_auth_op *op = NULL;
    struct seen seen = {0};

    EXPECT(ops->start(backend, &input, on_done, &seen, &op) == SP_OK);
    EXPECT(seen.calls == 0);
    if (cancel)
        ops->cancel(&op);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    if (!cancel)
        ops->free(&op);
    EXPECT(op == NULL);
    return seen;
}

static void exercise(const struct sp_auth_backend_ops *ops, const void *options)
{
    struct sp_auth_host host = {.abi_version = SP_AUTH_ABI_VERSION, .backend = "bench"};
    struct sp_auth_fault fault = {NULL, ""};
    struct sp_auth_config *config = NULL;
    struct sp_auth_backend *backend = NULL;
    struct seen seen;
    unsigned closed = 0;
    uv_loop_t loop;

    EXPECT(uv_loop_init(&loop) == 0);
    host.loop = &loop;
    EXPECT(ops->configure(options, &host, &config, &fault) == SP_OK);
    EXPECT(ops->open(config, &host, &backend) == SP_OK);
    seen = ask(ops, backend, &loop, "alice", "wonder", false);
    EXPECT(seen.calls == 1 && seen.verdict == SP_VERDICT_ALLOW && strcmp(seen.user, "alice") == 0);
    EXPECT(ask(ops, backend, &loop, "alice", "wrong", false).verdict == SP_VERDICT_DENY);
    EXPECT(ask(ops, backend, &loop, "bob", "x", false).verdict == SP_VERDICT_UNKNOWN_USER);
    EXPECT(ask(ops, backend, &loop, "alice", "wonder", true).calls == 0);
    ops->close(&backend, on_closed, &closed);
    EXPECT(backend == NULL && closed == 0);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    EXPECT(closed == 1);
    EXPECT(uv_loop_close(&loop) == 0);
    ops->release(&config);
}

int main(int argc, char **argv)
{
    char row[] = "alice:wonder";
    char *rows[] = {row};
    struct sp_strings users = {rows, 1}; /* the example's options are this one list */
    const struct sp_auth_backend_ops *ops;
    void *plugin;

    EXPECT(argc == 2);
    plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (plugin == NULL) {
        (void)fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    ops = dlsym(plugin, SP_AUTH_BACKEND_SYMBOL);
    EXPECT(ops != NULL && ops->abi_version == SP_AUTH_ABI_VERSION);
    EXPECT(ops->ops_size == sizeof *ops && ops->options_size == sizeof users);
    EXPECT(strcmp(ops->options[0].name, "users") == 0 && ops->options[0].offset == 0);
    exercise(ops, &users);
    return dlclose(plugin);
}
