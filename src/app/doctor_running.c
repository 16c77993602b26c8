/* See doctor_running.h. The proxy is asked for its figures, as `sallyport ctl stats` shows them. */
#include "app/doctor_running.h"

#include "app/ask.h"
#include "util/span.h"

#include <stdio.h>
#include <string.h>

/* A figure that tells that something is wrong. */
static const struct sign {
    const char *figure;
    bool when_zero;    /* else when it is anything else */
    const char *state; /* behind the figure's labels, where it has some */
    const char *remedy;
} signs[] = {
    {"sallyport_names_unanswered", false,
     "the last five names that a worker asked for got no answer: sites are not found",
     "look whether the servers in resolv.conf run and can be reached from here; a changed "
     "resolv.conf is read at a restart"},
    {"sallyport_log_writable", true,
     "cannot be written, or not be opened anew: lines are lost, and people get in all the same",
     "free its disk, or look at who reads the pipe, or at its folder; the status page says why"},
    {"sallyport_config_last_reload_successful", true,
     "the last reload was refused: what was read before goes on serving",
     "mend what sallyport check names, then run sallyport ctl reload"},
    {"sallyport_file_current", true,
     "is gone, was refused, or was changed since: what was read before goes on serving",
     "put a good file there; unless it is a keytab or a file of users, run sallyport ctl reload "
     "then"},
};

static struct sp_span next_word(struct sp_span *rest)
{
    size_t begin = 0, end;

    while (begin < rest->len && rest->base[begin] == ' ')
        begin++;
    end = begin;
    while (end < rest->len && rest->base[end] != ' ')
        end++;
    *rest = sp_span_of(rest->base + end, rest->len - end);
    return sp_span_of(rest->base - (end - begin), end - begin);
}

static void tell_sign(const struct sp_app_doctor_running *q, const struct sign *sign,
                      struct sp_span labels)
{
    char state[900];

    while (labels.len > 0 && labels.base[0] == ' ')
        labels = sp_span_of(labels.base + 1, labels.len - 1);
    (void)snprintf(state, sizeof(state), "%.*s%s%s", (int)(labels.len < 700 ? labels.len : 700),
                   labels.len > 0 ? labels.base : "", labels.len > 0 ? " " : "", sign->state);
    q->tell(q->owner, false, "running proxy", state, sign->remedy);
}

static bool on_figure(void *owner, struct sp_span line)
{
    const struct sp_app_doctor_running *q = owner;
    struct sp_span name = next_word(&line);
    bool is_zero = sp_span_eq(next_word(&line), SP_SPAN_LIT("0"));

    for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++)
        if (signs[i].when_zero == is_zero && sp_span_eq(name, sp_span_cstr(signs[i].figure)))
            tell_sign(q, &signs[i], line);
    return true;
}

void sp_app_doctor_running(const struct sp_app_doctor_running *q)
{
    const struct sp_app_question question = {.command = "doctor",
                                             .socket = q->socket,
                                             .name = "stats",
                                             .said = on_figure,
                                             .owner = (void *)(uintptr_t)q};

    if (sp_app_ask(&question) != SP_EXIT_WELL)
        q->tell(q->owner, false, "running proxy", "does not answer at admin.socket",
                "look at its log; if it hangs, a restart is what is left");
}
