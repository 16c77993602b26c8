/* Negotiate tokens for the benches, and what accepting them costs by itself.
 *
 *     tokens make SERVICE COUNT             COUNT values of Proxy-Authorization, one a line, from
 * the ticket cache; each may be shown once, since a server that refuses replays refuses the second
 *     tokens accept KEYTAB THREADS RCACHE < FILE   the GSS call alone: one line "COUNT SECONDS
 * CPU-SECONDS"; RCACHE is MIT's name of a replay cache ("none:", "dfl:")
 */
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static gss_OID_desc spnego = {6, "\x2b\x06\x01\x05\x05\x02"};
static const char prefix[] = "Negotiate ";

struct batch {
    gss_buffer_desc *tokens;
    size_t len;
    gss_cred_id_t cred;
};

/* What one thread has to do: every step-th token, from the first of its own. */
struct share {
    const struct batch *batch;
    size_t first, step, refused;
    pthread_t thread;
};

static void explain(const char *what, OM_uint32 major, OM_uint32 minor)
{
    OM_uint32 ignored, more = 0;
    gss_buffer_desc text;

    if (gss_display_status(&ignored, major, GSS_C_GSS_CODE, GSS_C_NO_OID, &more, &text) ==
        GSS_S_COMPLETE)
        (void)fprintf(stderr, "tokens: %s: %.*s", what, (int)text.length, (const char *)text.value);
    more = 0;
    if (gss_display_status(&ignored, minor, GSS_C_MECH_CODE, GSS_C_NO_OID, &more, &text) ==
        GSS_S_COMPLETE)
        (void)fprintf(stderr, ": %.*s\n", (int)text.length, (const char *)text.value);
}

/* ---- make ---- */

static bool print_token(const gss_buffer_desc *token)
{
    size_t size = (token->length + 2) / 3 * 4 + 1;
    unsigned char *text = malloc(size);
    bool well;

    if (text == NULL)
        return false;
    (void)EVP_EncodeBlock(text, token->value, (int)token->length);
    well = printf("%s%s\n", prefix, (const char *)text) > 0;
    free(text);
    return well;
}

static bool make_one(gss_cred_id_t cred, gss_name_t target)
{
    gss_ctx_id_t context = GSS_C_NO_CONTEXT;
    gss_buffer_desc token = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor, ignored;
    OM_uint32 major = gss_init_sec_context(&minor, cred, &context, target, &spnego,
                                           GSS_C_MUTUAL_FLAG, 0, GSS_C_NO_CHANNEL_BINDINGS,
                                           GSS_C_NO_BUFFER, NULL, &token, NULL, NULL);
    bool well = !GSS_ERROR(major) && token.length > 0 && print_token(&token);

    if (GSS_ERROR(major))
        explain("no token", major, minor);
    (void)gss_release_buffer(&ignored, &token);
    (void)gss_delete_sec_context(&ignored, &context, GSS_C_NO_BUFFER);
    return well;
}

static int make(const char *service, size_t count)
{
    gss_buffer_desc text = {strlen(service), (void *)(uintptr_t)service};
    gss_cred_id_t cred = GSS_C_NO_CREDENTIAL;
    gss_name_t target = GSS_C_NO_NAME;
    OM_uint32 minor, major = gss_import_name(&minor, &text, GSS_C_NT_HOSTBASED_SERVICE, &target);
    bool well = true;

    if (!GSS_ERROR(major))
        major = gss_acquire_cred(&minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, GSS_C_NO_OID_SET,
                                 GSS_C_INITIATE, &cred, NULL, NULL);
    if (GSS_ERROR(major)) {
        explain(service, major, minor);
        return 1;
    }
    for (size_t i = 0; well && i < count; i++)
        well = make_one(cred, target);
    (void)gss_release_cred(&minor, &cred);
    (void)gss_release_name(&minor, &target);
    return well ? 0 : 1;
}

/* ---- accept ---- */

static bool read_tokens(struct batch *batch)
{
    char *line = NULL;
    size_t size = 0, cap = 0, skip = sizeof(prefix) - 1;
    ssize_t len;

    while ((len = getline(&line, &size, stdin)) > (ssize_t)skip) {
        size_t text_len = (size_t)len - skip - (line[len - 1] == '\n');
        unsigned char *bytes = malloc(text_len);
        int n;

        if (batch->len == cap) {
            cap = cap == 0 ? 1024 : cap * 2;
            batch->tokens = realloc(batch->tokens, cap * sizeof(*batch->tokens));
        }
        if (bytes == NULL || batch->tokens == NULL)
            abort();
        n = EVP_DecodeBlock(bytes, (const unsigned char *)line + skip, (int)text_len);
        if (n < 0)
            return false;
        for (size_t end = text_len; end > 0 && line[skip + end - 1] == '='; end--)
            n--;
        batch->tokens[batch->len++] = (gss_buffer_desc){(size_t)n, bytes};
    }
    free(line);
    return batch->len > 0;
}

static void *accept_share(void *arg)
{
    struct share *share = arg;

    for (size_t i = share->first; i < share->batch->len; i += share->step) {
        gss_ctx_id_t context = GSS_C_NO_CONTEXT;
        gss_buffer_desc out = GSS_C_EMPTY_BUFFER, shown = GSS_C_EMPTY_BUFFER;
        gss_name_t name = GSS_C_NO_NAME;
        OM_uint32 minor, ignored;
        OM_uint32 major = gss_accept_sec_context(
            &minor, &context, share->batch->cred, &share->batch->tokens[i],
            GSS_C_NO_CHANNEL_BINDINGS, &name, NULL, &out, NULL, NULL, NULL);

        if (major != GSS_S_COMPLETE ||
            gss_display_name(&minor, name, &shown, NULL) != GSS_S_COMPLETE) {
            if (share->refused++ == 0)
                explain("refused", major, minor);
        }
        (void)gss_release_buffer(&ignored, &shown);
        (void)gss_release_buffer(&ignored, &out);
        (void)gss_release_name(&ignored, &name);
        (void)gss_delete_sec_context(&ignored, &context, GSS_C_NO_BUFFER);
    }
    return NULL;
}

static bool acquire(struct batch *batch, const char *keytab, const char *rcache)
{
    gss_key_value_element_desc pairs[] = {{"keytab", keytab}, {"rcache", rcache}};
    const gss_key_value_set_desc store = {2, pairs};
    gss_OID_set_desc mechs = {1, &spnego};
    OM_uint32 minor;
    OM_uint32 major = gss_acquire_cred_from(&minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, &mechs,
                                            GSS_C_ACCEPT, &store, &batch->cred, NULL, NULL);

    if (major == GSS_S_COMPLETE)
        return true;
    explain(keytab, major, minor);
    return false;
}

static double seconds(const struct timespec *t)
{
    return (double)t->tv_sec + (double)t->tv_nsec / 1e9;
}

static int accept_all(const char *keytab, size_t threads, const char *rcache)
{
    struct batch batch = {.cred = GSS_C_NO_CREDENTIAL};
    struct share shares[64];
    struct timespec from, to, cpu_from, cpu_to;
    size_t refused = 0;

    if (threads < 1 || threads > 64 || !read_tokens(&batch) || !acquire(&batch, keytab, rcache))
        return 1;
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu_from);
    for (size_t i = 0; i < threads; i++) {
        shares[i] = (struct share){.batch = &batch, .first = i, .step = threads};
        if (pthread_create(&shares[i].thread, NULL, accept_share, &shares[i]) != 0)
            return 1;
    }
    for (size_t i = 0; i < threads; i++) {
        (void)pthread_join(shares[i].thread, NULL);
        refused += shares[i].refused;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu_to);
    printf("%zu %.6f %.6f\n", batch.len - refused, seconds(&to) - seconds(&from),
           seconds(&cpu_to) - seconds(&cpu_from));
    return refused == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "make") == 0)
        return make(argv[2], strtoul(argv[3], NULL, 10));
    if (argc == 5 && strcmp(argv[1], "accept") == 0)
        return accept_all(argv[2], strtoul(argv[3], NULL, 10), argv[4]);
    (void)fputs("tokens make SERVICE COUNT | tokens accept KEYTAB THREADS RCACHE\n", stderr);
    return 2;
}
