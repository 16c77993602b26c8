/* What the two files of a connection share: ldap_conn.c (one that stands, and its end) and
 * ldap_conn_dial.c (how it comes about). */
#ifndef SP_LDAP_CONN_PRIV_H
#define SP_LDAP_CONN_PRIV_H

#include "backends/ldap/ldap_login.h"
#include "backends/ldap/ldap_priv.h"

/* ---- ldap_conn.c ---- */

void sp_ldap_conn_enter(struct sp_ldap_conn *conn, enum sp_ldap_conn_state next);
/* Off its server. An heir comes into its place whether it stands already or not. */
void sp_ldap_conn_leave(struct sp_ldap_conn *conn);
/* Takes every answer that is there; then it is watched for more. The connection may be gone
 * afterwards. */
void sp_ldap_conn_drain(struct sp_ldap_conn *conn);

/* ---- ldap_conn_dial.c ---- */

/* DIALLING: the job that is out comes home to nobody, and the connection is the caller's to free.
 */
void sp_ldap_conn_call_off(struct sp_ldap_conn *conn);

#endif
