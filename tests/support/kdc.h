/* A real MIT KDC for one test program: its own realm, database and port, in a folder of its own,
 * gone with sp_kdc_stop. It sets KRB5_CONFIG and its kin in the environment of the program that
 * calls it, so one at a time. Functions that cannot do their work print why and end the program:
 * a test without its KDC has nothing to say. */
#ifndef SP_TESTS_KDC_H
#define SP_TESTS_KDC_H

#include <stddef.h>

#define SP_KDC_REALM "TEST.SALLYPORT"

struct sp_kdc;

/* `extra` goes into krb5.conf's [libdefaults]; NULL: nothing. */
struct sp_kdc *sp_kdc_start(const char *extra);
/* Stops the KDC and removes its folder. */
void sp_kdc_stop(struct sp_kdc **kdc);
/* It takes connections and answers nothing, until it goes on. */
void sp_kdc_pause(const struct sp_kdc *kdc);
void sp_kdc_resume(const struct sp_kdc *kdc);
/* A file in its folder. The text lives until the KDC is stopped. */
const char *sp_kdc_path(struct sp_kdc *kdc, const char *file);

/* A principal with a password, or (NULL) with random keys. */
void sp_kdc_add(struct sp_kdc *kdc, const char *principal, const char *password);
/* Adds the principal's keys to a keytab in the folder. Each call makes a new version of the keys
 * (kadmin's ktadd); `keep` != 0 leaves them as they are (-norandkey). */
void sp_kdc_keytab(struct sp_kdc *kdc, const char *principal, const char *file, int keep);
/* One line for kadmin.local. */
void sp_kdc_admin(struct sp_kdc *kdc, const char *query);
/* Logs in and makes the new credential cache the program's own (KRB5CCNAME). `options` are further
 * words for kinit, or NULL. */
void sp_kdc_login(struct sp_kdc *kdc, const char *principal, const char *password,
                  const char *options);
/* Makes an earlier login the program's own again. */
void sp_kdc_use(struct sp_kdc *kdc, const char *principal);

#endif
