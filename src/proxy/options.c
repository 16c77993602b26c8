/* The keys of the blocks `limits` and `forward`, as the administrator sees them. */
#include "proxy/proxy.h"

/* clang-format off */
const struct sp_option sp_limits_option_table[] = {
    SP_OPT_SIZE(struct sp_limits_options, header_size, "128k", 1024, 1048576,
                "The longest request head, request line included; longer is 431."),
    SP_OPT_INT(struct sp_limits_options, header_count, "128", 8, 10000,
               "The most fields in a request head; more is 431."),
    SP_OPT_SIZE(struct sp_limits_options, uri_size, "64k", 256, 1048576,
                "The longest request target; longer is 414."),
    SP_OPT_MILLIS(struct sp_limits_options, client_header_timeout_ms, "client_header_timeout", "30s", 100, 3600000,
                  "From the first byte of a head to its last; slower is 408. Also for TLS and PROXY protocol."),
    SP_OPT_MILLIS(struct sp_limits_options, keepalive_timeout_ms, "keepalive_timeout", "60s", 100, 86400000,
                  "How long an idle connection is kept, to clients and to origins."),
    SP_OPT_MILLIS(struct sp_limits_options, tunnel_idle_timeout_ms, "tunnel_idle_timeout", "1h", 100, 604800000,
                  "How long a tunnel may carry nothing in either direction."),
    SP_OPT_MILLIS(struct sp_limits_options, connect_timeout_ms, "connect_timeout", "10s", 100, 600000,
                  "From the decision to a connection with the target, name resolution included; slower is 504."),
    SP_OPT_MILLIS(struct sp_limits_options, response_timeout_ms, "response_timeout", "60s", 100, 86400000,
                  "How long an origin, or a client sending a body, may be silent; an origin that is has 504 answered."),
    SP_OPT_INT(struct sp_limits_options, max_connections, "65536", 1, 10000000,
               "The most client connections at once, all workers together. For one more, one on which nobody is known and nothing has been asked for a second gives way; where there is none, the new one is closed at once."),
    SP_OPT_END,
};

const struct sp_option sp_forward_option_table[] = {
    SP_OPT_STRING(struct sp_forward_options, via, "sallyport",
                  "The name this proxy gives itself in Via and Proxy-Status, one word; empty: no Via."),
    SP_OPT_BOOL(struct sp_forward_options, x_forwarded_for, "false",
                "Append the client's address to X-Forwarded-For; false leaves that field as the client sent it."),
    SP_OPT_END,
};
/* clang-format on */
