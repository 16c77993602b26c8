/* Decisions in the form in which they are remembered: numbers, then the texts one behind the other.
 * Writing is on the path of every exchange, so it copies and does nothing else. Pure. */
#include "trace/trace_priv.h"

#include "util/hash.h"
#include "util/span.h"

#include <string.h>

static const uint16_t text_max[SP_DECISION_TEXTS] = {
    [SP_DECISION_ID] = SP_TRACE_ID_MAX,
    [SP_DECISION_USER] = 256,
    [SP_DECISION_MECH] = 16,
    [SP_DECISION_BACKEND] = 64,
    [SP_DECISION_GROUPS] = 512,
    [SP_DECISION_METHOD] = 32,
    [SP_DECISION_TARGET] = 512,
    [SP_DECISION_LISTENER] = 64,
    [SP_DECISION_WHY] = 256,
    [SP_DECISION_RULE] = 64,
    [SP_DECISION_STEPS] = SP_TRACE_STEPS_MAX,
};

static size_t kept_len(const struct sp_decision *d, size_t text)
{
    return d->text[text].len < text_max[text] ? d->text[text].len : text_max[text];
}

static char *text_of(const struct sp_trace_record *r)
{
    return (char *)(uintptr_t)(r + 1);
}

static char *ids_of(const struct sp_trace_record *r)
{
    char *at = text_of(r);

    for (size_t i = 0; i < SP_DECISION_TEXTS; i++)
        at += r->len[i];
    return at;
}

static uint32_t short_ms(uint64_t ms)
{
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

/* ---- writing ---- */

static void write_numbers(struct sp_trace_record *at, const struct sp_decision *d)
{
    at->conn = d->conn;
    at->ordinal = d->ordinal;
    at->first = d->first;
    at->wall_ms = d->wall_ms;
    at->age_ms = d->age_ms;
    at->has_age = d->has_age;
    at->ms = short_ms(d->ms);
    at->auth_ms = short_ms(d->auth_ms);
    at->connect_ms = short_ms(d->connect_ms);
}

static char *write_text(char *to, struct sp_span text, size_t max, uint16_t *len_out)
{
    size_t len = text.len < max ? text.len : max;

    memcpy(to, text.base, len);
    if (len < text.len)
        memcpy(to + len - 3, "...", 3);
    *len_out = (uint16_t)len;
    return to + len;
}

size_t sp_trace_record_write(struct sp_trace_record *at, const struct sp_decision *decision,
                             uint64_t fold)
{
    char *to = text_of(at);
    size_t size;

    write_numbers(at, decision);
    at->count = 1;
    at->fold = fold;
    at->first_wall_ms = decision->wall_ms;
    at->client = decision->client;
    at->status = (uint16_t)decision->status;
    at->scheme = (uint8_t)decision->scheme;
    at->how = (uint8_t)decision->how;
    at->reason = (uint8_t)decision->reason;
    memset(at->len, 0, sizeof(at->len));
    for (size_t i = 0; i < SP_DECISION_TEXTS; i++)
        if (decision->text[i].len > 0)
            to = write_text(to, decision->text[i], text_max[i], &at->len[i]);
    size = (size_t)(to - (char *)at);
    if (fold != 0)
        size += (SP_TRACE_FOLDED - 1) * SP_TRACE_ID_MAX;
    size = (size + 7) & ~(size_t)7;
    at->size = (uint32_t)size;
    return size;
}

void sp_trace_record_fold(struct sp_trace_record *at, const struct sp_decision *decision)
{
    char *slot = ids_of(at) + (at->count - 1) * SP_TRACE_ID_MAX;
    size_t len = kept_len(decision, SP_DECISION_ID);

    memset(slot, 0, SP_TRACE_ID_MAX);
    if (len > 0)
        memcpy(slot, decision->text[SP_DECISION_ID].base, len);
    at->count++;
    write_numbers(at, decision);
}

/* ---- reading ---- */

static struct sp_span slot_text(const char *slot)
{
    return sp_span_of(slot, strnlen(slot, SP_TRACE_ID_MAX));
}

void sp_trace_record_read(const struct sp_trace_record *at, struct sp_decision *decision_out)
{
    const char *from = text_of(at);

    *decision_out = (struct sp_decision){
        .conn = at->conn,
        .ordinal = at->ordinal,
        .first = at->first,
        .wall_ms = at->wall_ms,
        .client = at->client,
        .scheme = at->scheme,
        .how = at->how,
        .reason = at->reason,
        .status = at->status,
        .has_age = at->has_age,
        .age_ms = at->age_ms,
        .ms = at->ms,
        .auth_ms = at->auth_ms,
        .connect_ms = at->connect_ms,
        .count = at->count,
        .first_wall_ms = at->first_wall_ms,
    };
    for (size_t i = 0; i < SP_DECISION_TEXTS; i++) {
        decision_out->text[i] = sp_span_of(from, at->len[i]);
        from += at->len[i];
    }
    if (at->count > 1)
        decision_out->text[SP_DECISION_ID] = slot_text(ids_of(at) +
                                                       (at->count - 2) * SP_TRACE_ID_MAX);
}

bool sp_trace_record_has_id(const struct sp_trace_record *at, struct sp_span id)
{
    if (sp_span_eq(sp_span_of(text_of(at), at->len[SP_DECISION_ID]), id))
        return true;
    for (uint32_t i = 0; i + 1 < at->count; i++)
        if (sp_span_eq(slot_text(ids_of(at) + i * SP_TRACE_ID_MAX), id))
            return true;
    return false;
}

/* ---- rows of refusals ---- */

static size_t add(char *to, size_t used, const void *bytes, size_t len)
{
    memcpy(to + used, bytes, len);
    return used + len;
}

/* Wherever they wanted to go. */
static bool is_about_person(enum sp_reason reason)
{
    switch (reason) {
    case SP_REASON_BAD_CREDENTIALS:
    case SP_REASON_BLOCKED:
    case SP_REASON_ACCOUNT:
    case SP_REASON_LOOP:
    case SP_REASON_DIRECTORY_UNAVAILABLE:
    case SP_REASON_OVERLOADED: return true;
    case SP_REASON_OK:
    case SP_REASON_NO_CREDENTIALS:
    case SP_REASON_HANDSHAKE:
    case SP_REASON_DENIED:
    case SP_REASON_MALFORMED:
    case SP_REASON_DNS:
    case SP_REASON_CONNECT_FAILED:
    case SP_REASON_TIMEOUT:
    case SP_REASON_UPSTREAM:
    case SP_REASON_CLIENT_GONE:
    case SP_REASON_COUNT: break;
    }
    return false;
}

uint64_t sp_trace_fold_of(const struct sp_decision *decision)
{
    static const enum sp_decision_text said[] = {SP_DECISION_USER,     SP_DECISION_BACKEND,
                                                 SP_DECISION_WHY,      SP_DECISION_RULE,
                                                 SP_DECISION_LISTENER, SP_DECISION_TARGET};
    size_t said_len = sizeof(said) / sizeof(*said) - (is_about_person(decision->reason) ? 1 : 0);
    char bytes[1536];
    size_t used = 0;
    uint64_t fold;

    if (decision->reason == SP_REASON_OK || decision->reason == SP_REASON_CLIENT_GONE ||
        sp_decision_is_leg(decision->reason))
        return 0;
    used = add(bytes, used, decision->client.ip, sizeof(decision->client.ip));
    used = add(bytes, used, &decision->status, sizeof(decision->status));
    used = add(bytes, used, &decision->reason, sizeof(decision->reason));
    used = add(bytes, used, &decision->how, sizeof(decision->how));
    for (size_t i = 0; i < said_len; i++) {
        size_t len = kept_len(decision, said[i]);

        used = add(bytes, used, &len, sizeof(len));
        if (len > 0)
            used = add(bytes, used, decision->text[said[i]].base, len);
    }
    fold = sp_hash64(sp_span_of(bytes, used));
    return fold != 0 ? fold : 1;
}
