"""A directory whose service identity is proven by Kerberos, and the KDC that it rests on. For scenarios."""

import contextlib
import glob
import os

from before import brief
from common import BOB, ask
from sp_rig import space
from sp_rig.directory import SERVICE_DN, Directory
from sp_rig.procs import wait_until

PRINCIPAL = "proxy-service"


@contextlib.contextmanager
def without_kdc(w, fault):
    if fault == "hung":
        w.realm.hang()
    else:
        w.realm.stop()
    try:
        yield
    finally:
        if fault == "hung":
            w.realm.wake()
        else:
            w.realm.start()


@contextlib.contextmanager
def kerberos_directory(w):
    """A slapd of the test's own that takes tickets, and the keys of an ldap block for it."""
    host = space.host("dc1")
    folder = os.path.join(w.folder, "kerberos-directory.%d" % len(glob.glob(os.path.join(w.folder, "kerberos-directory.*"))))
    env = dict(w.realm.environment(), KRB5_KTNAME=w.realm.other_keytab(os.path.basename(folder), "ldap/" + host))
    extra = "sasl-host %s\nsasl-realm CORP.TEST\nauthz-regexp ^uid=%s,.*cn=gssapi,cn=auth$ %s" % (host, PRINCIPAL, SERVICE_DN)
    server = Directory("kerberos-directory", folder, space.ADDRESSES["dc1"], 1389, 1636, w.authority, [host], env, extra)
    server.start()
    try:
        yield server, w.ldap_backend(uris=["ldaps://%s:1636" % host], timeout="1s", connect_timeout="1s", bind_dn=None, bind_password_file=None,
                                     sasl="gssapi", bind_principal=PRINCIPAL + "@CORP.TEST",
                                     client_keytab=w.realm.other_keytab(PRINCIPAL, PRINCIPAL))
    finally:
        server.stop()


def configured(w, keys):
    """One worker, so that it is known which connections stand."""
    config = brief(w, workers=1, response_timeout="20s")
    config.backends["corp-krb5"]["groups_from"] = ""
    config.backends["corp-ldap"] = keys
    return config


def comes_back(w):
    wait_until("logins pass again", lambda: ask(w, auth=BOB).status == 200, 20 * w.patience, every=0.2)
