"""Verdicts kept: counted in the binds that slapd itself saw."""

import os
import time

from common import ALICE, BOB, ECHO, ask, basic, challenged, login, own, passed, request
from sp_rig.directory import PEOPLE, person_dn


def test_a_second_login_costs_no_bind(w):
    p = w.start()
    for _ in range(5):
        passed(ask(w, auth=ALICE))
    assert w.ldap.binds("alice") == 1
    p.last(status=200, user="alice", auth="cache", scheme="basic", backend="corp-ldap")


def test_the_cache_is_one_for_all_workers(w):
    config = w.config()
    config.top["workers"] = 2
    w.start(config)
    for _ in range(20):
        passed(ask(w, auth=ALICE))
    assert w.ldap.binds("alice") == 1


def test_a_repeated_wrong_password_is_one_bind_per_negative_ttl(w):
    config = w.config()
    config.cache = {"negative_ttl": "1500ms"}
    w.start(config)
    for _ in range(6):
        challenged(ask(w, auth=basic("alice", "wrong")))
    assert w.ldap.binds("alice") == 1
    time.sleep(1.7)
    challenged(ask(w, auth=basic("alice", "wrong")))
    assert w.ldap.binds("alice") == 2


def test_ttl_counts_from_the_bind_and_does_not_slide(w):
    config = w.config()
    config.cache = {"ttl": "1200ms", "refresh": 0}
    w.start(config)
    begun = time.monotonic()
    while time.monotonic() - begun < 2.0:
        passed(ask(w, auth=ALICE))
        time.sleep(0.1)
    assert w.ldap.binds("alice") == 2, w.ldap.binds("alice")


def test_an_entry_past_refresh_is_renewed_in_the_background_and_still_serves(w):
    config = w.config()
    config.cache = {"ttl": "2s", "refresh": 50}
    p = w.start(config)
    passed(ask(w, auth=ALICE))
    time.sleep(1.3)
    passed(ask(w, auth=ALICE))
    time.sleep(0.85)                      # past the first entry's end, before the renewed one's own refresh
    passed(ask(w, auth=ALICE))
    assert w.ldap.binds("alice") == 2
    p.line(3)
    assert [r["auth"] for r in p.lines()] == ["directory", "cache", "cache"], p.lines()


def test_fifty_simultaneous_logins_make_one_bind(w):
    config = w.config()
    config.top["workers"] = 2
    p = w.start(config)
    passed(ask(w, auth=BOB))              # the service connection stands
    w.dc1.hang()
    wires = [w.wire() for _ in range(50)]
    for c in wires:
        c.send(request("GET", ECHO, auth=ALICE))
    time.sleep(0.5)
    w.dc1.wake()
    for c in wires:
        passed(c.answer())
        c.close()
    assert w.ldap.binds("alice") == 1
    assert w.ldap.binds("alice", w.dc1) == 1


def test_the_others_get_their_answer_when_the_first_goes_away(w):
    w.start()
    passed(ask(w, auth=BOB))
    w.dc1.hang()
    first, others = w.wire(), [w.wire() for _ in range(5)]
    first.send(request("GET", ECHO, auth=ALICE))
    time.sleep(0.2)
    for c in others:
        c.send(request("GET", ECHO, auth=ALICE))
    time.sleep(0.2)
    first.reset()
    time.sleep(0.1)
    w.dc1.wake()
    for c in others:
        passed(c.answer())
        c.close()
    assert w.ldap.binds("alice") == 1


def test_all_who_asked_may_go_away(w):
    p = w.start()
    passed(ask(w, auth=BOB))
    w.dc1.hang()
    for _ in range(5):
        c = w.wire()
        c.send(request("GET", ECHO, auth=ALICE))
        time.sleep(0.05)
        c.reset()
    w.dc1.wake()
    passed(ask(w, auth=ALICE))
    p.last(status=200, user="alice")


def test_one_slow_login_delays_no_other(w):
    """A cached user passes at once while the directory hangs."""
    w.start()
    passed(ask(w, auth=BOB))
    w.dc1.hang()
    slow = w.wire()
    slow.send(request("GET", ECHO, auth=ALICE))
    begun = time.monotonic()
    passed(ask(w, auth=BOB))
    assert time.monotonic() - begun < 0.5 * w.patience
    w.dc1.wake()
    passed(slow.answer())
    slow.close()


def test_grace_serves_while_no_directory_answers(w):
    config = w.config()
    config.cache = {"ttl": "1s", "refresh": 0, "grace": "1h"}
    config.backends["corp-ldap"] = w.ldap_backend(timeout="1s", connect_timeout="1s")
    p = w.start(config)
    passed(ask(w, auth=ALICE))
    w.dc1.stop()
    w.dc2.stop()
    time.sleep(1.2)
    passed(ask(w, auth=ALICE))
    p.last(status=200, user="alice", auth="grace")
    answer = own(ask(w, auth=BOB), 503, "directory_unavailable")
    assert int(answer.get("Retry-After")) > 0
    own(ask(w, auth=basic("alice", "another")), 503, "directory_unavailable")
    w.dc1.start()
    end = time.monotonic() + 70
    while ask(w, auth=BOB).status != 200:
        assert time.monotonic() < end, "the directory came back and was not asked"
        time.sleep(0.5)


def test_without_grace_an_old_entry_does_not_serve(w):
    config = w.config()
    config.cache = {"ttl": "1s", "refresh": 0}
    config.backends["corp-ldap"] = w.ldap_backend(timeout="1s", connect_timeout="1s")
    w.start(config)
    passed(ask(w, auth=ALICE))
    w.dc1.stop()
    w.dc2.stop()
    time.sleep(1.2)
    own(ask(w, auth=ALICE), 503, "directory_unavailable")


def test_a_kept_entry_serves_while_the_directory_is_down(w):
    p = w.start()
    passed(ask(w, auth=ALICE))
    w.dc1.stop()
    w.dc2.stop()
    passed(ask(w, auth=ALICE))
    p.last(status=200, auth="cache")


def test_cannot_answer_is_never_kept(w):
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(timeout="1s", connect_timeout="1s")
    w.start(config)
    w.dc1.stop()
    w.dc2.stop()
    own(ask(w, auth=ALICE), 503, "directory_unavailable")
    w.dc1.start()
    w.dc2.start()
    end = time.monotonic() + 70
    while ask(w, auth=ALICE).status != 200:
        assert time.monotonic() < end, "an unavailable verdict was kept"
        time.sleep(0.5)


def test_a_login_with_another_password_ends_the_older_entries(w):
    w.start()
    passed(ask(w, auth=ALICE))
    for server in (w.dc1, w.dc2):
        server.modify("dn: %s\nchangetype: modify\nreplace: userPassword\nuserPassword: Changed-Pass-18\n" % person_dn("alice"))
    try:
        passed(ask(w, auth=ALICE))                              # still kept
        passed(ask(w, auth=basic("alice", "Changed-Pass-18")))
        challenged(ask(w, auth=ALICE))                          # and now no longer
    finally:
        for server in (w.dc1, w.dc2):
            server.modify("dn: %s\nchangetype: modify\nreplace: userPassword\nuserPassword: %s\n" % (person_dn("alice"), PEOPLE["alice"]))


def test_groups_are_kept_with_the_login(w):
    config = w.config()
    config.rule("staff", groups=["staff"])
    w.start(config)
    passed(ask(w, auth=ALICE))
    before = len(w.ldap.searches())
    passed(ask(w, auth=ALICE))
    assert len(w.ldap.searches()) == before


def test_the_cache_stays_within_max_entries(w):
    config = w.config()
    config.cache = {"max_entries": 2}
    w.start(config)
    for user in ("alice", "bob", "carol", "dave", "outsider", "o'brien"):
        passed(ask(w, auth=login(user)))
    passed(ask(w, auth=login("o'brien")))
    total = sum(w.ldap.binds(user) for user in ("alice", "bob", "carol", "dave", "outsider", "o'brien"))
    passed(ask(w, auth=ALICE))
    assert total == 6 and w.ldap.binds("alice") == 2, "the oldest went out"
