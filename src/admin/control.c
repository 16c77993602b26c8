/* What `sallyport ctl` can ask of a running proxy: a table of commands, each a function that writes
 * its answer. */
#include "admin/admin_priv.h"

#include "stats/stats.h"
#include "util/span.h"
#include "util/text.h"

#include <string.h>

enum control_word { WORD_NONE, WORD_MAY, WORD_MUST };

struct control_command {
    const char *name;
    enum control_word word; /* does one more follow? */
    /* False: it was not done; `words` say why. */
    bool (*run)(struct sp_admin_conn *conn, struct sp_span word, struct sp_buf *words);
};

static bool say(struct sp_buf *words, bool well, const char *text)
{
    return sp_buf_append(words, sp_span_cstr(text)) == SP_OK && well;
}

/* Half an answer is none. */
static bool say_no_memory(struct sp_buf *words)
{
    sp_buf_reset(words);
    return say(words, false, "there is too little memory to tell\n");
}

static bool run_stats(struct sp_admin_conn *conn, struct sp_span word, struct sp_buf *words)
{
    struct sp_admin_sample sample;
    struct sp_buf metrics;
    struct sp_span rest;
    enum sp_err err;

    (void)conn;
    (void)word;
    sp_buf_init(&metrics, SP_ADMIN_ANSWER_MAX);
    err = sp_stats_write(&metrics);
    rest = sp_buf_span(&metrics);
    while (err == SP_OK && sp_admin_next_sample(&rest, &sample))
        err = sp_buf_printf(words, "%-36.*s %12.*s  %.*s\n", SP_SPAN_ARG(sample.name),
                            SP_SPAN_ARG(sample.value), SP_SPAN_ARG(sample.labels));
    sp_buf_fini(&metrics);
    return err == SP_OK || say_no_memory(words);
}

static bool run_sessions(struct sp_admin_conn *conn, struct sp_span word, struct sp_buf *words)
{
    const struct sp_admin_events *events = &conn->admin->events;

    (void)word;
    if (events->gather == NULL)
        return say(words, false, "this process has no sessions\n");
    conn->forget = events->forget;
    conn->later = events->gather(events->owner, conn, words);
    return conn->later != NULL;
}

static bool run_flush(struct sp_admin_conn *conn, struct sp_span word, struct sp_buf *words)
{
    const struct sp_admin_events *events = &conn->admin->events;
    char user[256];

    if (events->flush == NULL)
        return say(words, false, "this process keeps no verdicts\n");
    events->flush(events->owner, word);
    if (word.base == NULL)
        return say(words, true, "every verdict is forgotten, every block is lifted\n");
    return sp_buf_printf(words, "%s: verdicts and groups are forgotten, a block is lifted\n",
                         sp_text_safe(word, user, sizeof user)) == SP_OK;
}

static bool run_reload(struct sp_admin_conn *conn, struct sp_span word, struct sp_buf *words)
{
    const struct sp_admin_events *events = &conn->admin->events;

    (void)word;
    if (events->reload == NULL)
        return say(words, false, "this process cannot reload\n");
    conn->forget = events->forget_reload;
    conn->later = events->reload(events->owner, conn, words);
    return conn->later != NULL;
}

static bool run_drain(struct sp_admin_conn *conn, struct sp_span word, struct sp_buf *words)
{
    const struct sp_admin_events *events = &conn->admin->events;

    (void)word;
    if (events->drain == NULL)
        return say(words, false, "this process cannot drain\n");
    events->drain(events->owner);
    return say(words, true, "draining: requests and tunnels may finish, then sallyport ends\n");
}

static bool run_why(struct sp_admin_conn *conn, struct sp_span word, struct sp_buf *words)
{
    const struct sp_admin_events *events = &conn->admin->events;
    char safe[256];
    enum sp_err err;

    if (events->why == NULL)
        return say(words, false, "this process remembers no decisions\n");
    err = events->why(events->owner, word, words);
    if (err == SP_OK)
        return true;
    if (err != SP_ERR_NOT_FOUND)
        return say_no_memory(words);
    sp_buf_reset(words);
    if (sp_buf_printf(words, "nothing is known of %s: no request's id, no user and no client\n",
                      sp_text_safe(word, safe, sizeof safe)) != SP_OK)
        sp_buf_reset(words); /* the verdict says enough */
    return false;
}

static bool run_trace(struct sp_admin_conn *conn, struct sp_span word, struct sp_buf *words)
{
    const struct sp_admin_events *events = &conn->admin->events;

    if (events->follow == NULL)
        return say(words, false, "this process remembers no decisions\n");
    conn->follow = events->follow(events->owner, word);
    return conn->follow != NULL || say(words, false, "too many follow decisions already\n");
}

static const struct control_command commands[] = {
    {"stats", WORD_NONE, run_stats}, {"sessions", WORD_NONE, run_sessions},
    {"flush", WORD_MAY, run_flush},  {"why", WORD_MUST, run_why},
    {"trace", WORD_MUST, run_trace}, {"reload", WORD_NONE, run_reload},
    {"drain", WORD_NONE, run_drain},
};

static bool run_command(struct sp_admin_conn *conn, struct sp_span line, struct sp_buf *words)
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
        if (word.base != NULL && commands[i].word == WORD_NONE)
            return say(words, false, "that command takes no more words\n");
        if (word.base == NULL && commands[i].word == WORD_MUST)
            return say(words, false, "of whom? One more word must follow\n");
        sp_log_info(conn->admin->log, "event=control command=%s", commands[i].name);
        return commands[i].run(conn, word, words);
    }
    return say(words, false,
               "there is no such command: stats, sessions, flush [USER], why WORD, "
               "trace WORD, reload, drain\n");
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
        well = run_command(conn, line, &words);
    if (conn->later != NULL) {
        sp_buf_fini(&words);
        return true;
    }
    err = sp_buf_append(&conn->out, sp_span_cstr(well ? SP_ADMIN_OK : SP_ADMIN_NO));
    if (err == SP_OK)
        err = sp_buf_append(&conn->out, sp_buf_span(&words));
    if (err != SP_OK)
        sp_buf_reset(&conn->out);
    sp_buf_fini(&words);
    return true;
}
