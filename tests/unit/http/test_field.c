/* http/field: each known name in any case, and none of the names that nearly are one. */
#include "http/http_priv.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *name;
    enum sp_http_field_id id;
} known[] = {
    {"te", SP_FIELD_TE},
    {"via", SP_FIELD_VIA},
    {"host", SP_FIELD_HOST},
    {"date", SP_FIELD_DATE},
    {"accept", SP_FIELD_ACCEPT},
    {"expect", SP_FIELD_EXPECT},
    {"upgrade", SP_FIELD_UPGRADE},
    {"referer", SP_FIELD_REFERER},
    {"trailer", SP_FIELD_TRAILER},
    {"connection", SP_FIELD_CONNECTION},
    {"user-agent", SP_FIELD_USER_AGENT},
    {"keep-alive", SP_FIELD_KEEP_ALIVE},
    {"content-type", SP_FIELD_CONTENT_TYPE},
    {"max-forwards", SP_FIELD_MAX_FORWARDS},
    {"content-length", SP_FIELD_CONTENT_LENGTH},
    {"x-forwarded-for", SP_FIELD_X_FORWARDED_FOR},
    {"proxy-connection", SP_FIELD_PROXY_CONNECTION},
    {"www-authenticate", SP_FIELD_WWW_AUTHENTICATE},
    {"transfer-encoding", SP_FIELD_TRANSFER_ENCODING},
    {"proxy-authenticate", SP_FIELD_PROXY_AUTHENTICATE},
    {"proxy-authorization", SP_FIELD_PROXY_AUTHORIZATION},
    {"proxy-authentication-info", SP_FIELD_PROXY_AUTHENTICATION_INFO},
};

#define KNOWN_LEN (sizeof known / sizeof *known)

static void each_known_name_is_known_in_any_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < KNOWN_LEN; i++) {
        char name[32];
        size_t len = strlen(known[i].name);

        for (unsigned way = 0; way < 3; way++) { /* lower, upper, every other letter */
            for (size_t j = 0; j < len; j++)
                name[j] = way == 1 || (way == 2 && j % 2 == 0)
                              ? (char)toupper((unsigned char)known[i].name[j])
                              : known[i].name[j];
            assert_int_equal(sp_http_field_id(sp_span_of(name, len)), known[i].id);
        }
    }
}

/* Only tokens are asked about: whatever else differs in one byte, in whatever place, is another
 * name. */
static void a_name_that_differs_in_one_byte_is_not_known(void **state)
{
    (void)state;
    for (size_t i = 0; i < KNOWN_LEN; i++) {
        char name[32];
        size_t len = strlen(known[i].name);

        memcpy(name, known[i].name, len);
        for (size_t j = 0; j < len; j++) {
            for (unsigned c = 0; c < 256; c++) {
                if (!sp_http_char_is((char)c, SP_CHAR_TOKEN) || tolower((int)c) == known[i].name[j])
                    continue;
                name[j] = (char)c;
                assert_int_not_equal(sp_http_field_id(sp_span_of(name, len)), known[i].id);
            }
            name[j] = known[i].name[j];
        }
    }
}

static void a_name_that_is_longer_or_shorter_is_not_known(void **state)
{
    (void)state;
    for (size_t i = 0; i < KNOWN_LEN; i++) {
        char name[32];
        size_t len = strlen(known[i].name);

        memcpy(name, known[i].name, len);
        name[len] = 'x';
        assert_int_equal(sp_http_field_id(sp_span_of(name, len + 1)), SP_FIELD_OTHER);
        assert_int_equal(sp_http_field_id(sp_span_of(name, len - 1)), SP_FIELD_OTHER);
    }
    assert_int_equal(sp_http_field_id(SP_SPAN_LIT("")), SP_FIELD_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_known_name_is_known_in_any_case),
        cmocka_unit_test(a_name_that_differs_in_one_byte_is_not_known),
        cmocka_unit_test(a_name_that_is_longer_or_shorter_is_not_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
