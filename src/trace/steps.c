/* Steps as an exchange gathers them: each its duration, then four texts with a NUL. Loop thread. */
#include "trace/trace_priv.h"

#include "util/span.h"

#include <stdlib.h>
#include <string.h>

#define PART_MAX 600u

static size_t part_len(const char *text)
{
    return text != NULL ? strnlen(text, PART_MAX) : 0;
}

static char *put_part(char *at, const char *text)
{
    size_t len = part_len(text);

    if (len > 0)
        memcpy(at, text, len);
    at[len] = '\0';
    return at + len + 1;
}

static void on_step(struct sp_auth_tracer *tracer, const struct sp_auth_step *step)
{
    struct sp_trace_steps *steps = sp_container_of(tracer, struct sp_trace_steps, tracer);
    size_t size = sizeof(step->micros) + part_len(step->what) + part_len(step->server) +
                  part_len(step->detail) + part_len(step->outcome) + 4;
    char *at;

    if (steps->text == NULL)
        steps->text = malloc(SP_TRACE_STEPS_MAX);
    if (steps->text == NULL || steps->cut || size > SP_TRACE_STEPS_MAX - steps->len) {
        steps->cut = true; /* what came first tells most */
        return;
    }
    at = steps->text + steps->len;
    memcpy(at, &step->micros, sizeof(step->micros));
    at = put_part(at + sizeof(step->micros), step->what);
    at = put_part(at, step->server);
    at = put_part(at, step->detail);
    (void)put_part(at, step->outcome);
    steps->len += size;
}

void sp_trace_steps_init(struct sp_trace_steps *steps)
{
    *steps = (struct sp_trace_steps){.tracer = {on_step}};
}

void sp_trace_steps_fini(struct sp_trace_steps *steps)
{
    free(steps->text);
    steps->text = NULL;
    steps->len = 0;
}

struct sp_span sp_trace_steps_text(const struct sp_trace_steps *steps)
{
    return steps->len > 0 ? sp_span_of(steps->text, steps->len) : SP_SPAN_NONE;
}

static const char *next_part(struct sp_span *rest)
{
    const char *part = rest->base;
    size_t len = strnlen(part, rest->len);

    if (len == rest->len)
        return NULL;
    rest->base += len + 1;
    rest->len -= len + 1;
    return part;
}

bool sp_trace_next_step(struct sp_span *rest, struct sp_auth_step *step_out)
{
    if (rest->len < sizeof(step_out->micros))
        return false;
    memcpy(&step_out->micros, rest->base, sizeof(step_out->micros));
    rest->base += sizeof(step_out->micros);
    rest->len -= sizeof(step_out->micros);
    step_out->what = next_part(rest);
    step_out->server = step_out->what != NULL ? next_part(rest) : NULL;
    step_out->detail = step_out->server != NULL ? next_part(rest) : NULL;
    step_out->outcome = step_out->detail != NULL ? next_part(rest) : NULL;
    return step_out->outcome != NULL;
}
