/* Who is answered over HTTP. This machine always is. Others are where `http` names an address that
 * they reach, or `http_from` their network: a wildcard names nobody.
 *
 * On loopback the name that the request is for is looked at as well. A web page that somebody on
 * this machine looks at can have its own name resolve to 127.0.0.1, and then read from here what it
 * likes; but it cannot ask by an address, or by a name without a dot. */
#include "admin/admin_priv.h"

#include "util/span.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum sp_admin_reach sp_admin_reach(const struct sp_admin *admin)
{
    if (sp_addr_is_loopback(&admin->http_addr))
        return SP_ADMIN_LOCAL;
    return sp_addr_is_unspecified(&admin->http_addr) && admin->networks_len == 0 ? SP_ADMIN_UNNAMED
                                                                                 : SP_ADMIN_EXPOSED;
}

enum sp_err sp_admin_networks_set(struct sp_admin *admin, const struct sp_strings *names)
{
    if (names->len == 0)
        return SP_OK;
    admin->networks = calloc(names->len, sizeof *admin->networks);
    if (admin->networks == NULL)
        return SP_ERR_NOMEM;
    for (size_t i = 0; i < names->len; i++)
        if (sp_cidr_parse(&admin->networks[i], sp_span_cstr(names->items[i])) != SP_OK)
            return SP_ERR_INVALID;
    admin->networks_len = names->len;
    return SP_OK;
}

/* ---- a request ---- */

static bool addresses_of(const struct sp_admin_conn *conn, struct sp_addr *peer,
                         struct sp_addr *own)
{
    struct sockaddr_storage ss;
    int len = sizeof ss;

    if (uv_tcp_getpeername(&conn->handle.tcp, (struct sockaddr *)&ss, &len) != 0 ||
        sp_addr_from_sockaddr(peer, (const struct sockaddr *)&ss) != SP_OK)
        return false;
    len = sizeof ss;
    return uv_tcp_getsockname(&conn->handle.tcp, (struct sockaddr *)&ss, &len) == 0 &&
           sp_addr_from_sockaddr(own, (const struct sockaddr *)&ss) == SP_OK;
}

static bool is_admitted(const struct sp_admin *admin, const struct sp_addr *peer,
                        const struct sp_addr *own)
{
    if (sp_addr_is_loopback(peer) || sp_addr_same_ip(peer, own))
        return true;
    for (size_t i = 0; i < admin->networks_len; i++)
        if (sp_cidr_has(&admin->networks[i], peer))
            return true;
    return admin->networks_len == 0 && sp_admin_reach(admin) == SP_ADMIN_EXPOSED;
}

static struct sp_span without_port(struct sp_span host)
{
    for (size_t i = host.len; i > 0 && host.base[i - 1] != ']'; i--)
        if (host.base[i - 1] == ':')
            return sp_span_of(host.base, i - 1);
    return host;
}

static bool is_our_name(struct sp_span host)
{
    char name[256] = "";

    return gethostname(name, sizeof name - 1) == 0 && sp_span_eq_nocase(host, sp_span_cstr(name));
}

/* No name: no browser. */
static bool is_for_us(const struct sp_http_request *request)
{
    struct sp_span host = SP_SPAN_NONE;
    struct sp_addr addr;

    for (size_t i = 0; i < request->head.fields_len; i++)
        if (request->head.fields[i].id == SP_FIELD_HOST)
            host = without_port(request->head.fields[i].value);
    return host.len == 0 || memchr(host.base, '.', host.len) == NULL ||
           sp_addr_parse_ip(&addr, host) == SP_OK || is_our_name(host);
}

bool sp_admin_is_known(const struct sp_admin_conn *conn)
{
    struct sp_addr peer, own;

    return addresses_of(conn, &peer, &own) && is_admitted(conn->admin, &peer, &own);
}

const char *sp_admin_refusal(const struct sp_admin_conn *conn,
                             const struct sp_http_request *request)
{
    struct sp_addr peer, own;

    if (!addresses_of(conn, &peer, &own))
        return "it is not known who asks";
    if (!is_admitted(conn->admin, &peer, &own))
        return "only this machine is answered, and the networks in admin.http_from";
    if (sp_addr_is_loopback(&own) && !is_for_us(request))
        return "here only by an address, as http://127.0.0.1, or as localhost";
    return NULL;
}
