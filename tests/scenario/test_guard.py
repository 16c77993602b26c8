"""Directory accounts are protected from lockout: distinct wrong passwords are counted before slapd counts them."""

import time

from common import ALICE, ECHO, ask, basic, challenged, expect, login, own, passed, request


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
        own(c.ask("GET", ECHO, auth=basic("alice", "wrong-9"), fields=[("User-Agent", "old-phone/1")]), 403, "loop")
        assert c.is_closed()
    p.last(status=403, reason="loop")
    p.log_says('event=loop_cut')
    line = [l for l in p.errors().splitlines() if "event=loop_cut" in l][-1]
    for words in ("client=10.99.0.", 'user="alice"', "scheme=basic", 'backend="corp-ldap"', "refusals=4", 'reason="wrong password"', "old-phone/1"):
        assert words in line, line


def test_the_end_of_a_loop_of_tokens_names_its_cause_too(w):
    config = w.config()
    config.auth["max_challenges"] = 2
    p = w.start(config)
    token = w.initiator("alice").value()
    passed(ask(w, auth=token))
    with w.wire() as c:
        for _ in range(2):
            challenged(c.ask("GET", ECHO, auth=token))
        own(c.ask("GET", ECHO, auth=token), 403, "loop")
        assert c.is_closed()
    p.last(status=403, reason="loop", scheme="negotiate")
    p.log_says('reason="replayed ticket" user_agent')


def test_an_old_password_on_one_device_costs_a_bind_a_time_and_blocks_nobody(w):
    """The phone that was forgotten: for an hour in the field, for more times than user_failures here."""
    config = w.config()
    config.cache = {"negative_ttl": "1s"}
    p = w.start(config)
    laptop = login("bob")
    passed(ask(w, auth=laptop))
    begun, asked = time.monotonic(), 0
    while w.ldap.binds("bob") < 7:                     # the laptop's, and six of the phone's
        challenged(ask(w, auth=basic("bob", "last-years"), source="10.99.0.3"))
        asked += 1
        if asked % 50 == 0:
            passed(ask(w, auth=laptop))                # kept
            passed(ask(w, auth=w.initiator("bob").value()))
    allowed = 1 + int(time.monotonic() - begun)        # one for each negative_ttl that has begun
    assert w.ldap.binds("bob") - 1 <= allowed, (w.ldap.binds("bob"), allowed, asked)
    passed(ask(w, auth=laptop))
    passed(ask(w, auth=w.initiator("bob").value()))
    assert not [r for r in p.lines() if r["status"] == 429]


def test_an_old_password_does_not_keep_a_new_device_out(w):
    config = w.config()
    config.cache = {"negative_ttl": "1s"}
    w.start(config)
    while w.ldap.binds("bob") < 4:                     # as often as user_failures, and once more
        challenged(ask(w, auth=basic("bob", "last-years"), source="10.99.0.3"))
    passed(ask(w, auth=login("bob")))                  # a right password that nobody has seen yet
    assert w.ldap.binds("bob") == 5


def from_address(w, address, auth):
    with w.wire(port=3129) as c:
        c.send(b"PROXY TCP6 %s 2001:db8:ffff::1 4000 3129\r\n" % address.encode() + request("GET", ECHO, auth=auth))
        return c.answer()


def test_an_ipv6_client_is_blocked_with_its_64_and_no_wider(w):
    config = w.config()
    config.listens.append((w.proxy_address + ":3129", {"offer": ["basic"], "proxy_protocol_from": ["10.99.0.0/24"]}))
    config.guard = {"client_failures": 4}
    p = w.start(config)
    for n in range(4):                                 # each guess from an address of its own
        expect(from_address(w, "2001:db8:1:2:%x::%x" % (n, n + 1), basic("nobody-%d" % n, "x")), 407)
    asked = len(w.ldap.searches())
    own(from_address(w, "2001:db8:1:2:ffff::9", basic("nobody-9", "x")), 429, "blocked")
    assert len(w.ldap.searches()) == asked, "the directory hears nothing of it"
    passed(from_address(w, "2001:db8:1:3::1", login("carol")))
    p.log_says("event=guard_blocked kind=client")
