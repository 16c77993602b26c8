/* ticket KEYTAB CLIENT SERVICE CACHE [WORD...]: a ticket for the service, made with its key, in a
 * credential cache of the client's. Words: clock=SECONDS (how far the client's clock is ahead), pac
 * (signed, without logon info), domain=SID with rid=N..., extra=SID, resource_domain=SID with
 * resource=N (logon info of these), wrong_signature. */
#include "unit/backends/gssapi/pac_sample.h"
#include "unit/backends/gssapi/ticket.h"

static struct pac_sample sample;
static struct pac_bytes written;

static const char *value_of(const char *word, const char *key)
{
    size_t len = strlen(key);

    return strncmp(word, key, len) == 0 && word[len] == '=' ? word + len + 1 : NULL;
}

static bool take_list(const char *word)
{
    const char *rid = value_of(word, "rid");
    const char *extra = value_of(word, "extra");
    const char *resource = value_of(word, "resource");

    if (rid != NULL && sample.rids_len < SAMPLE_LIST_MAX)
        sample.rids[sample.rids_len++] = (uint32_t)strtoul(rid, NULL, 10);
    else if (extra != NULL && sample.extra_len < SAMPLE_LIST_MAX)
        sample.extra[sample.extra_len++] = extra;
    else if (resource != NULL && sample.resource_len < SAMPLE_LIST_MAX)
        sample.resource[sample.resource_len++] = (uint32_t)strtoul(resource, NULL, 10);
    else
        return false;
    return true;
}

static bool take_word(struct ticket *ticket, const char *word)
{
    const char *clock = value_of(word, "clock");
    const char *domain = value_of(word, "domain");
    const char *resource = value_of(word, "resource_domain");

    if (clock != NULL)
        ticket->clock_s = atoi(clock);
    else if (domain != NULL)
        sample.domain = domain;
    else if (resource != NULL)
        sample.resource_domain = resource;
    else if (strcmp(word, "wrong_signature") == 0)
        ticket->wrong_signature = true;
    else
        return strcmp(word, "pac") == 0 || take_list(word);
    return true;
}

int main(int argc, char **argv)
{
    struct ticket ticket = {0};

    if (argc < 5) {
        (void)fprintf(stderr, "usage: ticket KEYTAB CLIENT SERVICE CACHE [WORD...]\n");
        return 2;
    }
    ticket.keytab = argv[1];
    ticket.client = argv[2];
    ticket.service = argv[3];
    ticket.cache = argv[4];
    for (int i = 5; i < argc; i++) {
        if (!take_word(&ticket, argv[i])) {
            (void)fprintf(stderr, "ticket: %s is no word of mine\n", argv[i]);
            return 2;
        }
        ticket.pac = ticket.pac || value_of(argv[i], "clock") == NULL;
    }
    if (sample.domain != NULL)
        ticket.logon_info = pac_write(&written, &sample);
    ticket_make(&ticket);
    return 0;
}
