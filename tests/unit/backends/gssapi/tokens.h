/* Tokens made by hand, for tests of the X-ray and as seeds for its fuzzer: DER from the inside out.
 * Header only. */
#ifndef SP_TESTS_TOKENS_H
#define SP_TESTS_TOKENS_H

#include "sallyport/base.h"

#include <stdlib.h>
#include <string.h>

/* Bytes by value; big enough for any token here. */
struct tok {
    size_t len;
    uint8_t bytes[2048];
};

static inline struct tok tok_raw(const void *bytes, size_t len)
{
    struct tok tok = {.len = len};

    if (len > sizeof tok.bytes)
        abort();
    memcpy(tok.bytes, bytes, len);
    return tok;
}

static inline struct tok tok_join(struct tok a, struct tok b)
{
    if (a.len + b.len > sizeof a.bytes)
        abort();
    memcpy(a.bytes + a.len, b.bytes, b.len);
    a.len += b.len;
    return a;
}

/* tag, shortest length, content */
static inline struct tok tok_tlv(uint8_t tag, struct tok inside)
{
    uint8_t head[4] = {tag, (uint8_t)inside.len};
    size_t len = 2;

    if (inside.len >= 0x100) {
        head[1] = 0x82;
        head[2] = (uint8_t)(inside.len >> 8);
        head[3] = (uint8_t)inside.len;
        len = 4;
    } else if (inside.len >= 0x80) {
        head[1] = 0x81;
        head[2] = (uint8_t)inside.len;
        len = 3;
    }
    return tok_join(tok_raw(head, len), inside);
}

static inline struct tok tok_text(uint8_t tag, const char *text)
{
    return tok_tlv(tag, tok_raw(text, strlen(text)));
}

static inline struct tok tok_field(unsigned n, struct tok inside)
{
    return tok_tlv((uint8_t)(0xa0 + n), inside);
}

static inline struct tok tok_int(uint8_t value)
{
    return tok_tlv(0x02, tok_raw(&value, 1));
}

/* EncryptedData; kvno 0: none */
static inline struct tok tok_encrypted(uint8_t etype, uint8_t kvno, const char *cipher)
{
    struct tok body = tok_field(0, tok_int(etype));

    if (kvno != 0)
        body = tok_join(body, tok_field(1, tok_int(kvno)));
    return tok_tlv(0x30, tok_join(body, tok_field(2, tok_text(0x04, cipher))));
}

static inline struct tok tok_ticket(const char *host, uint8_t etype, uint8_t kvno)
{
    struct tok names = tok_tlv(0x30, tok_join(tok_text(0x1b, "HTTP"), tok_text(0x1b, host)));
    struct tok sname = tok_tlv(0x30, tok_join(tok_field(0, tok_int(2)), tok_field(1, names)));
    struct tok body = tok_field(0, tok_int(5));

    body = tok_join(body, tok_field(1, tok_text(0x1b, "CORP.TEST")));
    body = tok_join(body, tok_field(2, sname));
    body = tok_join(body, tok_field(3, tok_encrypted(etype, kvno, "the ticket's ciphertext")));
    return tok_tlv(0x61, tok_tlv(0x30, body));
}

static inline struct tok tok_ap_req(const char *host, uint8_t etype, uint8_t kvno,
                                    const char *authenticator)
{
    struct tok body = tok_join(tok_field(0, tok_int(5)), tok_field(1, tok_int(14)));

    body = tok_join(body, tok_field(2, tok_tlv(0x03, tok_raw("\0\x20\0\0\0", 5))));
    body = tok_join(body, tok_field(3, tok_ticket(host, etype, kvno)));
    body = tok_join(body, tok_field(4, tok_encrypted(18, 0, authenticator)));
    return tok_tlv(0x6e, tok_tlv(0x30, body));
}

#define OID_KRB5_BYTES   "\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"
#define OID_MS_BYTES     "\x06\x09\x2a\x86\x48\x82\xf7\x12\x01\x02\x02"
#define OID_NTLM_BYTES   "\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a"
#define OID_SPNEGO_BYTES "\x06\x06\x2b\x06\x01\x05\x05\x02"
#define TOK(literal)     tok_raw((literal), sizeof(literal) - 1)

static inline struct tok tok_krb5(struct tok ap_req)
{
    return tok_tlv(0x60, tok_join(TOK(OID_KRB5_BYTES "\x01\x00"), ap_req));
}

/* NegTokenInit; `inner` of no length: no mechToken */
static inline struct tok tok_spnego(struct tok oids, struct tok inner)
{
    struct tok body = tok_field(0, tok_tlv(0x30, oids));

    if (inner.len > 0)
        body = tok_join(body, tok_field(2, tok_tlv(0x04, inner)));
    return tok_tlv(0x60, tok_join(TOK(OID_SPNEGO_BYTES), tok_field(0, tok_tlv(0x30, body))));
}

static inline struct tok tok_spnego_resp(struct tok inner)
{
    return tok_field(1, tok_tlv(0x30, tok_field(2, tok_tlv(0x04, inner))));
}

static inline void tok_le(struct tok *tok, size_t at, size_t width, size_t value)
{
    for (size_t i = 0; i < width; i++)
        tok->bytes[at + i] = (uint8_t)(value >> (8 * i));
}

/* A field descriptor at `at`, its UTF-16LE text at the end. */
static inline void tok_ntlm_field(struct tok *tok, size_t at, const char *text)
{
    size_t len = strlen(text);

    tok_le(tok, at, 2, len * 2);
    tok_le(tok, at + 2, 2, len * 2);
    tok_le(tok, at + 4, 4, tok->len);
    for (size_t i = 0; i < len; i++) {
        uint8_t letter[2] = {(uint8_t)text[i], 0};

        *tok = tok_join(*tok, tok_raw(letter, 2));
    }
}

static inline struct tok tok_ntlm_authenticate(const char *domain, const char *user,
                                               const char *workstation)
{
    struct tok tok = {.len = 64};

    memcpy(tok.bytes, "NTLMSSP", 8);
    tok_le(&tok, 8, 4, 3);
    tok_le(&tok, 60, 4, 1); /* NTLMSSP_NEGOTIATE_UNICODE */
    tok_ntlm_field(&tok, 28, domain);
    tok_ntlm_field(&tok, 36, user);
    tok_ntlm_field(&tok, 44, workstation);
    return tok;
}

static inline struct sp_span tok_span(const struct tok *tok)
{
    return (struct sp_span){(const char *)tok->bytes, tok->len};
}

#endif
