/* The block `admin`, as a table. */
#include "admin/admin_options.h"

const struct sp_option sp_admin_option_table[] = {
    {"socket", SP_OPTION_PATH, offsetof(struct sp_admin_options, socket),
     "/run/sallyport/admin.sock", 0, 0, NULL, SP_OPTION_MAY_MISS | SP_OPTION_RESTART,
     "The socket for `sallyport ctl` and `why`; \"\" for none. It is made by the user that "
     "sallyport runs as, and so is its folder if it is missing (started as root: for that user)."},
    {"http", SP_OPTION_STRING, offsetof(struct sp_admin_options, http), "127.0.0.1:3180", 0, 0,
     NULL, SP_OPTION_RESTART,
     "The address that serves /metrics, /healthz, /readyz and the status page; \"\" for none. "
     "There is no login: whoever reaches the address is answered. A wildcard (0.0.0.0, [::]) names "
     "no address, and then only this machine is answered, and whom http_from names."},
    {"http_from", SP_OPTION_LIST, offsetof(struct sp_admin_options, http_from), "", 0, 0, NULL,
     SP_OPTION_RESTART,
     "The networks, as \"10.0.0.0/8\", that are answered at http besides this machine; {}: whoever "
     "reaches it."},
    SP_OPT_END};
