/* A client whose clock is off: how far it is must be said. The client is real, with an offset in
 * its credential cache, which the library adds to its clock. */
#include "unit/backends/gssapi/proxy.h"
#include "unit/backends/gssapi/ticket.h"

#include <unistd.h>

static struct answer come_in(int clock_s, gss_OID mech)
{
    struct ticket ticket = {.keytab = sp_kdc_path(kdc, "proxy.keytab"),
                            .client = "alice@" SP_KDC_REALM,
                            .service = "HTTP/proxy.test@" SP_KDC_REALM,
                            .cache = sp_kdc_path(kdc, "made.cc"),
                            .clock_s = clock_s};
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, mech, GSS_C_MUTUAL_FLAG);
    struct answer answer;
    char name[400];

    ticket_make(&ticket);
    (void)snprintf(name, sizeof name, "FILE:%s", ticket.cache);
    (void)setenv("KRB5CCNAME", name, 1);
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    initiator_step(&in, SP_SPAN_NONE);
    assert_false(in.failed);
    answer = ask_once(&proxy, initiator_token(&in), NULL);
    initiator_fini(&in);
    proxy_close(&proxy);
    return answer;
}

static void refused_with(int clock_s, gss_OID mech, const char *words)
{
    struct answer answer = come_in(clock_s, mech);

    assert_int_equal(answer.verdict, SP_VERDICT_DENY);
    if (strcmp(answer.reason, "clock differs too much") != 0)
        fail_msg("%s: %s", answer.reason, answer.detail);
    if (strstr(answer.detail, words) == NULL)
        fail_msg("%s", answer.detail);
}

/* Not on a full minute's half, so that a slow test says the same. */
static void a_clock_that_is_off_is_said_by_how_much(void **state)
{
    (void)state;
    refused_with(-420, &mech_spnego, "the client's clock is 7 min behind the proxy's");
    refused_with(+420, &mech_krb5, "the client's clock is 7 min ahead of the proxy's");
    refused_with(-7 * 3600, &mech_spnego, "the client's clock is 7 h behind the proxy's");
    refused_with(-420, &mech_krb5, "clockskew allows 300 s");
}

static void a_clock_that_is_off_a_little_is_let_pass(void **state)
{
    (void)state;
    assert_int_equal(come_in(-120, &mech_spnego).verdict, SP_VERDICT_ALLOW);
    assert_int_equal(come_in(+120, &mech_krb5).verdict, SP_VERDICT_ALLOW);
}

static void say_in_krb5_conf(const char *from, const char *to)
{
    char text[4096];
    FILE *file = fopen(sp_kdc_path(kdc, "krb5.conf"), "r+");
    const char *at;
    size_t len;

    assert_non_null(file);
    len = fread(text, 1, sizeof text - 1, file);
    text[len] = '\0';
    at = strstr(text, from);
    assert_non_null(at);
    rewind(file);
    assert_int_equal(ftruncate(fileno(file), 0), 0);
    (void)fprintf(file, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    assert_int_equal(fclose(file), 0);
}

/* The library takes up a krb5.conf that has changed without being told: then a token is good for
 * longer, and has to be remembered for longer. */
static void a_clockskew_that_is_raised_widens_the_replay_table(void **state)
{
    static const char raised[] = "[libdefaults]\n    clockskew = 900\n";
    const uint64_t late = (uint64_t)1 << 40;
    struct proxy proxy;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    assert_int_equal(proxy.config->clockskew_s, 300);
    say_in_krb5_conf("[libdefaults]\n", raised);
    for (int i = 0; proxy.config->clockskew_s != 900 && i < 600; i++) {
        proxy.config->skew_due_s = 0;
        sp_gss_config_follow_clockskew(proxy.config);
        (void)usleep(100000); /* the library looks at its file once a second */
    }
    assert_int_equal(proxy.config->clockskew_s, 900);
    assert_int_equal(sp_gss_replay_enter(proxy.config->replay, SP_SPAN_LIT("used"), late), SP_OK);
    assert_int_equal(sp_gss_replay_enter(proxy.config->replay, SP_SPAN_LIT("used"), late + 1800),
                     SP_ERR_DENIED);
    say_in_krb5_conf(raised, "[libdefaults]\n");
    proxy_close(&proxy);
}

static void a_distance_is_said_in_the_unit_that_fits(void **state)
{
    static const struct {
        int64_t ahead_s;
        const char *words;
    } rows[] = {
        {0, "0 s ahead of the proxy's"},
        {-119, "119 s behind the proxy's"},
        {120, "2 min ahead of the proxy's"},
        {-449, "7 min behind the proxy's"},
        {450, "8 min ahead of the proxy's"},
        {-7199, "120 min behind the proxy's"},
        {7200, "2 h ahead of the proxy's"},
        {-31536000, "8760 h behind the proxy's"},
        {INT64_MIN, "2562047788015216 h behind the proxy's"},
    };
    char words[64];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(sp_gss_clock_words(rows[i].ahead_s, words, sizeof words),
                            rows[i].words);
}

static int set_up(void **state)
{
    (void)state;
    kdc = sp_kdc_start(NULL);
    sp_kdc_add(kdc, "HTTP/proxy.test", NULL);
    sp_kdc_keytab(kdc, "HTTP/proxy.test", "proxy.keytab", 0);
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
        cmocka_unit_test(a_clock_that_is_off_is_said_by_how_much),
        cmocka_unit_test(a_clock_that_is_off_a_little_is_let_pass),
        cmocka_unit_test(a_distance_is_said_in_the_unit_that_fits),
        cmocka_unit_test(
            a_clockskew_that_is_raised_widens_the_replay_table), /* last: its clock is ahead */
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
