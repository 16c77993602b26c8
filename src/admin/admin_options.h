/* Where the control socket and the page for machines and people on call are to be found. */
#ifndef SP_ADMIN_ADMIN_OPTIONS_H
#define SP_ADMIN_ADMIN_OPTIONS_H

#include "sallyport/option.h"

struct sp_admin_options {
    char *socket; /* "": no control socket */
    char *http;   /* "": no metrics, health or status page */
    struct sp_strings http_from;
};
extern const struct sp_option sp_admin_option_table[];

#endif
