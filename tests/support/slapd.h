/* A real OpenLDAP server for tests: its own database in a temporary directory, on a free loopback
 * port, stopped and removed at the end. Every function fails loudly when slapd is missing or does
 * not do what is asked. */
#ifndef SP_TEST_SLAPD_H
#define SP_TEST_SLAPD_H

#include <stdbool.h>

struct test_slapd;

struct test_slapd_setup {
    const char *ldif;     /* entries below dc=test; NULL: the people of slapd.c */
    const char *tls_name; /* subjectAltName of its certificate, "DNS:localhost"; NULL: no TLS */
    bool tls_expired;     /* that certificate ended yesterday */
    bool ppolicy;         /* the password policy overlay, with cn=policy,dc=test as default */
    unsigned idle_s;      /* idletimeout; 0: none */
    unsigned short port;  /* 0: a free one */
    const char *global;   /* more lines for the head of slapd.conf; NULL: none */
    const char *extra;    /* more lines for the database section of slapd.conf; NULL: none */
};

struct test_slapd *test_slapd_new(const struct test_slapd_setup *setup);
void test_slapd_free(struct test_slapd **slapd); /* also a stopped or paused one */

const char *test_slapd_uri(const struct test_slapd *slapd);     /* ldap://127.0.0.1:port */
const char *test_slapd_tls_uri(const struct test_slapd *slapd); /* ldaps://localhost:port */
const char *test_slapd_ipc_uri(const struct test_slapd *slapd); /* ldapi://... */
const char *test_slapd_ca(const struct test_slapd *slapd);      /* the PEM file to trust */
unsigned short test_slapd_port(const struct test_slapd *slapd);

void test_slapd_pause(struct test_slapd *slapd);  /* SIGSTOP: it hangs, all of it, on return */
void test_slapd_resume(struct test_slapd *slapd); /* SIGCONT */
void test_slapd_stop(struct test_slapd *slapd);   /* gone; its database stays */
void test_slapd_start(struct test_slapd *slapd);  /* again, on the same port */

/* How many lines of its log hold `text`; for binds: "BIND dn=\"uid=alice,ou=people,dc=test\"
 * method=128". */
unsigned test_slapd_count(const struct test_slapd *slapd, const char *text);

/* In the tree by default (passwords equal the name, but for the odd ones):
 *   cn=proxy,dc=test (password "proxy-secret")   the service identity
 *   ou=people,dc=test                            alice bob odd names twins
 *   ou=groups,dc=test                            staff (alice) all (staff) ring-a <-> ring-b (bob)
 */

#endif
