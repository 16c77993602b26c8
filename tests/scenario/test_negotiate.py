"""Kerberos tickets and NTLM messages over Proxy-Authorization: one leg or several, on one connection and no other."""

import base64
import os
import time

from common import ALICE, BOB, ECHO, Gone, ask, basic, challenged, closed, expect, login, own, passed, request, stays_open
from sp_rig.procs import wait_until
from sp_rig.tokens import KRB5, NTLMSSP, SPNEGO, negotiate, token_of


def ntlm_config(w):
    config = w.config()
    config.backends["corp-krb5"] = w.krb5_backend(mechanisms=["krb5", "ntlmssp"], realms=["CORP.TEST", "CORP"], groups_from=None)
    return config


def go_on(answer):
    """A 407 in the middle of a handshake: only Negotiate with a token, and the connection stays open."""
    expect(answer, 407)
    assert len(answer.challenges) == 1 and answer.challenges[0].startswith("Negotiate "), answer.challenges
    assert answer.get("Content-Length") is not None and answer.keeps_open(), answer.head
    return answer.challenges[0]


def final_token(answer):
    found = [c for c in answer.challenges if c.startswith("Negotiate ")]
    assert len(found) == 1, "the server's final token belongs on the answer: %s" % answer.head
    return token_of(found[0])


def test_a_ticket_passes_and_the_final_token_is_delivered(w):
    p = w.start()
    me = w.initiator("alice")
    with w.wire() as c:
        answer = passed(c.ask("GET", ECHO, auth=me.value()))
        me.step(final_token(answer))
    assert me.complete, "the server has proven itself too"
    p.last(status=200, user="alice", scheme="negotiate", mech="krb5", backend="corp-krb5", reason="ok")


def test_requests_without_a_header_carry_the_connections_identity(w):
    p = w.start()
    with w.wire() as c:
        passed(c.ask("GET", ECHO, auth=w.initiator("alice").value()))
        for _ in range(3):
            passed(c.ask("GET", ECHO))
        time.sleep(0.1)
    record = p.line(4)
    assert (record["user"], record["auth"], record["scheme"]) == ("alice", "connection", "negotiate"), record
    challenged(ask(w))                    # and no other connection does


def test_a_raw_kerberos_token_passes(w):
    p = w.start()
    me = w.initiator("bob", mech=KRB5)
    with w.wire() as c:
        me.step(final_token(passed(c.ask("GET", ECHO, auth=me.value()))))
    assert me.complete
    p.last(status=200, user="bob", mech="krb5")


def test_a_ticket_without_mutual_authentication_passes(w):
    w.start()
    passed(ask(w, auth=w.initiator("alice", mech=KRB5, mutual=False).value()))


def test_dce_style_takes_three_legs(w):
    p = w.start()
    for mech in (KRB5, SPNEGO):
        me = w.initiator("alice", mech=mech, dce=True)
        with w.wire() as c:
            answer = c.ask("GET", ECHO, auth=me.value())
            legs = 1
            while answer.status == 407:
                legs += 1
                assert legs < 6, answer.head
                answer = c.ask("GET", ECHO, auth=me.value(go_on(answer)))
            passed(answer)
            assert legs >= 2, "a DCE client sends at least two tokens"
            passed(c.ask("GET", ECHO))
    p.last(status=407, reason="handshake", scheme="negotiate")


def test_ntlmssp_takes_two_client_tokens(w):
    p = w.start(ntlm_config(w))
    me = w.ntlm()
    with w.wire() as c:
        challenge = go_on(c.ask("GET", ECHO, auth=me.value()))
        assert token_of(challenge).startswith(b"NTLMSSP\0\x02")
        passed(c.ask("GET", ECHO, auth=me.value(challenge)))
        passed(c.ask("GET", ECHO))
    p.last(status=200, user="walter", mech="ntlmssp", scheme="negotiate")
    p.last(status=200, user="walter", auth="connection")
    assert "\\u0000" not in p._read("access"), "gss-ntlmssp's names end in NUL"


def test_ntlmssp_where_it_is_not_configured_is_a_plain_407_and_a_log_line(w):
    p = w.start()
    answer = challenged(ask(w, auth=w.ntlm().value()))
    assert answer.challenges[0] == "Negotiate", answer.challenges
    p.log_says("NTLM")


def test_ntlm_of_a_domain_not_listed_is_403(w):
    config = ntlm_config(w)
    config.backends["corp-krb5"]["realms"] = ["CORP.TEST"]
    p = w.start(config)
    me = w.ntlm()
    with w.wire() as c:
        challenge = go_on(c.ask("GET", ECHO, auth=me.value()))
        own(c.ask("GET", ECHO, auth=me.value(challenge)), 403, "denied")


def test_a_principal_of_a_realm_not_listed_is_403(w):
    config = w.config()
    config.backends["corp-krb5"] = w.krb5_backend(realms=["ELSEWHERE.TEST"])
    p = w.start(config)
    own(ask(w, auth=w.initiator("alice").value()), 403, "denied")
    p.last(status=403, reason="denied", scheme="negotiate")


def test_legs_on_two_connections_are_refused(w):
    w.start()
    me = w.initiator("alice", mech=KRB5, dce=True)
    with w.wire() as one, w.wire() as two:
        third = me.value(go_on(one.ask("GET", ECHO, auth=me.value())))
        answer = two.ask("GET", ECHO, auth=third)
        expect(answer, 407)
        assert answer.challenges[0] == "Negotiate", answer.challenges
        passed(one.ask("GET", ECHO, auth=third))       # the connection that began it goes on


def test_ntlm_legs_on_two_connections_are_refused(w):
    w.start(ntlm_config(w))
    me = w.ntlm()
    with w.wire() as one, w.wire() as two:
        last = me.value(go_on(one.ask("GET", ECHO, auth=me.value())))
        assert two.ask("GET", ECHO, auth=last).status in (407, 403)
        passed(one.ask("GET", ECHO, auth=last))


def test_handshakes_dropped_in_the_middle_leave_nothing(w):
    p = w.start()
    passed(ask(w, auth=w.initiator("alice").value()))
    before = p.descriptors("socket")
    for n in range(20):
        me = w.initiator("alice", mech=KRB5, dce=True)
        c = w.wire()
        go_on(c.ask("GET", ECHO, auth=me.value()))
        c.reset() if n % 2 else c.close()
    for _ in range(10):                                # and in the middle of an accept
        c = w.wire()
        c.send(request("GET", ECHO, auth=w.initiator("alice", mech=KRB5, dce=True).value()))
        c.reset()
    wait_until("sockets are back to %d" % before, lambda: p.descriptors("socket") <= before + 1, 5 * w.patience)
    passed(ask(w, auth=w.initiator("alice").value()))


def test_a_stalled_handshake_ends_after_handshake_timeout(w):
    config = w.config()
    config.auth["handshake_timeout"] = "1s"
    p = w.start(config)
    me = w.initiator("alice", mech=KRB5, dce=True)
    with w.wire() as c:
        third = me.value(go_on(c.ask("GET", ECHO, auth=me.value())))
        time.sleep(1.6 * w.patience)
        try:
            assert c.ask("GET", ECHO, auth=third).status == 407, "the handshake was over"
        except (Gone, OSError):
            pass                                       # closing the connection is as good
    passed(ask(w, auth=w.initiator("alice").value()))


def test_interleaved_handshakes_on_two_connections_both_succeed(w):
    config = w.config()
    config.top["workers"] = 2
    p = w.start(config)
    people = ("alice", "bob", "carol", "dave")
    mes = [w.initiator(user, mech=KRB5, dce=True) for user in people]
    wires = [w.wire() for _ in people]
    firsts = [go_on(c.ask("GET", ECHO, auth=me.value())) for c, me in zip(wires, mes)]
    for c, me, first in reversed(list(zip(wires, mes, firsts))):
        passed(c.ask("GET", ECHO, auth=me.value(first)))
    for c, user in zip(wires, people):
        passed(c.ask("GET", ECHO))
        c.close()
    p.line(12)
    assert {r["user"] for r in p.lines() if r["auth"] == "connection"} == set(people)


def test_a_request_without_a_token_in_mid_handshake_is_407_afresh(w):
    w.start()
    me = w.initiator("alice", mech=KRB5, dce=True)
    with w.wire() as c:
        go_on(c.ask("GET", ECHO, auth=me.value()))
        expect(c.ask("GET", ECHO), 407)
        passed(c.ask("GET", ECHO, auth=w.initiator("alice").value()))


def test_post_bodies_on_the_legs_are_drained_and_the_last_arrives(w):
    import hashlib
    w.start()
    body = os.urandom(200000)
    target = "http://odd.corp.test/upload"
    length = [("Content-Length", str(len(body)))]
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:70000], body[70000:])) + b"0\r\n\r\n"
    me = w.initiator("alice", mech=KRB5, dce=True)
    with w.wire() as c:
        c.send(request("POST", target, fields=length, body=body, auth=me.value()))
        third = me.value(go_on(c.answer()))
        c.send(request("POST", target, fields=length, body=body, auth=third))
        answer = passed(c.answer())
        assert answer.body.decode().split()[:2] == [hashlib.sha256(body).hexdigest(), str(len(body))], answer.body
    me = w.initiator("alice", mech=KRB5, dce=True)
    with w.wire() as c:
        c.send(request("POST", target, fields=[("Transfer-Encoding", "chunked")], body=chunked, auth=me.value()))
        third = me.value(go_on(c.answer()))
        c.send(request("POST", target, fields=[("Transfer-Encoding", "chunked")], body=chunked, auth=third))
        answer = passed(c.answer())
        assert answer.body.decode().split()[:3] == [hashlib.sha256(body).hexdigest(), str(len(body)), "chunked"], answer.body
    assert all(b"roxy-Authorization" not in head for _, head in w.odd.heads)


def worker_of(record):
    """An id begins with bits that its worker drew at random when it started; the worker's count stands behind them."""
    return record["id"][:6]


def test_a_replayed_token_is_refused_on_every_worker(w):
    config = w.config()
    config.top["workers"] = 3
    p = w.start(config)
    for mech in (SPNEGO, KRB5):
        token = w.initiator("alice", mech=mech).value()
        passed(ask(w, auth=token))
        for _ in range(60):                # the kernel deals connections out: each worker gets some of so many
            answer = ask(w, auth=token)
            expect(answer, 407)
            assert answer.challenges[0] == "Negotiate"
    assert p.stop() == 0                   # all lines are written
    lines = p.lines()
    assert sorted(line["status"] for line in lines) == [200] * 2 + [407] * 120, lines
    assert len({worker_of(line) for line in lines if line["status"] == 407}) == 3, lines


def test_a_token_replayed_at_once_on_many_connections_serves_one(w):
    config = w.config()
    config.top["workers"] = 2
    w.start(config)
    token = w.initiator("alice").value()
    wires = [w.wire() for _ in range(12)]
    for c in wires:
        c.send(request("GET", ECHO, auth=token))
    statuses = sorted(c.answer().status for c in wires)
    for c in wires:
        c.close()
    assert statuses == [200] + [407] * 11, statuses


def test_garbage_truncated_and_oversized_tokens_are_refused_cleanly(w):
    config = w.config()
    config.auth["max_challenges"] = 100
    config.guard = {"client_failures": 0}
    w.start(config)
    good = token_of(w.initiator("alice").value())
    bad = [b"\0", b"A" * 3, os.urandom(200), good[:10], good[:len(good) // 2], good[:-1], good[:40] + os.urandom(len(good) - 40), b"NTLMSSP\0",
           b"NTLMSSP\0\x01\0\0\0", b"NTLMSSP\0\x03\0\0\0" + b"\xff" * 60, b"\x60\x84\xff\xff\xff\xff", b"\x60\x80" + b"\0" * 50, os.urandom(70000),
           good + b"\0" * 66000]
    for token in bad:
        answer = ask(w, auth=negotiate(token))
        assert answer.status == 407, (token[:30], answer)
        assert answer.challenges[0] == "Negotiate", answer.challenges
    for text in ("Negotiate !!!!", "Negotiate AAA", "Negotiate  ", "Negotiate =", "Negotiate " + "A" * 95000):
        assert ask(w, auth=text).status in (400, 407), text[:40]
    passed(ask(w, auth=w.initiator("alice").value()))


def test_garbage_in_mid_handshake_ends_it(w):
    w.start()
    for garbage in (b"\x01\x02", os.urandom(300), b"NTLMSSP\0\x03\0\0\0"):
        me = w.initiator("alice", mech=KRB5, dce=True)
        with w.wire() as c:
            third = me.value(go_on(c.ask("GET", ECHO, auth=me.value())))
            answer = c.ask("GET", ECHO, auth=negotiate(garbage))
            expect(answer, 407)
            assert answer.challenges[0] == "Negotiate", answer.challenges
            if answer.keeps_open():
                expect(c.ask("GET", ECHO, auth=third), 407)
    passed(ask(w, auth=w.initiator("alice").value()))


def test_another_principal_on_the_same_connection_is_407_and_close(w):
    w.start()
    with w.wire() as c:
        passed(c.ask("GET", ECHO, auth=w.initiator("alice").value()))
        passed(c.ask("GET", ECHO, auth=w.initiator("alice").value()))   # the same one may bring a new token
        expect(c.ask("GET", ECHO, auth=w.initiator("bob").value()), 407)
        closed(c)


def test_a_bad_token_on_a_known_connection_is_407_and_never_the_old_identity(w):
    w.start()
    with w.wire() as c:
        passed(c.ask("GET", ECHO, auth=w.initiator("alice").value()))
        expect(c.ask("GET", ECHO, auth=negotiate(os.urandom(100))), 407)


def test_basic_on_a_known_connection_is_judged_by_itself_and_ends_the_identity(w):
    p = w.start()
    with w.wire() as c:
        passed(c.ask("GET", ECHO, auth=w.initiator("alice").value()))
        passed(c.ask("GET", ECHO, auth=BOB))
        p.last(user="bob", scheme="basic")
        challenged(c.ask("GET", ECHO))
    with w.wire() as c:
        passed(c.ask("GET", ECHO, auth=w.initiator("alice").value()))
        challenged(c.ask("GET", ECHO, auth=basic("bob", "wrong")))
        challenged(c.ask("GET", ECHO))


def test_persist_request_wants_a_token_for_each_request(w):
    config = w.config()
    config.backends["corp-krb5"] = w.krb5_backend(persist="request")
    w.start(config)
    with w.wire() as c:
        passed(c.ask("GET", ECHO, auth=w.initiator("alice").value()))
        challenged(c.ask("GET", ECHO))
        passed(c.ask("GET", ECHO, auth=w.initiator("alice").value()))


def test_username_principal_keeps_the_realm(w):
    config = w.config()
    config.backends["corp-krb5"] = w.krb5_backend(username="principal", groups_from=None)
    config.rule("alice", users=["alice@CORP.TEST"])
    p = w.start(config)
    passed(ask(w, auth=w.initiator("alice").value()))
    p.last(status=200, user="alice@CORP.TEST", rule="alice")
    own(ask(w, auth=w.initiator("bob").value()), 403, "denied")


def test_groups_come_from_the_directory(w):
    config = w.config()
    config.rule("admins", groups=["admins"])
    p = w.start(config)
    passed(ask(w, auth=w.initiator("alice").value()))
    p.last(status=200, user="alice", rule="admins")
    own(ask(w, auth=w.initiator("bob").value()), 403, "denied")
    asked = len(w.ldap.searches())
    passed(ask(w, auth=w.initiator("alice").value()))
    assert len(w.ldap.searches()) == asked, "a user's groups are kept for ttl"
    assert w.ldap.binds("alice") == 0


def test_groups_that_cannot_be_asked_are_503(w):
    config = w.config()
    config.rule("staff", groups=["staff"])
    config.backends["corp-ldap"] = w.ldap_backend(timeout="1s", connect_timeout="1s")
    w.start(config)
    w.dc1.stop()
    w.dc2.stop()
    own(ask(w, auth=w.initiator("alice").value()), 503, "directory_unavailable")


def test_a_ticket_for_another_key_of_the_keytab_passes(w):
    w.start()
    passed(ask(w, auth=w.initiator("alice", service="HTTP@alias.corp.test").value()))


def test_a_named_service_takes_no_other_tickets(w):
    config = w.config()
    config.backends["corp-krb5"] = w.krb5_backend(service="HTTP@proxy.corp.test")
    w.start(config)
    passed(ask(w, auth=w.initiator("alice").value()))
    expect(ask(w, auth=w.initiator("alice", service="HTTP@alias.corp.test").value()), 407)


def test_a_ticket_whose_key_the_keytab_lacks_is_407_and_the_log_says_which(w):
    config = w.config()
    config.backends["corp-krb5"] = w.krb5_backend(keytab=w.realm.other_keytab("other-%d" % os.getpid(), "HTTP/other%d.corp.test" % time.time()))
    p = w.start(config)
    expect(ask(w, auth=w.initiator("alice").value()), 407)
    p.log_says("HTTP/proxy.corp.test@CORP.TEST")


def test_a_new_keytab_is_taken_up_without_a_reload(w):
    import shutil
    config = w.config()
    service = "HTTP/rotated%d.corp.test" % int(time.time() * 1000)
    keytab = os.path.join(config.folder, "proxy.keytab")
    shutil.copy(w.realm.keytab, keytab)
    config.backends["corp-krb5"] = w.krb5_backend(keytab=keytab)
    w.start(config)
    new = w.realm.other_keytab("rotated", service)
    value = lambda: w.initiator("alice", service=service.replace("/", "@")).value()
    expect(ask(w, auth=value()), 407)
    os.rename(new, keytab)
    end = time.monotonic() + 10 * w.patience
    while ask(w, auth=value()).status != 200:
        assert time.monotonic() < end, "the new keytab was not taken up"
        time.sleep(0.5)


def test_a_bad_file_in_the_keytabs_place_changes_nothing(w):
    import shutil
    config = w.config()
    keytab = os.path.join(config.folder, "proxy.keytab")
    shutil.copy(w.realm.keytab, keytab)
    config.backends["corp-krb5"] = w.krb5_backend(keytab=keytab)
    p = w.start(config)
    passed(ask(w, auth=w.initiator("alice").value()))
    with open(keytab + ".new", "wb") as f:
        f.write(b"this is no keytab")
    os.rename(keytab + ".new", keytab)
    p.log_says("keytab", 10)
    time.sleep(2)
    passed(ask(w, auth=w.initiator("alice").value()))


def test_curl_passes_with_a_ticket(w):
    p = w.start()
    status, out, err = w.curl("--proxy-negotiate", "-U", ":", w.url("/", "origin"), w.url("/1k", "origin"), user="alice")
    assert status == 0 and out.startswith("the origin's page"), (status, out, err)
    status, out, err = w.curl("--proxy-negotiate", "-U", ":", w.url("/", "origin", "https"), user="alice")
    assert status == 0 and out == "the origin's page\n", (status, out, err)
    p.last(method="CONNECT", user="alice", mech="krb5", status=200)


def test_curl_with_anyauth_chooses_negotiate_and_keeps_the_connection(w):
    p = w.start()
    urls = [w.url("/", "origin")] * 3
    status, out, err = w.curl("--proxy-anyauth", "-U", ":", *urls, user="alice")
    assert status == 0 and out == "the origin's page\n" * 3, (status, out, err)
    p.last(status=200, user="alice", auth="connection")
    assert len([r for r in p.lines() if r["status"] == 407]) == 1, p.lines()


def test_curl_without_a_ticket_ends_at_407(w):
    w.start()
    status, out, err = w.curl("--proxy-negotiate", "-U", ":", "-o", "/dev/null", "-w", "%{http_code}", w.url("/", "origin"))
    assert out == "407", (status, out, err)


def test_curl_posts_with_negotiate(w):
    w.start()
    body = os.path.join(w.folder, "body")
    with open(body, "wb") as f:
        f.write(os.urandom(200000))
    for how in ("--proxy-negotiate", "--proxy-anyauth"):
        status, out, err = w.curl(how, "-U", ":", "--data-binary", "@" + body, w.url("/upload"), user="alice")
        assert status == 0 and " 200000 " in out, (how, status, out, err)


def test_the_basic_scheme_is_not_offered_in_mid_handshake(w):
    w.start()
    me = w.initiator("alice", mech=KRB5, dce=True)
    with w.wire() as c:
        answer = c.ask("CONNECT", "odd.corp.test:443", auth=me.value())
        third = me.value(go_on(answer))
        answer = c.ask("CONNECT", "odd.corp.test:443", auth=third)
        expect(answer, 200)
        c.send(b"through the tunnel")
        assert c.read(18) == b"through the tunnel"
