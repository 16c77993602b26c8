/* The keys of a `listen` block. Read by config, checked by whoever builds struct sp_listen. */
#include "net/listener.h"

const struct sp_option sp_listen_option_table[] = {
    SP_OPT_PATHS(struct sp_listen_options, tls_certificate,
                 "PEM file with the certificate and its chain: makes this an HTTPS proxy listener; "
                 "needs tls_key. Of several, {\"a.pem\", \"b.pem\"}, each client is shown the one "
                 "for the name that it asks for (subjectAltName), else the first; an RSA and an "
                 "ECDSA one may have the same names."),
    SP_OPT_PATHS(struct sp_listen_options, tls_key,
                 "PEM file with the private key of tls_certificate, without a passphrase; of "
                 "several, in the same order."),
    SP_OPT_LIST(struct sp_listen_options, offer, NULL,
                "Schemes offered here: negotiate, basic. Default: all that auth has, but Basic in "
                "clear only where it is named."),
    SP_OPT_LIST(
        struct sp_listen_options, proxy_protocol_from, NULL,
        "Networks whose connections must begin with a PROXY protocol header (version 1 or 2); the "
        "client is then who that header names."),
    SP_OPT_END,
};
