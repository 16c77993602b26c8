/* The challenges' text (RFC 9110 11.6.1, RFC 7617 2, RFC 4559 4.1). Pure. */
#include "auth/auth_priv.h"

#include "util/base64.h"

#include <stdlib.h>
#include <string.h>

#define NEGOTIATE     "Negotiate "
#define NEGOTIATE_LEN (sizeof(NEGOTIATE) - 1)

/* A quoted-string: quote and backslash escaped; controls, which it cannot hold, become spaces. */
static char *append_quoted(char *at, const char *text)
{
    *at++ = '"';
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            *at++ = '\\';
        *at++ = (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text;
    }
    *at++ = '"';
    return at;
}

char *sp_challenge_basic(const char *realm)
{
    static const char head[] = "Basic realm=";
    static const char tail[] = ", charset=\"UTF-8\"";
    char *text = malloc(sizeof(head) + 2 * strlen(realm) + 2 + sizeof(tail));
    char *at = text;

    if (text == NULL)
        return NULL;
    memcpy(at, head, sizeof(head) - 1);
    at = append_quoted(at + sizeof(head) - 1, realm);
    memcpy(at, tail, sizeof(tail));
    return text;
}

char *sp_challenge_negotiate(struct sp_span token)
{
    size_t len = sp_base64_encoded_len(token.len);
    char *text = malloc(NEGOTIATE_LEN + len + 1);

    if (text == NULL)
        return NULL;
    memcpy(text, NEGOTIATE, NEGOTIATE_LEN);
    sp_base64_encode(text + NEGOTIATE_LEN, token);
    text[NEGOTIATE_LEN + len] = '\0';
    return text;
}
