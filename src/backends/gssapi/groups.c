/* The groups that a ticket brings: its PAC, asked of the library, which says whether it has
 * verified it, and read into the leg. Called by the accept job on a pool thread, for a ticket that
 * was accepted. What a ticket lacks is "no groups"; what it has and cannot be read is "don't know".
 */
#include "backends/gssapi/gssapi_priv.h"

#include "backends/gssapi/pac.h"
#include "util/span.h"
#include "util/text.h"

#include <stdlib.h>

#define LOGON_INFO "urn:mspac:logon-info"

/* One block: the spans, then the texts that they point to. Measured first, filled then. */
struct collected {
    struct sp_span *list; /* NULL: measuring */
    char *next;
    size_t len;
    size_t bytes;
};

static void measure_sid(void *owner, struct sp_span sid)
{
    struct collected *collected = owner;

    collected->len++;
    collected->bytes += sid.len;
}

static void keep_sid(void *owner, struct sp_span sid)
{
    struct collected *collected = owner;

    memcpy(collected->next, sid.base, sid.len);
    collected->list[collected->len++] = sp_span_of(collected->next, sid.len);
    collected->next += sid.len;
}

static enum sp_err collect(struct sp_gss_leg *leg, struct sp_span logon_info)
{
    struct collected found = {NULL, NULL, 0, 0};
    enum sp_err err = sp_gss_pac_groups(logon_info, measure_sid, &found);
    size_t head = found.len * sizeof *found.list;

    if (err != SP_OK || found.len == 0)
        return err;
    found.list = malloc(head + found.bytes);
    if (found.list == NULL)
        return SP_ERR_NOMEM;
    found.next = (char *)found.list + head;
    found.len = 0;
    err = sp_gss_pac_groups(logon_info, keep_sid, &found);
    leg->groups = found.list;
    leg->groups_len = found.len;
    return err;
}

static void log_pac(const struct sp_gss_leg *leg, enum sp_log_level level, const char *event,
                    const char *detail)
{
    char principal[300];

    leg->config->host->log(
        leg->config->host, level, "event=%s principal=\"%s\" detail=\"%s\"", event,
        sp_text_safe(sp_span_cstr(leg->principal), principal, sizeof principal), detail);
}

static void dont_know(struct sp_gss_leg *leg, enum sp_err err)
{
    leg->verdict = SP_VERDICT_UNAVAILABLE;
    leg->reason = err == SP_ERR_NOMEM ? "out of memory" : "the ticket's PAC cannot be read";
    (void)snprintf(leg->detail, sizeof leg->detail,
                   "its groups are not known, and no rule can be asked without them");
    log_pac(leg, SP_LOG_WARNING, "pac_refused", leg->reason);
}

/* The library's buffers may lack what Windows writes there, but never lie about their length. */
static OM_uint32 get_logon_info(gss_name_t name, bool *verified_out, gss_buffer_t value)
{
    gss_buffer_desc attribute = {sizeof LOGON_INFO - 1, (void *)(uintptr_t)LOGON_INFO};
    int authenticated = 0, complete = 0, more = -1; /* -1: from the first value on */
    OM_uint32 major, minor;

    major = gss_get_name_attribute(&minor, name, &attribute, &authenticated, &complete, value, NULL,
                                   &more);
    *verified_out = authenticated != 0;
    return major;
}

void sp_gss_groups_read(struct sp_gss_leg *leg, gss_name_t initiator)
{
    gss_buffer_desc value = GSS_C_EMPTY_BUFFER;
    bool verified = false;
    OM_uint32 major = get_logon_info(initiator, &verified, &value), minor;
    enum sp_err err;

    if (GSS_ERROR(major) && GSS_ROUTINE_ERROR(major) != GSS_S_UNAVAILABLE) {
        dont_know(leg, SP_ERR_INVALID); /* the library failed; what the ticket has nobody knows */
    } else if (GSS_ERROR(major) || !verified) { /* MIT's hides one that it could not verify */
        log_pac(leg, SP_LOG_DEBUG, "pac_absent",
                "the ticket has no PAC with groups in it (MIT's KDC writes none), or none that the "
                "keytab's key has signed");
    } else {
        err = collect(leg, sp_span_of(value.value, value.length));
        if (err != SP_OK)
            dont_know(leg, err);
    }
    (void)gss_release_buffer(&minor, &value);
}
