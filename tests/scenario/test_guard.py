"""Directory accounts are protected from lockout: distinct wrong passwords are counted before slapd counts them."""

import time

from common import ALICE, ECHO, ask, basic, challenged, login, own, passed, request


def test_a_user_is_blocked_after_three_wrong_passwords_and_slapd_is_not_asked(w):
    p = w.start()
    for n in range(3):
        challenged(ask(w, auth=basic("bob", "wrong-%d" % n)))
    answer = own(ask(w, auth=basic("bob", "wrong-4")), 429, "blocked")
    assert int(answer.get("Retry-After")) > 0
    own(ask(w, auth=login("bob")), 429, "blocked")
    assert w.ldap.binds("bob") == 3
    p.last(status=429, reason="blocked", user="bob")
    passed(ask(w, auth=ALICE))


def test_one_wrong_password_repeated_counts_once(w):
    w.start()
    for _ in range(10):
        challenged(ask(w, auth=basic("bob", "wrong")))
    assert w.ldap.binds("bob") == 1
    passed(ask(w, auth=login("bob")))


def test_a_kept_password_passes_while_its_user_is_blocked(w):
    w.start()
    passed(ask(w, auth=login("bob")))
    for n in range(4):
        ask(w, auth=basic("bob", "wrong-%d" % n))
    own(ask(w, auth=basic("bob", "wrong-9")), 429, "blocked")
    passed(ask(w, auth=login("bob")))


def test_negotiate_is_not_affected_by_a_block(w):
    w.start()
    for n in range(4):
        ask(w, auth=basic("bob", "wrong-%d" % n))
    own(ask(w, auth=login("bob")), 429, "blocked")
    passed(ask(w, auth=w.initiator("bob").value()))


def test_guesses_sent_at_once_cannot_exceed_the_limit(w):
    config = w.config()
    config.top["workers"] = 2
    w.start(config)
    passed(ask(w, auth=ALICE))
    wires = [w.wire() for _ in range(20)]
    for n, c in enumerate(wires):
        c.send(request("GET", ECHO, auth=basic("erin", "guess-%d" % n)))
    statuses = sorted(c.answer().status for c in wires)
    for c in wires:
        c.close()
    assert w.ldap.binds("erin") <= 3, w.ldap.binds("erin")
    assert set(statuses) <= {407, 429, 503}, statuses
    assert 429 in statuses, statuses


def test_a_client_that_guesses_over_many_users_is_blocked_by_address(w):
    config = w.config()
    config.guard = {"client_failures": 5}
    w.start(config)
    passed(ask(w, auth=ALICE))
    for n in range(5):
        challenged(ask(w, auth=basic("nobody-%d" % n, "x"), source="10.99.0.3"))
    own(ask(w, auth=basic("nobody-9", "x"), source="10.99.0.3"), 429, "blocked")
    passed(ask(w, auth=login("carol"), source="10.99.0.2"))


def test_a_block_ends(w):
    config = w.config()
    config.guard = {"user_failures": 2, "block": "1s", "window": "1s"}
    w.start(config)
    for n in range(2):
        challenged(ask(w, auth=basic("bob", "wrong-%d" % n)))
    own(ask(w, auth=login("bob")), 429, "blocked")
    time.sleep(2.2)
    passed(ask(w, auth=login("bob")))


def test_the_endless_loop_of_refusals_ends_with_403(w):
    config = w.config()
    config.auth["max_challenges"] = 3
    config.guard = {"user_failures": 0}
    p = w.start(config)
    with w.wire() as c:
        for n in range(3):
            challenged(c.ask("GET", ECHO, auth=basic("alice", "wrong-%d" % n)))
        own(c.ask("GET", ECHO, auth=basic("alice", "wrong-9")), 403, "loop")
        assert c.is_closed()
    p.last(status=403, reason="loop")
