/* The file plugin: its user file line by line, and logins through its table as the engine calls it.
 */
#include "backends/file/table.h"
#include "sallyport/auth_backend.h"
#include "unit/backends/lender.h"
#include "util/hash.h"
#include "util/span.h"

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

static char users_path[] = "/tmp/sallyport-users-XXXXXX";

static void write_users(const char *text)
{
    FILE *out = fopen(users_path, "w");

    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

/* The cheapest hash of each kind. */
static const char *hash_with(const char *prefix, unsigned long cost, const char *password)
{
    static char made[4][CRYPT_OUTPUT_SIZE];
    static unsigned next;
    char *salt = crypt_gensalt(prefix, cost, NULL, 0);
    char *out = made[next++ % 4];

    assert_non_null(salt);
    (void)snprintf(out, CRYPT_OUTPUT_SIZE, "%s", crypt(password, salt));
    assert_true(out[0] == '$');
    return out;
}

/* ---- a proxy with one file backend ---- */

struct proxy {
    struct lender lender;
    struct options options;
    struct sp_auth_config *config;
    struct sp_auth_backend *backend;
};

struct answer {
    unsigned calls;
    enum sp_verdict verdict;
    char user[300];
    char reason[80];
    struct sp_auth_op **free_inside; /* not NULL: done frees the operation */
};

static void on_done(void *owner, const struct sp_auth_result *result)
{
    struct answer *answer = owner;

    answer->calls++;
    answer->verdict = result->verdict;
    (void)snprintf(answer->user, sizeof answer->user, "%.*s", SP_SPAN_ARG(result->user));
    (void)snprintf(answer->reason, sizeof answer->reason, "%s",
                   result->reason != NULL ? result->reason : "");
    if (answer->free_inside != NULL)
        OPS->free(answer->free_inside);
}

static void on_closed(void *owner)
{
    (*(unsigned *)owner)++;
}

static void proxy_open(struct proxy *proxy, const char *users)
{
    struct sp_auth_fault fault = {NULL, ""};

    memset(proxy, 0, sizeof *proxy);
    write_users(users);
    lender_init(&proxy->lender, "local");
    proxy->options.path = users_path;
    if (OPS->configure(&proxy->options, &proxy->lender.host, &proxy->config, &fault) != SP_OK)
        fail_msg("%s", fault.text);
    assert_int_equal(OPS->open(proxy->config, &proxy->lender.host, &proxy->backend), SP_OK);
}

static void proxy_close(struct proxy *proxy)
{
    unsigned closed = 0;

    OPS->close(&proxy->backend, on_closed, &closed);
    assert_int_equal(closed, 0);
    assert_int_equal(lender_fini(&proxy->lender), 0);
    assert_int_equal(closed, 1);
    OPS->release(&proxy->config);
}

static enum sp_err begin(struct proxy *proxy, const char *user, const char *password,
                         struct answer *answer, struct sp_auth_op **op)
{
    const struct sp_auth_input input = {.ask = SP_AUTH_PASSWORD,
                                        .user = sp_span_cstr(user),
                                        .password = sp_span_cstr(password),
                                        .client = "10.1.2.3:4711",
                                        .id = "x1"};

    return OPS->start(proxy->backend, &input, on_done, answer, op);
}

static struct answer log_in(struct proxy *proxy, const char *user, const char *password)
{
    struct answer answer = {0};
    struct sp_auth_op *op = NULL;

    assert_int_equal(begin(proxy, user, password, &answer, &op), SP_OK);
    assert_int_equal(answer.calls, 0);
    (void)uv_run(&proxy->lender.loop, UV_RUN_DEFAULT);
    assert_int_equal(answer.calls, 1);
    OPS->free(&op);
    assert_null(op);
    return answer;
}

/* ---- the user file ---- */

static void refused_with(const char *text, const char *words)
{
    char why[512] = "";
    char *bytes = strdup(text);
    struct sp_file_table *table = sp_file_table_parse(bytes, strlen(text), "users", why,
                                                      sizeof why);

    if (table != NULL)
        fail_msg("taken: %s", text);
    if (strstr(why, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", why, words);
}

static void each_bad_line_is_named_with_its_number(void **state)
{
    (void)state;
    refused_with("# ours\n\nalice\n", "users:3: no colon");
    refused_with(":x\n", "users:1: no name");
    refused_with("a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", "unsalted SHA-1");
    refused_with("a:$apr1$abcdefgh$0123456789012345678901\n", "MD5");
    refused_with("a:$1$abcdefgh$0123456789012345678901\n", "MD5");
    refused_with("a:rl.3StKT.4T8M\n", "not a hash that is accepted");
    refused_with("a:secret\n", "not a hash that is accepted");
    refused_with("a:\n", "not a hash that is accepted");
    refused_with("a:$6$salt$short\n", "SHA-512 hash is cut off");
    refused_with("a:$6$\n", "cut off");
    refused_with("a\x01:x\n", "control character");
    refused_with("a\xff:x\n", "not UTF-8");
}

static void a_good_hash_with_more_behind_it_is_refused(void **state)
{
    char text[300];

    (void)state;
    (void)snprintf(text, sizeof text, "alice:%s:comment\n", hash_with("$5$", 1000, "x"));
    refused_with(text, "nothing more");
}

static void a_name_that_stands_twice_is_refused_whatever_its_case(void **state)
{
    char text[600];
    const char *hash = hash_with("$5$", 1000, "x");

    (void)state;
    (void)snprintf(text, sizeof text, "alice:%s\nbob:%s\nALICE:%s\n", hash, hash, hash);
    refused_with(text, "users:3: the user \"alice\" stands in line 1 already");
}

static void a_refusal_never_quotes_the_hash(void **state)
{
    char why[512] = "";
    char text[] = "alice:$6$salt$TopSecretDigest\n";

    (void)state;
    assert_null(sp_file_table_parse(strdup(text), strlen(text), "users", why, sizeof why));
    assert_null(strstr(why, "TopSecret"));
}

static void a_nul_byte_is_refused(void **state)
{
    char why[512] = "";
    char *bytes = malloc(4 + 1);

    (void)state;
    memcpy(bytes, "a:\0\n", 4);
    assert_null(sp_file_table_parse(bytes, 4, "users", why, sizeof why));
    assert_non_null(strstr(why, "NUL"));
}

static void names_are_found_without_case_and_line_ends_do_not_matter(void **state)
{
    char text[900], why[512];
    struct sp_file_table *table;
    const char *hash = hash_with("$5$", 1000, "x");

    (void)state;
    (void)snprintf(text, sizeof text, "Alice:%s\r\n# bob:%s\n\xc3\x84rger:%s", hash, hash, hash);
    table = sp_file_table_parse(strdup(text), strlen(text), "users", why, sizeof why);
    assert_non_null(table);
    assert_int_equal(sp_file_table_len(table), 2);
    assert_string_equal(sp_file_table_find(table, SP_SPAN_LIT("alice")), hash);
    assert_non_null(sp_file_table_find(table, SP_SPAN_LIT("\xc3\xa4rger")));
    assert_null(sp_file_table_find(table, SP_SPAN_LIT("bob")));
    sp_file_table_unref(&table);
}

static void a_byte_order_mark_is_no_part_of_the_first_name(void **state)
{
    char text[300], why[512];
    struct sp_file_table *table;

    (void)state;
    (void)snprintf(text, sizeof text,
                   "\xef\xbb\xbf"
                   "alice:%s\r\n",
                   hash_with("$5$", 1000, "x"));
    table = sp_file_table_parse(strdup(text), strlen(text), "users", why, sizeof why);
    assert_non_null(table);
    assert_non_null(sp_file_table_find(table, SP_SPAN_LIT("alice")));
    sp_file_table_unref(&table);
}

static void an_empty_file_knows_nobody(void **state)
{
    char why[512];
    struct sp_file_table *table = sp_file_table_parse(strdup(""), 0, "users", why, sizeof why);

    (void)state;
    assert_non_null(table);
    assert_int_equal(sp_file_table_len(table), 0);
    sp_file_table_unref(&table);
}

static void many_users_are_all_found(void **state)
{
    enum { USERS = 20000 };
    const char *hash = hash_with("$5$", 1000, "x");
    char *text = malloc(USERS * 128u);
    char why[512], name[16];
    struct sp_file_table *table;
    size_t used = 0;

    (void)state;
    for (int i = 0; i < USERS; i++)
        used += (size_t)sprintf(text + used, "u%d:%s\n", i, hash);
    table = sp_file_table_parse(text, used, "users", why, sizeof why);
    assert_non_null(table);
    for (int i = 0; i < USERS; i++) {
        (void)snprintf(name, sizeof name, "u%d", i);
        assert_non_null(sp_file_table_find(table, sp_span_cstr(name)));
    }
    assert_null(sp_file_table_find(table, SP_SPAN_LIT("u20000")));
    sp_file_table_unref(&table);
}

/* ---- logins ---- */

static void each_accepted_kind_of_hash_logs_in(void **state)
{
    static const struct {
        const char *prefix;
        unsigned long cost;
    } kinds[] = {{"$y$", 1}, {"$2b$", 4}, {"$2y$", 4}, {"$6$", 1000}, {"$5$", 1000}};
    char text[200];

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct proxy proxy;
        struct answer answer;

        (void)snprintf(text, sizeof text, "alice:%s\n",
                       hash_with(kinds[i].prefix, kinds[i].cost, "W\xc3\xb6nder"));
        proxy_open(&proxy, text);
        answer = log_in(&proxy, "Alice", "W\xc3\xb6nder");
        assert_int_equal(answer.verdict, SP_VERDICT_ALLOW);
        assert_string_equal(answer.user, "alice");
        assert_int_equal(log_in(&proxy, "alice", "wrong").verdict, SP_VERDICT_DENY);
        proxy_close(&proxy);
    }
}

static void an_unknown_user_is_told_apart_from_a_wrong_password(void **state)
{
    struct proxy proxy;
    char text[200];

    (void)state;
    (void)snprintf(text, sizeof text, "alice:%s\n", hash_with("$5$", 1000, "x"));
    proxy_open(&proxy, text);
    assert_int_equal(log_in(&proxy, "mallory", "x").verdict, SP_VERDICT_UNKNOWN_USER);
    assert_int_equal(log_in(&proxy, "alice", "y").verdict, SP_VERDICT_DENY);
    proxy_close(&proxy);
}

static void a_password_longer_than_crypt_takes_is_wrong_and_not_an_error(void **state)
{
    struct proxy proxy;
    char text[200], password[1025];

    (void)state;
    (void)snprintf(text, sizeof text, "alice:%s\n", hash_with("$5$", 1000, "x"));
    memset(password, 'x', sizeof password - 1);
    password[sizeof password - 1] = '\0';
    proxy_open(&proxy, text);
    assert_int_equal(log_in(&proxy, "alice", password).verdict, SP_VERDICT_DENY);
    proxy_close(&proxy);
}

/* The file is taken up: what the hash costs shows only when it is made. */
static void a_hash_that_cannot_be_made_is_no_wrong_password(void **state)
{
    struct proxy proxy;
    char text[200];

    (void)state;
    (void)snprintf(text, sizeof text, "alice:$y$jzT$saltsalt$%.43s\n",
                   "J.J2O3w8bYCnyq0qaPhgmQSvSLtKTGYSHHxk3QhnSn9");
    proxy_open(&proxy, text);
    assert_int_equal(log_in(&proxy, "alice", "x").verdict, SP_VERDICT_UNAVAILABLE);
    proxy_close(&proxy);
}

static void an_empty_password_is_never_asked(void **state)
{
    struct proxy proxy;
    struct answer answer = {0};
    struct sp_auth_op *op = NULL;
    char text[200];

    (void)state;
    (void)snprintf(text, sizeof text, "alice:%s\n", hash_with("$5$", 1000, ""));
    proxy_open(&proxy, text);
    assert_int_equal(begin(&proxy, "alice", "", &answer, &op), SP_ERR_INVALID);
    proxy_close(&proxy);
}

static void a_full_pool_is_the_return_value_and_done_is_not_called(void **state)
{
    struct proxy proxy;
    struct answer answer = {0};
    struct sp_auth_op *op = NULL;
    char text[200];

    (void)state;
    (void)snprintf(text, sizeof text, "alice:%s\n", hash_with("$5$", 1000, "x"));
    proxy_open(&proxy, text);
    proxy.lender.full = true;
    assert_int_equal(begin(&proxy, "alice", "x", &answer, &op), SP_ERR_FULL);
    (void)uv_run(&proxy.lender.loop, UV_RUN_DEFAULT);
    assert_int_equal(answer.calls, 0);
    proxy_close(&proxy);
}

static void a_login_cancelled_in_flight_is_never_answered(void **state)
{
    struct proxy proxy;
    struct answer answer = {0};
    struct sp_auth_op *op = NULL;
    char text[200];

    (void)state;
    (void)snprintf(text, sizeof text, "alice:%s\n", hash_with("$5$", 1000, "x"));
    proxy_open(&proxy, text);
    proxy.lender.hold = true;
    assert_int_equal(begin(&proxy, "alice", "x", &answer, &op), SP_OK);
    OPS->cancel(&op);
    assert_null(op);
    lender_release(&proxy.lender);
    (void)uv_run(&proxy.lender.loop, UV_RUN_DEFAULT);
    assert_int_equal(answer.calls, 0);
    proxy_close(&proxy);
}

static void the_owner_may_close_while_a_cancelled_job_is_out(void **state)
{
    struct proxy proxy;
    struct answer answer = {0};
    struct sp_auth_op *op = NULL;
    unsigned closed = 0;
    char text[200];

    (void)state;
    (void)snprintf(text, sizeof text, "alice:%s\n", hash_with("$5$", 1000, "x"));
    proxy_open(&proxy, text);
    proxy.lender.hold = true;
    assert_int_equal(begin(&proxy, "alice", "x", &answer, &op), SP_OK);
    OPS->cancel(&op);
    OPS->close(&proxy.backend, on_closed, &closed);
    (void)uv_run(&proxy.lender.loop, UV_RUN_NOWAIT);
    assert_int_equal(closed, 0); /* the job still holds the backend */
    lender_release(&proxy.lender);
    assert_int_equal(lender_fini(&proxy.lender), 0);
    assert_int_equal(closed, 1);
    OPS->release(&proxy.config);
}

static void an_operation_may_be_freed_inside_done(void **state)
{
    struct proxy proxy;
    struct sp_auth_op *op = NULL;
    struct answer answer = {.free_inside = &op};
    char text[200];

    (void)state;
    (void)snprintf(text, sizeof text, "alice:%s\n", hash_with("$5$", 1000, "x"));
    proxy_open(&proxy, text);
    assert_int_equal(begin(&proxy, "alice", "x", &answer, &op), SP_OK);
    (void)uv_run(&proxy.lender.loop, UV_RUN_DEFAULT);
    assert_null(op);
    assert_int_equal(answer.verdict, SP_VERDICT_ALLOW);
    proxy_close(&proxy);
}

/* ---- a file that changes ---- */

static void a_new_file_is_taken_up_and_a_bad_one_changes_nothing(void **state)
{
    struct sp_auth_fault fault = {0};
    struct proxy proxy;
    char text[200];

    (void)state;
    (void)snprintf(text, sizeof text, "alice:%s\n", hash_with("$5$", 1000, "old"));
    proxy_open(&proxy, text);
    (void)snprintf(text, sizeof text, "alice:%s\n", hash_with("$5$", 1000, "new"));
    write_users(text);
    assert_int_equal(OPS->refresh(proxy.config, &fault), SP_OK);
    assert_int_equal(log_in(&proxy, "alice", "new").verdict, SP_VERDICT_ALLOW);
    assert_int_equal(log_in(&proxy, "alice", "old").verdict, SP_VERDICT_DENY);
    write_users("alice:garbage\n");
    assert_int_equal(OPS->refresh(proxy.config, &fault), SP_ERR_INVALID);
    assert_string_equal(fault.option, "path");
    assert_non_null(strstr(fault.text, ":1: not a hash"));
    assert_true(lender_logged(&proxy.lender, "event=users_refused"));
    assert_true(lender_logged(&proxy.lender, ":1: not a hash"));
    assert_int_equal(log_in(&proxy, "alice", "new").verdict, SP_VERDICT_ALLOW);
    proxy_close(&proxy);
}

static void a_login_under_way_keeps_the_table_it_began_with(void **state)
{
    struct sp_auth_fault fault = {0};
    struct proxy proxy;
    struct answer answer = {0};
    struct sp_auth_op *op = NULL;
    char text[200];

    (void)state;
    (void)snprintf(text, sizeof text, "alice:%s\n", hash_with("$5$", 1000, "old"));
    proxy_open(&proxy, text);
    proxy.lender.hold = true;
    assert_int_equal(begin(&proxy, "alice", "old", &answer, &op), SP_OK);
    write_users("");
    assert_int_equal(OPS->refresh(proxy.config, &fault), SP_OK);
    lender_release(&proxy.lender);
    (void)uv_run(&proxy.lender.loop, UV_RUN_DEFAULT);
    assert_int_equal(answer.verdict, SP_VERDICT_ALLOW);
    OPS->free(&op);
    assert_int_equal(log_in(&proxy, "alice", "old").verdict, SP_VERDICT_UNKNOWN_USER);
    proxy_close(&proxy);
}

static void configure_refuses(const char *path, const char *words)
{
    struct lender lender;
    struct options options = {(char *)(uintptr_t)path};
    struct sp_auth_config *config = NULL;
    struct sp_auth_fault fault = {NULL, ""};

    lender_init(&lender, "local");
    assert_int_not_equal(OPS->configure(&options, &lender.host, &config, &fault), SP_OK);
    assert_string_equal(fault.option, "path");
    if (strstr(fault.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", fault.text, words);
    assert_int_equal(lender_fini(&lender), 0);
}

static void a_file_that_is_missing_bad_or_no_file_is_a_fault_of_path(void **state)
{
    (void)state;
    configure_refuses("/nonexistent/users", "/nonexistent/users: No such file");
    configure_refuses("/tmp", "not a file");
    write_users("\nalice:x\n");
    configure_refuses(users_path, ":2: not a hash");
}

static void names_are_typed_in_any_case_and_nonsense_is_refused(void **state)
{
    char out[512];
    char long_name[300];
    size_t len = 0;

    (void)state;
    assert_int_equal(OPS->name_of(NULL, SP_SPAN_LIT("Alice"), out, sizeof out, &len), SP_OK);
    assert_memory_equal(out, "alice", 5);
    assert_int_equal(len, 5);
    memset(long_name, 'a', sizeof long_name);
    assert_int_equal(OPS->name_of(NULL, SP_SPAN_LIT(""), out, sizeof out, &len), SP_ERR_INVALID);
    assert_int_equal(OPS->name_of(NULL, SP_SPAN_LIT("a\nb"), out, sizeof out, &len),
                     SP_ERR_INVALID);
    assert_int_equal(
        OPS->name_of(NULL, sp_span_of(long_name, sizeof long_name), out, sizeof out, &len),
        SP_ERR_NOT_FOUND);
    memset(long_name, 'x', sizeof long_name);
    memcpy(long_name, "\xc8\xba", 2); /* U+023A, whose lower case has three bytes */
    assert_int_equal(OPS->name_of(NULL, sp_span_of(long_name, 255), out, sizeof out, &len),
                     SP_ERR_NOT_FOUND);
}

static int set_up(void **state)
{
    int fd = mkstemp(users_path);

    (void)state;
    return fd < 0 || close(fd) != 0 || sp_hash_setup() != SP_OK;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(users_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_bad_line_is_named_with_its_number),
        cmocka_unit_test(a_good_hash_with_more_behind_it_is_refused),
        cmocka_unit_test(a_name_that_stands_twice_is_refused_whatever_its_case),
        cmocka_unit_test(a_refusal_never_quotes_the_hash),
        cmocka_unit_test(a_nul_byte_is_refused),
        cmocka_unit_test(names_are_found_without_case_and_line_ends_do_not_matter),
        cmocka_unit_test(a_byte_order_mark_is_no_part_of_the_first_name),
        cmocka_unit_test(an_empty_file_knows_nobody),
        cmocka_unit_test(many_users_are_all_found),
        cmocka_unit_test(each_accepted_kind_of_hash_logs_in),
        cmocka_unit_test(an_unknown_user_is_told_apart_from_a_wrong_password),
        cmocka_unit_test(a_password_longer_than_crypt_takes_is_wrong_and_not_an_error),
        cmocka_unit_test(a_hash_that_cannot_be_made_is_no_wrong_password),
        cmocka_unit_test(an_empty_password_is_never_asked),
        cmocka_unit_test(a_full_pool_is_the_return_value_and_done_is_not_called),
        cmocka_unit_test(a_login_cancelled_in_flight_is_never_answered),
        cmocka_unit_test(the_owner_may_close_while_a_cancelled_job_is_out),
        cmocka_unit_test(an_operation_may_be_freed_inside_done),
        cmocka_unit_test(a_new_file_is_taken_up_and_a_bad_one_changes_nothing),
        cmocka_unit_test(a_login_under_way_keeps_the_table_it_began_with),
        cmocka_unit_test(a_file_that_is_missing_bad_or_no_file_is_a_fault_of_path),
        cmocka_unit_test(names_are_typed_in_any_case_and_nonsense_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
