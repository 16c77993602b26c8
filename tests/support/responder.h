/* A directory of few words, for what no real server says on command: result codes, Active
 * Directory's diagnostics, referrals, a notice of disconnection. It listens on a free loopback port
 * and answers each request by the first rule that fits; one that no rule fits succeeds and finds
 * nothing. */
#ifndef SP_TEST_RESPONDER_H
#define SP_TEST_RESPONDER_H

struct test_responder;

enum test_response {
    TEST_ANSWERS,
    TEST_IS_SILENT,
    TEST_SAYS_GOODBYE, /* RFC 4511 4.4.1, with `result` and `diagnostic`; then closes */
    TEST_HANGS_UP,
};

struct test_rule {
    int op;            /* LDAP_REQ_BIND, LDAP_REQ_SEARCH ...; 0: any */
    const char *holds; /* bytes that the request holds; NULL: any */
    unsigned times;    /* so often, and then the next rule that fits; 0: for ever */
    unsigned work_ms;  /* it works so long on the request, and on nothing else meanwhile */
    enum test_response does;
    int result;
    const char *diagnostic; /* NULL: none */
    const char *refers;     /* a URL: the referral of the result; NULL: none */
    const char *entry;      /* a DN: one entry comes before the result; NULL: none */
    const char *name;       /* its uid and cn */
    const char *reference;  /* a URL: a search reference comes before the result; NULL: none */
};

/* `rules` end with one whose op is -1; they, and their texts, outlive the responder. */
struct test_responder *test_responder_new(const struct test_rule *rules);
void test_responder_free(struct test_responder **responder);
const char *test_responder_uri(const struct test_responder *responder); /* ldap://127.0.0.1:port */
/* How often the rule with that index has fitted. */
unsigned test_responder_count(struct test_responder *responder, unsigned rule);
/* How many connections have come. */
unsigned test_responder_conns(struct test_responder *responder);

#endif
