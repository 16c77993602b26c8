/* What configure refuses, and which option it names. */
#include "bench_ldap.h"

static struct bench *plain(void)
{
    return bench_new("ldap://127.0.0.1:3890");
}

static void refused(struct bench *b, const char *option, const char *words)
{
    struct sp_auth_fault fault = {NULL, ""};

    assert_int_not_equal(
        sp_auth_backend.configure(&b->options, test_host_lend(b->host), &b->config, &fault), SP_OK);
    assert_null(b->config);
    assert_non_null(fault.option);
    assert_string_equal(fault.option, option);
    if (strstr(fault.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", fault.text, words);
    bench_free(b);
}

static void refuses(const char *key, const char *value, const char *words)
{
    struct bench *b = plain();

    set(b, key, value);
    refused(b, key, words);
}

static void the_defaults_and_a_base_are_enough(void **state)
{
    struct bench *b = plain();

    (void)state;
    set(b, "bind_dn", "");
    set(b, "bind_password_file", "");
    bench_open(b);
    assert_int_equal(b->options.connections, 16);
    assert_int_equal(b->options.timeout_ms, 5000);
    assert_int_equal(b->options.connect_timeout_ms, 3000);
    assert_int_equal(b->options.idle_timeout_ms, 600000);
    bench_free(b);
}

static void clear_text_over_a_network_needs_to_be_said(void **state)
{
    struct bench *b;

    (void)state;
    refuses("uris", "ldap://dc1.corp.test", "allow_clear");
    b = bench_new("ldap://dc1.corp.test");
    set(b, "allow_clear", "true");
    bench_open(b);
    bench_free(b);
    b = bench_new("ldap://dc1.corp.test");
    set(b, "start_tls", "true");
    bench_open(b);
    bench_free(b);
    b = bench_new("ldaps://dc1.corp.test, ldapi://%2Frun%2Fx, ldap://localhost");
    bench_open(b);
    bench_free(b);
}

static void servers_must_be_servers(void **state)
{
    (void)state;
    refuses("uris", "", "no directory server");
    refuses("uris", "http://dc1", "\"http://dc1\"");
}

static void templates_must_make_sense(void **state)
{
    (void)state;
    refuses("filter", "(uid=%x)", "\"%x\"");
    refuses("filter", "(uid=%d)", "\"%d\"");
    refuses("filter", "(uid=alice)", "same for everybody");
    refuses("filter", "(&(uid=%u)", "parentheses");
    refuses("user_dn", "uid=%u,ou", "does not become a DN");
    refuses("user_dn", "uid=alice,dc=test", "same for everybody");
    refuses("base", "people", "not a DN");
    refuses("base", "", "where people are searched");
}

static void group_keys_must_make_sense(void **state)
{
    struct bench *b = plain();

    (void)state;
    set(b, "group_base", "ou=groups,dc=test");
    set(b, "group_filter", "(memberUid=%u)");
    set(b, "group_depth", "2");
    refused(b, "group_depth", "no %d");
    b = plain();
    set(b, "group_base", "groups");
    refused(b, "group_base", "not a DN");
    b = plain();
    set(b, "group_base", "ou=groups,dc=test");
    set(b, "group_name", "c n");
    refused(b, "group_name", "attribute");
}

static void the_service_identity_must_be_whole(void **state)
{
    struct bench *b;

    (void)state;
    refuses("bind_password_file", "", "needs a password");
    b = plain();
    set(b, "bind_dn", "");
    refused(b, "bind_password_file", "no bind_dn");
    b = plain();
    set(b, "sasl", "gssapi");
    refused(b, "bind_dn", "takes its place");
    refuses("bind_principal", "proxy@CORP.TEST", "sasl");
    b = plain();
    set(b, "bind_dn", "");
    set(b, "bind_password_file", "");
    set(b, "sasl", "gssapi");
    refused(b, "client_keytab", "keytab");
}

static void an_unreadable_authority_is_named(void **state)
{
    (void)state;
    refuses("tls_ca", "/nonexistent/ca.pem", "/nonexistent/ca.pem");
}

static void domains_are_domains(void **state)
{
    (void)state;
    refuses("domains", "CORP\\", "not a domain");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_and_a_base_are_enough),
        cmocka_unit_test(clear_text_over_a_network_needs_to_be_said),
        cmocka_unit_test(servers_must_be_servers),
        cmocka_unit_test(templates_must_make_sense),
        cmocka_unit_test(group_keys_must_make_sense),
        cmocka_unit_test(the_service_identity_must_be_whole),
        cmocka_unit_test(an_unreadable_authority_is_named),
        cmocka_unit_test(domains_are_domains),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
