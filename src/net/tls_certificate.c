/* Reading a listener's certificate for people: whom it is for, and until when. Any thread. */
#include "net/tls_priv.h"

#include "util/addr.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void add_name(struct sp_tls_certificate *out, const char *name, size_t len)
{
    size_t used = strlen(out->names);
    int more = snprintf(out->names + used, sizeof(out->names) - used, "%s%.*s",
                        used > 0 ? ", " : "", (int)len, name);

    if (more < 0 || (size_t)more >= sizeof(out->names) - used)
        out->names[used] = '\0'; /* whole names only */
}

static void add_address(struct sp_tls_certificate *out, const ASN1_OCTET_STRING *ip)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct sp_addr addr = {0};
    char text[SP_ADDR_TEXT_MAX];
    size_t len = (size_t)ASN1_STRING_length(ip);

    if (len != 4 && len != 16)
        return;
    memcpy(addr.ip, mapped, sizeof(mapped));
    memcpy(addr.ip + (16 - len), ASN1_STRING_get0_data(ip), len);
    (void)sp_addr_ip_text(&addr, text);
    add_name(out, text, strlen(text));
}

/* Subject alternative names alone: clients have not looked at the common name for years (RFC 9110
 * 4.3.4). */
static void read_names(const GENERAL_NAMES *names, struct sp_tls_certificate *out)
{
    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type == GEN_DNS)
            add_name(out, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
                     (size_t)ASN1_STRING_length(name->d.dNSName));
        else if (name->type == GEN_IPADD)
            add_address(out, name->d.iPAddress);
    }
}

void sp_tls_server_certificate(const struct sp_tls_server *server, size_t index,
                               struct sp_tls_certificate *out)
{
    const struct sp_tls_pair *pair = &server->pairs[index];
    X509 *certificate = SSL_CTX_get0_certificate(pair->files);
    const EVP_PKEY *key = SSL_CTX_get0_privatekey(pair->files);
    int days = 0, seconds = 0;
    struct tm tm;

    memset(out, 0, sizeof(*out));
    if (certificate == NULL)
        return;
    if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)) == 1)
        out->days_left = days == 0 && seconds < 0 ? -1 : days;
    out->begun = X509_cmp_current_time(X509_get0_notBefore(certificate)) < 0;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) == 1) {
        (void)strftime(out->until, sizeof(out->until), "%Y-%m-%d", &tm);
        out->until_s = timegm(&tm);
    }
    if (key != NULL)
        snprintf(out->key, sizeof(out->key), "%s", EVP_PKEY_get0_type_name(key));
    read_names(pair->names, out);
}
