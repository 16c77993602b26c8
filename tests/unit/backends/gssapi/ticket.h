/* Tickets made by hand, with the key of a service's keytab: what a KDC of another make, or of
 * another day, would give. They go into a credential cache that a client then uses. Header only.
 * What fails here ends the program: a test without its ticket has nothing to say. */
#ifndef SP_TESTS_TICKET_H
#define SP_TESTS_TICKET_H

#include "sallyport/base.h"

#include <krb5.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAC_LOGON_INFO 1u

/* Exported by libkrb5, in no public header. */
krb5_error_code krb5_encrypt_tkt_part(krb5_context krb5, const krb5_keyblock *key,
                                      krb5_ticket *ticket);
krb5_error_code encode_krb5_ticket(const krb5_ticket *ticket, krb5_data **code_out);

struct ticket {
    const char *keytab;        /* path */
    const char *client;        /* alice@CORP.TEST */
    const char *service;       /* HTTP/proxy.corp.test@CORP.TEST */
    const char *cache;         /* path of the credential cache that is written */
    bool pac;                  /* signed, as a KDC signs it */
    struct sp_span logon_info; /* in it; absent: none, as MIT's KDC leaves it out */
    bool wrong_signature;      /* by another key than the service's */
    int clock_s;               /* how far the client's clock is ahead */
};

static inline void ticket_must(krb5_context krb5, krb5_error_code code, const char *what)
{
    if (code == 0)
        return;
    (void)fprintf(stderr, "ticket: %s: %s\n", what, krb5_get_error_message(krb5, code));
    exit(99);
}

/* The strongest key of the newest version comes first in a keytab of the KDC's making. */
static inline void ticket_key(krb5_context krb5, const struct ticket *ticket,
                              krb5_principal service, krb5_keytab_entry *entry)
{
    krb5_keytab keytab;
    char name[4096];

    (void)snprintf(name, sizeof name, "FILE:%s", ticket->keytab);
    ticket_must(krb5, krb5_kt_resolve(krb5, name, &keytab), ticket->keytab);
    ticket_must(krb5, krb5_kt_get_entry(krb5, keytab, service, 0, 0, entry), "the service's key");
    (void)krb5_kt_close(krb5, keytab);
}

static inline void ticket_sign(krb5_context krb5, const struct ticket *ticket,
                               krb5_enc_tkt_part *part, krb5_principal service,
                               const krb5_keyblock *key, const krb5_keyblock *other)
{
    krb5_data info = {0, (unsigned)ticket->logon_info.len,
                      (char *)(uintptr_t)ticket->logon_info.base};
    krb5_pac pac;

    ticket_must(krb5, krb5_pac_init(krb5, &pac), "a PAC");
    if (info.length > 0)
        ticket_must(krb5, krb5_pac_add_buffer(krb5, pac, PAC_LOGON_INFO, &info), "logon info");
    ticket_must(krb5,
                krb5_kdc_sign_ticket(krb5, part, pac, service, part->client,
                                     ticket->wrong_signature ? other : key, other, FALSE),
                "signing");
    krb5_pac_free(krb5, pac);
}

/* The cache keeps the client's clock as an offset, and the library goes by it. */
static inline void ticket_store(krb5_context krb5, const struct ticket *ticket, krb5_creds *creds)
{
    krb5_ccache cache;
    char name[4096];

    (void)snprintf(name, sizeof name, "FILE:%s", ticket->cache);
    if (ticket->clock_s != 0)
        ticket_must(krb5,
                    krb5_set_real_time(krb5, (krb5_timestamp)(time(NULL) + ticket->clock_s), 0),
                    "the clock");
    ticket_must(krb5, krb5_cc_resolve(krb5, name, &cache), name);
    ticket_must(krb5, krb5_cc_initialize(krb5, cache, creds->client), name);
    ticket_must(krb5, krb5_cc_store_cred(krb5, cache, creds), name);
    (void)krb5_cc_close(krb5, cache);
}

static inline void ticket_make(const struct ticket *ticket)
{
    const krb5_timestamp now = (krb5_timestamp)time(NULL);
    krb5_context krb5;
    krb5_keyblock session, other;
    krb5_keytab_entry entry;
    krb5_enc_tkt_part part;
    krb5_ticket made;
    krb5_creds creds;
    krb5_data *code;

    memset(&part, 0, sizeof part);
    memset(&made, 0, sizeof made);
    memset(&creds, 0, sizeof creds);
    memset(&entry, 0, sizeof entry);
    if (krb5_init_context(&krb5) != 0)
        exit(99);
    ticket_must(krb5, krb5_parse_name(krb5, ticket->client, &creds.client), ticket->client);
    ticket_must(krb5, krb5_parse_name(krb5, ticket->service, &creds.server), ticket->service);
    ticket_key(krb5, ticket, creds.server, &entry);
    ticket_must(krb5, krb5_c_make_random_key(krb5, entry.key.enctype, &session), "a key");
    ticket_must(krb5, krb5_c_make_random_key(krb5, entry.key.enctype, &other), "a key");
    part.flags = TKT_FLG_PRE_AUTH | TKT_FLG_TRANSIT_POLICY_CHECKED;
    part.session = &session;
    part.client = creds.client;
    part.transited.tr_type = 1; /* none were passed through */
    part.transited.tr_contents.data = (char *)(uintptr_t) "";
    /* long: a client whose clock is off must still find it good */
    part.times = (krb5_ticket_times){now - 86400, now - 86400, now + 86400, 0};
    if (ticket->pac)
        ticket_sign(krb5, ticket, &part, creds.server, &entry.key, &other);
    made.server = creds.server;
    made.enc_part2 = &part;
    ticket_must(krb5, krb5_encrypt_tkt_part(krb5, &entry.key, &made), "sealing the ticket");
    made.enc_part.kvno = entry.vno;
    ticket_must(krb5, encode_krb5_ticket(&made, &code), "writing the ticket");
    creds.ticket = *code;
    creds.keyblock = session;
    creds.times = part.times;
    creds.ticket_flags = part.flags;
    ticket_store(krb5, ticket, &creds);
    krb5_free_data(krb5, code);
    free(made.enc_part.ciphertext.data);
    krb5_free_authdata(krb5, part.authorization_data);
    krb5_free_keyblock_contents(krb5, &session);
    krb5_free_keyblock_contents(krb5, &other);
    (void)krb5_free_keytab_entry_contents(krb5, &entry);
    krb5_free_principal(krb5, creds.client);
    krb5_free_principal(krb5, creds.server);
    krb5_free_context(krb5);
}

#endif
