"""The KDC is gone, or worse: it takes connections and says nothing. Tickets in hand and passwords do not need it. A service
identity by Kerberos does: without it a login is "don't know", and nobody else waits."""

import glob
import json
import threading
import time

from before import as_before, brief
from by_ticket import PRINCIPAL, comes_back, configured, kerberos_directory, without_kdc
from common import ALICE, BOB, ask, login, own, passed
from sp_rig.held import control, total
from sp_rig.procs import wait_until

FAULTS = ("stopped", "hung")


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
                faults = [f for f in ill(w, p.config) if "KDC" in f["what"]]
                state = {"stopped": "not known: Cannot contact any KDC", "hung": "not known: the KDC at 10.99.0.40:88 does not answer within 5 s"}[fault]
                assert len(faults) == 1 and faults[0]["state"].startswith(state) and "KDCs" in faults[0]["remedy"], faults
                assert "10.99.0.40:88" in faults[0]["state"], faults


# ---- the service identity by Kerberos ----

def names_the_kdc(p, count):
    """The log says so often that it is the KDC, and never that the directory refuses the identity."""
    wait_until("the log names the KDC", lambda: p.errors().count("reason=\"no ticket for %s@CORP.TEST: " % PRINCIPAL) >= count, 5 * p.patience)
    assert "event=ldap_service_refused" not in p.errors(), p.errors()


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


def test_without_a_kdc_logins_go_on_until_the_ticket_ends(w):
    """Half of its life before, a new one is asked for, and nobody answers."""
    with kerberos_directory(w) as (_, keys):
        w.realm.kadmin("modprinc -maxlife 12sec " + PRINCIPAL)
        began, answers = time.monotonic(), []
        p = w.start(configured(w, keys))
        passed(ask(w, auth=BOB))
        with without_kdc(w, "stopped"):
            while not answers or answers[-1].status == 200 and time.monotonic() - began < 60 * w.patience:
                control(p, "flush bob")
                answers.append(ask(w, auth=BOB))
                time.sleep(0.05)
            assert "event=ldap_not_renewed" in p.errors(), "nobody tried to renew it"
            assert time.monotonic() - began > 11, "it ended before its ticket, which is in whole seconds"
            own(answers[-1], 503, "directory_unavailable")
            names_the_kdc(p, 1)
            own(ask(w, auth=login("bob", "Wrong-password-1")), 503, "directory_unavailable")
        comes_back(w)


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
