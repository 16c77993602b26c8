/* What each listener offers: from its `offer`, its certificate and the schemes that "auth" has.
 * Part of making a plan; main thread. */
#include "auth/auth_priv.h"

#include "net/listener.h"

#include <stdlib.h>

static bool has_backends(const struct sp_auth_plan *plan, enum sp_scheme scheme)
{
    return scheme == SP_SCHEME_NEGOTIATE ? plan->negotiate.len > 0 : plan->basic.len > 0;
}

/* Where auth names some and has none, that has been told as a fault. */
static bool is_named(const struct sp_auth_plan *plan, enum sp_scheme scheme)
{
    return scheme == SP_SCHEME_NEGOTIATE ? plan->options->negotiate.len > 0
                                         : plan->options->basic.len > 0;
}

/* The default: all that auth has, but a password never crosses a network in clear unasked. */
static void offer_default(const struct sp_auth_plan *plan, const struct sp_listen_options *listen,
                          struct sp_plan_offer *offer)
{
    offer->schemes[SP_SCHEME_NEGOTIATE] = has_backends(plan, SP_SCHEME_NEGOTIATE);
    offer->schemes[SP_SCHEME_BASIC] = has_backends(plan, SP_SCHEME_BASIC) &&
                                      listen->tls_certificate.len > 0;
}

static void offer_named(const struct sp_auth_plan *plan, const struct sp_config_block *block,
                        const struct sp_listen_options *listen, struct sp_plan_offer *offer,
                        struct sp_config_faults *faults)
{
    for (size_t i = 0; i < listen->offer.len; i++) {
        struct sp_span word = sp_span_cstr(listen->offer.items[i]);
        enum sp_scheme scheme = SP_SCHEME_NONE;

        if (sp_span_eq_nocase(word, SP_SPAN_LIT("negotiate")))
            scheme = SP_SCHEME_NEGOTIATE;
        else if (sp_span_eq_nocase(word, SP_SPAN_LIT("basic")))
            scheme = SP_SCHEME_BASIC;
        if (scheme == SP_SCHEME_NONE)
            sp_config_fault(faults, block, "offer",
                            "\"%s\" is not a scheme: offer takes \"negotiate\" and \"basic\"",
                            listen->offer.items[i]);
        else if (!is_named(plan, scheme))
            sp_config_fault(faults, block, "offer",
                            "\"%s\" is offered here, but auth names no backend for it: "
                            "set %s = {\"...\"} in auth",
                            listen->offer.items[i], sp_scheme_text(scheme));
        else
            offer->schemes[scheme] = has_backends(plan, scheme);
    }
}

static void fault_nothing_left(const struct sp_auth_plan *plan, const struct sp_config_block *block,
                               struct sp_config_faults *faults)
{
    bool negotiate = is_named(plan, SP_SCHEME_NEGOTIATE), basic = is_named(plan, SP_SCHEME_BASIC);

    if (negotiate != has_backends(plan, SP_SCHEME_NEGOTIATE) ||
        basic != has_backends(plan, SP_SCHEME_BASIC))
        return;
    if (basic)
        sp_config_fault(faults, block, NULL,
                        "nothing is left to offer on this listener: Basic is offered in clear only "
                        "where it is named; give it a tls_certificate, or add offer = {\"basic\"}");
    else
        sp_config_fault(faults, block, NULL,
                        "nothing is left to offer on this listener: auth names no backend; set "
                        "negotiate or basic in auth to the name of a backend block");
}

static void write_challenges(const struct sp_auth_plan *plan, struct sp_plan_offer *offer)
{
    if (offer->schemes[SP_SCHEME_NEGOTIATE]) /* first: old WinInet takes the first it knows */
        offer->challenges[offer->challenges_len++] = SP_SPAN_LIT("Negotiate");
    if (offer->schemes[SP_SCHEME_BASIC])
        offer->challenges[offer->challenges_len++] = sp_span_cstr(plan->basic_challenge);
}

static bool is_offered(const struct sp_auth_plan *plan, enum sp_scheme scheme)
{
    for (size_t i = 0; i < plan->offers_len; i++)
        if (plan->offers[i].schemes[scheme])
            return true;
    return false;
}

/* No fault, but hardly what is meant: nobody gets in by these backends. */
static void warn_unless_offered(const struct sp_auth_plan *plan, enum sp_scheme scheme,
                                struct sp_config_faults *faults)
{
    const char *key = sp_scheme_text(scheme);

    if (has_backends(plan, scheme) && !is_offered(plan, scheme))
        sp_config_warn(faults, sp_config_one(plan->config, "auth"), key,
                       "%s has backends, but no listener offers it: name it in an offer%s", key,
                       scheme == SP_SCHEME_BASIC ? ", or give a listener a tls_certificate" : "");
}

enum sp_err sp_plan_offers_make(struct sp_auth_plan *plan, struct sp_config_faults *faults)
{
    const struct sp_config_block *blocks = sp_config_all(plan->config, "listen", &plan->offers_len);

    plan->offers = calloc(plan->offers_len + 1, sizeof(*plan->offers));
    if (plan->offers == NULL)
        return SP_ERR_NOMEM;
    for (size_t i = 0; i < plan->offers_len; i++) {
        const struct sp_listen_options *listen = blocks[i].options;
        struct sp_plan_offer *offer = &plan->offers[i];
        unsigned before = faults->count;

        if (listen->offer.len == 0)
            offer_default(plan, listen, offer);
        else
            offer_named(plan, &blocks[i], listen, offer, faults);
        write_challenges(plan, offer);
        if (offer->challenges_len == 0 && faults->count == before)
            fault_nothing_left(plan, &blocks[i], faults);
    }
    warn_unless_offered(plan, SP_SCHEME_NEGOTIATE, faults);
    warn_unless_offered(plan, SP_SCHEME_BASIC, faults);
    return SP_OK;
}
