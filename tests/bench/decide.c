/* What one decision of the policy costs: CPU time of sp_policy_decide alone, over a policy of so
 * many rules of hosts and suffixes. In a whole request it drowns in the noise. Prints one line of
 * JSON: the mean for each kind of host, in nanoseconds.
 *
 *     decide RULES */
#include "policy/policy.h"

#include "util/span.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HOSTS     4096u /* of each kind, spread over the rules */
#define DECISIONS 500000u
#define TEXT_MAX  64u

static const char *const kinds[] = {"host", "suffix", "unnamed"};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

struct hosts {
    char text[HOSTS][TEXT_MAX];
    struct sp_policy_query queries[HOSTS];
};

/* Every second rule names a host, the others a domain; the last allows what is left. */
static bool write_rules(FILE *file, unsigned rules)
{
    for (unsigned i = 0; i < rules; i++)
        (void)fprintf(file, "rule \"r%u\" { action = \"deny\" to = {\"%sh%u.example.test\"} }\n", i,
                      i % 2 == 1 ? "." : "", i);
    (void)fprintf(file, "rule \"rest\" { action = \"allow\" }\n");
    return ferror(file) == 0;
}

static struct sp_policy *compile(const char *path, struct sp_config **config_out)
{
    const struct sp_config_section sections[] = {
        {.name = "protect",
         .options = sp_protect_option_table,
         .options_size = sp_protect_options_size},
        {.name = "rule",
         .titled = true,
         .options = sp_rule_option_table,
         .options_size = sp_rule_options_size},
        {.name = NULL},
    };
    struct sp_config_faults faults;
    struct sp_policy *policy = NULL;

    sp_config_faults_init(&faults);
    *config_out = sp_config_read(path, sections, &faults);
    if (*config_out != NULL)
        policy = sp_policy_compile(*config_out, NULL, 0, &faults);
    if (policy == NULL)
        (void)fprintf(stderr, "decide: %.*s", SP_SPAN_ARG(sp_buf_span(&faults.text)));
    sp_config_faults_fini(&faults);
    return policy;
}

static void name_host(char *text, unsigned kind, unsigned number)
{
    if (kind == 0)
        (void)snprintf(text, TEXT_MAX, "h%u.example.test", number & ~1u);
    else if (kind == 1)
        (void)snprintf(text, TEXT_MAX, "www.shop.h%u.example.test", number | 1u);
    else
        (void)snprintf(text, TEXT_MAX, "www.shop.n%u.example.org", number);
}

/* The last of the three decisions that a request takes: user and address are known. */
static void make_queries(struct hosts *hosts, unsigned kind, unsigned rules,
                         const struct sp_policy_query *as)
{
    for (unsigned i = 0; i < HOSTS; i++) {
        name_host(hosts->text[i], kind, (unsigned)((uint64_t)i * rules / HOSTS));
        hosts->queries[i] = *as;
        hosts->queries[i].host = sp_span_cstr(hosts->text[i]);
    }
}

static double cpu_ns(void)
{
    struct timespec now = {0, 0};

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Nanoseconds each; negative where a decision is not the expected one. */
static double measure(const struct sp_policy *policy, const struct hosts *hosts,
                      enum sp_policy_verdict expected)
{
    double begun = cpu_ns();

    for (unsigned i = 0; i < DECISIONS; i++) {
        if (sp_policy_decide(policy, &hosts->queries[i % HOSTS]).verdict != expected)
            return -1;
    }
    return (cpu_ns() - begun) / DECISIONS;
}

static bool run(const struct sp_policy *policy, unsigned rules)
{
    struct sp_policy_who who = {.user = SP_SPAN_LIT("alice")};
    struct sp_addr client, addr;
    struct sp_policy_query as = {
        .who = &who, .client = &client, .addr = &addr, .port = 80, .method = SP_SPAN_LIT("GET")};
    struct hosts *hosts = malloc(sizeof(*hosts));
    bool well = hosts != NULL && sp_addr_parse_ip(&client, SP_SPAN_LIT("10.1.1.1")) == SP_OK &&
                sp_addr_parse_ip(&addr, SP_SPAN_LIT("203.0.113.7")) == SP_OK;

    printf("{\"rules\": %u", rules);
    for (unsigned kind = 0; well && kind < KINDS; kind++) {
        double ns;

        make_queries(hosts, kind, rules, &as);
        ns = measure(policy, hosts, kind == 2 || rules == 0 ? SP_POLICY_ALLOW : SP_POLICY_DENY);
        well = ns >= 0;
        printf(", \"%s\": %.1f", kinds[kind], ns);
    }
    printf("}\n");
    free(hosts);
    return well;
}

int main(int argc, char **argv)
{
    char path[] = "/tmp/sallyport-decide-XXXXXX";
    unsigned rules = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    struct sp_config *config = NULL;
    struct sp_policy *policy = NULL;
    FILE *file;
    int fd;
    bool well;

    if (argc != 2) {
        (void)fputs("decide RULES\n", stderr);
        return 2;
    }
    fd = mkstemp(path);
    file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (file == NULL) {
        perror("decide");
        return 1;
    }
    well = write_rules(file, rules);
    well = fclose(file) == 0 && well;
    if (well)
        policy = compile(path, &config);
    (void)unlink(path);
    well = policy != NULL && run(policy, rules);
    sp_policy_free(&policy);
    if (config != NULL)
        sp_config_unref(&config);
    return well ? 0 : 1;
}
