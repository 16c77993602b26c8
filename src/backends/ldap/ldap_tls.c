/* TLS to a directory: StartTLS where asked, the handshake, and whose certificate it is. Runs on a
 * pool thread. There is no switch that lets an unverified certificate pass. */
#include "backends/ldap/ldap_dial_priv.h"

#include "backends/ldap/ldap_config.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

/* The extended operation; the server answers 0 and then expects the handshake (RFC 4511 4.14). */
static enum sp_err ask_start_tls(struct sp_ldap_dialling *d)
{
    LDAP *ld = sp_ldap_wire_handle(d->report->wire);
    LDAPMessage *answer = NULL;
    char *diagnostic = NULL;
    int msgid = 0;
    int result = LDAP_OTHER;
    enum sp_err err;

    if (ldap_start_tls(ld, NULL, NULL, &msgid) != LDAP_SUCCESS)
        return sp_ldap_dial_wait_failed(d, SP_ERR_CLOSED);
    err = sp_ldap_wire_await(d->report->wire, msgid, d->deadline_ns, d->stop, &answer);
    if (err != SP_OK)
        return sp_ldap_dial_wait_failed(d, err);
    if (ldap_parse_result(ld, answer, &result, NULL, &diagnostic, NULL, NULL, 1) != LDAP_SUCCESS)
        result = LDAP_DECODING_ERROR;
    err = SP_OK;
    if (result != LDAP_SUCCESS)
        err = sp_ldap_dial_fail(d, SP_LDAP_FAULT_TLS, "the server refuses StartTLS: %s (%d)%s%s",
                                ldap_err2string(result), result,
                                diagnostic != NULL && diagnostic[0] != '\0' ? ": " : "",
                                diagnostic != NULL ? diagnostic : "");
    ldap_memfree(diagnostic);
    return err;
}

/* The name to verify is the one that the administrator wrote, never what DNS made of it. */
static bool expect_name(SSL *tls, const struct sp_ldap_uri *uri)
{
    if (uri->scheme == SP_LDAP_IPC)
        return false;
    if (uri->literal)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), uri->host) == 1;
    return SSL_set_tlsext_host_name(tls, uri->host) == 1 && SSL_set1_host(tls, uri->host) == 1;
}

static const char *hint_of(long verdict)
{
    switch (verdict) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return " (it must carry the name in uris)";
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID: return " (renew it, or look at the clocks)";
    default: return " (tls_ca names the authorities that are trusted)";
    }
}

static enum sp_err handshake_failed(struct sp_ldap_dialling *d, SSL *tls, int reason)
{
    long verdict = SSL_get_verify_result(tls);
    unsigned long error = ERR_get_error();
    const char *words = error != 0 ? ERR_reason_error_string(error) : NULL;
    enum sp_err err;

    if (verdict != X509_V_OK) {
        err = sp_ldap_dial_fail(d, SP_LDAP_FAULT_TLS, "the certificate of %s does not verify: %s%s",
                                d->uri->host, X509_verify_cert_error_string(verdict),
                                hint_of(verdict));
    } else {
        err = sp_ldap_dial_fail(d, SP_LDAP_FAULT_TLS, "TLS handshake failed: %s",
                                words != NULL                 ? words
                                : reason == SSL_ERROR_SYSCALL ? "the server closed the connection"
                                                              : "not TLS 1.2 or later");
    }
    ERR_clear_error();
    return err;
}

static enum sp_err shake_hands(struct sp_ldap_dialling *d, SSL *tls)
{
    for (;;) {
        int reason;
        enum sp_err err;

        ERR_clear_error();
        reason = SSL_get_error(tls, SSL_connect(tls));
        if (reason == SSL_ERROR_NONE)
            return SP_OK;
        if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE)
            return handshake_failed(d, tls, reason);
        err = sp_ldap_wait_fd(sp_ldap_wire_fd(d->report->wire),
                              reason == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, d->deadline_ns,
                              d->stop);
        if (err != SP_OK)
            return sp_ldap_dial_wait_failed(d, err);
    }
}

/* "TLSv1.3, cn=dc1.corp.test, valid until Nov 22 2027" for people. */
static void describe(struct sp_ldap_dialling *d, SSL *tls)
{
    X509 *cert = SSL_get1_peer_certificate(tls);
    char until[64] = "?";
    char subject[128] = "?";
    struct tm tm;

    if (cert != NULL) {
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, subject,
                                  sizeof(subject));
        if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1)
            (void)strftime(until, sizeof(until), "%Y-%m-%d", &tm);
        X509_free(cert);
    }
    for (char *p = subject; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    }
    sp_ldap_dial_well(d, "%s, certificate of %s verified (subject cn=%s), valid until %s",
                      SSL_get_version(tls), d->uri->host, subject, until);
}

enum sp_err sp_ldap_dial_tls(struct sp_ldap_dialling *d)
{
    bool start_tls = d->uri->scheme == SP_LDAP_PLAIN && d->config->options->start_tls;
    struct sp_ldap_dial_step *step;
    enum sp_err err;
    SSL *tls;

    if (!start_tls && d->uri->scheme != SP_LDAP_TLS)
        return SP_OK;
    step = sp_ldap_dial_step(d, "tls");
    snprintf(step->detail, sizeof(step->detail), "%s", start_tls ? "StartTLS" : "ldaps");
    if (start_tls) {
        err = ask_start_tls(d);
        if (err != SP_OK)
            return err;
    }
    tls = sp_ldap_wire_start_tls(d->report->wire, d->config->tls);
    if (tls == NULL || !expect_name(tls, d->uri))
        return sp_ldap_dial_fail(d, SP_LDAP_FAULT_TLS, "cannot begin TLS");
    err = shake_hands(d, tls);
    if (err == SP_OK)
        describe(d, tls);
    return err;
}
