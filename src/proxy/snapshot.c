/* What a configuration means to the proxy: listeners with their certificates, rules compiled,
 * backends configured. Made on the main thread at start and at each reload; immutable afterwards,
 * shared by all workers by reference count. The last reference may go on any thread. */
#include "proxy/proxy_priv.h"

#include <stdlib.h>
#include <string.h>

static void listen_fini(struct sp_listen *listen)
{
    sp_tls_server_unref(&listen->tls);
    free((void *)(uintptr_t)listen->proxy_from);
}

static void snapshot_free(struct sp_proxy_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->listens_len; i++)
        listen_fini(&snapshot->listens[i]);
    free(snapshot->listens);
    sp_policy_free(&snapshot->policy);
    sp_auth_plan_unref(&snapshot->plan);
    sp_config_unref(&snapshot->config);
    free(snapshot);
}

static bool listen_read_networks(struct sp_listen *listen, const struct sp_config_block *block,
                                 const struct sp_listen_options *options,
                                 struct sp_config_faults *faults)
{
    size_t len = options->proxy_protocol_from.len;
    struct sp_cidr *networks;

    if (len == 0)
        return true;
    networks = calloc(len, sizeof(*networks));
    if (networks == NULL) {
        sp_config_fault(faults, block, NULL, "out of memory");
        return false;
    }
    listen->proxy_from = networks;
    listen->proxy_from_len = len;
    for (size_t i = 0; i < len; i++) {
        const char *text = options->proxy_protocol_from.items[i];

        if (sp_cidr_parse(&networks[i], sp_span_cstr(text)) != SP_OK) {
            sp_config_fault(
                faults, block, "proxy_protocol_from",
                "\"%s\" is not a network: write 10.0.0.0/8, 2001:db8::/32 or one address", text);
            return false;
        }
    }
    return true;
}

/* Old ones are a fault of the clients' view and not of ours: they are served, with a word. */
static void warn_of_dates(const struct sp_listen *listen, size_t index, const char *path,
                          const struct sp_config_block *block, struct sp_config_faults *faults)
{
    struct sp_tls_certificate certificate;

    sp_tls_server_certificate(listen->tls, index, &certificate);
    if (certificate.days_left < 0)
        sp_config_warn(faults, block, "tls_certificate",
                       "tls_certificate %s: expired on %s; clients will refuse it", path,
                       certificate.until);
    else if (!certificate.begun)
        sp_config_warn(faults, block, "tls_certificate",
                       "tls_certificate %s: is not valid yet; clients will refuse it", path);
    else if (certificate.days_left < SP_TLS_ENDS_SOON_DAYS)
        sp_config_warn(faults, block, "tls_certificate",
                       "tls_certificate %s: expires on %s; clients will refuse it then", path,
                       certificate.until);
}

static bool read_certificates(struct sp_listen *listen, const struct sp_config_block *block,
                              const struct sp_listen_options *options,
                              struct sp_config_faults *faults)
{
    bool well = true;
    struct sp_tls_fault fault;

    listen->tls = sp_tls_server_new(&fault);
    if (listen->tls == NULL) {
        sp_config_fault(faults, block, NULL, "%s", fault.why);
        return false;
    }
    for (size_t i = 0; i < options->tls_certificate.len; i++) { /* all, so that all is told */
        const char *path = options->tls_certificate.items[i];

        if (sp_tls_server_add(listen->tls, path, options->tls_key.items[i], &fault) != SP_OK) {
            sp_config_fault(faults, block, fault.option, "%s", fault.why);
            well = false;
        } else {
            warn_of_dates(listen, sp_tls_server_certificates(listen->tls) - 1, path, block, faults);
        }
    }
    return well;
}

static bool listen_read_tls(struct sp_listen *listen, const struct sp_config_block *block,
                            const struct sp_listen_options *options,
                            struct sp_config_faults *faults)
{
    size_t certificates = options->tls_certificate.len;
    size_t keys = options->tls_key.len;

    if (certificates == 0 && keys == 0)
        return true;
    if (certificates == 0 || keys == 0) {
        sp_config_fault(faults, block, certificates > 0 ? "tls_certificate" : "tls_key",
                        "%s needs %s beside it", certificates > 0 ? "tls_certificate" : "tls_key",
                        certificates > 0 ? "tls_key" : "tls_certificate");
        return false;
    }
    if (certificates != keys) {
        sp_config_fault(faults, block, "tls_key",
                        "tls_key names %zu of %zu files: one for each tls_certificate, in the same "
                        "order",
                        keys, certificates);
        return false;
    }
    return read_certificates(listen, block, options, faults);
}

static bool listen_read(struct sp_listen *listen, const struct sp_config_block *block,
                        struct sp_config_faults *faults)
{
    const struct sp_listen_options *options = block->options;

    listen->title = block->title;
    if (sp_addr_parse(&listen->addr, sp_span_cstr(block->title)) != SP_OK ||
        listen->addr.port == 0) {
        sp_config_fault(
            faults, block, NULL,
            "listen \"%s\" is not an address and port: write \"0.0.0.0:3128\" or \"[::]:3128\"",
            block->title);
        return false;
    }
    return listen_read_networks(listen, block, options, faults) &&
           listen_read_tls(listen, block, options, faults);
}

/* A wildcard has all addresses of its family already. */
static bool overlaps(const struct sp_addr *a, const struct sp_addr *b)
{
    return a->port == b->port && sp_addr_is_v4(a) == sp_addr_is_v4(b) &&
           (sp_addr_is_unspecified(a) || sp_addr_is_unspecified(b));
}

static bool is_apart(const struct sp_listen *listen, const struct sp_listen *other,
                     const struct sp_config_block *block, struct sp_config_faults *faults)
{
    if (sp_addr_same_socket(&other->addr, &listen->addr))
        sp_config_fault(faults, block, NULL, "listen \"%s\" is the same address as listen \"%s\"",
                        listen->title, other->title);
    else if (overlaps(&other->addr, &listen->addr))
        sp_config_fault(
            faults, block, NULL,
            "listen \"%s\" and listen \"%s\" overlap: leave out one, or give it another "
            "port",
            listen->title, other->title);
    else
        return true;
    return false;
}

static bool read_listens(struct sp_proxy_snapshot *snapshot, struct sp_config_faults *faults)
{
    size_t len;
    const struct sp_config_block *blocks = sp_config_all(snapshot->config, "listen", &len);
    bool well = true;

    if (len == 0) {
        sp_config_fault(faults, sp_config_one(snapshot->config, NULL), NULL,
                        "no listen block: add one, such as listen \"0.0.0.0:3128\" {}");
        return false;
    }
    snapshot->listens = calloc(len, sizeof(*snapshot->listens));
    if (snapshot->listens == NULL) {
        sp_config_fault(faults, &blocks[0], NULL, "out of memory");
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        struct sp_listen *listen = &snapshot->listens[i];

        snapshot->listens_len = i + 1;
        listen->index = (unsigned)i;
        if (!listen_read(listen, &blocks[i], faults)) {
            well = false;
            continue;
        }
        for (size_t j = 0; j < i; j++)
            well = is_apart(listen, &snapshot->listens[j], &blocks[i], faults) && well;
    }
    return well;
}

/* With any other name Via is malformed, and a request that comes back to us is not known again. */
static bool read_via(struct sp_proxy_snapshot *snapshot, struct sp_config_faults *faults)
{
    snapshot->via = sp_span_cstr(snapshot->forward->via);
    if (snapshot->via.len == 0 || sp_http_is_pseudonym(snapshot->via))
        return true;
    sp_config_fault(faults, sp_config_one(snapshot->config, "forward"), "via",
                    "`via`: \"%s\" cannot stand in a Via field: one word, such as proxy.corp.test",
                    snapshot->forward->via);
    return false;
}

static bool compile_policy(struct sp_proxy_snapshot *snapshot, const struct sp_addr *admin,
                           struct sp_config_faults *faults)
{
    size_t len = snapshot->listens_len;
    struct sp_addr *addrs = calloc(snapshot->listens_len + 1, sizeof(*addrs));

    if (addrs == NULL)
        return false;
    for (size_t i = 0; i < snapshot->listens_len; i++)
        addrs[i] = snapshot->listens[i].addr;
    if (admin != NULL)
        addrs[len++] = *admin;
    snapshot->policy = sp_policy_compile(snapshot->config, addrs, len, faults);
    free(addrs);
    return snapshot->policy != NULL;
}

struct sp_proxy_snapshot *sp_proxy_snapshot_new(struct sp_config *config,
                                                const struct sp_addr *admin,
                                                sp_auth_find_plugin_fn find, void *owner,
                                                const struct sp_log *log,
                                                struct sp_config_faults *faults)
{
    struct sp_proxy_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    bool well;

    if (snapshot == NULL)
        return NULL;
    atomic_init(&snapshot->refs, 1);
    snapshot->config = sp_config_ref(config);
    snapshot->limits = sp_config_one(config, "limits")->options;
    snapshot->forward = sp_config_one(config, "forward")->options;
    snapshot->http_limits = (struct sp_http_limits){
        .head_size = snapshot->limits->header_size,
        .fields = (size_t)snapshot->limits->header_count,
        .target_size = snapshot->limits->uri_size,
    };

    /* Each part adds its own faults, so that one run of `check` shows them all. */
    well = read_listens(snapshot, faults);
    well = read_via(snapshot, faults) && well;
    well = compile_policy(snapshot, admin, faults) && well;
    snapshot->plan = sp_auth_plan_new(config, find, owner, log, faults);
    if (!well || snapshot->plan == NULL) {
        snapshot_free(snapshot);
        return NULL;
    }
    return snapshot;
}

struct sp_proxy_snapshot *sp_proxy_snapshot_ref(struct sp_proxy_snapshot *snapshot)
{
    atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
    return snapshot;
}

void sp_proxy_snapshot_unref(struct sp_proxy_snapshot **snapshot)
{
    struct sp_proxy_snapshot *gone = *snapshot;

    *snapshot = NULL;
    if (gone != NULL && atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) == 1)
        snapshot_free(gone);
}

const struct sp_listen *sp_proxy_snapshot_listens(const struct sp_proxy_snapshot *snapshot,
                                                  size_t *len_out)
{
    *len_out = snapshot->listens_len;
    return snapshot->listens;
}

struct sp_auth_plan *sp_proxy_snapshot_plan(const struct sp_proxy_snapshot *snapshot)
{
    return snapshot->plan;
}

const struct sp_policy *sp_proxy_snapshot_policy(const struct sp_proxy_snapshot *snapshot)
{
    return snapshot->policy;
}

struct sp_config *sp_proxy_snapshot_config(const struct sp_proxy_snapshot *snapshot)
{
    return snapshot->config;
}
