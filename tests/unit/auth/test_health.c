/* auth/health: looks at backends begin when they are due or called for, and end with their owner.
 */
#include "auth/health.h"
#include "net/work.h"
#include "stats/stats.h"
#include "support/auth_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 5000u

#define CONFIG                                            \
    "listen \"127.0.0.1:3128\" { offer = {\"basic\"} }\n" \
    "auth { basic = {\"dir\"} }\n"                        \
    "backend \"dir\" { plugin = \"fake\" }\n"

static struct rig rig;
static struct fake_world *dir;
static struct sp_stats_backend *series;
static struct sp_work_pool *pool; /* one thread, and room for one job more */
static struct sp_loop *loop;
static struct sp_auth_health *health;

static int set_up(void **state)
{
    (void)state;
    fake_worlds_reset();
    rig_open(&rig, CONFIG, NULL);
    dir = fake_world("dir");
    series = sp_stats_backend("dir");
    pool = sp_work_pool_new(1, 1, 1);
    assert_non_null(pool);
    loop = sp_loop_new(pool);
    assert_non_null(loop);
    health = sp_auth_health_new(loop);
    assert_non_null(health);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sp_auth_health_close(&health);
    sp_loop_stop(loop);
    sp_loop_run(loop); /* which waits for looks under way */
    sp_loop_free(&loop);
    sp_work_pool_free(&pool);
    rig_close(&rig);
    return 0;
}

static void turn(void)
{
    sp_loop_turn(loop, false);
    usleep(200);
}

static void until_able(bool able)
{
    uint64_t until = sp_clock_mono_ms(&sp_clock_system) + PATIENCE_MS;

    while (sp_auth_health_able(health) != able) {
        assert_true(sp_clock_mono_ms(&sp_clock_system) < until);
        turn();
    }
}

static struct sp_health_backend seen(void)
{
    struct sp_health_backend b;

    assert_int_equal(sp_auth_health_len(health), 1);
    sp_auth_health_get(health, 0, &b);
    return b;
}

/* Until the look under way is home. */
static void until_seen(void)
{
    uint64_t until = sp_clock_mono_ms(&sp_clock_system) + PATIENCE_MS;

    while (seen().servers_len == 0) {
        assert_true(sp_clock_mono_ms(&sp_clock_system) < until);
        turn();
    }
}

static void a_login_that_could_not_be_answered_calls_for_a_look(void **state)
{
    (void)state;
    assert_true(sp_auth_health_able(health)); /* nobody has looked yet */
    sp_auth_health_tick(health, rig.plan);
    until_seen();
    assert_true(seen().servers[0].well);
    sp_auth_health_tick(health, rig.plan);
    assert_int_equal(dir->looks, 1); /* the next one is not due */
    dir->ill = true;
    sp_stats_auth(series, SP_COUNT_UNAVAILABLE, 1);
    sp_auth_health_tick(health, rig.plan);
    until_able(false);
    assert_int_equal(dir->looks, 2);
    assert_false(seen().able);
    assert_string_equal(seen().servers[0].name, "fake://1");
    assert_string_equal(seen().servers[0].words, "it is ill");
}

/* ---- a full pool ---- */

struct job {
    struct sp_work work;
    bool home;
};

static atomic_bool let_go;
static atomic_bool running;

static void run_job(struct sp_work *work)
{
    (void)work;
    running = true;
    while (!let_go)
        usleep(1000);
}

static void on_job(struct sp_work *work)
{
    sp_container_of(work, struct job, work)->home = true;
}

static void a_look_that_finds_no_room_is_made_later(void **state)
{
    struct job jobs[2] = {{.work = {.run = run_job, .done = on_job, .waits = true}},
                          {.work = {.run = run_job, .done = on_job, .waits = true}}};
    (void)state;

    sp_auth_health_tick(health, rig.plan);
    until_seen();
    let_go = false;
    running = false;
    assert_int_equal(sp_work_start(loop, &jobs[0].work), SP_OK);
    while (!running)
        usleep(200);
    assert_int_equal(sp_work_start(loop, &jobs[1].work), SP_OK);
    dir->ill = true;
    sp_stats_auth(series, SP_COUNT_UNAVAILABLE, 1);
    sp_auth_health_tick(health, rig.plan); /* no room */
    assert_true(sp_auth_health_able(health));
    let_go = true;
    while (!jobs[0].home || !jobs[1].home)
        turn();
    assert_int_equal(dir->looks, 1);
    sp_auth_health_tick(health, rig.plan);
    until_able(false);
    assert_int_equal(dir->looks, 2);
}

/* ---- the end ---- */

static void its_end_does_not_wait_for_a_server_that_hangs(void **state)
{
    (void)state;
    dir->look_hold = true;
    sp_auth_health_tick(health, rig.plan);
    while (dir->looks == 0)
        turn();
    sp_auth_health_tick(health, rig.plan);
    assert_int_equal(dir->looks, 1); /* one at a time */
    sp_auth_health_close(&health);   /* the rest is tear_down's, and would wait for ever */
    assert_null(health);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_login_that_could_not_be_answered_calls_for_a_look),
        TEST(a_look_that_finds_no_room_is_made_later),
        TEST(its_end_does_not_wait_for_a_server_that_hangs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
