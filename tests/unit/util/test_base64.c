/* util/base64: RFC 4648 vectors, and one spelling for each value. */
#include "util/base64.h"

#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void the_vectors_of_rfc_4648_come_out(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char text[16] = "";
        char bytes[16] = "";
        size_t len = strlen(pairs[i][0]);

        sp_base64_encode(text, sp_span_cstr(pairs[i][0]));
        assert_int_equal(sp_base64_encoded_len(len), strlen(pairs[i][1]));
        assert_string_equal(text, pairs[i][1]);
        assert_int_equal(sp_base64_decode(sp_span_cstr(text), bytes, &len), SP_OK);
        assert_int_equal(len, strlen(pairs[i][0]));
        assert_string_equal(bytes, pairs[i][0]);
    }
}

static void all_bytes_survive_the_way_there_and_back(void **state)
{
    (void)state;
    srand(3);
    for (size_t len = 0; len < 300; len++) {
        char *bytes = malloc(len + 1);
        char *text = malloc(sp_base64_encoded_len(len) + 1);
        char *back = malloc(sp_base64_decoded_max(sp_base64_encoded_len(len)) + 1);
        size_t back_len;

        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)rand();
        sp_base64_encode(text, sp_span_of(bytes, len));
        assert_int_equal(
            sp_base64_decode(sp_span_of(text, sp_base64_encoded_len(len)), back, &back_len), SP_OK);
        assert_int_equal(back_len, len);
        assert_memory_equal(back, bytes, len);
        free(bytes);
        free(text);
        free(back);
    }
}

static void a_second_spelling_of_a_value_is_refused(void **state)
{
    static const char *const bad[] = {
        "Zg",    "Zg=",  "Z===", "====", "Zh==", "Zm9=", "Zm9vYg=a", "Zg==Zg==", " Zg==", "Zg==\n",
        "Zm 9v", "Zm9-", "Zm9_", "=Zm9", "Z=m9", "Zm=9", "Zm9v====", "Zm9\xff",  "Zg= =",
    };
    char out[32];
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(sp_base64_decode(sp_span_cstr(bad[i]), out, &len), SP_ERR_INVALID);
    assert_int_equal(sp_base64_decode(sp_span_of("Zm9\0", 4), out, &len), SP_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_rfc_4648_come_out),
        cmocka_unit_test(all_bytes_survive_the_way_there_and_back),
        cmocka_unit_test(a_second_spelling_of_a_value_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
