/* Whether name service is heard, by what becomes of questions. */
#include "net/resolve_service_priv.h"

#include "util/hash.h"
#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct ear {
    struct sp_resolve_service service;
    unsigned silences, answers;
    char why[32];
};

static void on_changed(void *owner, bool silent, const char *why)
{
    struct ear *ear = owner;

    *(silent ? &ear->silences : &ear->answers) += 1;
    (void)snprintf(ear->why, sizeof(ear->why), "%s", why);
}

static struct ear listening(void)
{
    return (struct ear){.service = {.changed = on_changed}};
}

/* So many questions, each about another name. */
static void ask(struct ear *ear, unsigned count, enum sp_err err)
{
    static unsigned asked;
    char name[32];

    ear->service.owner = ear;
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(name, sizeof(name), "n%u.test", asked++);
        sp_resolve_service_took(&ear->service, sp_span_cstr(name), err, "Timeout");
    }
}

static void a_row_is_told_once_and_its_end_once(void **state)
{
    struct ear ear = listening();

    (void)state;
    ask(&ear, 4, SP_ERR_TIMEOUT);
    assert_int_equal(ear.silences, 0);
    ask(&ear, 1, SP_ERR_IO);
    assert_int_equal(ear.silences, 1);
    assert_string_equal(ear.why, "Timeout");
    ask(&ear, 20, SP_ERR_TIMEOUT);
    assert_int_equal(ear.silences, 1);
    assert_int_equal(ear.answers, 0);
    ask(&ear, 3, SP_ERR_NOT_FOUND); /* "no such name" is an answer */
    assert_int_equal(ear.answers, 1);
    ask(&ear, 5, SP_ERR_TIMEOUT);
    assert_int_equal(ear.silences, 2);
}

static void an_answer_between_breaks_the_row(void **state)
{
    struct ear ear = listening();

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        ask(&ear, 4, SP_ERR_TIMEOUT);
        ask(&ear, 1, SP_OK);
    }
    assert_int_equal(ear.silences + ear.answers, 0);
}

static void one_name_is_its_own_trouble(void **state)
{
    struct ear ear = listening();

    (void)state;
    ear.service.owner = &ear;
    for (unsigned i = 0; i < 50; i++)
        sp_resolve_service_took(&ear.service, SP_SPAN_LIT("dead.test"), SP_ERR_TIMEOUT, "Timeout");
    assert_int_equal(ear.silences, 0);
}

static void want_of_memory_says_nothing_of_servers(void **state)
{
    struct ear ear = listening();

    (void)state;
    ask(&ear, 50, SP_ERR_NOMEM);
    assert_int_equal(ear.silences, 0);
}

static void nobody_need_listen(void **state)
{
    struct ear deaf = {.silences = 0};

    (void)state;
    ask(&deaf, 9, SP_ERR_TIMEOUT);
    ask(&deaf, 1, SP_OK);
    assert_false(deaf.service.silent);
}

static int set_up(void **state)
{
    (void)state;
    return sp_hash_setup() == SP_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_told_once_and_its_end_once),
        cmocka_unit_test(an_answer_between_breaks_the_row),
        cmocka_unit_test(one_name_is_its_own_trouble),
        cmocka_unit_test(want_of_memory_says_nothing_of_servers),
        cmocka_unit_test(nobody_need_listen),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
