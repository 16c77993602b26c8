/* What `sallyport ctl` can ask of a running proxy: a table of commands, each a function that writes
 * its answer. */
#include "admin/admin_priv.h"

#include "stats/stats.h"
#include "util/span.h"
#include "util/text.h"

#include <inttypes.h>
#include <string.h>

struct control_command {
    const char *name;
    bool takes_word; /* may be followed by one more word */
    /* False: it was not done; `words` say why. */
    bool (*run)(struct sp_admin *admin, struct sp_span word, struct sp_buf *words);
};

static bool say(struct sp_buf *words, bool well, const char *text)
{
    return sp_buf_append(words, sp_span_cstr(text)) == SP_OK && well;
}

static bool run_stats(struct sp_admin *admin, struct sp_span word, struct sp_buf *words)
{
    struct sp_admin_sample sample;
    struct sp_buf metrics;
    struct sp_span rest;
    enum sp_err err;

    (void)admin;
    (void)word;
    sp_buf_init(&metrics, SP_ADMIN_ANSWER_MAX);
    err = sp_stats_write(&metrics);
    rest = sp_buf_span(&metrics);
    while (err == SP_OK && sp_admin_next_sample(&rest, &sample))
        err = sp_buf_printf(words, "%-36.*s %12.*s  %.*s\n", SP_SPAN_ARG(sample.name),
                            SP_SPAN_ARG(sample.value), SP_SPAN_ARG(sample.labels));
    sp_buf_fini(&metrics);
    return err == SP_OK;
}

static bool run_sessions(struct sp_admin *admin, struct sp_span word, struct sp_buf *words)
{
    (void)admin;
    (void)word;
    return sp_buf_printf(words, "%-36s %12" PRId64 "\n%-36s %12" PRId64 "\n%-36s %12" PRId64 "\n",
                         "client connections", sp_stats_sum(SP_STAT_CONNECTIONS),
                         "of these: tunnels", sp_stats_sum(SP_STAT_TUNNELS),
                         "handshakes in progress", sp_stats_sum(SP_STAT_HANDSHAKES)) == SP_OK;
}

static bool run_flush(struct sp_admin *admin, struct sp_span word, struct sp_buf *words)
{
    char user[256];

    if (admin->events.flush == NULL)
        return say(words, false, "this process keeps no verdicts\n");
    admin->events.flush(admin->events.owner, word);
    if (word.base == NULL)
        return say(words, true, "every verdict is forgotten, every block is lifted\n");
    return sp_buf_printf(words, "%s: verdicts and groups are forgotten, a block is lifted\n",
                         sp_text_safe(word, user, sizeof user)) == SP_OK;
}

static bool run_reload(struct sp_admin *admin, struct sp_span word, struct sp_buf *words)
{
    (void)word;
    if (admin->events.reload == NULL)
        return say(words, false, "this process cannot reload\n");
    return admin->events.reload(admin->events.owner, words);
}

static bool run_drain(struct sp_admin *admin, struct sp_span word, struct sp_buf *words)
{
    (void)word;
    if (admin->events.drain == NULL)
        return say(words, false, "this process cannot drain\n");
    admin->events.drain(admin->events.owner);
    return say(words, true, "draining: requests and tunnels may finish, then sallyport ends\n");
}

static const struct control_command commands[] = {
    {"stats", false, run_stats},   {"sessions", false, run_sessions}, {"flush", true, run_flush},
    {"reload", false, run_reload}, {"drain", false, run_drain},
};

static bool run_command(struct sp_admin *admin, struct sp_span line, struct sp_buf *words)
{
    const char *space = line.len > 0 ? memchr(line.base, ' ', line.len) : NULL;
    struct sp_span name = line;
    struct sp_span word = SP_SPAN_NONE;

    if (space != NULL) {
        name.len = (size_t)(space - line.base);
        word = sp_span_trim(sp_span_of(space + 1, line.len - name.len - 1));
        if (word.len == 0)
            word = SP_SPAN_NONE;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (!sp_span_eq(sp_span_cstr(commands[i].name), name))
            continue;
        if (word.base != NULL && !commands[i].takes_word)
            return say(words, false, "that command takes no more words\n");
        sp_log_info(admin->log, "event=control command=%s", commands[i].name);
        return commands[i].run(admin, word, words);
    }
    return say(words, false,
               "there is no such command: stats, sessions, flush [USER], reload, "
               "drain\n");
}

bool sp_admin_control_answer(struct sp_admin_conn *conn)
{
    const char *lf = memchr(conn->in, '\n', conn->in_len);
    struct sp_span line = sp_span_of(conn->in, lf != NULL ? (size_t)(lf - conn->in) : conn->in_len);
    struct sp_buf words;
    bool well = false;
    enum sp_err err;

    if (lf == NULL && conn->in_len < SP_ADMIN_LINE_MAX)
        return false;
    sp_buf_init(&words, SP_ADMIN_ANSWER_MAX - sizeof SP_ADMIN_OK);
    if (line.len >= SP_ADMIN_LINE_MAX || sp_text_has_control(line) || !sp_text_is_utf8(line))
        (void)say(&words, false, "a command is one line of text, and not a long one\n");
    else
        well = run_command(conn->admin, line, &words);
    err = sp_buf_append(&conn->out, sp_span_cstr(well ? SP_ADMIN_OK : SP_ADMIN_NO));
    if (err == SP_OK)
        err = sp_buf_append(&conn->out, sp_buf_span(&words));
    if (err != SP_OK)
        sp_buf_reset(&conn->out);
    sp_buf_fini(&words);
    return true;
}
