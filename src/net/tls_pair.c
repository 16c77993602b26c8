/* A listener's certificates: read from their files on the main thread, and chosen among at each
 * handshake, by the names in them, on the worker's. */
#include "net/tls_priv.h"

#include "util/span.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#define END_POINT "tls-server-end-point:"

/* ---- the files ---- */

#define FAULT(fault, key, ...)                                           \
    do {                                                                 \
        (fault)->option = (key);                                         \
        (void)snprintf((fault)->why, sizeof((fault)->why), __VA_ARGS__); \
        ERR_clear_error();                                               \
    } while (0)

static bool can_open(const char *what, const char *path, struct sp_tls_fault *fault)
{
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        FAULT(fault, what, "%s %s: %s", what, path, strerror(errno));
        return false;
    }
    fclose(file);
    return true;
}

/* Nobody is there to type it: a key with a passphrase is refused with words. */
static int no_passphrase(char *buf, int size, int rwflag, void *asked)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    *(bool *)asked = true;
    return -1;
}

static bool load_certificate(SSL_CTX *files, const char *path, struct sp_tls_fault *fault)
{
    static const char what[] = "tls_certificate";

    ERR_clear_error();
    if (!can_open(what, path, fault))
        return false;
    if (SSL_CTX_use_certificate_chain_file(files, path) == 1)
        return true;
    if (ERR_GET_REASON(ERR_peek_error()) == PEM_R_NO_START_LINE)
        FAULT(fault, what, "%s %s: no PEM certificate in this file", what, path);
    else if (ERR_GET_REASON(ERR_peek_error()) == X509V3_R_INVALID_CERTIFICATE)
        FAULT(fault, what,
              "%s %s: an extension of it, such as subjectAltName, cannot be read or stands twice; "
              "issue it anew",
              what, path);
    else
        FAULT(fault, what, "%s %s: %s", what, path, sp_tls_error_words());
    return false;
}

static void key_failed(const char *path, const char *certificate, bool asked,
                       struct sp_tls_fault *fault)
{
    static const char what[] = "tls_key";
    int reason = ERR_GET_REASON(ERR_peek_error());

    if (asked)
        FAULT(fault, what, "%s %s: is protected by a passphrase; store it without one", what, path);
    else if (reason == X509_R_KEY_VALUES_MISMATCH || reason == X509_R_KEY_TYPE_MISMATCH ||
             reason == SSL_R_NO_CERTIFICATE_ASSIGNED) /* a key of another kind */
        FAULT(fault, what, "%s %s: does not belong to tls_certificate %s", what, path, certificate);
    else
        FAULT(fault, what, "%s %s: no PEM private key in this file", what, path);
}

static bool load_key(SSL_CTX *files, const char *path, const char *certificate,
                     struct sp_tls_fault *fault)
{
    bool asked = false;
    bool loaded;

    ERR_clear_error();
    if (!can_open("tls_key", path, fault))
        return false;
    SSL_CTX_set_default_passwd_cb(files, no_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(files, &asked);
    loaded = SSL_CTX_use_PrivateKey_file(files, path, SSL_FILETYPE_PEM) == 1 &&
             SSL_CTX_check_private_key(files) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(files, NULL);
    SSL_CTX_set_default_passwd_cb(files, NULL);
    if (!loaded)
        key_failed(path, certificate, asked, fault);
    return loaded;
}

/* ---- what is known of it ---- */

/* RFC 5929 4.1: the hash of the certificate's signature, but SHA-256 in place of MD5 and SHA-1. */
static bool make_end_point(struct sp_tls_pair *pair, X509 *certificate)
{
    size_t label = sizeof(END_POINT) - 1;
    const EVP_MD *md;
    unsigned len = 0;
    int md_nid = NID_undef;

    if (X509_get_signature_info(certificate, &md_nid, NULL, NULL, NULL) != 1 || md_nid == NID_undef)
        return true; /* Ed25519 and its like have no hash of their own: no binding, no failure */
    if (md_nid == NID_md5 || md_nid == NID_sha1)
        md_nid = NID_sha256;
    md = EVP_get_digestbynid(md_nid);
    if (md == NULL)
        return true;
    memcpy(pair->end_point, END_POINT, label);
    if (X509_digest(certificate, md, (unsigned char *)pair->end_point + label, &len) != 1)
        return false;
    pair->end_point_len = label + len;
    return true;
}

/* No name at all is well: the pair is then nobody's, unless it is the first. Names that are there
 * and could not be read are not: the pair would pass for one without. (What no library can read,
 * OpenSSL does not load; but reading them once more may want memory.) */
static bool read_names(struct sp_tls_pair *pair, X509 *x509)
{
    int critical = -1; /* there is none */

    pair->names = X509_get_ext_d2i(x509, NID_subject_alt_name, &critical, NULL);
    return pair->names != NULL || critical == -1;
}

enum sp_err sp_tls_pair_read(struct sp_tls_pair *pair, const char *certificate, const char *key,
                             struct sp_tls_fault *fault)
{
    X509 *x509;
    unsigned len = 0;

    pair->files = SSL_CTX_new(TLS_server_method());
    if (pair->files == NULL) {
        FAULT(fault, NULL, "TLS: %s", sp_tls_error_words());
        return SP_ERR_INVALID;
    }
    if (!load_certificate(pair->files, certificate, fault) ||
        !load_key(pair->files, key, certificate, fault))
        return SP_ERR_INVALID;
    x509 = SSL_CTX_get0_certificate(pair->files);
    if (x509 == NULL || X509_digest(x509, EVP_sha256(), pair->mark, &len) != 1 ||
        !make_end_point(pair, x509) || !read_names(pair, x509)) {
        FAULT(fault, "tls_certificate", "tls_certificate %s: %s", certificate,
              sp_tls_error_words());
        return SP_ERR_INVALID;
    }
    return SP_OK;
}

void sp_tls_pair_fini(struct sp_tls_pair *pair)
{
    GENERAL_NAMES_free(pair->names);
    SSL_CTX_free(pair->files);
    *pair = (struct sp_tls_pair){0};
}

/* ---- choosing ---- */

enum fit { FIT_EXACT, FIT_WILDCARD };

/* "*.corp.test" is for every name one label longer, and for no other (RFC 9525 6.3). */
static bool name_fits(struct sp_span pattern, struct sp_span host, enum fit how)
{
    const char *dot = memchr(host.base, '.', host.len);

    if (how == FIT_EXACT)
        return sp_span_eq_nocase(pattern, host);
    if (pattern.len < 3 || pattern.base[0] != '*' || pattern.base[1] != '.' || dot == NULL ||
        dot == host.base)
        return false;
    return sp_span_eq_nocase(sp_span_of(pattern.base + 1, pattern.len - 1),
                             sp_span_of(dot, (size_t)(host.base + host.len - dot)));
}

static struct sp_span dns_name(const GENERAL_NAME *name)
{
    if (name->type != GEN_DNS)
        return SP_SPAN_NONE;
    return sp_span_of((const char *)ASN1_STRING_get0_data(name->d.dNSName),
                      (size_t)ASN1_STRING_length(name->d.dNSName));
}

static bool is_for(const struct sp_tls_pair *pair, struct sp_span host, enum fit how)
{
    for (int i = 0; pair->names != NULL && i < sk_GENERAL_NAME_num(pair->names); i++) {
        struct sp_span name = dns_name(sk_GENERAL_NAME_value(pair->names, i));

        if (name.len > 0 && name_fits(name, host, how))
            return true;
    }
    return false;
}

static bool use(SSL *ssl, const struct sp_tls_pair *pair)
{
    STACK_OF(X509) *chain = NULL;

    return SSL_CTX_get0_chain_certs(pair->files, &chain) == 1 &&
           SSL_use_cert_and_key(ssl, SSL_CTX_get0_certificate(pair->files),
                                SSL_CTX_get0_privatekey(pair->files), chain, 1) == 1;
}

/* All that fit, the first last: of two with one kind of key the later call counts. */
static unsigned use_fitting(SSL *ssl, const struct sp_tls_server *server, struct sp_span host,
                            enum fit how)
{
    unsigned used = 0;

    for (size_t i = server->pairs_len; i-- > 0;)
        if (is_for(&server->pairs[i], host, how))
            used += use(ssl, &server->pairs[i]);
    return used;
}

/* The first, and those that bear a name of it with another kind of key. */
static unsigned use_default(SSL *ssl, const struct sp_tls_server *server)
{
    const struct sp_tls_pair *first = &server->pairs[0];

    for (int i = 0; first->names != NULL && i < sk_GENERAL_NAME_num(first->names); i++) {
        struct sp_span name = dns_name(sk_GENERAL_NAME_value(first->names, i));

        if (name.len > 0 && use_fitting(ssl, server, name, FIT_EXACT) > 0)
            break;
    }
    return use(ssl, first);
}

int sp_tls_pair_choose(SSL *ssl, void *arg)
{
    const struct sp_tls_server *server = arg;
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    struct sp_span host = asked != NULL ? sp_span_cstr(asked) : SP_SPAN_NONE;

    if (host.len > 0 && host.base[host.len - 1] == '.')
        host.len--;
    if (host.len > 0 && (use_fitting(ssl, server, host, FIT_EXACT) > 0 ||
                         use_fitting(ssl, server, host, FIT_WILDCARD) > 0))
        return 1;
    return use_default(ssl, server) > 0;
}

/* ---- afterwards ---- */

static const struct sp_tls_pair *find_mark(const struct sp_tls_server *server, SSL *ssl)
{
    void *mark = NULL;
    size_t len = 0;

    if (SSL_SESSION_get0_ticket_appdata(SSL_get_session(ssl), &mark, &len) != 1 ||
        len != SP_TLS_MARK_LEN)
        return NULL;
    for (size_t i = 0; i < server->pairs_len; i++)
        if (memcmp(server->pairs[i].mark, mark, SP_TLS_MARK_LEN) == 0)
            return &server->pairs[i];
    return NULL;
}

const struct sp_tls_pair *sp_tls_pair_of(const struct sp_tls_server *server, SSL *ssl)
{
    const X509 *shown = SSL_get_certificate(ssl);

    if (SSL_session_reused(ssl))
        return find_mark(server, ssl); /* none was shown now */
    for (size_t i = 0; i < server->pairs_len; i++)
        if (SSL_CTX_get0_certificate(server->pairs[i].files) == shown)
            return &server->pairs[i];
    return NULL;
}
