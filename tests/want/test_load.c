/* A configuration of every kind of block, read and compiled as `run` and a reload do it, with want
 * of memory in our code, in the plugins' and in every library's: it is read as it stands, or
 * refused as a whole. One that lost a rule, or a name of a rule's list, would let people pass. */
#include "app/load.h"

#include "stats/stats.h"
#include "unit/net/tls_test.h"
#include "util/hash.h"
#include "util/span.h"
#include "want/want.h"

#include <stdio.h>
#include <sys/stat.h>

#include <confuse.h>

#define TEXT_MAX 65536

/* libconfuse crashes where it finds no memory (src/config/room.c sees to it that it finds some), so
 * here it always does. The linker puts these in front of its functions. */
cfg_t *__real_cfg_init(cfg_opt_t *opts, cfg_flag_t flags);
cfg_t *__wrap_cfg_init(cfg_opt_t *opts, cfg_flag_t flags);
int __real_cfg_parse_fp(cfg_t *cfg, FILE *fp);
int __wrap_cfg_parse_fp(cfg_t *cfg, FILE *fp);

cfg_t *__wrap_cfg_init(cfg_opt_t *opts, cfg_flag_t flags)
{
    cfg_t *cfg;

    want_spare(true);
    cfg = __real_cfg_init(opts, flags);
    want_spare(false);
    return cfg;
}

int __wrap_cfg_parse_fp(cfg_t *cfg, FILE *fp)
{
    int result;

    want_spare(true);
    result = __real_cfg_parse_fp(cfg, fp);
    want_spare(false);
    return result;
}

static struct {
    char folder[64];
    struct tls_files tls;
    struct sp_app_loader loader;
    struct sp_log log;
    char whole[TEXT_MAX]; /* the configuration as it should be */
    char text[TEXT_MAX];  /* as it was read */
} test;

static const char main_file[] =
    "plugin_dir = \"%s/../../plugins\"\n"
    "workers = 2  shutdown_timeout = 30s\n"
    "listen \"127.0.0.1:3128\" { offer = {\"basic\"} }\n"
    "listen \"127.0.0.1:3143\" { tls_certificate = \"%s\" tls_key = \"%s\"\n"
    "    proxy_protocol_from = {\"10.0.0.0/8\", \"2001:db8::/32\"} }\n"
    "include(\"local.conf\") include(\"corp.conf\")\n"
    "auth { realm = \"A \\\"realm\\\"\" basic = {%s} }\n"
    "cache { ttl = 5m refresh = 50 } guard { user_failures = 3 }\n"
    "rule \"first\" { action = \"allow\" authenticate = false to = {\".debian.org\", "
    "\"10.1.0.0/16\"} }\n"
    "rule \"mail\" { action = \"deny\" ports = {\"25\", \"100-200\"} methods = {\"POST\"} }\n"
    "rule \"staff\" { action = \"allow\" groups = {\"staff\", \"cn=x,dc=test\"} users = "
    "{\"alice\", "
    "\"bob\"} hours = {\"Mo-Fr 08:00-18:00\"} clients = {\"127.0.0.0/8\"} }\n"
    "protect { destinations += {\"172.16.0.0/12\"} }\n"
    "limits { header_size = 64k max_connections = 1000 } forward { via = \"p\" }\n"
    "log { access = \"-\" format = \"squid\" } admin { socket = \"\" http = \"\" }\n";

static const char local_file[] = "backend \"local\" { plugin = \"file\" path = \"users\" }\n";
static const char corp_file[] =
    "backend \"corp\" { plugin = \"ldap\" uris = {\"ldap://127.0.0.1:1389\", "
    "\"ldap://127.0.0.2:1389\"}\n"
    "    tls_ca = \"cert.pem\" base = \"ou=people,dc=test\" bind_dn = \"cn=proxy,dc=test\" "
    "bind_password_file = "
    "\"secret\" }\n";

static const char users_file[] = "bob:$6$saltsalt$eZZFJjIi2S1b9mEZsXMcTb.G7NDjjc0RnKyfr3.MqsbFX4.o"
                                 "W6XNUqBGlNJ0eWy3PqnPBYPt4bHp.I.Ha21LA.\n";

static const char *path_of(const char *name)
{
    static char path[4][160];
    static unsigned next;
    char *out = path[next++ % 4];

    (void)snprintf(out, sizeof(path[0]), "%s/%s", test.folder, name);
    return out;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path_of(name), 0600), 0);
}

/* ---- the whole of a configuration as text ---- */

static size_t say(size_t at, const char *fmt, ...)
{
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(test.text + at, sizeof(test.text) - at, fmt, ap);
    va_end(ap);
    assert_true(len >= 0 && at + (size_t)len < sizeof(test.text));
    return at + (size_t)len;
}

static size_t say_option(size_t at, const struct sp_option *o, const void *options)
{
    const void *field = (const char *)options + o->offset;
    const struct sp_strings *list = field;
    const struct sp_secret_text *secret = field;

    at = say(at, " %s=", o->name);
    switch (o->type) {
    case SP_OPTION_STRING:
    case SP_OPTION_PATH: return say(at, "%s", *(char *const *)field);
    case SP_OPTION_BOOL: return say(at, "%d", *(const bool *)field);
    case SP_OPTION_CHOICE: return say(at, "%d", *(const int *)field);
    case SP_OPTION_INT:
    case SP_OPTION_MILLIS:
    case SP_OPTION_SIZE: return say(at, "%llu", *(const unsigned long long *)field);
    case SP_OPTION_SECRET:
        return say(at, "%.*s", (int)secret->len, secret->text != NULL ? secret->text : "");
    case SP_OPTION_LIST:
    case SP_OPTION_PATHS:
        for (size_t i = 0; i < list->len; i++)
            at = say(at, "%s,", list->items[i]);
        return at;
    }
    return at;
}

static size_t say_block(size_t at, const struct sp_config_section *section,
                        const struct sp_config_block *block)
{
    const struct sp_option *table = section->options;
    char why[256];
    size_t size;

    if (section->resolve != NULL)
        table = section->resolve(section->owner, block->plugin, "", &size, why);
    at = say(at, "%s \"%s\"", section->name != NULL ? section->name : "", block->title);
    for (const struct sp_option *o = table; o->name != NULL; o++)
        at = say_option(at, o, block->options);
    return say(at, "\n");
}

static void say_all(const struct sp_config *config)
{
    size_t at = 0;

    for (const struct sp_config_section *s = test.loader.sections;
         s->options != NULL || s->resolve != NULL; s++) {
        const struct sp_config_block *blocks;
        size_t len;

        if (!s->titled) {
            at = say_block(at, s, sp_config_one(config, s->name));
            continue;
        }
        blocks = sp_config_all(config, s->name, &len);
        for (size_t i = 0; i < len; i++)
            at = say_block(at, s, &blocks[i]);
    }
}

/* ---- the operation ---- */

static enum sp_policy_verdict decide(const struct sp_policy *policy, const char *host,
                                     uint16_t port, const char *user)
{
    struct sp_addr client, addr;
    const struct sp_span staff = SP_SPAN_LIT("staff");
    struct sp_policy_who who = {sp_span_cstr(user), &staff, 1};
    struct sp_policy_query query = {.who = user != NULL ? &who : NULL,
                                    .client = &client,
                                    .host = sp_span_cstr(host),
                                    .port = port,
                                    .method = SP_SPAN_LIT("POST"),
                                    .addr = &addr,
                                    .wall_ms = 1763985600000ull}; /* a Monday's noon */

    assert_int_equal(sp_addr_parse_ip(&client, SP_SPAN_LIT("127.0.0.1")), SP_OK);
    assert_int_equal(sp_addr_parse_ip(&addr, SP_SPAN_LIT("192.0.2.1")), SP_OK);
    return sp_policy_decide(policy, &query).verdict;
}

static void must_be_whole(const struct sp_proxy_snapshot *snapshot)
{
    const struct sp_policy *policy = sp_proxy_snapshot_policy(snapshot);
    const struct sp_listen *listens;
    size_t len;

    listens = sp_proxy_snapshot_listens(snapshot, &len);
    assert_int_equal(len, 2);
    assert_null(listens[0].tls);
    assert_non_null(listens[1].tls);
    assert_int_equal(listens[1].proxy_from_len, 2);
    assert_int_equal(decide(policy, "a.debian.org", 80, NULL), SP_POLICY_ALLOW);
    assert_int_equal(decide(policy, "example.org", 80, "alice"), SP_POLICY_ALLOW);
    assert_int_equal(decide(policy, "example.org", 80, "carol"), SP_POLICY_DENY);
    assert_int_equal(decide(policy, "example.org", 150, "alice"), SP_POLICY_DENY);
}

static void load_under_want(void *state)
{
    struct sp_config_faults faults;
    struct sp_config *config;
    struct sp_proxy_snapshot *snapshot = NULL;
    bool failed;

    (void)state;
    sp_config_faults_init(&faults);
    want_begin();
    config = sp_app_loader_read(&test.loader, &faults);
    if (config != NULL)
        snapshot = sp_app_loader_compile(&test.loader, config, NULL, &test.log, &faults);
    failed = want_end();
    if (snapshot == NULL && !failed)
        fail_msg("%.*s", SP_SPAN_ARG(sp_buf_span(&faults.text)));
    assert_int_equal(snapshot != NULL, faults.count == 0);
    if (config != NULL) {
        say_all(config);
        if (test.whole[0] == '\0')
            memcpy(test.whole, test.text, sizeof(test.whole));
        assert_string_equal(test.text, test.whole);
    }
    if (snapshot != NULL)
        must_be_whole(snapshot);
    sp_proxy_snapshot_unref(&snapshot);
    sp_config_unref(&config);
    sp_config_faults_fini(&faults);
}

/* libldap leaks, and liblber asserts, where they find no memory: without them when all may fail. */
static void write_files(bool ldap)
{
    static char text[TEXT_MAX];
    char dir[4096];

    assert_non_null(realpath("/proc/self/exe", dir));
    *strrchr(dir, '/') = '\0';
    (void)snprintf(text, sizeof(text), main_file, dir, test.tls.certificate, test.tls.key,
                   ldap ? "\"local\", \"corp\"" : "\"local\"");
    write_file("sallyport.conf", text);
    write_file("local.conf", local_file);
    write_file("corp.conf", ldap ? corp_file : "");
    test.whole[0] = '\0';
}

static void ours(void **state)
{
    (void)state;
    write_files(true);
    want_each("a configuration", WANT_OURS, 1, load_under_want, NULL);
}

static void the_libraries(void **state)
{
    (void)state;
    write_files(false);
    want_each("a configuration", WANT_ALL, 7, load_under_want, NULL);
}

static int setup(void **state)
{
    (void)state;
    sp_log_set_level(SP_LOG_ERROR);
    assert_int_equal(sp_hash_setup(), SP_OK);
    assert_int_equal(sp_stats_init(1), SP_OK);
    tls_files_make(&test.tls, EVP_EC_gen("P-256"), EVP_sha256());
    strcpy(test.folder, test.tls.folder);
    write_file("users", users_file);
    write_file("secret", "hush\n");
    sp_app_loader_init(&test.loader, strdup(path_of("sallyport.conf")));
    return 0;
}

static int teardown(void **state)
{
    const char *files[] = {"sallyport.conf", "local.conf", "corp.conf", "users", "secret"};

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        unlink(path_of(files[i]));
    tls_files_remove(&test.tls);
    free((char *)(uintptr_t)test.loader.path);
    sp_stats_fini();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ours), cmocka_unit_test(the_libraries)};

    return cmocka_run_group_tests_name("want: a configuration", tests, setup, teardown);
}
