/* Groups from a ticket's PAC, end to end: tickets made with the service's key, a real client and a
 * real acceptor. */
#include "unit/backends/gssapi/pac_sample.h"
#include "unit/backends/gssapi/proxy.h"
#include "unit/backends/gssapi/ticket.h"

#define DOMAIN    "S-1-5-21-397955417-626881126-188441444"
#define PRINCIPAL "HTTP/proxy.test@" SP_KDC_REALM

static struct pac_sample sample;
static struct pac_bytes written;

static void use_cache(const char *path)
{
    char name[400];

    (void)snprintf(name, sizeof name, "FILE:%s", path);
    (void)setenv("KRB5CCNAME", name, 1);
}

/* alice with a ticket of our own making comes in by `mech`. */
static struct answer come_in(struct ticket *ticket, gss_OID mech, const char *groups_from,
                             char *log, size_t cap)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, mech, GSS_C_MUTUAL_FLAG);
    struct answer answer;

    ticket->keytab = sp_kdc_path(kdc, "proxy.keytab");
    ticket->client = "alice@" SP_KDC_REALM;
    ticket->service = PRINCIPAL;
    ticket->cache = sp_kdc_path(kdc, "made.cc");
    ticket_make(ticket);
    use_cache(ticket->cache);
    proxy_set(&proxy, "proxy.keytab");
    proxy.options.groups_from = (char *)(uintptr_t)groups_from;
    proxy_open(&proxy);
    initiator_step(&in, SP_SPAN_NONE);
    assert_false(in.failed);
    answer = ask_once(&proxy, initiator_token(&in), NULL);
    (void)snprintf(log, cap, "%s", proxy.lender.log);
    initiator_fini(&in);
    proxy_close(&proxy);
    sp_kdc_use(kdc, "alice");
    return answer;
}

static void groups_of_the_pac_come_with_the_verdict(void **state)
{
    struct ticket ticket = {.pac = true};
    gss_OID mechs[] = {&mech_spnego, &mech_krb5};
    struct answer answer;
    char log[16384];

    (void)state;
    sample = (struct pac_sample){.user = "alice",
                                 .domain = DOMAIN,
                                 .primary = 513,
                                 .rids = {513, 1105},
                                 .rids_len = 2,
                                 .extra = {"S-1-18-1"},
                                 .extra_len = 1,
                                 .resource_domain = "S-1-5-21-1-2-3",
                                 .resource = {77},
                                 .resource_len = 1};
    ticket.logon_info = pac_write(&written, &sample);
    for (size_t i = 0; i < 2; i++) {
        answer = come_in(&ticket, mechs[i], "pac", log, sizeof log);
        assert_int_equal(answer.verdict, SP_VERDICT_ALLOW);
        assert_string_equal(answer.user, "alice");
        assert_string_equal(answer.groups,
                            DOMAIN "-513 " DOMAIN "-1105 S-1-18-1 S-1-5-21-1-2-3-77 ");
        assert_null(strstr(log, "event=pac_"));
    }
}

static void a_pac_that_nobody_asked_for_is_not_read(void **state)
{
    struct ticket ticket = {.pac = true, .logon_info = pac_write(&written, &sample)};
    char log[16384];

    (void)state;
    assert_string_equal(come_in(&ticket, &mech_spnego, "corp-ldap", log, sizeof log).groups, "");
}

static void a_pac_signed_by_another_key_brings_nothing(void **state)
{
    struct ticket ticket = {
        .pac = true, .logon_info = pac_write(&written, &sample), .wrong_signature = true};
    struct answer answer;
    char log[16384];

    (void)state;
    answer = come_in(&ticket, &mech_spnego, "pac", log, sizeof log);
    assert_int_equal(answer.verdict, SP_VERDICT_ALLOW);
    assert_string_equal(answer.groups, "");
    assert_non_null(strstr(log, "event=pac_absent principal=\"alice@" SP_KDC_REALM "\""));
}

static void a_ticket_without_groups_in_it_brings_none(void **state)
{
    struct ticket without = {.pac = false}, empty = {.pac = true};
    struct ticket *tickets[] = {&without, &empty};
    struct answer answer;
    char log[16384];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        answer = come_in(tickets[i], &mech_spnego, "pac+corp-ldap", log, sizeof log);
        assert_int_equal(answer.verdict, SP_VERDICT_ALLOW);
        assert_string_equal(answer.groups, "");
        assert_non_null(strstr(log, "event=pac_absent"));
    }
}

static void a_verified_pac_that_cannot_be_read_is_not_no_groups(void **state)
{
    struct ticket ticket = {.pac = true, .logon_info = pac_write(&written, &sample)};
    struct answer answer;
    char log[16384];

    (void)state;
    ticket.logon_info.len -= 40;
    answer = come_in(&ticket, &mech_spnego, "pac", log, sizeof log);
    assert_int_equal(answer.verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(answer.reason, "the ticket's PAC cannot be read");
    assert_string_equal(answer.groups, "");
    assert_int_equal(answer.token_len, 0);
}

/* ---- the option ---- */

static void traits_are(const char *option, const char *groups_from)
{
    struct sp_auth_traits traits = {NULL, false};
    struct proxy proxy;

    proxy_set(&proxy, "proxy.keytab");
    proxy.options.groups_from = (char *)(uintptr_t)option;
    proxy_open(&proxy);
    OPS->traits(proxy.config, &traits);
    assert_string_equal(traits.groups_from, groups_from);
    proxy_close(&proxy);
}

static void the_core_is_told_of_the_backend_alone(void **state)
{
    (void)state;
    traits_are("", "");
    traits_are("corp-ldap", "corp-ldap");
    traits_are("pac", "");
    traits_are("pac+corp-ldap", "corp-ldap");
    traits_are("package", "package");
}

static void refused(struct proxy *proxy, const char *words)
{
    struct sp_auth_fault fault = {NULL, ""};

    assert_int_not_equal(
        OPS->configure(&proxy->options, &proxy->lender.host, &proxy->config, &fault), SP_OK);
    assert_string_equal(fault.option, "groups_from");
    assert_non_null(strstr(fault.text, words));
    assert_int_equal(lender_fini(&proxy->lender), 0);
}

static void a_pac_that_cannot_come_is_a_fault(void **state)
{
    struct proxy proxy;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy.options.groups_from = (char *)(uintptr_t) "pac+";
    refused(&proxy, "missing");
    proxy_set(&proxy, "proxy.keytab");
    proxy.options.groups_from = (char *)(uintptr_t) "pac";
    proxy.mechanisms[0] = (char *)(uintptr_t) "ntlmssp";
    refused(&proxy, "krb5");
}

static int set_up(void **state)
{
    (void)state;
    kdc = sp_kdc_start("    permitted_enctypes = aes256-cts-hmac-sha1-96");
    sp_kdc_add(kdc, "HTTP/proxy.test", NULL);
    sp_kdc_keytab(kdc, "HTTP/proxy.test", "proxy.keytab", 0);
    sp_kdc_add(kdc, "alice", "wonder");
    sp_kdc_login(kdc, "alice", "wonder", NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sp_kdc_stop(&kdc);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_of_the_pac_come_with_the_verdict),
        cmocka_unit_test(a_pac_that_nobody_asked_for_is_not_read),
        cmocka_unit_test(a_pac_signed_by_another_key_brings_nothing),
        cmocka_unit_test(a_ticket_without_groups_in_it_brings_none),
        cmocka_unit_test(a_verified_pac_that_cannot_be_read_is_not_no_groups),
        cmocka_unit_test(the_core_is_told_of_the_backend_alone),
        cmocka_unit_test(a_pac_that_cannot_come_is_a_fault),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
