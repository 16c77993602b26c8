/* The user file under want of memory: a file is taken whole or not at all, and a login that could
 * not be judged is "unavailable", never a wrong password. */
#include "backends/file/table.h"
#include "sallyport/auth_backend.h"
#include "unit/backends/lender.h"
#include "util/hash.h"
#include "util/span.h"
#include "want/want.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <crypt.h>
#include <unistd.h>

extern const struct sp_auth_backend_ops sp_auth_backend;
#define OPS (&sp_auth_backend)

/* As the plugin's own struct: one path. */
struct options {
    char *path;
};

static char path[] = "/tmp/sallyport-want-XXXXXX";

struct answer {
    unsigned calls;
    enum sp_verdict verdict;
};

static void on_done(void *owner, const struct sp_auth_result *result)
{
    struct answer *answer = owner;

    answer->calls++;
    answer->verdict = result->verdict;
}

static void on_closed(void *owner)
{
    (*(unsigned *)owner)++;
}

static struct answer ask(struct lender *lender, struct sp_auth_backend *backend,
                         const char *password)
{
    const struct sp_auth_input input = {.ask = SP_AUTH_PASSWORD,
                                        .user = SP_SPAN_LIT("bob"),
                                        .password = sp_span_cstr(password),
                                        .client = "10.1.2.3:4711",
                                        .id = "x1"};
    struct answer answer = {.verdict = SP_VERDICT_UNAVAILABLE};
    struct sp_auth_op *op = NULL;

    if (OPS->start(backend, &input, on_done, &answer, &op) != SP_OK) {
        assert_null(op);
        return answer;
    }
    (void)uv_run(&lender->loop, UV_RUN_DEFAULT);
    assert_int_equal(answer.calls, 1);
    OPS->free(&op);
    return answer;
}

static void log_in(void *state)
{
    const char *password = state;
    enum sp_verdict right = strcmp(password, "secret") == 0 ? SP_VERDICT_ALLOW : SP_VERDICT_DENY;
    struct options options = {path};
    struct lender lender;
    struct sp_auth_config *config = NULL;
    struct sp_auth_backend *backend = NULL;
    struct sp_auth_fault fault = {NULL, ""};
    struct answer answer = {.verdict = SP_VERDICT_UNAVAILABLE};
    unsigned closed = 0;
    bool failed;

    lender_init(&lender, "local");
    want_begin();
    if (OPS->configure(&options, &lender.host, &config, &fault) == SP_OK &&
        OPS->open(config, &lender.host, &backend) == SP_OK)
        answer = ask(&lender, backend, password);
    failed = want_end();
    assert_true(config != NULL || fault.text[0] != '\0');
    if (answer.verdict != right)
        assert_true(failed && answer.verdict == SP_VERDICT_UNAVAILABLE);
    if (backend != NULL) {
        assert_int_equal(ask(&lender, backend, password).verdict, right); /* with memory */
        OPS->close(&backend, on_closed, &closed);
    }
    assert_int_equal(lender_fini(&lender), 0);
    if (config != NULL)
        OPS->release(&config);
}

static void read_file(void *state)
{
    struct sp_file_table *table;
    char why[200] = "";

    (void)state;
    want_begin();
    table = sp_file_table_load(path, why, sizeof why);
    if (!want_end())
        assert_non_null(table);
    assert_true(table != NULL || why[0] != '\0');
    if (table != NULL) {
        assert_int_equal(sp_file_table_len(table), 1);
        assert_non_null(sp_file_table_find(table, SP_SPAN_LIT("bob")));
    }
    sp_file_table_unref(&table);
}

static void a_file_is_taken_whole_or_not_at_all(void **state)
{
    (void)state;
    want_each("a user file", WANT_ALL, 1, read_file, NULL);
}

static void a_right_password_passes_or_is_not_judged(void **state)
{
    (void)state;
    want_each("a login", WANT_OURS, 1, log_in, (void *)(uintptr_t) "secret");
}

static void a_wrong_password_is_refused_or_not_judged(void **state)
{
    (void)state;
    want_each("a guess", WANT_OURS, 1, log_in, (void *)(uintptr_t) "guess");
}

static bool write_users(void)
{
    FILE *out = fdopen(mkstemp(path), "w");
    const char *hash = crypt("secret", "$6$saltsalt$");

    return out != NULL && hash != NULL && fprintf(out, "bob:%s\n# a comment\n", hash) > 0 &&
           fclose(out) == 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_taken_whole_or_not_at_all),
        cmocka_unit_test(a_right_password_passes_or_is_not_judged),
        cmocka_unit_test(a_wrong_password_is_refused_or_not_judged),
    };
    int status;

    if (sp_hash_setup() != SP_OK || !write_users())
        return 1;
    status = cmocka_run_group_tests_name("want: file", tests, NULL, NULL);
    unlink(path);
    return status;
}
