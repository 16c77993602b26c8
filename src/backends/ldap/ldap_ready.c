/* libldap's own beginning, aside: see ldap_ready.h. */
#include "backends/ldap/ldap_ready.h"

#include "util/aside.h"

#include <ldap.h>
#include <pthread.h>

static void set_up(struct sp_aside *aside)
{
    LDAPAPIInfo info = {.ldapai_info_version = LDAP_API_INFO_VERSION};

    (void)aside;
    if (ldap_get_option(NULL, LDAP_OPT_API_INFO, &info) != LDAP_OPT_SUCCESS)
        return;
    ldap_memfree(info.ldapai_vendor_name);
    ber_memvfree((void **)info.ldapai_extensions);
}

/* Never left: it is asked about until the end of the process. */
static struct sp_aside setting_up = {.run = set_up};

static enum sp_err begin(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool begun;
    enum sp_err err = SP_OK;

    (void)pthread_mutex_lock(&lock);
    if (!begun)
        err = sp_aside_start(&setting_up);
    begun = err == SP_OK;
    (void)pthread_mutex_unlock(&lock);
    return err;
}

enum sp_err sp_ldap_ready_wait(uint64_t due_ns, const atomic_bool *stop)
{
    enum sp_err err = begin();

    return err == SP_OK ? sp_aside_wait(&setting_up, due_ns, stop) : err;
}
