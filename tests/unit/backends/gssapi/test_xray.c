/* The ticket X-ray on tokens made by hand: what it reads, what it says, and what it refuses. */
#include "backends/gssapi/xray.h"
#include "unit/backends/gssapi/tokens.h"
#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>

static struct sp_gss_xray read_token(struct tok tok)
{
    struct sp_gss_xray xray;
    /* at the end of a heap block, where one byte too far is seen */
    char *bytes = malloc(tok.len > 0 ? tok.len : 1);

    assert_non_null(bytes);
    memcpy(bytes, tok.bytes, tok.len);
    sp_gss_xray_read(&xray, sp_span_of(bytes, tok.len));
    free(bytes);
    return xray;
}

static void says(struct tok tok, const char *words)
{
    struct sp_gss_xray xray;
    char out[512];

    sp_gss_xray_read(&xray, tok_span(&tok));
    assert_true(xray.whole);
    assert_string_equal(sp_gss_xray_words(&xray, out, sizeof out), words);
}

static struct tok ap_req(void)
{
    return tok_ap_req("proxy.corp.test", 18, 5, "the authenticator");
}

static void each_kind_of_token_is_told_in_words(void **state)
{
    const struct tok ntlm = tok_ntlm_authenticate("CORP", "alice", "PC7");

    (void)state;
    says(ap_req(), "a ticket for HTTP/proxy.corp.test@CORP.TEST kvno 5 aes256-cts-hmac-sha1-96");
    says(tok_krb5(tok_ap_req("p", 23, 0, "a")), "a ticket for HTTP/p@CORP.TEST arcfour-hmac");
    says(tok_krb5(tok_ap_req("p", 99, 1, "a")), "a ticket for HTTP/p@CORP.TEST kvno 1 etype 99");
    says(tok_spnego(TOK(OID_MS_BYTES OID_KRB5_BYTES OID_NTLM_BYTES), tok_krb5(ap_req())),
         "SPNEGO (ms-krb5, krb5, ntlmssp) with a ticket for HTTP/proxy.corp.test@CORP.TEST kvno 5 "
         "aes256-cts-hmac-sha1-96");
    says(ntlm, "NTLM type 3 (domain CORP, user alice, workstation PC7)");
    says(tok_spnego(TOK(OID_NTLM_BYTES), ntlm),
         "SPNEGO (ntlmssp) with NTLM type 3 (domain CORP, user alice, workstation PC7)");
    says(tok_spnego_resp(ntlm),
         "SPNEGO with NTLM type 3 (domain CORP, user alice, workstation PC7)");
    says(tok_spnego(TOK(OID_KRB5_BYTES), TOK("")), "SPNEGO (krb5) with no mechanism's token");
    says(tok_spnego(TOK("\x06\x02\x2a\x03"), TOK("any")),
         "SPNEGO (unknown) with another mechanism's token");
}

static void the_authenticator_is_found_raw_framed_and_wrapped(void **state)
{
    const struct tok tokens[] = {
        ap_req(), tok_krb5(ap_req()), tok_spnego(TOK(OID_KRB5_BYTES), tok_krb5(ap_req())),
        tok_spnego(TOK(OID_KRB5_BYTES), ap_req()), tok_spnego_resp(tok_krb5(ap_req()))};

    (void)state;
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        struct sp_gss_xray xray;

        sp_gss_xray_read(&xray, tok_span(&tokens[i]));
        assert_true(xray.whole);
        assert_int_equal(xray.inner, SP_GSS_INNER_AP_REQ);
        assert_true(sp_span_eq(xray.ticket.authenticator, SP_SPAN_LIT("the authenticator")));
    }
}

/* The library gives mechToken to the first mechanism of the list, or to none: what it never judged
 * must not look like an authenticator, or anybody could fill the replay table. */
static void a_ticket_behind_another_first_mechanism_is_not_read_as_one(void **state)
{
    struct sp_gss_xray xray = read_token(
        tok_spnego(TOK("\x06\x02\x2a\x03" OID_KRB5_BYTES), tok_krb5(ap_req())));

    (void)state;
    assert_int_equal(xray.inner, SP_GSS_INNER_OTHER);
    assert_null(xray.ticket.authenticator.base);
}

static void the_order_of_mechanisms_is_known(void **state)
{
    struct sp_gss_xray xray = read_token(tok_spnego(TOK(OID_KRB5_BYTES OID_NTLM_BYTES), TOK("")));

    (void)state;
    assert_true(xray.lists_krb5 && xray.lists_ntlm && !xray.ntlm_first);
    xray = read_token(tok_spnego(TOK(OID_NTLM_BYTES OID_KRB5_BYTES), TOK("")));
    assert_true(xray.lists_krb5 && xray.lists_ntlm && xray.ntlm_first);
}

static void no_cut_token_is_whole(void **state)
{
    const struct tok tokens[] = {tok_spnego(TOK(OID_MS_BYTES OID_KRB5_BYTES), tok_krb5(ap_req())),
                                 tok_spnego_resp(tok_krb5(ap_req())), ap_req()};

    (void)state;
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        for (size_t len = 0; len < tokens[i].len; len++)
            assert_false(read_token(tok_raw(tokens[i].bytes, len)).whole);
    }
}

static void a_cut_ntlm_message_is_read_as_far_as_it_goes(void **state)
{
    const struct tok ntlm = tok_ntlm_authenticate("CORP", "alice", "PC7");

    (void)state;
    for (size_t len = 0; len < ntlm.len; len++)
        (void)read_token(tok_raw(ntlm.bytes, len));
    assert_false(read_token(tok_raw(ntlm.bytes, 11)).whole);
}

static void bytes_behind_the_end_are_not_passed_over(void **state)
{
    const struct tok more = TOK("\0");

    (void)state;
    assert_false(read_token(tok_join(ap_req(), more)).whole);
    assert_false(read_token(tok_join(tok_krb5(ap_req()), more)).whole);
    assert_false(read_token(tok_krb5(tok_join(ap_req(), more))).whole);
    assert_false(
        read_token(tok_spnego(TOK(OID_KRB5_BYTES), tok_join(tok_krb5(ap_req()), more))).whole);
    assert_false(
        read_token(tok_join(tok_spnego(TOK(OID_KRB5_BYTES), tok_krb5(ap_req())), more)).whole);
}

/* BER allows one value to be written in many ways; each other way could hide an authenticator. */
static void lengths_that_are_not_the_shortest_are_refused(void **state)
{
    struct tok good = tok_krb5(ap_req());
    struct tok longer = TOK("\x60\x83\x00");
    struct tok indefinite = TOK("\x60\x80");
    struct sp_gss_xray xray;

    (void)state;
    assert_true(good.bytes[1] == 0x82 || good.bytes[1] == 0x81);
    longer = tok_join(longer, tok_raw(good.bytes + 2, good.len - 2));
    xray = read_token(longer);
    assert_false(xray.whole);
    indefinite = tok_join(indefinite, tok_raw(good.bytes + 3, good.len - 3));
    assert_false(read_token(tok_join(indefinite, TOK("\0\0"))).whole);
    assert_false(read_token(TOK("\x60\x81\x05\x06\x03\x2a\x03\x04")).whole);
}

static void a_version_or_type_that_is_not_kerberos_5_is_refused(void **state)
{
    struct tok token = ap_req();
    size_t version = 0;

    (void)state;
    for (size_t i = 0; i + 5 <= token.len && version == 0; i++) {
        if (memcmp(token.bytes + i, "\xa0\x03\x02\x01\x05", 5) == 0)
            version = i + 4;
    }
    assert_true(version > 0);
    token.bytes[version] = 4;
    assert_false(read_token(token).whole);
}

static void unsafe_names_are_made_safe_in_words(void **state)
{
    struct sp_gss_xray xray;
    struct tok token = tok_ap_req("a\nb\"c", 18, 1, "a");
    char out[512];

    (void)state;
    sp_gss_xray_read(&xray, tok_span(&token));
    (void)sp_gss_xray_words(&xray, out, sizeof out);
    assert_null(strchr(out, '\n'));
    assert_null(strchr(out, '"'));
}

static void words_are_cut_and_never_overrun(void **state)
{
    struct sp_gss_xray xray;
    struct tok token = tok_spnego(TOK(OID_KRB5_BYTES), tok_krb5(ap_req()));

    (void)state;
    sp_gss_xray_read(&xray, tok_span(&token));
    for (size_t cap = 1; cap < 200; cap++) {
        char *out = malloc(cap);

        assert_true(strlen(sp_gss_xray_words(&xray, out, cap)) < cap);
        (void)sp_gss_xray_service(&xray.ticket, out, cap);
        free(out);
    }
}

static void surrogates_and_long_names_of_ntlm_are_read_safely(void **state)
{
    struct tok token = tok_ntlm_authenticate("CORP", "", "");
    struct sp_gss_xray xray;
    static const char pair[] = "\x3d\xd8\x00\xde"; /* U+1F600 */
    static const char lone[] = "\x00\xd8";

    (void)state;
    tok_le(&token, 36, 2, 4);
    tok_le(&token, 40, 4, token.len);
    token = tok_join(token, tok_raw(pair, 4));
    sp_gss_xray_read(&xray, tok_span(&token));
    assert_string_equal(xray.ntlm.user, "\xf0\x9f\x98\x80");
    tok_le(&token, 36, 2, 2);
    tok_le(&token, 40, 4, token.len);
    token = tok_join(token, tok_raw(lone, 2));
    sp_gss_xray_read(&xray, tok_span(&token));
    assert_string_equal(xray.ntlm.user, "\xef\xbf\xbd");
    tok_le(&token, 36, 2, 0xffff); /* past the end: as if it were not there */
    sp_gss_xray_read(&xray, tok_span(&token));
    assert_string_equal(xray.ntlm.user, "");
}

static void a_service_of_too_many_parts_is_refused(void **state)
{
    struct tok names = TOK("");
    struct tok token, ticket;

    (void)state;
    for (int i = 0; i < 5; i++)
        names = tok_join(names, tok_text(0x1b, "x"));
    ticket = tok_join(tok_field(0, tok_int(5)), tok_field(1, tok_text(0x1b, "R")));
    ticket = tok_join(ticket,
                      tok_field(2, tok_tlv(0x30, tok_join(tok_field(0, tok_int(2)),
                                                          tok_field(1, tok_tlv(0x30, names))))));
    ticket = tok_join(ticket, tok_field(3, tok_encrypted(18, 1, "c")));
    token = tok_join(tok_field(0, tok_int(5)), tok_field(1, tok_int(14)));
    token = tok_join(token, tok_field(2, tok_tlv(0x03, tok_raw("\0\0\0\0\0", 5))));
    token = tok_join(token, tok_field(3, tok_tlv(0x61, tok_tlv(0x30, ticket))));
    token = tok_join(token, tok_field(4, tok_encrypted(18, 0, "a")));
    assert_false(read_token(tok_tlv(0x6e, tok_tlv(0x30, token))).whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_token_is_told_in_words),
        cmocka_unit_test(the_authenticator_is_found_raw_framed_and_wrapped),
        cmocka_unit_test(a_ticket_behind_another_first_mechanism_is_not_read_as_one),
        cmocka_unit_test(the_order_of_mechanisms_is_known),
        cmocka_unit_test(no_cut_token_is_whole),
        cmocka_unit_test(a_cut_ntlm_message_is_read_as_far_as_it_goes),
        cmocka_unit_test(bytes_behind_the_end_are_not_passed_over),
        cmocka_unit_test(lengths_that_are_not_the_shortest_are_refused),
        cmocka_unit_test(a_version_or_type_that_is_not_kerberos_5_is_refused),
        cmocka_unit_test(unsafe_names_are_made_safe_in_words),
        cmocka_unit_test(words_are_cut_and_never_overrun),
        cmocka_unit_test(surrogates_and_long_names_of_ntlm_are_read_safely),
        cmocka_unit_test(a_service_of_too_many_parts_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
