"""The KDC is gone, or worse: it takes connections and says nothing. Tickets in hand and passwords do not need it. A service
identity by Kerberos does: without it a login is "don't know", and nobody else waits."""

import contextlib
import glob
import json
import os
import threading

from before import as_before, brief
from common import ALICE, BOB, ask, login, own, passed
from sp_rig import space
from sp_rig.directory import SERVICE_DN, Directory
from sp_rig.held import control, total
from sp_rig.procs import wait_until

PRINCIPAL = "proxy-service"
FAULTS = ("stopped", "hung")


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


def ill(w, config):
    """What `doctor` finds at fault."""
    status, out, err = w.command("doctor", "-c", config.write(), "--json")
    assert status == 1, (status, out, err)
    return [f for f in json.loads(out)["findings"] if not f["well"]]


def test_kdc_gone_or_hung_changes_nothing_for_tickets_and_logins(w):
    """Accepting a ticket needs the keytab, and nobody else; clients have theirs already."""
    p = w.start(brief(w))
    with as_before(w, p):
        for fault in FAULTS:
            tokens = [w.initiator(user).value() for user in ("alice", "bob", "alice", "bob")]
            with without_kdc(w, fault):
                for token in tokens:
                    passed(ask(w, auth=token))
                control(p, "flush")
                passed(ask(w, auth=login("carol")))
                assert total(p, "sallyport_handshakes_in_progress") == 0
                if fault == "stopped":
                    faults = ill(w, p.config)
                    assert any("KDC" in f["what"] and "Cannot contact any KDC" in f["state"] and "KDCs" in f["remedy"] for f in faults), faults


# ---- the service identity by Kerberos ----

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


def names_the_kdc(p, count):
    """The log has said so often that it is the KDC, and never that the directory refuses the identity."""
    said = p.errors()
    assert said.count("reason=\"no ticket for %s@CORP.TEST: " % PRINCIPAL) >= count, said
    assert "event=ldap_service_refused" not in said, said


def test_without_a_kdc_at_the_start_logins_are_503_until_it_comes(w):
    with kerberos_directory(w) as (_, keys):
        w.realm.stop()
        p = w.start(configured(w, keys))
        answer = own(ask(w, auth=BOB), 503, "directory_unavailable")
        assert "no KDC answers for the service identity" in answer.get("Proxy-Status"), answer.head
        names_the_kdc(p, 1)
        w.realm.start()
        comes_back(w)


def test_a_service_bind_without_a_kdc_is_503_blocks_nobody_and_is_made_when_it_is_back(w):
    """The service connection that stands goes on; one that is lost cannot be replaced."""
    with kerberos_directory(w) as (server, keys):
        p = w.start(configured(w, keys))
        files = set(glob.glob("/tmp/krb5cc*"))
        with as_before(w, p):
            for fault in FAULTS:
                passed(ask(w, auth=ALICE))
                tokens = [w.initiator("bob").value() for _ in range(12)]
                with without_kdc(w, fault):
                    control(p, "flush bob")
                    passed(ask(w, auth=BOB))           # by the connection that stands
                    server.stop()
                    server.start()
                    control(p, "flush bob")
                    answers = []
                    askers = [threading.Thread(target=lambda: answers.append(ask(w, auth=login("carol")))) for _ in range(12)]
                    for asker in askers:
                        asker.start()
                    for token in tokens:
                        passed(ask(w, auth=token))     # the pool has room for handshakes
                        passed(ask(w, auth=ALICE))
                    for asker in askers:
                        asker.join()
                    assert len(answers) == len(askers)
                    for answer in answers:
                        own(answer, 503, "directory_unavailable")
                    names_the_kdc(p, 1)
                    config = configured(w, keys)
                    config.auth["negotiate"] = []
                    config.listens = [(config.listens[0][0], {"offer": ["basic"]})]
                    config.backends.pop("corp-krb5")
                    faults = [f for f in ill(w, config) if "service_bind" in f["what"]]
                    assert faults and all("KDC" in f["state"] and "KDC" in f["remedy"] for f in faults), faults
                comes_back(w)
        assert set(glob.glob("/tmp/krb5cc*")) == files


def test_a_silent_kdc_holds_up_neither_a_reload_nor_the_end(w):
    """The thread that asks it is left to itself."""
    with kerberos_directory(w) as (_, keys):
        p = w.start(configured(w, keys))
        with without_kdc(w, "hung"):
            own(ask(w, auth=BOB), 503, "directory_unavailable")
            control(p, "reload")
            own(ask(w, auth=BOB), 503, "directory_unavailable")
            status = p.stop()
            assert status == 0, p.proc.words(4000)
            assert w.realm.proc.is_stopped()
