"""The directory's bad day: servers stopped, hung, dropping connections; TLS that does not verify."""

import signal
import threading
import time

from common import ALICE, BOB, ECHO, ask, basic, challenged, login, own, passed, request, took
from sp_rig.procs import wait_until
from sp_rig.proxy import Raw

SHORT = dict(timeout="1s", connect_timeout="1s")


def fresh_each_time(w):
    """A configuration that keeps nothing: each login asks the directory."""
    config = w.config()
    config.cache = {"ttl": 0, "negative_ttl": 0, "refresh": 0}
    config.backends["corp-ldap"] = w.ldap_backend(**SHORT)
    return config


def test_the_first_server_is_preferred(w):
    w.start()
    passed(ask(w, auth=ALICE))
    assert (w.ldap.binds("alice", w.dc1), w.ldap.binds("alice", w.dc2)) == (1, 0)


def test_a_stopped_first_server_is_passed_over(w):
    w.dc1.stop()
    w.start()
    passed(ask(w, auth=ALICE))
    assert w.ldap.binds("alice", w.dc2) == 1


def test_a_server_that_stops_later_fails_no_login(w):
    w.start(fresh_each_time(w))
    passed(ask(w, auth=ALICE))
    w.dc1.stop()
    for _ in range(3):
        passed(ask(w, auth=ALICE))
    assert w.ldap.binds("alice", w.dc2) == 3


def test_a_hung_server_costs_one_timeout_and_not_one_per_request(w):
    w.start(fresh_each_time(w))
    passed(ask(w, auth=ALICE))
    w.dc1.hang()
    with took(at_most=3.5 * w.patience):
        passed(ask(w, auth=BOB))
    with took(at_most=1.5 * w.patience):
        for _ in range(5):
            passed(ask(w, auth=BOB))
    assert w.ldap.binds("bob", w.dc2) == 6


def test_many_logins_that_meet_a_hung_server_share_its_timeout(w):
    w.start(fresh_each_time(w))
    passed(ask(w, auth=ALICE))
    w.dc1.hang()
    wires = [w.wire() for _ in range(10)]
    with took(at_most=4 * w.patience):
        for n, c in enumerate(wires):
            c.send(request("GET", ECHO, auth=[ALICE, BOB, login("carol"), login("dave")][n % 4]))
        for c in wires:
            passed(c.answer())
            c.close()


def test_the_first_server_is_used_again_when_it_is_back(w):
    w.start(fresh_each_time(w))
    w.dc1.stop()
    passed(ask(w, auth=ALICE))
    w.dc1.start()
    end = time.monotonic() + 75
    while w.ldap.binds("alice", w.dc1) == 0:
        passed(ask(w, auth=ALICE))
        assert time.monotonic() < end, "the preferred server was never used again"
        time.sleep(0.5)


def test_no_login_fails_while_one_of_two_stands(w):
    """The first is killed, comes back unseen (its pause is longer), and then the second is killed. Passwords, and groups for tickets."""
    w.start(fresh_each_time(w))
    passed(ask(w, auth=w.initiator("alice").value()))
    wrong, served, end = [], [0, 0], threading.Event()

    def come(kind, value):
        while not end.is_set():
            answer = ask(w, auth=value())
            served[kind] += 1
            if answer.status != 200:
                wrong.append((kind, answer.status, answer.get("Proxy-Status")))

    def served_more():
        before = list(served)
        wait_until("more are served", lambda: all(now >= then + 20 for now, then in zip(served, before)), 20 * w.patience)

    threads = [threading.Thread(target=come, args=(0, lambda: ALICE)) for _ in range(4)]
    threads += [threading.Thread(target=come, args=(1, lambda: w.initiator("alice").value())) for _ in range(2)]
    for t in threads:
        t.start()
    try:
        for server in (w.dc1, w.dc2):
            served_more()
            server.proc.stop(signal.SIGKILL, 3)
            served_more()
            server.stop()
            server.start()
            time.sleep(2.2)                # what is known of it is then two seconds old: it is looked at where nobody else is left
    finally:
        end.set()
        for t in threads:
            t.join()
    assert not wrong, "%d of %s: %s" % (len(wrong), served, wrong[:5])


def test_all_servers_down_is_503_with_retry_after_and_never_407(w):
    p = w.start(fresh_each_time(w))
    w.dc1.stop()
    w.dc2.stop()
    answer = own(ask(w, auth=ALICE), 503, "directory_unavailable")
    assert int(answer.get("Retry-After")) > 0
    assert not answer.challenges, "a browser must not throw a good password away"
    p.last(status=503, reason="directory_unavailable", user="alice")


def test_all_servers_hung_is_503_in_bounded_time(w):
    w.start(fresh_each_time(w))
    passed(ask(w, auth=BOB))
    w.dc1.hang()
    w.dc2.hang()
    with took(at_most=6 * w.patience):
        own(ask(w, auth=ALICE), 503, "directory_unavailable")


def test_a_connection_that_slapd_dropped_while_idle_fails_no_login(w):
    for server in (w.dc1, w.dc2):
        server.stop()
        server.start(idle=1)
    w.start(fresh_each_time(w))
    passed(ask(w, auth=ALICE))
    time.sleep(3.5)
    passed(ask(w, auth=ALICE))
    passed(ask(w, auth=BOB))


def test_a_restarted_server_fails_no_login(w):
    config = fresh_each_time(w)
    config.backends["corp-ldap"]["uris"] = [w.ldap_url(w.dc1)]
    w.start(config)
    passed(ask(w, auth=ALICE))
    w.dc1.stop()
    w.dc1.start()
    passed(ask(w, auth=ALICE))


def test_a_client_that_leaves_during_the_bind_harms_nobody(w):
    p = w.start(fresh_each_time(w))
    passed(ask(w, auth=BOB))
    w.dc1.hang()
    for _ in range(8):
        c = w.wire()
        c.send(request("GET", ECHO, auth=ALICE))
        time.sleep(0.02)
        c.reset()
    w.dc1.wake()
    passed(ask(w, auth=ALICE))


def test_logins_go_on_in_parallel_on_several_bind_connections(w):
    w.start(fresh_each_time(w))
    passed(ask(w, auth=BOB))
    users = ("alice", "bob", "carol", "dave", "outsider", "o'brien", "a+b", "star*")
    wires = [w.wire() for _ in range(40)]
    for n, c in enumerate(wires):
        c.send(request("GET", ECHO, auth=login(users[n % len(users)])))
    for c in wires:
        passed(c.answer())
        c.close()


def test_the_service_identity_refused_means_cannot_answer(w):
    config = w.config().file("ldap.secret", "not the service's password\n")
    config.backends["corp-ldap"] = w.ldap_backend(**SHORT)
    p = w.start(config)
    own(ask(w, auth=ALICE), 503, "directory_unavailable")
    p.log_says("service")


def test_a_certificate_of_another_authority_means_cannot_answer(w):
    from sp_rig.pki import Authority
    import os
    config = w.config()
    other = Authority(os.path.join(config.folder, "other-pki"))
    config.backends["corp-ldap"] = w.ldap_backend(tls_ca=other.ca, **SHORT)
    p = w.start(config)
    own(ask(w, auth=ALICE), 503, "directory_unavailable")
    p.log_says("certificate")
    assert w.ldap.binds("alice") == 0


def test_an_expired_certificate_means_cannot_answer(w):
    certificate, key = w.authority.issue("dc1-expired", ["dc1.corp.test"], days=-1)
    old = dict(certificate=w.dc1._settings["certificate"], key=w.dc1._settings["key"])
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(uris=[w.ldap_url(w.dc1)], **SHORT)
    w.dc1.stop()
    w.dc1.start(certificate=certificate, key=key)
    try:
        p = w.start(config)
        own(ask(w, auth=ALICE), 503, "directory_unavailable")
        p.log_says("certificate has expired")
        assert w.ldap.binds("alice") == 0
    finally:
        w.dc1.stop()
        w.dc1.start(**old)


def test_a_certificate_for_another_name_means_cannot_answer(w):
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(uris=["ldaps://kdc.corp.test:10636"], **SHORT)
    from sp_rig.procs import Proc
    import shutil
    import subprocess
    relay = subprocess.Popen(["socat", "TCP-LISTEN:10636,bind=10.99.0.40,fork,reuseaddr", "TCP:10.99.0.31:636"])
    try:
        time.sleep(0.2)
        p = w.start(config)
        own(ask(w, auth=ALICE), 503, "directory_unavailable")
        p.log_says("certificate")
    finally:
        relay.terminate()
        relay.wait()


def test_localhost_is_verified_as_localhost(w):
    """libldap puts the machine's own name in the place of localhost when it checks certificates."""
    import subprocess
    relay = subprocess.Popen(["socat", "TCP-LISTEN:10637,bind=127.0.0.1,fork,reuseaddr", "TCP:10.99.0.31:636"])
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(uris=["ldaps://localhost:10637"])
    try:
        time.sleep(0.2)
        w.start(config)
        passed(ask(w, auth=ALICE))
    finally:
        relay.terminate()
        relay.wait()


def test_starttls_works_and_binds_are_encrypted(w):
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(uris=["ldap://dc1.corp.test", "ldap://dc2.corp.test"], start_tls=True)
    w.start(config)
    passed(ask(w, auth=ALICE))
    log = w.dc1.since(0)
    line = [l for l in log.splitlines() if 'BIND dn="uid=alice' in l and "mech=SIMPLE" in l][-1]
    assert "ssf=0" not in line.split("bind_ssf=")[1].split(" ", 1)[1] or "TLS established" in log, line


def test_ldapi_works(w):
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(uris=[w.dc1.ldapi], tls_ca=None)
    w.start(config)
    passed(ask(w, auth=ALICE))


def test_clear_ldap_is_allowed_where_allow_clear_says_so(w):
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(uris=["ldap://dc1.corp.test"], tls_ca=None, allow_clear=True)
    w.start(config)
    passed(ask(w, auth=ALICE))


def test_groups_within_groups_are_walked_to_group_depth(w):
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(group_depth=3)
    config.rule("outer", groups=["outer"]).rule("ring", groups=["ring-b"])
    p = w.start(config)
    passed(ask(w, auth=login("carol")))     # carol in inner, inner in outer
    p.last(status=200, user="carol", rule="outer")
    passed(ask(w, auth=login("dave")))      # ring-a and ring-b hold each other
    p.last(status=200, user="dave", rule="ring")
    own(ask(w, auth=ALICE), 403, "denied")


def test_groups_within_groups_are_not_walked_by_default(w):
    config = w.config()
    config.rule("outer", groups=["outer"])
    w.start(config)
    own(ask(w, auth=login("carol")), 403, "denied")
