/* A gssapi block made ready: options checked, keys read, the replay table found. At start and on
 * reload on the main thread; refresh on a pool thread when the keytab changed. Accept jobs borrow
 * the generation of keys that is in use. */
#include "backends/gssapi/gssapi_priv.h"

#include "util/hash.h"
#include "util/span.h"

#include <profile.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CLOCKSKEW_DEFAULT_S 300
#define CLOCKSKEW_MAX_S     86400
#define CLOCKSKEW_LOOK_S    10

static SP_PRINTF(3, 4) void set_fault(struct sp_auth_fault *fault, const char *option,
                                      const char *fmt, ...)
{
    va_list args;

    fault->option = option;
    va_start(args, fmt);
    (void)vsnprintf(fault->text, sizeof fault->text, fmt, args);
    va_end(args);
}

/* ---- checking the options ---- */

static enum sp_err choose_mechanisms(struct sp_auth_config *config, struct sp_auth_fault *fault)
{
    const struct sp_strings *words = &config->options->mechanisms;

    for (size_t i = 0; i < words->len; i++) {
        if (strcmp(words->items[i], "krb5") == 0) {
            config->krb5 = true;
        } else if (strcmp(words->items[i], "ntlmssp") == 0) {
            config->ntlmssp = true;
        } else {
            set_fault(fault, "mechanisms", "\"%s\" is no mechanism: write krb5 or ntlmssp",
                      words->items[i]);
            return SP_ERR_INVALID;
        }
    }
    if (words->len == 0) {
        set_fault(fault, "mechanisms", "at least one is needed: krb5, ntlmssp");
        return SP_ERR_INVALID;
    }
    return SP_OK;
}

/* ---- what krb5.conf says ---- */

static uint64_t read_clockskew(krb5_context krb5)
{
    profile_t profile = NULL;
    int seconds = CLOCKSKEW_DEFAULT_S;

    if (krb5_get_profile(krb5, &profile) != 0)
        return CLOCKSKEW_DEFAULT_S;
    if (profile_get_integer(profile, "libdefaults", "clockskew", NULL, CLOCKSKEW_DEFAULT_S,
                            &seconds) != 0)
        seconds = CLOCKSKEW_DEFAULT_S;
    profile_release(profile);
    if (seconds < 1)
        seconds = CLOCKSKEW_DEFAULT_S; /* what the library would make of it is not known: be wide */
    return (uint64_t)(seconds > CLOCKSKEW_MAX_S ? CLOCKSKEW_MAX_S : seconds);
}

static bool is_time_to_look(struct sp_auth_config *config)
{
    struct timespec now;
    bool due;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    (void)pthread_mutex_lock(&config->lock);
    due = (uint64_t)now.tv_sec >= config->skew_due_s;
    if (due)
        config->skew_due_s = (uint64_t)now.tv_sec + CLOCKSKEW_LOOK_S;
    (void)pthread_mutex_unlock(&config->lock);
    return due;
}

static void look_again_at_once(struct sp_auth_config *config)
{
    (void)pthread_mutex_lock(&config->lock);
    config->skew_due_s = 0;
    (void)pthread_mutex_unlock(&config->lock);
}

/* A library that does not start takes no ticket either. */
void sp_gss_config_follow_clockskew(struct sp_auth_config *config)
{
    krb5_context krb5;
    uint64_t skew_s;

    if (!is_time_to_look(config) || krb5_init_context(&krb5) != 0)
        return;
    skew_s = read_clockskew(krb5);
    krb5_free_context(krb5);
    atomic_store(&config->clockskew_s, skew_s);
    if (sp_gss_replay_widen(config->replay, 2 * skew_s) != SP_OK)
        look_again_at_once(config);
}

static enum sp_err read_krb5_conf(struct sp_auth_config *config, struct sp_auth_fault *fault)
{
    krb5_error_code code = krb5_init_context(&config->anchor);
    char *realm = NULL;

    if (code != 0) {
        config->anchor = NULL;
        set_fault(fault, NULL,
                  "the Kerberos library does not start (error %d): is krb5.conf, or the file that "
                  "KRB5_CONFIG names, readable and well-formed?",
                  (int)code);
        return SP_ERR_IO;
    }
    config->clockskew_s = read_clockskew(config->anchor);
    if (krb5_get_default_realm(config->anchor, &realm) == 0) {
        config->default_realm = sp_span_dup(sp_span_cstr(realm));
        krb5_free_default_realm(config->anchor, realm);
        if (config->default_realm == NULL) {
            set_fault(fault, NULL, "out of memory");
            return SP_ERR_NOMEM;
        }
    }
    return SP_OK;
}

/* ---- generations of keys ---- */

static struct sp_gss_keys *read_keys(const struct sp_auth_config *config, const char **about_out,
                                     char *why, size_t why_cap)
{
    const struct sp_gss_keys_source source = {config->options->keytab, config->options->service,
                                              config->krb5, config->ntlmssp};

    return sp_gss_keys_new(&source, about_out, why, why_cap);
}

struct sp_gss_keys *sp_gss_config_keys(struct sp_auth_config *config)
{
    struct sp_gss_keys *keys;

    (void)pthread_mutex_lock(&config->lock);
    keys = sp_gss_keys_ref(config->keys);
    (void)pthread_mutex_unlock(&config->lock);
    return keys;
}

static void log_keys(const struct sp_auth_config *config, const struct sp_gss_keys *keys,
                     const char *event)
{
    char words[1024];

    config->host->log(config->host, SP_LOG_INFO, "event=%s file=\"%s\" keys=\"%s\"", event,
                      config->options->keytab, sp_gss_keys_words(keys, words, sizeof words));
}

enum sp_err sp_gss_config_refresh(struct sp_auth_config *config, struct sp_auth_fault *fault)
{
    struct sp_gss_keys *fresh = read_keys(config, &fault->option, fault->text, sizeof fault->text);
    struct sp_gss_keys *old;

    if (fresh == NULL) {
        config->host->log(config->host, SP_LOG_ERROR,
                          "event=keytab_refused detail=\"%s; the keys read before go on serving\"",
                          fault->text);
        return SP_ERR_INVALID;
    }
    log_keys(config, fresh, "keytab_taken_up");
    (void)pthread_mutex_lock(&config->lock);
    old = config->keys;
    config->keys = fresh;
    (void)pthread_mutex_unlock(&config->lock);
    sp_gss_keys_unref(&old);
    return SP_OK;
}

/* ---- from options to config ---- */

static enum sp_err config_fill(struct sp_auth_config *config, struct sp_auth_fault *fault)
{
    const char *about = NULL;
    enum sp_err err = choose_mechanisms(config, fault);

    if (err == SP_OK)
        err = sp_gss_options_groups(config, fault);
    if (err == SP_OK)
        err = read_krb5_conf(config, fault);
    if (err != SP_OK)
        return err;
    config->keys = read_keys(config, &about, fault->text, sizeof fault->text);
    if (config->keys == NULL) {
        fault->option = about;
        return SP_ERR_INVALID;
    }
    config->replay = sp_gss_replay_share(2 * config->clockskew_s);
    if (config->replay == NULL) {
        set_fault(fault, NULL, "out of memory");
        return SP_ERR_NOMEM;
    }
    return SP_OK;
}

enum sp_err sp_gss_config_new(const void *options, const struct sp_auth_host *host,
                              struct sp_auth_config **config_out, struct sp_auth_fault *fault)
{
    struct sp_auth_config *config = calloc(1, sizeof *config);
    enum sp_err err;

    if (config == NULL || pthread_mutex_init(&config->lock, NULL) != 0) {
        free(config);
        set_fault(fault, NULL, "out of memory");
        return SP_ERR_NOMEM;
    }
    config->options = options;
    config->host = host;
    err = sp_hash_setup(); /* the plugin's copy of util has a key of its own */
    if (err != SP_OK)
        set_fault(fault, NULL, "the system gives no random bytes");
    else
        err = config_fill(config, fault);
    if (err != SP_OK) {
        sp_gss_config_free(&config);
        return err;
    }
    log_keys(config, config->keys, "keytab_read");
    *config_out = config;
    return SP_OK;
}

void sp_gss_config_free(struct sp_auth_config **config_ptr)
{
    struct sp_auth_config *config = *config_ptr;

    *config_ptr = NULL;
    if (config == NULL)
        return;
    if (config->replay != NULL)
        sp_gss_replay_unshare();
    sp_gss_keys_unref(&config->keys);
    if (config->anchor != NULL)
        krb5_free_context(config->anchor);
    free(config->default_realm);
    (void)pthread_mutex_destroy(&config->lock);
    free(config);
}

void sp_gss_config_traits(const struct sp_auth_config *config, struct sp_auth_traits *traits)
{
    traits->groups_from = config->groups_from;
    traits->per_request = config->options->persist == SP_GSS_PERSIST_REQUEST;
}
