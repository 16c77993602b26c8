"""Answers of the proxy's own: each row of the table of statuses that other files do not show."""

import time

from common import ALICE, BOB, ECHO, Gone, ask, basic, challenged, closed, expect, login, own, passed, request, stays_open, took

ODD = "http://odd.corp.test"


def raw(w, data, seconds=20.0):
    """Bytes as they are; the answer and whether the connection closed after it."""
    with w.wire(seconds=seconds) as c:
        c.send(data)
        answer = c.answer()
        return answer, c.is_closed(3)


def test_a_name_that_does_not_exist_is_502_dns(w):
    p = w.start()
    own(ask(w, "http://nowhere.corp.test/", auth=ALICE), 502, "dns")
    p.last(status=502, reason="dns", user="alice")
    with w.wire() as c:
        own(c.ask("CONNECT", "nowhere.corp.test:443", auth=ALICE), 502, "dns")
        stays_open(c)


def test_a_failing_name_server_is_502_dns(w):
    w.start()
    w.names.failing.add("servfail.corp.test")
    own(ask(w, "http://servfail.corp.test/", auth=ALICE), 502, "dns")


def test_a_silent_name_server_is_answered_in_bounded_time(w):
    config = w.config()
    config.limits = {"connect_timeout": "1s"}
    w.start(config)
    w.names.silent.add("silent.corp.test")
    with took(at_most=12 * w.patience):
        answer = ask(w, "http://silent.corp.test/", auth=ALICE)
    assert answer.status in (502, 504), answer
    passed(ask(w, auth=ALICE))


def test_a_refused_connection_is_502_connect_failed(w):
    p = w.start()
    own(ask(w, "http://refusing.corp.test/", auth=ALICE), 502, "connect_failed")
    p.last(status=502, reason="connect_failed")


def test_a_connection_that_never_stands_is_504(w):
    config = w.config()
    config.limits = {"connect_timeout": "1s"}
    p = w.start(config)
    with took(0.9, 4 * w.patience):
        own(ask(w, "http://dead.corp.test/", auth=ALICE), 504, "timeout")
    p.last(status=504, reason="timeout")
    with w.wire() as c:
        own(c.ask("CONNECT", "dead.corp.test:443", auth=ALICE), 504, "timeout")


def test_an_origin_that_never_answers_is_504(w):
    config = w.config()
    config.limits = {"response_timeout": "1s"}
    p = w.start(config)
    own(ask(w, ODD + "/slow?5", auth=ALICE), 504, "timeout")
    p.last(status=504, reason="timeout")


def test_an_origin_that_talks_no_http_is_502_upstream(w):
    p = w.start()
    own(ask(w, ODD + "/garbage", auth=ALICE), 502, "upstream")
    p.last(status=502, reason="upstream")
    own(ask(w, ODD + "/silent-close", auth=ALICE), 502, "upstream")


def test_an_answer_that_breaks_off_breaks_off_for_the_client_too(w):
    p = w.start()
    for path in ("/reset", "/short"):
        with w.wire() as c:
            c.send(request("GET", ODD + path, auth=ALICE))
            passed(c.head())
            try:
                data = c.read_to_end()
                assert len(data) < 1000
            except Gone:
                pass
    p.last(reason="upstream", status=200)


def test_an_origin_that_does_not_read_the_body_is_504(w):
    config = w.config()
    config.limits = {"response_timeout": "1s"}
    p = w.start(config)
    with w.wire() as c:
        try:
            c.send(request("POST", ODD + "/slow?5", auth=ALICE, fields=[("Content-Length", str(64 << 20))], body=bytes(64 << 20)))
        except (Gone, OSError):
            pass
    p.last(status=504, reason="timeout")


def test_a_body_that_does_not_come_is_408(w):
    config = w.config()
    config.limits = {"response_timeout": "1s"}
    p = w.start(config)
    with w.wire() as c:
        c.send(request("POST", ODD + "/upload", auth=ALICE, fields=[("Content-Length", "10")], body=b"half"))
        own(c.answer(), 408, "timeout")
        closed(c)
    p.last(status=408, reason="timeout")


def test_a_switch_of_protocols_before_the_body_is_502(w):
    p = w.start()
    with w.wire() as c:
        c.send(request("POST", ODD + "/upgrade", auth=ALICE, fields=[("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Content-Length", "10")], body=b"half"))
        own(c.answer(), 502, "upstream")
        closed(c)
    p.last(status=502, reason="upstream")


def test_a_slow_head_is_408(w):
    config = w.config()
    config.limits = {"client_header_timeout": "1s"}
    p = w.start(config)
    with w.wire() as c:
        c.send(b"GET http://odd.corp.test/echo HTTP/1.1\r\nHost: odd")
        with took(0.5, 5 * w.patience):
            own(c.answer(), 408, "timeout")
        closed(c)
    p.last(status=408)


def test_an_idle_connection_closes_after_keepalive_timeout_without_a_word(w):
    config = w.config()
    config.limits = {"keepalive_timeout": "1s"}
    w.start(config)
    with w.wire() as c:
        passed(c.ask("GET", ECHO, auth=ALICE))
        closed(c, 5 * w.patience)


def test_a_long_target_is_414(w):
    config = w.config()
    config.limits = {"uri_size": "1k"}
    p = w.start(config)
    own(ask(w, ODD + "/echo?" + "x" * 1500, auth=ALICE), 414, "malformed")
    p.last(status=414, reason="malformed")


def test_a_large_head_is_431(w):
    config = w.config()
    config.limits = {"header_size": "4k"}
    w.start(config)
    answer, was_closed = raw(w, request("GET", ECHO, fields=[("X-Big", "y" * 5000)], auth=ALICE))
    own(answer, 431, "malformed")
    assert was_closed


def test_too_many_fields_are_431(w):
    config = w.config()
    config.limits = {"header_count": 20}
    w.start(config)
    own(ask(w, auth=ALICE, fields=[("X-%d" % n, "y") for n in range(30)]), 431, "malformed")


def test_a_large_head_within_the_limit_passes(w):
    w.start()
    passed(ask(w, auth=ALICE, fields=[("X-Big", "y" * 60000)]))


def test_an_unknown_transfer_coding_is_501(w):
    w.start()
    answer, was_closed = raw(w, request("POST", ODD + "/upload", fields=[("Transfer-Encoding", "gzip, chunked")], auth=ALICE))
    own(answer, 501, "malformed")
    assert was_closed


def test_http_2_in_clear_is_505(w):
    w.start()
    for data in (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET http://odd.corp.test/ HTTP/2.0\r\nHost: odd.corp.test\r\n\r\n",
                 b"GET http://odd.corp.test/ HTTP/3.0\r\nHost: odd.corp.test\r\n\r\n"):
        answer, was_closed = raw(w, data)
        expect(answer, 505)
        assert was_closed


def test_malformed_requests_are_400_and_close(w):
    p = w.start()
    h = b"Host: odd.corp.test\r\nProxy-Authorization: " + ALICE.encode() + b"\r\n"
    for data in (
            b"GET\r\n\r\n",
            b"GET http://odd.corp.test/echo\r\n\r\n",
            b"G\x01T http://odd.corp.test/ HTTP/1.1\r\n" + h + b"\r\n",
            b"GET http://odd.corp.test/\x00 HTTP/1.1\r\n" + h + b"\r\n",
            b"GET http://odd.corp.test/ HTTP/1.1\r\n" + h + b"X-Nul: a\x00b\r\n\r\n",
            b"GET http://odd.corp.test/ HTTP/1.1\r\n" + h + b"X-Space : a\r\n\r\n",
            b"GET http://odd.corp.test/ HTTP/1.1\r\n" + h + b"X-Fold: a\r\n b\r\n\r\n",
            b"GET http://odd.corp.test/ HTTP/1.1\r\n" + h + b"X-Bare: a\rb\r\n\r\n",
            b"GET http://odd.corp.test/ HTTP/1.1\r\n" + h + b"no colon here\r\n\r\n",
            b"POST http://odd.corp.test/upload HTTP/1.1\r\n" + h + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST http://odd.corp.test/upload HTTP/1.1\r\n" + h + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            b"POST http://odd.corp.test/upload HTTP/1.1\r\n" + h + b"Content-Length: -5\r\n\r\n",
            b"POST http://odd.corp.test/upload HTTP/1.1\r\n" + h + b"Content-Length: 0x5\r\n\r\nhello",
            b"POST http://odd.corp.test/upload HTTP/1.1\r\n" + h + b"Content-Length: 99999999999999999999\r\n\r\n",
            b"CONNECT odd.corp.test HTTP/1.1\r\n" + h + b"\r\n",
            b"CONNECT odd.corp.test:0 HTTP/1.1\r\n" + h + b"\r\n",
            b"CONNECT odd.corp.test:99999 HTTP/1.1\r\n" + h + b"\r\n",
            b"CONNECT http://odd.corp.test/ HTTP/1.1\r\n" + h + b"\r\n",
            b"GET /echo HTTP/1.1\r\n" + h + b"\r\n",
            b"GET ftp://odd.corp.test/echo HTTP/1.1\r\n" + h + b"\r\n",
            b"GET http:///echo HTTP/1.1\r\n" + h + b"\r\n",
            b"GET http://odd.corp.test/ HTTP/1.1\r\n" + h + b"Host: other.corp.test\r\n\r\n",
            b"GET http://odd.corp.test/ HTTP/1.1\r\n" + h + b"Connection: Host\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40 + b"\r\n\r\n"):
        answer, was_closed = raw(w, data)
        own(answer, 400, "malformed")
        assert was_closed, data
    assert not w.odd.heads, "nothing malformed is forwarded: %r" % w.odd.heads
    p.last(status=400, reason="malformed")


def test_a_bad_chunk_in_a_request_body_ends_the_connection(w):
    w.start()
    for bad in (b"zz\r\nhello\r\n", b"5\r\nhelloXX", b"fffffffffffffffff\r\n", b"5;" + b"x" * 100000):
        with w.wire() as c:
            try:
                c.send(request("POST", ODD + "/upload", fields=[("Transfer-Encoding", "chunked")], body=bad, auth=ALICE))
                answer = c.answer()
                assert answer.status in (400, 502), answer
            except (Gone, OSError):
                pass
    passed(ask(w, auth=ALICE))


def test_pages_are_for_people_and_text_for_programs(w):
    w.start()
    answer = own(ask(w, fields=[("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")]), 407, "no_credentials")
    assert answer.get("Content-Type").startswith("text/html") and b"<html" in answer.body.lower(), answer.body
    answer = own(ask(w, fields=[("Accept", "text/plain")]), 407, "no_credentials")
    assert answer.get("Content-Type").startswith("text/plain") and b"<" not in answer.body, answer.body
    answer = own(ask(w), 407, "no_credentials")
    assert answer.get("Content-Type").startswith("text/plain")


def test_a_page_cannot_be_made_to_carry_markup(w):
    w.start()
    answer = ask(w, "http://%3Cscript%3Ealert(1)%3C.corp.test/<script>alert(1)</script>", auth=ALICE, fields=[("Accept", "text/html")])
    assert b"<script" not in answer.body.lower(), answer.body
    answer = ask(w, "http://nowhere.corp.test/%22><script>x</script>", auth=ALICE, fields=[("Accept", "text/html")])
    assert b"<script" not in answer.body.lower(), answer.body


def test_each_refusal_carries_the_id_of_its_log_line(w):
    p = w.start()
    answer = own(ask(w), 407, "no_credentials")
    identity = p.last(status=407)["id"]
    assert identity and identity in answer.get("Proxy-Status"), (identity, answer.get("Proxy-Status"))
    assert identity in answer.body.decode()


def test_own_answers_name_the_proxy_in_proxy_status(w):
    w.start()
    assert ask(w).get("Proxy-Status").startswith("sallyport;"), ask(w).get("Proxy-Status")


def test_the_answer_to_another_request_waits_for_nobody(w):
    """A slow origin holds up its own client only."""
    w.start()
    with w.wire() as slow:
        slow.send(request("GET", ODD + "/slow?1", auth=ALICE))
        with took(at_most=0.7 * w.patience):
            passed(ask(w, auth=ALICE))
        passed(slow.answer())


def test_max_connections_are_kept(w):
    config = w.config()
    config.limits = {"max_connections": 10}
    w.start(config)
    wires = [w.wire() for _ in range(10)]
    for c in wires:
        passed(c.ask("GET", ECHO, auth=ALICE))
    try:
        extra = w.wire()
        extra.send(request("GET", ECHO, auth=ALICE))
        answer = extra.answer()
        assert answer.status == 503, answer
    except (Gone, OSError):
        pass
    passed(wires[0].ask("GET", ECHO, auth=ALICE))
    for c in wires:
        c.close()
    time.sleep(0.3)
    passed(ask(w, auth=ALICE))


def test_max_forwards_zero_is_answered_here(w):
    w.start()
    answer = ask(w, ODD + "/", auth=ALICE, method="OPTIONS", fields=[("Max-Forwards", "0")])
    assert answer.get("Proxy-Status") and not w.odd.heads, answer
    ask(w, ODD + "/echo", auth=ALICE, method="OPTIONS", fields=[("Max-Forwards", "5")])
    assert ("max-forwards", "4") in w.odd.fields()


def test_a_request_that_has_been_here_before_is_refused(w):
    w.start()
    answer = ask(w, auth=ALICE, fields=[("Via", "1.1 sallyport")])
    assert answer.status >= 400 and not w.odd.heads, answer
