/* Several certificates on one listener: which one a client is shown, what a session that it resumes
 * is bound to, and the keys that seal its tickets. */
#include "tls_test.h"

#include "net/stream_priv.h"
#include "net/tls_priv.h"
#include "util/span.h"

#include <openssl/x509v3.h>
#include <signal.h>

#define NAMED_MAX 6

/* A certificate for these names, in files. */
static struct tls_files files[NAMED_MAX];
static unsigned files_len;

/* The extension as it is, without a look at what stands in it; it is freed. */
static void extend(X509 *x509, X509_EXTENSION *extension)
{
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x509, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static void write_signed(const struct tls_files *made, EVP_PKEY *key)
{
    FILE *file = fopen(made->certificate, "w");

    assert_true(X509_sign(made->x509, key, EVP_sha256()) > 0);
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, made->x509), 1);
    fclose(file);
}

static size_t make_named(EVP_PKEY *key, const char *names)
{
    struct tls_files made;

    EVP_PKEY_up_ref(key); /* the files' maker frees one */
    tls_files_make(&made, key, EVP_sha256());
    extend(made.x509, X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names));
    write_signed(&made, key);
    EVP_PKEY_free(key);
    files[files_len] = made;
    return files_len++;
}

static size_t plain, wild, other, both_rsa, both_ec, nobody;

static int set_up_all(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    plain = make_named(EVP_EC_gen("P-256"), "DNS:proxy.test,DNS:Second.Test,IP:127.0.0.1");
    wild = make_named(EVP_EC_gen("P-256"), "DNS:*.corp.test");
    other = make_named(EVP_EC_gen("P-256"), "DNS:named.corp.test");
    both_rsa = make_named(EVP_RSA_gen(2048), "DNS:both.test");
    both_ec = make_named(EVP_EC_gen("P-384"), "DNS:both.test");
    nobody = make_named(EVP_EC_gen("P-256"), "IP:192.0.2.1");
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    for (unsigned i = 0; i < files_len; i++)
        tls_files_remove(&files[i]);
    return 0;
}

static struct sp_tls_server *server_of(const size_t *which, size_t len)
{
    struct sp_tls_fault fault;
    struct sp_tls_server *server = sp_tls_server_new(&fault);

    assert_non_null(server);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(
            sp_tls_server_add(server, files[which[i]].certificate, files[which[i]].key, &fault),
            SP_OK);
    assert_int_equal(sp_tls_server_certificates(server), len);
    return server;
}

static struct sp_tls_server *server_of_all(void)
{
    const size_t all[] = {plain, wild, other, both_rsa, both_ec, nobody};

    return server_of(all, sizeof(all) / sizeof(all[0]));
}

/* ---- one handshake ---- */

struct visit {
    struct tls_client client;
    struct sp_stream *stream;
    bool done;
    enum sp_err err;
    X509 *shown;
    char end_point[SP_TLS_END_POINT_MAX];
    size_t end_point_len;
};

static void on_done(void *owner, enum sp_err err, const char *why)
{
    struct visit *visit = owner;

    (void)why;
    visit->done = true;
    visit->err = err;
}

static void look_and_wait(struct tls_client *client)
{
    struct visit *visit = client->owner;
    char byte;

    visit->shown = SSL_get1_peer_certificate(client->ssl);
    while (SSL_read(client->ssl, &byte, 1) > 0)
        ;                      /* tickets come before the byte, and then the end */
    SSL_shutdown(client->ssl); /* or the library forgets the session */
}

static void make_visit(struct visit *visit, struct sp_tls_server *server)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct iovec byte = {(char[]){'x'}, 1};
    struct sp_span end_point;
    size_t sent = 0;
    int fds[2];

    test_tcp_pair(fds);
    visit->done = false;
    visit->client.script = look_and_wait;
    visit->client.owner = visit;
    visit->stream = sp_stream_new(loop, fds[1]);
    assert_int_equal(sp_stream_start_tls(visit->stream, server, on_done, visit), SP_OK);
    tls_client_start(&visit->client, fds[0]);
    test_turn_until(loop, &visit->done);
    if (visit->err == SP_OK) {
        end_point = sp_stream_tls_end_point(visit->stream);
        visit->end_point_len = end_point.len;
        memcpy(visit->end_point, end_point.base, end_point.len);
        assert_int_equal(sp_stream_write(visit->stream, &byte, 1, &sent), SP_OK);
    }
    sp_stream_close(&visit->stream, false);
    test_loop_end(&loop);
    tls_client_join(&visit->client);
}

static void visit_fini(struct visit *visit)
{
    X509_free(visit->shown);
    SSL_SESSION_free(visit->client.session);
}

static void expect_end_point_of(const struct visit *visit, size_t which)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    assert_int_equal(X509_digest(files[which].x509, EVP_sha256(), digest, &len), 1);
    assert_int_equal(visit->end_point_len, 21 + len);
    assert_memory_equal(visit->end_point + 21, digest, len);
}

static void expect_shown(struct sp_tls_server *server, const char *host, const char *algorithms,
                         size_t which)
{
    struct visit visit = {.client = {.host = host, .algorithms = algorithms}};

    make_visit(&visit, server);
    assert_int_equal(visit.err, SP_OK);
    assert_non_null(visit.shown);
    if (X509_cmp(visit.shown, files[which].x509) != 0)
        print_error("host %s\n", host != NULL ? host : "(none)");
    assert_int_equal(X509_cmp(visit.shown, files[which].x509), 0);
    expect_end_point_of(&visit, which);
    visit_fini(&visit);
}

/* ---- which one ---- */

static void the_name_that_is_asked_for_chooses(void **state)
{
    struct sp_tls_server *server = server_of_all();
    (void)state;

    expect_shown(server, "proxy.test", NULL, plain);
    expect_shown(server, "second.TEST", NULL, plain);
    expect_shown(server, "named.corp.test", NULL, other); /* exact before a wildcard */
    expect_shown(server, "any.corp.test", NULL, wild);
    sp_tls_server_unref(&server);
}

static void the_first_is_for_all_others(void **state)
{
    struct sp_tls_server *server = server_of_all();
    (void)state;

    expect_shown(server, NULL, NULL, plain);
    expect_shown(server, "unknown.test", NULL, plain);
    expect_shown(server, "corp.test", NULL, plain); /* a wildcard is for one label, not for none */
    expect_shown(server, "a.b.corp.test", NULL, plain); /* and not for two */
    sp_tls_server_unref(&server);
}

static void the_clients_algorithms_choose_between_kinds_of_key(void **state)
{
    const size_t pair[] = {both_rsa, both_ec};
    const char *hosts[] = {"both.test", NULL, "unknown.test"};
    struct sp_tls_server *server = server_of_all();
    (void)state;

    expect_shown(server, "both.test", "RSA-PSS+SHA256:RSA+SHA256", both_rsa);
    expect_shown(server, "both.test", "ECDSA+SHA384", both_ec);
    sp_tls_server_unref(&server);
    server = server_of(pair, 2);
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        expect_shown(server, hosts[i], "RSA-PSS+SHA256:RSA+SHA256", both_rsa);
        expect_shown(server, hosts[i], "ECDSA+SHA384", both_ec);
    }
    sp_tls_server_unref(&server);
}

static void of_two_for_one_name_the_first_counts(void **state)
{
    const size_t there[] = {nobody, plain}, back[] = {plain, nobody};
    struct sp_tls_server *server = server_of(there, 2);
    (void)state;

    expect_shown(server, NULL, NULL, nobody);
    sp_tls_server_unref(&server);
    server = server_of(back, 2);
    expect_shown(server, NULL, NULL, plain);
    sp_tls_server_unref(&server);
}

/* ---- sessions ---- */

static void resume(int version, struct sp_tls_server *first, const char *host,
                   struct sp_tls_server *second, bool resumed, size_t end_point)
{
    struct visit begun = {.client = {.host = host, .version = version}};
    struct visit again = begun;

    make_visit(&begun, first);
    assert_non_null(begun.client.session);
    again.client.session = begun.client.session;
    begun.client.session = NULL;
    make_visit(&again, second);
    assert_int_equal(again.err, SP_OK);
    assert_int_equal(again.client.resumed, resumed);
    expect_end_point_of(&again, end_point);
    visit_fini(&begun);
    visit_fini(&again);
}

static void a_resumed_session_has_the_end_point_that_it_began_with(void **state)
{
    struct sp_tls_server *server = server_of_all();
    (void)state;

    resume(TLS1_2_VERSION, server, "named.corp.test", server, true, other);
    resume(TLS1_3_VERSION, server, "named.corp.test", server, true, other);
    sp_tls_server_unref(&server);
}

static void a_reload_that_keeps_the_certificate_keeps_its_sessions(void **state)
{
    const size_t before[] = {plain, other}, after[] = {other};
    struct sp_tls_server *first = server_of(before, 2), *second = server_of(after, 1);
    (void)state;

    resume(TLS1_2_VERSION, first, "named.corp.test", second, true, other);
    resume(TLS1_3_VERSION, first, "named.corp.test", second, true, other);
    sp_tls_server_unref(&first);
    sp_tls_server_unref(&second);
}

static void a_session_does_not_outlive_its_certificate(void **state)
{
    const size_t before[] = {plain, other}, after[] = {plain};
    struct sp_tls_server *first = server_of(before, 2), *second = server_of(after, 1);
    (void)state;

    resume(TLS1_2_VERSION, first, "named.corp.test", second, false, plain);
    resume(TLS1_3_VERSION, first, "named.corp.test", second, false, plain);
    sp_tls_server_unref(&first);
    sp_tls_server_unref(&second);
}

/* ---- names that cannot be read ---- */

static X509_EXTENSION *names_of(const char *bytes, size_t len)
{
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension;

    assert_non_null(value);
    assert_int_equal(ASN1_OCTET_STRING_set(value, (const unsigned char *)bytes, (int)len), 1);
    extension = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, value);
    ASN1_OCTET_STRING_free(value);
    return extension;
}

/* What the context says of a certificate with so many subjectAltNames of these bytes. */
static void read_with_names(const char *bytes, size_t len, unsigned times, enum sp_err expected,
                            const char *words)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    struct sp_tls_fault fault;
    struct sp_tls_server *server = sp_tls_server_new(&fault);
    struct tls_files made;

    assert_non_null(server);
    EVP_PKEY_up_ref(key);
    tls_files_make(&made, key, EVP_sha256());
    for (unsigned i = 0; i < times; i++)
        extend(made.x509, names_of(bytes, len));
    write_signed(&made, key);
    assert_int_equal(sp_tls_server_add(server, made.certificate, made.key, &fault), expected);
    if (expected != SP_OK) {
        assert_string_equal(fault.option, "tls_certificate");
        if (strstr(fault.why, words) == NULL)
            fail_msg("%s", fault.why);
    }
    assert_int_equal(sp_tls_server_certificates(server), expected == SP_OK);
    sp_tls_server_unref(&server);
    tls_files_remove(&made);
    EVP_PKEY_free(key);
}

static void names_that_cannot_be_read_are_no_absence_of_names(void **state)
{
    static const char sound[] = "\x30\x0c\x82\x0aproxy.test", cut[] = "\x30\x0c\x82\x0aprox";

    const char *words = "such as subjectAltName, cannot be read or stands twice";

    (void)state;
    read_with_names(NULL, 0, 0, SP_OK, NULL);
    read_with_names(sound, sizeof(sound) - 1, 1, SP_OK, NULL);
    read_with_names(cut, sizeof(cut) - 1, 1, SP_ERR_INVALID, words);
    read_with_names(sound, sizeof(sound) - 1, 2, SP_ERR_INVALID, words);
}

/* ---- the keys of tickets ---- */

#define MINUTE 60000u

static void a_key_seals_for_an_hour_and_opens_for_two(void **state)
{
    uint64_t now = UINT64_C(1) << 40; /* long after what the handshakes above have made */
    struct sp_tls_ticket_key first, second, third, found;
    (void)state;

    assert_int_equal(sp_tls_ticket_key_newest(now, &first), SP_OK);
    assert_int_equal(sp_tls_ticket_key_newest(now + 59 * MINUTE, &second), SP_OK);
    assert_memory_equal(&first, &second, sizeof(first));
    assert_int_equal(sp_tls_ticket_key_newest(now + 60 * MINUTE, &second), SP_OK);
    assert_memory_not_equal(first.name, second.name, sizeof(first.name));
    assert_memory_not_equal(first.cipher, second.cipher, sizeof(first.cipher));
    assert_memory_not_equal(first.mac, second.mac, sizeof(first.mac));
    assert_true(sp_tls_ticket_key_find(first.name, now + 119 * MINUTE, &found));
    assert_memory_equal(&first, &found, sizeof(first));
    assert_false(sp_tls_ticket_key_find(first.name, now + 120 * MINUTE, &found));
    assert_true(sp_tls_ticket_key_find(second.name, now + 120 * MINUTE, &found));
    assert_int_equal(sp_tls_ticket_key_newest(now + 120 * MINUTE, &third), SP_OK);
    assert_false(sp_tls_ticket_key_find(first.name, now + 61 * MINUTE, &found)); /* it is gone */
    assert_false(sp_tls_ticket_key_find((const unsigned char *)"sixteen bytes...", now, &found));
}

/* Another worker has read the clock just before, and gets the lock after. */
static void a_key_made_since_the_clock_was_read_is_the_newest(void **state)
{
    uint64_t now = UINT64_C(1) << 41;
    struct sp_tls_ticket_key first, second, found;
    (void)state;

    assert_int_equal(sp_tls_ticket_key_newest(now, &first), SP_OK);
    assert_int_equal(sp_tls_ticket_key_newest(now - 1, &second), SP_OK);
    assert_memory_equal(&first, &second, sizeof(first));
    assert_true(sp_tls_ticket_key_find(first.name, now - 1, &found));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_that_is_asked_for_chooses),
        cmocka_unit_test(the_first_is_for_all_others),
        cmocka_unit_test(the_clients_algorithms_choose_between_kinds_of_key),
        cmocka_unit_test(of_two_for_one_name_the_first_counts),
        cmocka_unit_test(a_resumed_session_has_the_end_point_that_it_began_with),
        cmocka_unit_test(a_reload_that_keeps_the_certificate_keeps_its_sessions),
        cmocka_unit_test(a_session_does_not_outlive_its_certificate),
        cmocka_unit_test(names_that_cannot_be_read_are_no_absence_of_names),
        cmocka_unit_test(a_key_seals_for_an_hour_and_opens_for_two),
        cmocka_unit_test(a_key_made_since_the_clock_was_read_is_the_newest),
    };

    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
