"""Who may go where, when and how: rules, protect, and the proxy's own listeners."""

import time

from common import ALICE, BOB, ECHO, ask, basic, challenged, expect, login, own, passed
from sp_rig.odd_origin import OddOrigin


def connect(w, target, auth=ALICE):
    with w.wire() as c:
        return c.ask("CONNECT", target, auth=auth)


def test_without_rules_every_authenticated_user_passes(w):
    p = w.start()
    passed(ask(w, auth=login("outsider")))
    p.last(status=200, user="outsider", rule="")


def test_with_rules_none_matching_denies(w):
    config = w.config()
    config.rule("bob only", users=["BOB"])
    p = w.start(config)
    passed(ask(w, auth=BOB))
    p.last(user="bob", rule="bob only")
    own(ask(w, auth=ALICE), 403, "denied")
    p.last(status=403, reason="denied", user="alice", rule="")


def test_the_first_rule_that_matches_decides(w):
    config = w.config()
    config.rule("not odd", action="deny", to=["odd.corp.test"]).rule("staff", groups=["STAFF"])
    p = w.start(config)
    own(ask(w, auth=ALICE), 403, "denied")
    p.last(status=403, rule="not odd")
    passed(ask(w, "http://origin.corp.test/", auth=ALICE))
    p.last(status=200, rule="staff")


def test_a_denial_is_403_and_never_407(w):
    config = w.config()
    config.rule("nobody", action="deny", users=["alice"]).rule("rest")
    w.start(config)
    answer = own(ask(w, auth=ALICE), 403, "denied")
    assert not answer.challenges


def test_groups_are_known_by_name_and_by_dn(w):
    config = w.config()
    config.rule("by dn", groups=["CN=Admins,ou=groups,dc=corp,dc=test"]).rule("by name", groups=["staff"])
    p = w.start(config)
    passed(ask(w, auth=ALICE))
    p.last(user="alice", rule="by dn")
    passed(ask(w, auth=BOB))
    p.last(user="bob", rule="by name")
    own(ask(w, auth=login("outsider")), 403, "denied")


def test_clients_are_matched_by_network(w):
    config = w.config()
    config.rule("desk", clients=["10.99.0.2/32"])
    w.start(config)
    passed(ask(w, auth=ALICE, source="10.99.0.2"))
    own(ask(w, auth=ALICE, source="10.99.0.3"), 403, "denied")


def test_destinations_are_matched_by_host_suffix_and_network(w):
    config = w.config()
    config.rule("host", to=["ODD.corp.test."], methods=["GET"]).rule("suffix", to=[".corp.test"], methods=["POST"]).rule("net", to=["10.99.0.10/31"])
    p = w.start(config)
    passed(ask(w, auth=ALICE))
    p.last(rule="host", method="GET")
    passed(ask(w, auth=ALICE, method="POST", fields=[("Content-Length", "0")]))
    p.last(rule="suffix", method="POST")
    passed(ask(w, "http://origin.corp.test/", auth=ALICE))
    p.last(rule="net")
    own(ask(w, auth=ALICE, method="PUT", fields=[("Content-Length", "0")]), 403, "denied")


def test_hosts_are_compared_without_case_a_trailing_dot_or_percent_encoding(w):
    config = w.config()
    config.rule("no", action="deny", to=["odd.corp.test"]).rule("yes")
    w.start(config)
    for host in ("odd.corp.test", "ODD.Corp.TEST", "odd.corp.test.", "%6fdd.corp.test"):
        answer = ask(w, "http://%s/echo" % host, auth=ALICE)
        assert answer.status in (403, 400), (host, answer)
    own(ask(w, "http://ODD.Corp.TEST./echo", auth=ALICE), 403, "denied")


def test_ports_and_methods_are_matched(w):
    config = w.config()
    config.rule("web", ports=["80", "8000-8100"], methods=["GET", "HEAD"]).rule("tunnels", ports=["443"], methods=["CONNECT"])
    p = w.start(config)
    passed(ask(w, auth=ALICE))
    own(ask(w, auth=ALICE, method="POST", fields=[("Content-Length", "0")]), 403, "denied")
    expect(connect(w, "odd.corp.test:443"), 200)
    own(connect(w, "odd.corp.test:80"), 403, "denied")
    p.last(method="CONNECT", target="odd.corp.test:80", status=403)


def test_hours_are_matched(w):
    today = time.strftime("%a", time.localtime())[:2]
    tomorrow = time.strftime("%a", time.localtime(time.time() + 86400))[:2]
    config = w.config()
    config.rule("today", users=["alice"], hours="%s 00:00-23:59" % today).rule("tomorrow", users=["bob"], hours="%s 00:00-23:59" % tomorrow)
    w.start(config)
    passed(ask(w, auth=ALICE))
    own(ask(w, auth=BOB), 403, "denied")


def test_authenticate_false_decides_before_a_407(w):
    config = w.config()
    config.rule("open", to=["origin.corp.test"], authenticate=False).rule("closed", action="deny", to=["other.corp.test"], authenticate=False).rule("rest")
    p = w.start(config)
    passed(ask(w, "http://origin.corp.test/"))
    p.last(status=200, user="", scheme="none", auth="none", rule="open")
    own(ask(w, "http://other.corp.test/"), 403, "denied")
    challenged(ask(w))


def test_a_request_that_no_user_could_make_is_never_allowed(w):
    config = w.config()
    config.rule("only origin", to=["origin.corp.test"])
    w.start(config)
    assert ask(w).status in (403, 407)
    own(ask(w, auth=ALICE), 403, "denied")


def test_loopback_is_protected_by_name_and_by_address(w):
    inside = OddOrigin("127.0.0.1", 8088, 8443)
    try:
        p = w.start()
        for target in ("http://127.0.0.1:8088/echo", "http://inside.corp.test:8088/echo", "http://localhost:8088/echo", "http://127.1.2.3:8088/echo",
                       "http://[::1]:8088/echo", "http://[::ffff:127.0.0.1]:8088/echo", "http://0.0.0.0:8088/echo"):
            own(ask(w, target, auth=ALICE), 403, "denied")
        for target in ("http://127.1:8088/echo", "http://2130706433:8088/echo", "http://0x7f000001:8088/echo", "http://0177.0.0.1:8088/echo"):
            assert ask(w, target, auth=ALICE).status in (400, 403, 502), target
        own(connect(w, "inside.corp.test:443"), 403, "denied")
        assert not inside.heads, inside.heads
        p.last(status=403, reason="denied")
    finally:
        inside.stop()


def test_protect_is_lifted_by_a_rule_that_names_the_network_and_the_port(w):
    inside = OddOrigin("127.0.0.1", 8088, 8443)
    try:
        config = w.config()
        config.rule("inside", to=["127.0.0.0/8"], ports=["8088", "8443"]).rule("rest")
        p = w.start(config)
        passed(ask(w, "http://127.0.0.1:8088/echo", auth=ALICE))
        passed(ask(w, "http://inside.corp.test:8088/echo", auth=ALICE))
        p.last(status=200, rule="inside")
        expect(connect(w, "127.0.0.1:8443"), 200)
        own(ask(w, "http://127.0.0.1:8089/echo", auth=ALICE), 403, "denied")
    finally:
        inside.stop()


def test_a_name_in_to_never_lifts_protect(w):
    inside = OddOrigin("127.0.0.1", 8088, 8443)
    try:
        config = w.config()
        config.rule("by name", to=["inside.corp.test", "localhost", "*"], ports=["8088"])
        w.start(config)
        own(ask(w, "http://inside.corp.test:8088/echo", auth=ALICE), 403, "denied")
        own(ask(w, "http://127.0.0.1:8088/echo", auth=ALICE), 403, "denied")
        assert not inside.heads
    finally:
        inside.stop()


def test_each_resolved_address_is_decided_on_its_own(w):
    inside = OddOrigin("127.0.0.1", 80, 8443)
    try:
        w.start()
        for _ in range(4):
            passed(ask(w, "http://mixed.corp.test/echo", auth=ALICE))
        assert not inside.heads and len(w.odd.heads) == 4
    finally:
        inside.stop()


def test_an_address_that_may_be_tried_lets_no_other_be(w):
    config = w.config()
    config.rule("not there", action="deny", to=["10.99.0.20"]).rule("rest")
    w.start(config)
    for _ in range(4):
        own(ask(w, "http://halfopen.corp.test/echo", auth=ALICE), 502, "connect_failed")
    assert not w.odd.heads


def test_connect_ports_and_ports_are_kept(w):
    p = w.start()
    own(connect(w, "odd.corp.test:22"), 403, "denied")
    own(connect(w, "odd.corp.test:8080"), 403, "denied")
    own(ask(w, "http://odd.corp.test:25/", auth=ALICE), 403, "denied")
    own(ask(w, "http://odd.corp.test:1024/", auth=ALICE), 403, "denied")
    expect(connect(w, "odd.corp.test:80"), 200)
    p.last(method="CONNECT", status=403, target="odd.corp.test:22")


def test_ports_in_a_rule_lift_connect_ports(w):
    other = OddOrigin("10.99.0.21", 8080, 9443)
    try:
        config = w.config()
        config.rule("named", to=["other.corp.test"], ports=["9443"]).rule("rest")
        w.start(config)
        expect(connect(w, "other.corp.test:9443"), 200)
        own(connect(w, "other.corp.test:9444"), 403, "denied")
    finally:
        other.stop()


def test_the_proxys_own_listener_is_never_a_destination(w):
    config = w.config()
    config.rule("everything", to=["0.0.0.0/0", "::/0"], ports=["1-65535"])
    w.start(config)
    own(ask(w, "http://proxy.corp.test:3128/", auth=ALICE), 403, "denied")
    own(ask(w, "http://10.99.0.1:3128/", auth=ALICE), 403, "denied")
    own(ask(w, "http://alias.corp.test:3128/", auth=ALICE), 403, "denied")
    own(connect(w, "proxy.corp.test:3128"), 403, "denied")


def test_a_wildcard_listener_is_never_a_destination_at_any_address(w):
    config = w.config()
    config.listens = [("0.0.0.0:3128", {"offer": ["basic"]})]
    config.auth["negotiate"] = []
    config.backends.pop("corp-krb5")
    config.rule("everything", to=["0.0.0.0/0"], ports=["1-65535"])
    w.start(config)
    for host in ("10.99.0.1", "10.99.0.20", "127.0.0.1"):
        own(ask(w, "http://%s:3128/" % host, auth=ALICE), 403, "denied")


def test_a_request_that_nobody_could_make_is_logged_with_whom_the_proxy_knows_already(w):
    """Nobody is asked for it; but a verdict that is kept, or the connection's identity, says who tried."""
    config = w.config()
    config.guard = {"user_failures": 2}
    p = w.start(config)
    own(connect(w, "odd.corp.test:22"), 403, "denied")
    p.last(status=403, user="", scheme="none", auth="none")
    passed(ask(w, auth=ALICE))
    own(connect(w, "odd.corp.test:22"), 403, "denied")
    p.last(status=403, user="alice", scheme="basic", auth="cache", backend="corp-ldap", reason="denied")
    before = w.ldap.binds("alice")
    for attempt in range(4):
        own(connect(w, "odd.corp.test:22", auth=basic("alice", "guess %d" % attempt)), 403, "denied")
        p.last(status=403, user="", scheme="none", auth="none")
    assert w.ldap.binds("alice") == before, "nobody was asked, so nobody was blocked"
    challenged(ask(w, auth=basic("alice", "guess 0")))
    with w.wire() as c:
        passed(c.ask("GET", ECHO, auth=w.initiator("bob").value()))
        own(c.ask("CONNECT", "odd.corp.test:22"), 403, "denied")
        p.last(status=403, user="bob", scheme="negotiate", mech="krb5", auth="connection", backend="corp-krb5")
        passed(c.ask("GET", ECHO))
    code, out, err = w.command("why", "-c", p.path, "--json", "bob")
    assert code == 0 and '"target":"odd.corp.test:22"' in out, (code, out, err)


def test_protect_destinations_can_be_set(w):
    config = w.config()
    config.protect = {"destinations": ["10.99.0.20/32"]}
    w.start(config)
    own(ask(w, auth=ALICE), 403, "denied")
    passed(ask(w, "http://origin.corp.test/", auth=ALICE))
