/* What a head says about the connection and the body's length (RFC 9110 7.6.1, RFC 9112 6), read
 * as the strict party: where two readers could differ, the message is refused. */
#include "http/http_priv.h"

/* More names in Connection than anybody has use for; bounds the work of looking for them. */
#define NAMED_MAX 32

/* ---- Connection ---- */

struct connection_facts {
    bool of_response;
    bool close;
    bool keep_alive;
    bool upgrade;
    unsigned named; /* so far, over all lines */
};

static bool is_hop_by_nature(enum sp_http_field_id id)
{
    return id == SP_FIELD_CONNECTION || id == SP_FIELD_KEEP_ALIVE ||
           id == SP_FIELD_PROXY_CONNECTION || id == SP_FIELD_PROXY_AUTHORIZATION ||
           id == SP_FIELD_PROXY_AUTHENTICATE || id == SP_FIELD_PROXY_AUTHENTICATION_INFO ||
           id == SP_FIELD_TE || id == SP_FIELD_TRANSFER_ENCODING || id == SP_FIELD_UPGRADE;
}

/* Proxy-Status is for everybody behind us (RFC 9209 2); all else that begins so is for one hop. */
static bool is_for_proxies(struct sp_span name)
{
    return sp_span_starts_nocase(name, SP_SPAN_LIT("proxy-")) &&
           !sp_span_eq_nocase(name, SP_SPAN_LIT("proxy-status"));
}

static void mark_named(struct sp_http_head *head, struct sp_span name)
{
    for (size_t i = 0; i < head->fields_len; i++) {
        if (sp_span_eq_nocase(head->fields[i].name, name))
            head->fields[i].hop = true;
    }
}

/* Large networks of servers write "Connection: Transfer-Encoding" in their answers. It is a field
 * of the hop indeed (RFC 9110 7.6.1), was understood from its own line, and is written anew. Of a
 * client, it is an attempt to have it taken out. */
static bool may_be_named(struct sp_span option, const struct connection_facts *facts)
{
    return facts->of_response && sp_span_eq_nocase(option, SP_SPAN_LIT("transfer-encoding"));
}

static enum sp_err read_option(struct sp_http_parser *parser, struct sp_http_head *head,
                               struct sp_span option, struct connection_facts *facts)
{
    if (sp_span_eq_nocase(option, SP_SPAN_LIT("keep-alive"))) {
        facts->keep_alive = true;
    } else if (sp_span_eq_nocase(option, SP_SPAN_LIT("close"))) {
        facts->close = true;
    } else if (sp_span_eq_nocase(option, SP_SPAN_LIT("upgrade"))) {
        facts->upgrade = true;
    } else {
        if (!sp_http_is_token(option))
            return sp_http_refuse(parser, 400, "Connection is not a list of tokens");
        if (sp_http_field_is_essential(option) && !may_be_named(option, facts))
            return sp_http_refuse(parser, 400, "Connection names a field that is not hop-by-hop");
        if (++facts->named > NAMED_MAX)
            return sp_http_refuse(parser, 400, "Connection names too many fields");
        mark_named(head, option);
    }
    return SP_OK;
}

static enum sp_err read_connection(struct sp_http_parser *parser, struct sp_http_head *head,
                                   struct sp_span value, struct connection_facts *facts)
{
    struct sp_span rest = value;
    struct sp_span option;

    while (sp_span_next_element(&rest, &option)) {
        if (read_option(parser, head, option, facts) != SP_OK)
            return SP_ERR_INVALID;
    }
    return SP_OK;
}

/* Proxy-Connection was never standardised, but clients still send it and mean what it says. It is
 * a hint about this connection, and names no fields. */
static void read_proxy_connection(struct sp_span value, struct connection_facts *facts)
{
    if (sp_span_eq_nocase(value, SP_SPAN_LIT("keep-alive")))
        facts->keep_alive = true;
    else if (sp_span_eq_nocase(value, SP_SPAN_LIT("close")))
        facts->close = true;
}

/* "h2c" would make the connection speak HTTP/2 behind our back, and requests on it would pass no
 * rule: such an offer is left unheard, as RFC 9110 7.8 allows. */
static bool upgrade_is_welcome(struct sp_span value)
{
    struct sp_span rest = value;
    struct sp_span protocol;
    bool any = false;

    while (sp_span_next_element(&rest, &protocol)) {
        if (sp_span_starts_nocase(protocol, SP_SPAN_LIT("h2")) ||
            sp_span_starts_nocase(protocol, SP_SPAN_LIT("http")))
            return false;
        any = true;
    }
    return any;
}

bool sp_http_upgrade_was_offered(struct sp_span offer, struct sp_span chosen)
{
    struct sp_span protocol;
    bool any = false;

    while (sp_span_next_element(&chosen, &protocol)) {
        struct sp_span rest = offer;
        struct sp_span offered;
        bool found = false;

        while (!found && sp_span_next_element(&rest, &offered))
            found = sp_span_eq_nocase(offered, protocol);
        if (!found)
            return false;
        any = true;
    }
    return any;
}

static struct sp_span find_upgrade(const struct sp_http_head *head)
{
    struct sp_span found = SP_SPAN_NONE;

    for (size_t i = 0; i < head->fields_len; i++) {
        if (head->fields[i].id != SP_FIELD_UPGRADE)
            continue;
        if (found.base != NULL || !upgrade_is_welcome(head->fields[i].value))
            return SP_SPAN_NONE;
        found = head->fields[i].value;
    }
    return found;
}

enum sp_err sp_http_judge_connection(struct sp_http_parser *parser, struct sp_http_head *head,
                                     bool of_response)
{
    struct connection_facts facts = {of_response, false, false, false, 0};

    for (size_t i = 0; i < head->fields_len; i++) {
        struct sp_http_field *field = &head->fields[i];

        if (field->id == SP_FIELD_OTHER)
            field->hop = field->hop || is_for_proxies(field->name);
        else if (is_hop_by_nature(field->id))
            field->hop = true;
        if (field->id == SP_FIELD_PROXY_CONNECTION)
            read_proxy_connection(field->value, &facts);
        else if (field->id == SP_FIELD_CONNECTION &&
                 read_connection(parser, head, field->value, &facts) != SP_OK)
            return SP_ERR_INVALID;
    }
    head->keep_alive = !facts.close && (head->minor >= 1 || facts.keep_alive);
    head->upgrade = SP_SPAN_NONE;
    if (facts.upgrade && head->minor >= 1) /* RFC 9110 7.8: ignored in HTTP/1.0 */
        head->upgrade = find_upgrade(head);
    return SP_OK;
}

/* ---- the body's length ---- */

static enum sp_err read_length(struct sp_http_parser *parser, struct sp_span value,
                               uint64_t *length_out)
{
    enum sp_err err = sp_span_to_u64(value, length_out);

    if (err == SP_ERR_TOO_LARGE || (err == SP_OK && *length_out > INT64_MAX))
        return sp_http_refuse(parser, 400, "Content-Length is larger than any body");
    if (err != SP_OK)
        return sp_http_refuse(parser, 400, "Content-Length is not one number");
    return SP_OK;
}

/* Not exactly "chunked": find out which of the faults it is (RFC 9112 6.1, 6.3). */
static enum sp_err refuse_coding(struct sp_http_parser *parser, struct sp_span value)
{
    struct sp_span rest = value;
    struct sp_span coding;
    unsigned chunked = 0;
    bool unknown = false;
    bool chunked_last = false;

    while (sp_span_next_element(&rest, &coding)) {
        if (!sp_http_is_token(coding))
            return sp_http_refuse(parser, 400, "Transfer-Encoding is not a list of codings");
        chunked_last = sp_span_eq_nocase(coding, SP_SPAN_LIT("chunked"));
        chunked += chunked_last;
        unknown = unknown || !chunked_last;
    }
    if (chunked > 1)
        return sp_http_refuse(parser, 400, "Transfer-Encoding says chunked more than once");
    if (chunked == 1 && !chunked_last)
        return sp_http_refuse(parser, 400, "chunked is not the last transfer coding");
    if (unknown)
        return sp_http_refuse(parser, 501, "a transfer coding other than chunked");
    return sp_http_refuse(parser, 400, "an odd Transfer-Encoding");
}

static enum sp_err read_coding(struct sp_http_parser *parser, struct sp_span value)
{
    if (!sp_span_eq_nocase(value, SP_SPAN_LIT("chunked")))
        return refuse_coding(parser, value);
    return SP_OK;
}

enum sp_err sp_http_judge_framing(struct sp_http_parser *parser, struct sp_http_head *head,
                                  struct sp_http_framing_facts *facts)
{
    *facts = (struct sp_http_framing_facts){false, false};
    head->body = (struct sp_http_framing){SP_BODY_NONE, 0};
    for (size_t i = 0; i < head->fields_len; i++) {
        const struct sp_http_field *field = &head->fields[i];

        if (field->id == SP_FIELD_CONTENT_LENGTH) {
            if (facts->has_length)
                return sp_http_refuse(parser, 400, "Content-Length is repeated");
            if (read_length(parser, field->value, &head->body.length) != SP_OK)
                return SP_ERR_INVALID;
            facts->has_length = true;
        } else if (field->id == SP_FIELD_TRANSFER_ENCODING) {
            if (facts->chunked)
                return sp_http_refuse(parser, 400, "Transfer-Encoding is repeated");
            if (read_coding(parser, field->value) != SP_OK)
                return SP_ERR_INVALID;
            facts->chunked = true;
        } else if (field->id == SP_FIELD_OTHER && sp_http_field_mimics_framing(field->name)) {
            return sp_http_refuse(parser, 400,
                                  "Content-Length or Transfer-Encoding with an underscore");
        }
    }
    if (facts->chunked && facts->has_length)
        return sp_http_refuse(parser, 400, "Transfer-Encoding together with Content-Length");
    if (facts->chunked && head->minor == 0)
        return sp_http_refuse(parser, 400, "Transfer-Encoding in HTTP/1.0");
    if (facts->chunked)
        head->body = (struct sp_http_framing){SP_BODY_CHUNKED, 0};
    else if (facts->has_length)
        head->body.kind = SP_BODY_LENGTH;
    return SP_OK;
}
