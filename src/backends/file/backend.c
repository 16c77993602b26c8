/* The plugin `file`: a few accounts of the proxy's own. A login is one job on the host's pool,
 * since a good hash is slow by design; the loop thread only starts it and tells what came of it.
 *
 * An unknown user costs no hash, so somebody who measures can tell the names in the file from
 * others. To hide that would make every login that another backend is to judge pay for a hash here;
 * a name is not the secret. */
#include "backends/file/table.h"
#include "sallyport/auth_backend.h"
#include "util/hash.h"
#include "util/secret.h"
#include "util/span.h"
#include "util/text.h"

#include <assert.h>
#include <crypt.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BACKEND_MAGIC 0x66696c62u
#define OP_MAGIC      0x66696c6fu

struct file_options {
    char *path;
};

/* clang-format off */
static const struct sp_option option_table[] = {
    SP_OPT_PATH(struct file_options, path, NULL, SP_OPTION_REQUIRED | SP_OPTION_WATCHED,
                "The user file: name:hash lines, hashes of crypt(3) (yescrypt, bcrypt, SHA-512, SHA-256). A bad new one changes nothing."),
    SP_OPT_END,
};
/* clang-format on */

struct sp_auth_config {
    const struct file_options *options;
    const struct sp_auth_host *host;
    pthread_mutex_t lock;
    struct sp_file_table *table; /* under `lock`: the one in use */
};

/* One per config and worker. Freed in on_timer_closed, after the last job came home. */
struct sp_auth_backend {
    unsigned magic;
    struct sp_auth_config *config;
    const struct sp_auth_host *host;
    uv_timer_t parting; /* never runs: its close callback is the "later turn" of `closed` */
    unsigned jobs_out;
    sp_auth_closed_cb closed; /* set: closing */
    void *closed_owner;
};

enum file_op_state {
    FILE_OP_HASHING,  /* the job is out */
    FILE_OP_RESTING,  /* answered: waits for free */
    FILE_OP_DETACHED, /* cancelled while the job is out: its homecoming frees it */
};

/* One login. Owned by the engine until free or cancel. */
struct file_op {
    struct sp_auth_op base;
    unsigned magic;
    enum file_op_state state;
    struct sp_auth_work work;
    /* the job's, while it is out */
    struct sp_file_table *table;
    const char *hash; /* in the table; NULL: no such user */
    struct sp_secret password;
    enum sp_verdict verdict;
    const char *reason;
    uint64_t micros;
    /* the loop's */
    char user[SP_FILE_NAME_MAX + 1];
    struct sp_auth_tracer *tracer;
    sp_auth_done_cb done;
    void *owner;
};

/* ---- the job: a pool thread ---- */

static void judge(struct file_op *op, struct crypt_data *scratch)
{
    const char *made;

    errno = 0;
    made = crypt_r(op->password.base, op->hash, scratch);
    if ((made == NULL || made[0] == '*') && errno != ERANGE) {
        /* yescrypt says EINVAL for want of memory too, so nothing here says no */
        op->verdict = SP_VERDICT_UNAVAILABLE;
        op->reason = "the hash cannot be made: no memory for it, or its cost is out of bounds";
    } else if (made == NULL || made[0] == '*') { /* longer than any password that was ever hashed */
        op->verdict = SP_VERDICT_DENY;
        op->reason = "wrong password";
    } else if (sp_secret_eq(sp_span_cstr(made), sp_span_cstr(op->hash))) {
        op->verdict = SP_VERDICT_ALLOW;
        op->reason = NULL;
    } else {
        op->verdict = SP_VERDICT_DENY;
        op->reason = "wrong password";
    }
}

static uint64_t now_micros(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void on_run(struct sp_auth_work *work)
{
    struct file_op *op = sp_container_of(work, struct file_op, work);
    uint64_t begun = now_micros();
    struct crypt_data *scratch; /* 32 KiB, too much for a stack that is not ours */

    op->hash = sp_file_table_find(op->table, sp_span_cstr(op->user));
    op->verdict = SP_VERDICT_UNKNOWN_USER;
    op->reason = "no such user";
    if (op->hash != NULL) {
        scratch = calloc(1, sizeof *scratch);
        op->verdict = SP_VERDICT_UNAVAILABLE;
        op->reason = "out of memory";
        if (scratch != NULL) {
            judge(op, scratch);
            sp_wipe(scratch, sizeof *scratch);
            free(scratch);
        }
    }
    op->micros = now_micros() - begun;
}

/* ---- the operation: the loop ---- */

static void op_free(struct file_op *op)
{
    sp_secret_fini(&op->password);
    sp_file_table_unref(&op->table);
    op->magic = 0;
    free(op);
}

static void op_report(struct file_op *op)
{
    const struct sp_auth_step step = {
        "crypt", NULL, NULL, op->reason != NULL ? op->reason : "the hash matches", op->micros};
    const struct sp_auth_result result = {
        .verdict = op->verdict,
        .user = op->verdict == SP_VERDICT_ALLOW ? sp_span_cstr(op->user) : SP_SPAN_NONE,
        .reason = op->reason,
    };

    if (op->tracer != NULL)
        op->tracer->step(op->tracer, &step);
    op->state = FILE_OP_RESTING;
    op->done(op->owner, &result); /* op may be gone after this line */
}

static void backend_part(struct sp_auth_backend *backend);

static void on_home(struct sp_auth_work *work)
{
    struct file_op *op = sp_container_of(work, struct file_op, work);
    struct sp_auth_backend *backend = op->base.backend;

    assert(op->magic == OP_MAGIC && backend->jobs_out > 0);
    backend->jobs_out--;
    sp_secret_fini(&op->password);
    if (op->state == FILE_OP_DETACHED)
        op_free(op); /* the client left while the hash was being made */
    else
        op_report(op);
    if (backend->closed != NULL && backend->jobs_out == 0)
        backend_part(backend);
}

static enum sp_err op_fill(struct file_op *op, const struct sp_auth_input *input)
{
    struct sp_auth_config *config = op->base.backend->config;
    size_t len;
    enum sp_err err;

    /* ops->name_of() gave it, so this changes nothing; but what is compared must be lower case */
    err = sp_text_lower(input->user, op->user, sizeof op->user - 1, &len);
    if (err != SP_OK)
        return err;
    op->user[len] = '\0';
    (void)pthread_mutex_lock(&config->lock);
    op->table = sp_file_table_ref(config->table);
    (void)pthread_mutex_unlock(&config->lock);
    return sp_secret_set(&op->password, input->password);
}

static enum sp_err file_start(struct sp_auth_backend *backend, const struct sp_auth_input *input,
                              sp_auth_done_cb done, void *owner, struct sp_auth_op **op_out)
{
    struct file_op *op;
    enum sp_err err;

    assert(backend->magic == BACKEND_MAGIC && backend->closed == NULL);
    if (input->ask != SP_AUTH_PASSWORD || input->password.len == 0 ||
        memchr(input->password.base, '\0', input->password.len) != NULL)
        return SP_ERR_INVALID; /* crypt(3) would stop at a NUL */
    op = calloc(1, sizeof *op);
    if (op == NULL)
        return SP_ERR_NOMEM;
    op->magic = OP_MAGIC;
    op->base.backend = backend;
    op->state = FILE_OP_HASHING;
    op->work.run = on_run;
    op->work.done = on_home;
    op->tracer = input->tracer;
    op->done = done;
    op->owner = owner;
    err = op_fill(op, input);
    if (err == SP_OK)
        err = backend->host->work(backend->host, &op->work);
    if (err != SP_OK) {
        op_free(op);
        return err;
    }
    backend->jobs_out++;
    *op_out = &op->base;
    return SP_OK;
}

/* Never called: no login here takes a second leg. */
static enum sp_err file_step(struct sp_auth_op *base, struct sp_span token,
                             struct sp_auth_tracer *tracer)
{
    (void)base;
    (void)token;
    (void)tracer;
    return SP_ERR_INVALID;
}

static struct file_op *op_of(struct sp_auth_op *base)
{
    struct file_op *op = sp_container_of(base, struct file_op, base);

    assert(op->magic == OP_MAGIC && op->state != FILE_OP_DETACHED);
    return op;
}

static void file_cancel(struct sp_auth_op **base)
{
    struct file_op *op = op_of(*base);

    *base = NULL;
    if (op->state == FILE_OP_RESTING)
        op_free(op);
    else
        op->state = FILE_OP_DETACHED;
}

static void file_free(struct sp_auth_op **base)
{
    struct file_op *op = op_of(*base);

    *base = NULL;
    assert(op->state == FILE_OP_RESTING);
    op_free(op);
}

/* ---- the backend ---- */

static enum sp_err file_open(struct sp_auth_config *config, const struct sp_auth_host *host,
                             struct sp_auth_backend **backend_out)
{
    struct sp_auth_backend *backend = calloc(1, sizeof *backend);

    if (backend == NULL)
        return SP_ERR_NOMEM;
    backend->magic = BACKEND_MAGIC;
    backend->config = config;
    backend->host = host;
    if (uv_timer_init(host->loop, &backend->parting) != 0) {
        free(backend);
        return SP_ERR_IO;
    }
    backend->parting.data = backend;
    *backend_out = backend;
    return SP_OK;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct sp_auth_backend *backend = handle->data;
    sp_auth_closed_cb closed = backend->closed;
    void *owner = backend->closed_owner;

    backend->magic = 0;
    free(backend);
    closed(owner);
}

static void backend_part(struct sp_auth_backend *backend)
{
    uv_close((uv_handle_t *)&backend->parting, on_timer_closed);
}

/* No operation is left, but jobs of cancelled ones may still be out: they are waited for. */
static void file_close(struct sp_auth_backend **backend_ptr, sp_auth_closed_cb closed, void *owner)
{
    struct sp_auth_backend *backend = *backend_ptr;

    *backend_ptr = NULL;
    assert(backend->magic == BACKEND_MAGIC && backend->closed == NULL);
    backend->closed = closed;
    backend->closed_owner = owner;
    if (backend->jobs_out == 0)
        backend_part(backend);
}

/* ---- the config ---- */

static void file_release(struct sp_auth_config **config_ptr)
{
    struct sp_auth_config *config = *config_ptr;

    *config_ptr = NULL;
    if (config == NULL)
        return;
    sp_file_table_unref(&config->table);
    (void)pthread_mutex_destroy(&config->lock);
    free(config);
}

static enum sp_err file_configure(const void *options, const struct sp_auth_host *host,
                                  struct sp_auth_config **config_out, struct sp_auth_fault *fault)
{
    struct sp_auth_config *config = calloc(1, sizeof *config);

    if (config == NULL || sp_hash_setup() != SP_OK ||
        pthread_mutex_init(&config->lock, NULL) != 0) {
        free(config);
        fault->option = NULL;
        (void)snprintf(fault->text, sizeof fault->text, "out of memory or of random bytes");
        return SP_ERR_NOMEM;
    }
    config->options = options;
    config->host = host;
    config->table = sp_file_table_load(config->options->path, fault->text, sizeof fault->text);
    if (config->table == NULL) {
        fault->option = "path";
        file_release(&config);
        return SP_ERR_INVALID;
    }
    *config_out = config;
    return SP_OK;
}

static void file_traits(const struct sp_auth_config *config, struct sp_auth_traits *traits)
{
    (void)config;
    *traits = (struct sp_auth_traits){.groups_from = NULL, .per_request = false};
}

static enum sp_err file_refresh(struct sp_auth_config *config, struct sp_auth_fault *fault)
{
    struct sp_file_table *fresh = sp_file_table_load(config->options->path, fault->text,
                                                     sizeof fault->text);
    struct sp_file_table *old;

    if (fresh == NULL) {
        fault->option = "path";
        config->host->log(config->host, SP_LOG_ERROR,
                          "event=users_refused detail=\"%s; the users read before go on serving\"",
                          fault->text);
        return SP_ERR_INVALID;
    }
    config->host->log(config->host, SP_LOG_INFO, "event=users_taken_up file=\"%s\" users=%zu",
                      config->options->path, sp_file_table_len(fresh));
    (void)pthread_mutex_lock(&config->lock);
    old = config->table;
    config->table = fresh;
    (void)pthread_mutex_unlock(&config->lock);
    sp_file_table_unref(&old);
    return SP_OK;
}

static enum sp_err file_name_of(const struct sp_auth_config *config, struct sp_span typed,
                                char *out, size_t cap, size_t *len_out)
{
    (void)config;
    if (typed.len == 0 || sp_text_has_control(typed))
        return SP_ERR_INVALID;
    if (typed.len > SP_FILE_NAME_MAX)
        return SP_ERR_NOT_FOUND; /* no line of the file holds such a name */
    if (sp_text_lower(typed, out, cap, len_out) != SP_OK)
        return SP_ERR_INVALID;
    return *len_out <= SP_FILE_NAME_MAX ? SP_OK : SP_ERR_NOT_FOUND; /* a few letters grow */
}

static unsigned file_diagnose(struct sp_auth_config *config, struct sp_auth_findings *findings)
{
    char state[512];
    struct sp_file_table *table = sp_file_table_load(config->options->path, state, sizeof state);
    struct sp_auth_finding finding = {table != NULL, "user file", state, NULL};

    if (table != NULL)
        (void)snprintf(state, sizeof state, "%s: %zu user%s", config->options->path,
                       sp_file_table_len(table), sp_file_table_len(table) == 1 ? "" : "s");
    else
        finding.remedy = "mend that line; until then the users read before go on serving";
    findings->add(findings, &finding);
    sp_file_table_unref(&table);
    return finding.well ? 0 : 1;
}

SP_EXPORT extern const struct sp_auth_backend_ops sp_auth_backend;

const struct sp_auth_backend_ops sp_auth_backend = {
    .abi_version = SP_AUTH_ABI_VERSION,
    .ops_size = sizeof(struct sp_auth_backend_ops),
    .name = "file",
    .summary = "A few accounts of the proxy's own, in a file of name:hash lines",
    .abilities = SP_AUTH_PASSWORD,
    .options = option_table,
    .options_size = sizeof(struct file_options),
    .configure = file_configure,
    .release = file_release,
    .traits = file_traits,
    .refresh = file_refresh,
    .name_of = file_name_of,
    .open = file_open,
    .close = file_close,
    .start = file_start,
    .step = file_step,
    .cancel = file_cancel,
    .free = file_free,
    .diagnose = file_diagnose,
};
