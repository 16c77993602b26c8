/* util/buf: bounded growth, and that no byte is lost or invented on the way. */
#include "util/buf.h"

#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void bytes_come_out_as_they_went_in(void **state)
{
    struct sp_buf buf;
    unsigned char next_in = 0;
    unsigned char next_out = 0;

    (void)state;
    sp_buf_init(&buf, 4096);
    srand(1);
    for (int i = 0; i < 20000; i++) {
        size_t len = (size_t)rand() % 700;
        char *room;

        if (sp_buf_reserve(&buf, len, &room) == SP_OK) {
            for (size_t k = 0; k < len; k++)
                room[k] = (char)next_in++;
            sp_buf_commit(&buf, len);
        }
        len = buf.len > 0 ? (size_t)rand() % (buf.len + 1) : 0;
        for (size_t k = 0; k < len; k++)
            assert_int_equal((unsigned char)sp_buf_span(&buf).base[k], next_out++);
        sp_buf_consume(&buf, len);
        assert_true(buf.cap <= 4096);
    }
    sp_buf_fini(&buf);
}

static void a_full_buffer_says_so_and_keeps_what_it_has(void **state)
{
    struct sp_buf buf;
    char *room;

    (void)state;
    sp_buf_init(&buf, 10);
    assert_int_equal(sp_buf_append(&buf, SP_SPAN_LIT("0123456789")), SP_OK);
    assert_int_equal(sp_buf_append(&buf, SP_SPAN_LIT("x")), SP_ERR_TOO_LARGE);
    assert_int_equal(sp_buf_reserve(&buf, SIZE_MAX, &room), SP_ERR_TOO_LARGE);
    assert_true(sp_span_eq(sp_buf_span(&buf), SP_SPAN_LIT("0123456789")));
    sp_buf_consume(&buf, 4);
    assert_int_equal(sp_buf_append(&buf, SP_SPAN_LIT("abcd")), SP_OK);
    assert_true(sp_span_eq(sp_buf_span(&buf), SP_SPAN_LIT("456789abcd")));
    sp_buf_wipe(&buf);
    assert_null(buf.base);
    assert_int_equal(buf.max, 10);
}

static void printf_writes_text_of_any_length_up_to_the_bound(void **state)
{
    struct sp_buf buf;

    (void)state;
    sp_buf_init(&buf, 2000);
    assert_int_equal(sp_buf_printf(&buf, "%s=%d", "a", 1), SP_OK);
    assert_int_equal(sp_buf_printf(&buf, "%1990d", 7), SP_OK);
    assert_int_equal(buf.len, 3 + 1990);
    assert_int_equal(sp_buf_span(&buf).base[1992], '7');
    assert_int_equal(sp_buf_printf(&buf, "%100d", 7), SP_ERR_TOO_LARGE);
    assert_int_equal(sp_buf_printf(&buf, "%1000000d", 7), SP_ERR_TOO_LARGE);
    assert_int_equal(buf.len, 1993);
    sp_buf_fini(&buf);
}

static void an_empty_buffer_has_an_empty_span(void **state)
{
    struct sp_buf buf;

    (void)state;
    sp_buf_init(&buf, 100);
    assert_non_null(sp_buf_span(&buf).base);
    assert_int_equal(sp_buf_append(&buf, SP_SPAN_NONE), SP_OK);
    assert_null(buf.base);
    sp_buf_consume(&buf, 0);
    sp_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_out_as_they_went_in),
        cmocka_unit_test(a_full_buffer_says_so_and_keeps_what_it_has),
        cmocka_unit_test(printf_writes_text_of_any_length_up_to_the_bound),
        cmocka_unit_test(an_empty_buffer_has_an_empty_span),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
