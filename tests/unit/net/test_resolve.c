/* The resolver against a DNS server of our own: answers, their lives, equal questions, cancels. */
#include "dns_server.h"

#include "net/resolve_priv.h"
#include "util/hash.h"
#include "util/span.h"

static struct dns_record records[] = {
    {.name = "one.test", .v4 = "192.0.2.1", .ttl = 60},
    {.name = "both.test", .v4 = "192.0.2.2", .v6 = "2001:db8::2", .ttl = 60},
    {.name = "brief.test", .v4 = "192.0.2.3", .ttl = 0},
    {.name = "gone.test", .how = DNS_NO_SUCH_NAME},
    {.name = "bare.test", .ttl = 60},
    {.name = "mute.test", .how = DNS_MUTE},
    {.name = "broken.test", .how = DNS_FAILS},
};

struct fixture {
    struct dns_server server;
    struct sp_loop *loop;
    struct sp_resolver *resolver;
};

struct asker {
    struct sp_resolve *resolve;
    bool told;
    unsigned calls;
    enum sp_err err;
    size_t addrs_len;
    struct sp_addr first;
    bool frees; /* the resolver, when told */
    struct fixture *fixture;
};

static void on_resolved(void *owner, const struct sp_resolved *resolved)
{
    struct asker *asker = owner;

    asker->resolve = NULL;
    asker->told = true;
    asker->calls++;
    asker->err = resolved->err;
    asker->addrs_len = resolved->addrs_len;
    if (resolved->err == SP_OK)
        asker->first = resolved->addrs[0];
    else
        assert_non_null(resolved->why);
    if (asker->frees)
        sp_resolver_free(&asker->fixture->resolver);
}

/* SP_OK: from the table. */
static enum sp_err start(struct fixture *fixture, const char *name, struct asker *asker)
{
    const struct sp_addr *addrs;
    size_t addrs_len;
    enum sp_err err;

    memset(asker, 0, sizeof(*asker));
    asker->fixture = fixture;
    err = sp_resolve_start(fixture->resolver, sp_span_cstr(name), on_resolved, asker, &addrs,
                           &addrs_len, &asker->resolve);
    assert_false(asker->told); /* never inside the call */
    assert_int_equal(asker->resolve != NULL, err == SP_ERR_AGAIN);
    if (err == SP_OK) {
        asker->addrs_len = addrs_len;
        asker->first = addrs[0];
    }
    return err;
}

static enum sp_err ask(struct fixture *fixture, const char *name, struct asker *asker)
{
    enum sp_err err = start(fixture, name, asker);

    if (err != SP_ERR_AGAIN)
        return err;
    test_turn_until(fixture->loop, &asker->told);
    assert_int_equal(asker->calls, 1);
    return asker->err;
}

static void expect_ip(const struct sp_addr *addr, const char *ip)
{
    char text[SP_ADDR_TEXT_MAX];

    assert_string_equal(sp_addr_ip_text(addr, text), ip);
    assert_int_equal(addr->port, 0);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (fixture == NULL || sp_hash_setup() != SP_OK)
        return -1;
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++)
        atomic_store(&records[i].asked, 0);
    dns_start(&fixture->server, records, sizeof(records) / sizeof(records[0]));
    fixture->loop = test_loop_new(NULL);
    fixture->resolver = sp_resolver_new(fixture->loop);
    if (fixture->resolver == NULL ||
        sp_resolver_use_servers(fixture->resolver, fixture->server.where) != SP_OK)
        return -1;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    sp_resolver_free(&fixture->resolver);
    test_loop_end(&fixture->loop);
    dns_stop(&fixture->server);
    free(fixture);
    return 0;
}

static void a_name_is_asked_once_and_then_known(void **state)
{
    struct asker asker;

    assert_int_equal(start(*state, "one.test", &asker), SP_ERR_AGAIN);
    test_turn_until(((struct fixture *)*state)->loop, &asker.told);
    assert_int_equal(asker.err, SP_OK);
    assert_int_equal(asker.addrs_len, 1);
    expect_ip(&asker.first, "192.0.2.1");
    assert_int_equal(start(*state, "one.test", &asker), SP_OK);
    expect_ip(&asker.first, "192.0.2.1");
    assert_int_equal(atomic_load(&records[0].asked), 1);
}

static void both_families_come(void **state)
{
    struct asker asker;

    assert_int_equal(ask(*state, "both.test", &asker), SP_OK);
    assert_int_equal(asker.addrs_len, 2);
}

static void no_such_name_is_kept_as_an_answer(void **state)
{
    struct asker asker;

    assert_int_equal(ask(*state, "gone.test", &asker), SP_ERR_NOT_FOUND);
    assert_int_equal(asker.calls, 1);
    assert_int_equal(ask(*state, "gone.test", &asker), SP_ERR_NOT_FOUND);
    assert_int_equal(asker.calls, 0);
    assert_int_equal(ask(*state, "bare.test", &asker), SP_ERR_NOT_FOUND); /* no address */
}

static void a_server_that_fails_is_no_answer_and_is_asked_again(void **state)
{
    struct asker asker;

    assert_int_equal(ask(*state, "broken.test", &asker), SP_ERR_IO);
    assert_int_equal(asker.calls, 1);
    assert_int_equal(ask(*state, "broken.test", &asker), SP_ERR_IO);
    assert_int_equal(asker.calls, 1);
}

static void equal_questions_make_one_query(void **state)
{
    struct fixture *fixture = *state;
    struct asker askers[20];

    atomic_store(&fixture->server.delay_ms, 20);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(start(fixture, "one.test", &askers[i]), SP_ERR_AGAIN);
    for (unsigned i = 0; i < 20; i++)
        test_turn_until(fixture->loop, &askers[i].told);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(askers[i].err, SP_OK);
        assert_int_equal(askers[i].calls, 1);
    }
    assert_int_equal(atomic_load(&records[0].asked), 1);
}

static void a_cancelled_question_is_not_told_and_others_are(void **state)
{
    struct fixture *fixture = *state;
    struct asker gone, stays;

    assert_int_equal(start(fixture, "one.test", &gone), SP_ERR_AGAIN);
    assert_int_equal(start(fixture, "one.test", &stays), SP_ERR_AGAIN);
    sp_resolve_cancel(&gone.resolve);
    assert_null(gone.resolve);
    sp_resolve_cancel(&gone.resolve);
    test_turn_until(fixture->loop, &stays.told);
    assert_int_equal(gone.calls, 0);
}

static void a_resolver_closes_with_a_query_under_way(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker;

    assert_int_equal(start(fixture, "mute.test", &asker), SP_ERR_AGAIN);
    test_turn_for(fixture->loop, 20);
    sp_resolve_cancel(&asker.resolve);
    sp_resolver_free(&fixture->resolver);
    test_turn_for(fixture->loop, 20);
    assert_int_equal(asker.calls, 0);
}

static void a_resolver_may_be_freed_by_whom_it_tells(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker;

    assert_int_equal(start(fixture, "one.test", &asker), SP_ERR_AGAIN);
    asker.frees = true;
    test_turn_until(fixture->loop, &asker.told);
    assert_null(fixture->resolver);
}

static void a_record_without_life_is_kept_for_a_second(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker;

    assert_int_equal(ask(fixture, "brief.test", &asker), SP_OK);
    assert_int_equal(start(fixture, "brief.test", &asker), SP_OK);
    test_turn_for(fixture->loop, 1050);
    assert_int_equal(start(fixture, "brief.test", &asker), SP_ERR_AGAIN);
    test_turn_until(fixture->loop, &asker.told);
    assert_int_equal(atomic_load(&records[2].asked), 2);
}

static void localhost_is_never_asked_of_anybody(void **state)
{
    struct asker asker;

    assert_int_equal(start(*state, "localhost", &asker), SP_OK);
    assert_int_equal(asker.addrs_len, 2);
    expect_ip(&asker.first, "::1");
    assert_int_equal(start(*state, "a.localhost", &asker), SP_OK);
}

static void what_can_be_no_name_is_not_asked(void **state)
{
    struct asker asker;
    char longer[300];

    memset(longer, 'a', sizeof(longer));
    longer[254] = '\0';
    assert_int_equal(start(*state, "", &asker), SP_ERR_NOT_FOUND);
    assert_int_equal(start(*state, longer, &asker), SP_ERR_NOT_FOUND);
}

static void too_many_questions_at_once_are_refused(void **state)
{
    static struct asker askers[SP_RESOLVE_ASKED_MAX + 1];
    struct fixture *fixture = *state;
    char name[32];

    for (unsigned i = 0; i < SP_RESOLVE_ASKED_MAX; i++) {
        snprintf(name, sizeof(name), "n%u.mute.test", i);
        assert_int_equal(start(fixture, name, &askers[i]), SP_ERR_AGAIN);
    }
    assert_int_equal(start(fixture, "one.test", &askers[SP_RESOLVE_ASKED_MAX]), SP_ERR_FULL);
    for (unsigned i = 0; i < SP_RESOLVE_ASKED_MAX; i++)
        sp_resolve_cancel(&askers[i].resolve);
}

static void the_table_is_bounded_and_the_oldest_goes(void **state)
{
    struct sp_resolve_table table;
    struct sp_resolve_entry *entries[SP_RESOLVE_KNOWN_MAX + 1];
    (void)state;

    assert_int_equal(sp_resolve_table_init(&table), SP_OK);
    for (unsigned i = 0; i <= SP_RESOLVE_KNOWN_MAX; i++) {
        struct sp_resolve_entry *entry = calloc(1, sizeof(*entry) + 16);
        struct sp_resolve_entry *oldest;

        assert_non_null(entry);
        sp_list_init(&entry->chain);
        sp_list_init(&entry->aged);
        entry->name_len = (size_t)snprintf(entry->name, 16, "n%u", i);
        sp_resolve_table_add(&table, entry);
        oldest = sp_resolve_table_keep(&table, entry);
        assert_ptr_equal(oldest, i == SP_RESOLVE_KNOWN_MAX ? entries[0] : NULL);
        entries[i] = entry;
    }
    assert_null(sp_resolve_table_find(&table, SP_SPAN_LIT("n0")));
    assert_ptr_equal(sp_resolve_table_find(&table, SP_SPAN_LIT("n7")), entries[7]);
    assert_int_equal(table.known, SP_RESOLVE_KNOWN_MAX);
    for (unsigned i = 0; i <= SP_RESOLVE_KNOWN_MAX; i++) {
        sp_resolve_table_remove(&table, entries[i]);
        free(entries[i]);
    }
    sp_resolve_table_fini(&table);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_name_is_asked_once_and_then_known),
        TEST(both_families_come),
        TEST(no_such_name_is_kept_as_an_answer),
        TEST(a_server_that_fails_is_no_answer_and_is_asked_again),
        TEST(equal_questions_make_one_query),
        TEST(a_cancelled_question_is_not_told_and_others_are),
        TEST(a_resolver_closes_with_a_query_under_way),
        TEST(a_resolver_may_be_freed_by_whom_it_tells),
        TEST(a_record_without_life_is_kept_for_a_second),
        TEST(localhost_is_never_asked_of_anybody),
        TEST(what_can_be_no_name_is_not_asked),
        TEST(too_many_questions_at_once_are_refused),
        TEST(the_table_is_bounded_and_the_oldest_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
