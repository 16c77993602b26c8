/* Feeds the ldap backend's text functions: whatever a name or a diagnostic is made of, an escaped
 * value keeps a filter whole and of the same shape, and a DN one DN with as many parts. */
#include "backends/ldap/ldap_text.h"
#include "backends/ldap/ldap_uri.h"
#include "util/span.h"

#include <ldap.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(int well)
{
    if (!well)
        abort();
}

static size_t parts_of(const char *text)
{
    LDAPDN dn = NULL;
    size_t parts = 0;

    demand(ldap_str2dn(text, &dn, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS);
    while (dn != NULL && dn[parts] != NULL) {
        demand(dn[parts][0] != NULL && dn[parts][1] == NULL);
        parts++;
    }
    ldap_dnfree(dn);
    return parts;
}

static void escaped_values_stay_values(struct sp_span value)
{
    struct sp_buf out;

    sp_buf_init(&out, 65536);
    demand(sp_ldap_template_fill(&out, SP_LDAP_IN_FILTER, "(&(a=b)(uid=%u))", value,
                                 SP_SPAN_NONE) == SP_OK);
    demand(sp_ldap_filter_sound(sp_buf_span(&out)));
    sp_buf_reset(&out);
    demand(sp_ldap_template_fill(&out, SP_LDAP_IN_DN, "uid=%u,ou=people,dc=test", value,
                                 SP_SPAN_NONE) == SP_OK);
    demand(sp_buf_append(&out, sp_span_of("", 1)) == SP_OK);
    demand(parts_of(sp_buf_span(&out).base) == 3);
    sp_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_span input = {(const char *)data, size};
    char corp[] = "CORP";
    char *items[] = {corp};
    struct sp_strings domains = {items, 1};
    struct sp_ldap_uri uri;
    struct sp_span offender;
    const char *why;
    char name[256];
    size_t len;
    char *text;

    if (size > 4096)
        return 0;
    text = sp_span_dup(sp_span_of(size > 0 ? input.base : "", size));
    if (text == NULL)
        return 0;
    escaped_values_stay_values(sp_span_of(text, size));
    if (sp_ldap_name_of(&domains, input, name, sizeof(name), &len) == SP_OK)
        demand(len > 0 && len <= sizeof(name) && name[0] != ' ' && name[len - 1] != ' ');
    (void)sp_ldap_filter_sound(input);
    (void)sp_ldap_template_check(text, "ud", &offender);
    (void)sp_ldap_template_has(text, 'u');
    (void)sp_ldap_ad_code(text);
    (void)sp_ldap_uri_parse(&uri, text, &why);
    free(text);
    return 0;
}
