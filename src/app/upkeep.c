/* What an administrator has to look after while the proxy serves: certificates that end, files that
 * changed and were not taken up, logs that cannot be written. Told to the status page, to /metrics
 * and, of certificates, to the log. Main thread. */
#include "app/server_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- certificates ---- */

struct certificate {
    const char *listener, *file;
    const struct sp_tls_server *tls;
    size_t index; /* among those of `tls` */
    struct sp_tls_certificate is;
};

enum wear { SOUND, ENDS_SOON, NOT_BEGUN, ENDED };

static enum wear wear_of(const struct sp_tls_certificate *c)
{
    if (c->days_left < 0)
        return ENDED;
    if (!c->begun)
        return NOT_BEGUN;
    return c->days_left < SP_TLS_ENDS_SOON_DAYS ? ENDS_SOON : SOUND;
}

/* All but what it says of itself. False: there are not so many. */
static bool find_certificate(const struct sp_server *server, size_t index, struct certificate *out)
{
    size_t len, blocks_len;
    const struct sp_listen *listens = sp_proxy_snapshot_listens(server->snapshot, &len);
    const struct sp_config_block *blocks = sp_config_all(sp_proxy_snapshot_config(server->snapshot),
                                                         "listen", &blocks_len);

    for (size_t i = 0; i < len; i++) {
        const struct sp_listen_options *options = blocks[i].options;
        size_t have = listens[i].tls != NULL ? sp_tls_server_certificates(listens[i].tls) : 0;

        if (index >= have) {
            index -= have;
            continue;
        }
        out->listener = listens[i].title;
        out->file = options->tls_certificate.items[index];
        out->tls = listens[i].tls;
        out->index = index;
        return true;
    }
    return false;
}

static bool certificate_at(const struct sp_server *server, size_t index, struct certificate *out)
{
    if (!find_certificate(server, index, out))
        return false;
    sp_tls_server_certificate(out->tls, out->index, &out->is);
    return true;
}

static void tell_certificate(const struct sp_server *server, const struct certificate *c)
{
    if (wear_of(&c->is) == ENDED)
        sp_log_error(&server->log,
                     "event=certificate_expired listener=%s file=\"%s\" until=%s "
                     "detail=\"clients refuse it: put a new one in its place and reload\"",
                     c->listener, c->file, c->is.until);
    else if (wear_of(&c->is) == ENDS_SOON)
        sp_log_warning(&server->log,
                       "event=certificate_expires listener=%s file=\"%s\" until=%s days=%lld "
                       "detail=\"put a new one in its place and reload\"",
                       c->listener, c->file, c->is.until, (long long)c->is.days_left);
}

void sp_server_certificates_tell(struct sp_server *server)
{
    struct certificate c;
    unsigned worn = 0; /* grows with each step that one of them takes */

    for (size_t i = 0; certificate_at(server, i, &c); i++)
        worn += wear_of(&c.is) == ENDED ? 2 : wear_of(&c.is) == ENDS_SOON ? 1 : 0;
    for (size_t i = 0; worn > server->certificates_worn && certificate_at(server, i, &c); i++)
        tell_certificate(server, &c);
    server->certificates_worn = worn;
}

/* A listener may name a file twice: one series. */
static bool is_named_before(const struct sp_server *server, size_t index,
                            const struct certificate *c)
{
    struct certificate before;

    for (size_t i = 0; i < index && find_certificate(server, i, &before); i++)
        if (before.listener == c->listener && strcmp(before.file, c->file) == 0)
            return true;
    return false;
}

static void list_certificates(void *owner, struct sp_stats_samples *samples)
{
    struct certificate c;

    for (size_t i = 0; certificate_at(owner, i, &c); i++) {
        const char *const labels[] = {"listener", c.listener, "file", c.file, NULL};

        if (!is_named_before(owner, i, &c))
            sp_stats_sample(samples, labels, c.is.until_s);
    }
}

/* ---- troubles, in words ---- */

/* NULL: there is no room for more. */
static struct sp_overview_trouble *add(struct sp_overview *o, bool bad, const char *remedy)
{
    struct sp_overview_trouble *t = &o->troubles[o->troubles_len];

    if (o->troubles_len == SP_OVERVIEW_TROUBLES)
        return NULL;
    o->troubles_len++;
    *t = (struct sp_overview_trouble){.bad = bad, .remedy = remedy};
    return t;
}

static void add_certificate(struct sp_overview *o, const struct certificate *c)
{
    static const char *const remedies[] = {
        [ENDS_SOON] = "Put a new one in its place before that day and run <code>sallyport ctl "
                      "reload</code>: from then on clients refuse it.",
        [NOT_BEGUN] = "Clients refuse it until its time has come. Is this machine's clock right?",
        [ENDED] = "Clients refuse it, so nobody gets in there. Put a new one in its place and run "
                  "<code>sallyport ctl reload</code>.",
    };
    enum wear wear = wear_of(&c->is);
    struct sp_overview_trouble *t = wear != SOUND ? add(o, wear != ENDS_SOON, remedies[wear])
                                                  : NULL;

    if (t == NULL)
        return;
    if (wear == ENDS_SOON)
        (void)snprintf(t->what, sizeof(t->what), "The certificate of listen %s ends in %lld day%s",
                       c->listener, (long long)c->is.days_left, c->is.days_left == 1 ? "" : "s");
    else
        (void)snprintf(t->what, sizeof(t->what), "The certificate of listen %s %s", c->listener,
                       wear == ENDED ? "has expired" : "is not valid yet");
    (void)snprintf(t->detail, sizeof(t->detail), "%s: valid until %s", c->file, c->is.until);
}

static void add_certificates(const struct sp_server *server, struct sp_overview *o, bool bad)
{
    struct certificate c;

    for (size_t i = 0; certificate_at(server, i, &c); i++)
        if ((wear_of(&c.is) == ENDED || wear_of(&c.is) == NOT_BEGUN) == bad)
            add_certificate(o, &c);
}

static void add_missing(struct sp_overview *o, const char *option, const char *path, int missing)
{
    bool closed = missing == EACCES;
    struct sp_overview_trouble *t = add(
        o, false,
        closed ? "What was read from it before goes on serving, but a reload is refused: let the "
                 "user that sallyport runs as read it."
               : "What was read from it before goes on serving, but the next start, or "
                 "reload, fails. Put it back.");

    if (t == NULL)
        return;
    (void)snprintf(t->what, sizeof(t->what), "The file of %s is %s", option,
                   closed ? "closed to the proxy's user" : "not there any more");
    (void)snprintf(t->detail, sizeof(t->detail), "%s: %s", path, strerror(missing));
}

static void add_refused(struct sp_overview *o, const struct sp_auth_file *file)
{
    struct sp_overview_trouble *t = add(
        o, false,
        "What was read before it goes on serving. Mend the file, or who may read it: "
        "it is taken up by itself within seconds.");

    if (t == NULL)
        return;
    (void)snprintf(t->what, sizeof(t->what), "The new file of %s in backend %s was refused",
                   file->option, file->backend);
    (void)snprintf(t->detail, sizeof(t->detail), "%s", file->why);
}

static void add_stale(struct sp_overview *o, const struct sp_app_file *file)
{
    struct sp_overview_trouble *t = add(
        o, false,
        "What it held when the configuration was read goes on serving. Run "
        "<code>sallyport ctl reload</code> to take up the new one.");

    if (t == NULL)
        return;
    (void)snprintf(t->what, sizeof(t->what), "The file of %s has changed and is not taken up",
                   file->named->option->name);
    (void)snprintf(t->detail, sizeof(t->detail), "%s, named at %s:%u", file->named->path,
                   file->named->file, file->named->line);
}

static void add_files(const struct sp_server *server, struct sp_overview *o)
{
    struct sp_auth_plan *plan = sp_proxy_snapshot_plan(server->snapshot);
    struct sp_auth_file watched;
    struct sp_app_file once;

    for (size_t i = 0; sp_auth_plan_file(plan, i, &watched); i++) {
        if (watched.refused)
            add_refused(o, &watched);
        if (watched.missing != 0)
            add_missing(o, watched.option, watched.path, watched.missing);
    }
    for (size_t i = 0; sp_app_files_get(server->files, i, &once); i++) {
        if (once.changed)
            add_stale(o, &once);
        if (once.missing != 0)
            add_missing(o, once.named->option->name, once.named->path, once.missing);
    }
}

static void add_log(struct sp_overview *o, const struct sp_log_state *log)
{
    struct sp_overview_trouble *t = NULL;
    int why = log->why != 0 ? log->why : log->reopen_why;

    o->log_failing = o->log_failing || log->why != 0;
    if (log->why != 0)
        t = add(o, false,
                "Its lines are lost until it can be written; people get in all the same. "
                "Free the disk, or look at who reads the pipe.");
    else if (log->reopen_why != 0)
        t = add(o, false,
                "Lines still go to the file that was open before. Mend the folder's owner "
                "and mode, and send the signal USR1 again.");
    if (t == NULL)
        return;
    (void)snprintf(t->what, sizeof(t->what), "The %s log could not be %s", log->log,
                   log->why != 0 ? "written" : "opened anew");
    (void)snprintf(t->detail, sizeof(t->detail), "%s: %s", log->file, strerror(why));
}

static void add_name_service(const struct sp_server *server, struct sp_overview *o)
{
    int64_t unheard = sp_stats_sum(SP_STAT_NAMES_UNHEARD);
    struct sp_overview_trouble *t = NULL;

    if (unheard > 0)
        t = add(o, false,
                "Sites are not found, unless it is those names alone. Look at the name servers in "
                "<code>/etc/resolv.conf</code>, and whether they can be reached from here; a "
                "changed file is read at a restart. The first name that is answered ends this.");
    if (t == NULL)
        return;
    (void)snprintf(t->what, sizeof(t->what), "Names get no answer");
    (void)snprintf(t->detail, sizeof(t->detail), "the last five of %lld of %u worker%s",
                   (long long)unheard, server->workers_len, server->workers_len == 1 ? "" : "s");
}

void sp_server_troubles(const struct sp_server *server, struct sp_overview *o)
{
    struct sp_log_state log;

    add_name_service(server, o);

    add_certificates(server, o, true);
    for (unsigned i = 0; sp_log_state(i, &log); i++)
        add_log(o, &log);
    add_files(server, o);
    add_certificates(server, o, false);
}

/* ---- for the metrics ---- */

/* Nobody knows what stands where the user that we run as may not look: no sample. */
static void sample_file(struct sp_stats_samples *samples, const char *const *labels, bool current,
                        int missing)
{
    if (missing != EACCES)
        sp_stats_sample(samples, labels, current && missing == 0 ? 1 : 0);
}

/* Two blocks may name one file with the same key: one series. */
static bool is_repeated(const struct sp_app_files *files, size_t index,
                        const struct sp_config_named *named)
{
    struct sp_app_file before;

    for (size_t i = 0; i < index && sp_app_files_get(files, i, &before); i++)
        if (before.named->option == named->option && strcmp(before.named->path, named->path) == 0)
            return true;
    return false;
}

static void list_files(void *owner, struct sp_stats_samples *samples)
{
    const struct sp_server *server = owner;
    struct sp_auth_plan *plan = sp_proxy_snapshot_plan(server->snapshot);
    struct sp_auth_file watched;
    struct sp_app_file once;

    for (size_t i = 0; sp_app_files_get(server->files, i, &once); i++) {
        const char *const labels[] = {"key", once.named->option->name, "file", once.named->path,
                                      NULL};

        if (!is_repeated(server->files, i, once.named))
            sample_file(samples, labels, !once.changed, once.missing);
    }
    for (size_t i = 0; sp_auth_plan_file(plan, i, &watched); i++) {
        const char *const labels[] = {"key",  watched.option, "backend", watched.backend,
                                      "file", watched.path,   NULL};

        sample_file(samples, labels, !watched.refused, watched.missing);
    }
}

static void list_logs(void *owner, struct sp_stats_samples *samples)
{
    struct sp_log_state log;

    (void)owner;
    for (unsigned i = 0; sp_log_state(i, &log); i++) {
        const char *const labels[] = {"log", log.log, NULL};

        sp_stats_sample(samples, labels, log.why == 0 && log.reopen_why == 0 ? 1 : 0);
    }
}

enum sp_err sp_server_upkeep_register(struct sp_server *server)
{
    enum sp_err err = sp_stats_gauges("sallyport_certificate_end_timestamp_seconds",
                                      "When a listener's certificate ends, in seconds since 1970.",
                                      list_certificates, server);

    if (err == SP_OK)
        err = sp_stats_gauges(
            "sallyport_file_current",
            "0 while a file is gone, was refused, or waits for a reload, and what "
            "was read before serves.",
            list_files, server);
    if (err == SP_OK)
        err = sp_stats_gauges("sallyport_log_writable",
                              "0 while a log could not be written, or not be opened anew.",
                              list_logs, server);
    return err;
}
