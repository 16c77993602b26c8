"""Tickets that are refused, and what the log says of them; keys that change while people log in."""

import os
import shutil
import signal
import time

from common import ECHO, ask, challenged, expect, passed
from sp_rig.procs import wait_until
from sp_rig.tokens import KRB5, SPNEGO, end_point_bindings


def refused(p):
    """The newest line about a ticket that was refused."""
    p.log_says("event=negotiate_refused")
    return [line for line in p.errors().splitlines() if "event=negotiate_refused" in line][-1]


def test_a_clock_that_is_off_is_said_by_how_much(w):
    p = w.start()
    challenged(ask(w, auth=w.made_ticket("clock=-420").value()))
    assert "the client's clock is 7 min behind the proxy's" in refused(p), refused(p)
    challenged(ask(w, auth=w.made_ticket("clock=420", mech=KRB5).value()))
    p.log_says("the client's clock is 7 min ahead of the proxy's")
    passed(ask(w, auth=w.made_ticket("clock=-100").value()))


def rotating(w):
    """A service and keytab of the test's own, and a proxy that serves with it."""
    config = w.config()
    service = "HTTP/turning%d.corp.test" % time.time_ns()
    keytab = os.path.join(config.folder, "proxy.keytab")
    shutil.copy(w.realm.other_keytab("turning", service), keytab)
    config.backends["corp-krb5"] = w.krb5_backend(keytab=keytab, groups_from=None)
    return w.start(config), service, keytab


def as_alice(w, service, **more):
    return w.initiator("alice", service=service.replace("/", "@"), **more)


def put(new, keytab):
    shutil.copy(new, keytab + ".new")
    os.rename(keytab + ".new", keytab)


def test_a_version_that_the_keytab_lacks_is_named_with_both_numbers(w):
    p, service, keytab = rotating(w)
    new = w.realm.other_keytab("turned", service + ".other")   # a file of its own for what comes
    w.realm.kadmin("ktadd -k %s %s" % (new, service))          # version 3; the proxy has 2
    challenged(ask(w, auth=as_alice(w, service).value()))
    line = refused(p)
    assert "ticket for another key version" in line, line
    assert "a ticket for %s@CORP.TEST kvno 3" % service in line, line
    assert "the keytab has %s@CORP.TEST kvno 2" % service in line, line
    assert "export the keytab anew" in line, line
    put(new, keytab)
    p.log_says("event=keytab_taken_up", 10)
    passed(ask(w, auth=as_alice(w, service).value()))


def test_a_ticket_from_before_the_change_is_told_from_a_keytab_from_before(w):
    p, service, keytab = rotating(w)
    before = as_alice(w, service).value()
    new = w.realm.other_keytab("turned-on", service + ".other")
    w.realm.kadmin("ktadd -k %s %s" % (new, service))
    put(new, keytab)
    p.log_says("event=keytab_taken_up", 10)
    challenged(ask(w, auth=before))
    line = refused(p)
    assert "the keytab has" in line and "%s@CORP.TEST kvno 3" % service in line, line
    assert "the client got its ticket before the key was changed" in line and "anew)" in line and "export" not in line, line


def test_a_handshake_of_several_legs_ends_with_the_keys_that_it_began_with(w):
    p, service, keytab = rotating(w)
    me = as_alice(w, service, mech=KRB5, dce=True)
    with w.wire() as c:
        challenge = c.ask("GET", ECHO, auth=me.value())
        expect(challenge, 407)
        put(w.realm.keytab, keytab)                            # all other keys, and none of this service's
        p.log_says("event=keytab_taken_up", 10)
        passed(c.ask("GET", ECHO, auth=me.value(challenge.challenges[0])))
        passed(c.ask("GET", ECHO))
    challenged(ask(w, auth=as_alice(w, service).value()))      # what begins now has the new keys
    p.log_says("ticket for another service")


def test_a_bad_keytab_is_refused_and_named_and_the_old_keys_serve(w):
    p, service, keytab = rotating(w)
    for content in (b"", b"this is no keytab", open(keytab, "rb").read()[:5]):    # MIT's library leaks where an entry is cut
        with open(keytab + ".new", "wb") as f:
            f.write(content)
        before = p.errors().count("event=keytab_refused")
        os.rename(keytab + ".new", keytab)
        wait_until("the bad file is refused", lambda: p.errors().count("event=keytab_refused") > before, 10 * w.patience)
        passed(ask(w, auth=as_alice(w, service).value()))
    assert "the keys read before go on serving" in p.errors()


def test_a_replay_is_refused_by_every_worker_after_a_rotation_and_a_reload_too(w):
    config = w.config()
    config.top["workers"] = 2
    keytab = os.path.join(config.folder, "proxy.keytab")
    shutil.copy(w.realm.keytab, keytab)
    config.backends["corp-krb5"] = w.krb5_backend(keytab=keytab)
    p = w.start(config)
    tokens = [w.initiator("alice", mech=mech).value() for mech in (SPNEGO, KRB5)]
    for token in tokens:
        passed(ask(w, auth=token))

    def replayed():
        for token in tokens:
            for _ in range(6):
                challenged(ask(w, auth=token))
    replayed()
    put(w.realm.keytab, keytab)
    p.log_says("event=keytab_taken_up", 10)
    replayed()
    os.kill(p.proc.pid, signal.SIGHUP)
    p.log_says("event=reloaded", 10)
    replayed()
    wait_until("36 replays in the log", lambda: p.errors().count("replayed ticket") >= 36)


def test_the_log_says_what_a_client_of_ntlm_sent(w):
    config = w.config()
    config.auth["max_challenges"] = 10
    p = w.start(config)
    challenged(ask(w, auth=w.ntlm().value()))
    line = refused(p)
    assert "NTLM is not configured" in line and "client sent NTLM type 1" in line and "usual causes: " in line, line


def over_tls(w, **changes):
    config = w.config()
    config.listens.append((w.proxy_address + ":3143", {"tls_certificate": w.certificate, "tls_key": w.key}))
    config.backends["corp-krb5"] = w.krb5_backend(**changes)
    return w.start(config)


def ask_tls(w, me):
    with w.wire(tls=True, port=3143) as c:
        return c.ask("GET", ECHO, auth=me.value())


def test_clients_that_send_no_channel_bindings_are_counted_in_the_log(w):
    p = over_tls(w)
    passed(ask_tls(w, w.initiator("alice", bindings=end_point_bindings(w.certificate))))
    passed(ask(w, auth=w.initiator("alice").value()))          # in clear there is nothing to bind to
    assert "event=channel_bindings_absent" not in p.errors()
    for _ in range(5):
        passed(ask_tls(w, w.initiator("alice")))
    p.log_says('event=channel_bindings_absent handshakes=1 client=10.99.0.')
    assert p.errors().count("event=channel_bindings_absent") == 1, "one line a minute is enough"
    p.stop()
    assert 'event=channel_bindings_absent handshakes=4 client=10.99.0.' in p.errors(), "what was counted since"
