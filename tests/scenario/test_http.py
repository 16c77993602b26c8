"""Forwarding: what is passed on, what is taken out, and how connections are kept."""

import hashlib
import os
import threading
import time
from email.utils import parsedate_to_datetime

from common import ALICE, BOB, ECHO, Gone, ask, basic, challenged, closed, expect, login, own, passed, request, stays_open, took
from test_hostile import Rogue

ODD = "http://odd.corp.test"


def test_many_requests_go_over_one_connection(w):
    w.start()
    with w.wire() as c:
        for _ in range(20):
            passed(c.ask("GET", ECHO, auth=ALICE))


def test_upstream_connections_are_reused(w):
    w.start()
    numbers = set()
    with w.wire() as c:
        for _ in range(5):
            numbers.add(passed(c.ask("GET", ECHO, auth=ALICE)).get("X-Connection"))
    numbers.add(passed(ask(w, auth=BOB)).get("X-Connection"))
    assert len(numbers) == 1, numbers


def test_an_upstream_connection_is_reused_after_a_long_body(w):
    w.start()
    w.odd.mark()
    with w.wire() as c:
        for _ in range(3):
            assert len(passed(c.ask("GET", ODD + "/bytes?400000", auth=ALICE)).body) == 400000
    assert len({number for number, _ in w.odd.heads}) == 1, [number for number, _ in w.odd.heads]


def test_an_upstream_connection_that_closed_is_replaced_without_an_error(w):
    w.start()
    with w.wire() as c:
        for _ in range(5):
            assert passed(c.ask("GET", ODD + "/once", auth=ALICE)).body == b"once"
            time.sleep(0.05)


def test_pipelined_requests_are_answered_in_order(w):
    w.start()
    paths = ["/slow?0.2", "/echo?1", "/chunked", "/status?204", "/echo?2", "/bytes?70000", "/echo?3"]
    with w.wire() as c:
        c.send(b"".join(request("GET", ODD + path, auth=ALICE) for path in paths))
        answers = [c.answer() for _ in paths]
    assert answers[0].body == b"at last"
    assert b"GET /echo?1 " in answers[1].body and b"GET /echo?2 " in answers[4].body and b"GET /echo?3 " in answers[6].body
    assert answers[2].body == b"first second third" and answers[3].status == 204 and len(answers[5].body) == 70000


def test_pipelined_requests_behind_a_407_are_answered_too(w):
    w.start()
    with w.wire() as c:
        c.send(request("GET", ECHO) + request("GET", ECHO, auth=ALICE) + request("GET", ECHO))
        challenged(c.answer())
        passed(c.answer())
        challenged(c.answer())


def test_an_http_1_0_client_is_served_and_closed(w):
    w.start()
    with w.wire() as c:
        answer = passed(c.ask("GET", ECHO, auth=ALICE, version="HTTP/1.0"))
        assert "chunked" not in answer.get("Transfer-Encoding", "")
        closed(c)


def test_an_http_1_0_client_may_ask_for_keep_alive(w):
    w.start()
    with w.wire() as c:
        for _ in range(2):
            answer = passed(c.ask("GET", ECHO, auth=ALICE, version="HTTP/1.0", fields=[("Proxy-Connection", "keep-alive")]))
            assert answer.get("Connection", "").lower() == "keep-alive" or answer.get("Proxy-Connection"), answer.head
            if not c.is_quiet(0.1):
                raise AssertionError("closed")


def test_a_chunked_answer_reaches_an_http_1_0_client_unchunked(w):
    w.start()
    with w.wire() as c:
        answer = passed(c.ask("GET", ODD + "/chunked", auth=ALICE, version="HTTP/1.0"))
        assert answer.body == b"first second third", answer.body


def test_connection_close_is_kept(w):
    w.start()
    with w.wire() as c:
        answer = passed(c.ask("GET", ECHO, auth=ALICE, fields=[("Connection", "close")]))
        assert answer.get("Connection") == "close"
        closed(c)


def test_head_204_and_304_have_no_body(w):
    w.start()
    with w.wire() as c:
        answer = passed(c.ask("HEAD", ODD + "/bytes?5000", auth=ALICE))
        assert answer.get("Content-Length") == "5000"
        expect(c.ask("GET", ODD + "/status?204", auth=ALICE), 204)
        expect(c.ask("GET", ODD + "/status?304", auth=ALICE), 304)
        passed(c.ask("HEAD", ODD + "/chunked", auth=ALICE))
        passed(c.ask("GET", ECHO, auth=ALICE))


def test_a_407_to_head_has_no_body(w):
    w.start()
    with w.wire() as c:
        c.send(request("HEAD", ECHO))
        challenged(c.answer("HEAD"))
        stays_open(c)
        passed(c.ask("GET", ECHO, auth=ALICE))


def test_chunked_bodies_and_trailers_pass_both_ways(w):
    w.start()
    with w.wire() as c:
        body = b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: end\r\n\r\n"
        c.send(request("POST", ODD + "/upload", fields=[("Transfer-Encoding", "chunked"), ("Trailer", "X-Trailer")], body=body, auth=ALICE))
        said = passed(c.answer()).body.decode()
        assert said.startswith(hashlib.sha256(b"hello world").hexdigest() + " 11 chunked"), said
        assert "X-Trailer: end" in said, said
        answer = passed(c.ask("GET", ODD + "/chunked", auth=ALICE, fields=[("TE", "trailers"), ("Connection", "TE")]))
        assert answer.body == b"first second third" and ("X-Sum", "abc123") in answer.trailers, (answer.body, answer.trailers)


def test_a_body_until_close_is_passed_whole(w):
    w.start()
    for path, body in (("/until-close", b"all until the end"), ("/old", b"an old server")):
        with w.wire() as c:
            assert passed(c.ask("GET", ODD + path, auth=ALICE)).body == body


def test_expect_100_continue_is_passed_through(w):
    w.start()
    with w.wire() as c:
        interim = []
        c.send(request("POST", ODD + "/upload", fields=[("Content-Length", "5"), ("Expect", "100-continue")], auth=ALICE))
        first = c.head()
        assert first.status == 100, first
        c.send(b"hello")
        assert b" 5 length" in passed(c.answer()).body


def test_expect_100_continue_without_credentials_gets_407_and_no_100(w):
    w.start()
    with w.wire() as c:
        c.send(request("POST", ODD + "/upload", fields=[("Content-Length", "5000"), ("Expect", "100-continue")]))
        challenged(c.head())


def test_early_hints_pass_to_1_1_and_not_to_1_0(w):
    w.start()
    with w.wire() as c:
        interim = []
        c.send(request("GET", ODD + "/hints", auth=ALICE))
        assert passed(c.answer(interim=interim)).body == b"after hints"
        assert [i.status for i in interim] == [103], interim
    with w.wire() as c:
        interim = []
        c.send(request("GET", ODD + "/hints", auth=ALICE, version="HTTP/1.0"))
        assert passed(c.answer(interim=interim)).body == b"after hints" and not interim


def test_an_unread_body_is_drained_and_the_connection_stays(w):
    w.start()
    with w.wire() as c:
        body = os.urandom(300000)
        c.send(request("POST", ODD + "/upload", fields=[("Content-Length", str(len(body)))], body=body))
        challenged(c.answer())
        c.send(request("POST", ODD + "/upload", fields=[("Content-Length", str(len(body)))], body=body, auth=ALICE))
        assert hashlib.sha256(body).hexdigest().encode() in passed(c.answer()).body


def test_a_larger_unread_body_closes_the_connection_after_the_answer(w):
    w.start()
    with w.wire() as c:
        c.send(request("POST", ODD + "/upload", fields=[("Content-Length", str(50 << 20))]))
        sender = threading.Thread(target=push, args=(c, 4 << 20), daemon=True)
        sender.start()
        challenged(c.answer())
        sender.join(20)
        assert not sender.is_alive(), "nobody read on and nobody closed"
        closed(c)


def push(c, size):
    try:
        c.socket.sendall(b"x" * size)
    except OSError:
        pass


def test_large_bodies_pass_both_ways_in_bounded_memory(w):
    p = w.start()
    passed(ask(w, auth=ALICE))
    size, bound = 100 << 20, (48 if w.patience == 1 else 400) * 1024
    before = p.memory_kib()
    digest, left = hashlib.sha256(), size
    filling = w.odd.filling
    expected = hashlib.sha256()
    for _ in range(size // len(filling)):
        expected.update(filling)
    with w.wire(seconds=60) as c:
        c.send(request("GET", ODD + "/bytes?%d" % size, auth=ALICE))
        passed(c.head())
        while left:
            part = c.read(min(left, 1 << 20))
            digest.update(part)
            left -= len(part)
        assert digest.digest() == expected.digest()
        assert p.memory_kib() - before < bound, "down: grew by %d KiB" % (p.memory_kib() - before)
        c.send(request("POST", ODD + "/upload", fields=[("Content-Length", str(size))], auth=ALICE))
        for _ in range(size // len(filling)):
            c.socket.sendall(filling)
        assert expected.hexdigest().encode() in passed(c.answer()).body
    assert p.memory_kib() - before < bound, "up: grew by %d KiB" % (p.memory_kib() - before)


def test_a_slow_reader_does_not_fill_the_memory(w):
    p = w.start()
    passed(ask(w, auth=ALICE))
    before = p.memory_kib()
    with w.wire() as c:
        c.send(request("GET", ODD + "/bytes?%d" % (200 << 20), auth=ALICE))
        passed(c.head())
        time.sleep(1.5)
        assert p.memory_kib() - before < 48 * 1024 * (1 if w.patience == 1 else 6), p.memory_kib() - before
        passed(ask(w, auth=BOB))


def test_an_upgrade_is_passed_through(w):
    w.start()
    with w.wire() as c:
        answer = c.ask("GET", ODD + "/upgrade", auth=ALICE, fields=[("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "x")])
        expect(answer, 101)
        assert answer.get("Upgrade") == "websocket" and "upgrade" in answer.get("Connection", "").lower()
        c.send(b"frames there and back")
        assert c.read(21) == b"frames there and back"
    assert ("sec-websocket-key", "x") in w.odd.fields()


def test_hop_by_hop_fields_are_taken_out_both_ways(w):
    w.start()
    answer = passed(ask(w, auth=ALICE, fields=[("Connection", "X-Mine, keep-alive"), ("X-Mine", "1"), ("Keep-Alive", "300"), ("Proxy-Connection", "keep-alive"),
                                               ("TE", "trailers"), ("X-Other", "2"), ("Proxy-Foo", "3")]))
    fields = dict(w.odd.fields())
    for gone in ("x-mine", "keep-alive", "proxy-connection", "proxy-authorization"):
        assert gone not in fields, (gone, fields)
    assert fields["x-other"] == "2"
    answer = passed(ask(w, ODD + "/hop", auth=ALICE))
    assert answer.get("X-Public") == "1" and answer.get("X-Private") is None and answer.get("Keep-Alive") is None, answer.head
    assert not answer.challenges, "an origin cannot make the client give its proxy password to it"


def test_an_answer_without_a_date_is_given_the_time_it_came(w):
    w.start()
    before = int(time.time())
    date = parsedate_to_datetime(passed(ask(w, auth=ALICE)).get("Date")).timestamp()
    assert before <= date <= time.time(), (before, date)


def test_via_is_added_and_host_made_from_the_target(w):
    w.start()
    answer = passed(ask(w, auth=ALICE, host="elsewhere.example", fields=[("Via", "1.0 before")]))
    fields = w.odd.fields()
    assert [v for n, v in fields if n == "host"] == ["odd.corp.test"], fields
    via = ", ".join(v for n, v in fields if n == "via")
    assert via.startswith("1.0 before") and via.endswith("1.1 sallyport"), via
    assert "sallyport" in answer.get("Via", "")


def test_the_request_goes_on_in_origin_form(w):
    w.start()
    passed(ask(w, ODD + "/echo?a=b%20c&d", auth=ALICE))
    assert w.odd.last_head().startswith(b"GET /echo?a=b%20c&d HTTP/1.1\r\n")
    passed(ask(w, "http://odd.corp.test:80/echo", auth=ALICE))


def test_options_with_an_empty_path_goes_on_as_asterisk(w):
    w.start()
    ask(w, ODD, auth=ALICE, method="OPTIONS")
    assert w.odd.last_head().startswith(b"OPTIONS * HTTP/1.1\r\n"), w.odd.last_head()


def test_proxy_authorization_never_leaves(w):
    w.start()
    passed(ask(w, auth=ALICE))
    own(ask(w, auth=ALICE, fields=[("Connection", "Proxy-Authorization")]), 400, "malformed")
    passed(ask(w, auth=w.initiator("alice").value()))
    with w.wire() as c:
        c.ask("GET", ECHO)
        passed(c.ask("GET", ECHO, auth=ALICE))
    assert w.odd.heads and all(b"proxy-auth" not in head.lower() and b"Basic" not in head for _, head in w.odd.heads)
    status, _, _ = w.curl("-U", "alice:Alice-Pass-17", w.url("/", "origin"))
    assert status == 0
    assert all(entry[4] == "-" for entry in w.origin.requests()), w.origin.requests()


def test_the_clients_own_authorization_goes_to_the_origin(w):
    w.start()
    answer = passed(ask(w, ODD + "/private", auth=ALICE, fields=[("Authorization", "Basic b3JpZ2luOnB3")]))
    assert answer.body == b"Basic b3JpZ2luOnB3"


def test_the_origins_401_passes_untouched(w):
    w.start()
    answer = expect(ask(w, ODD + "/private", auth=ALICE), 401)
    assert answer.get("WWW-Authenticate") == 'Basic realm="origin"' and answer.body == b"who are you"
    assert answer.get("Proxy-Support") is None


def test_an_origin_that_binds_by_ntlm_gets_a_connection_of_its_own(w):
    w.start()
    with w.wire() as one, w.wire() as two:
        answer = expect(one.ask("GET", ODD + "/ntlm", auth=ALICE), 401)
        assert answer.get("Proxy-Support") == "Session-Based-Authentication", answer.head
        assert answer.all("WWW-Authenticate") == ["NTLM", "Negotiate"]
        mine = answer.get("X-Connection")
        answer = passed(one.ask("GET", ODD + "/ntlm", auth=ALICE, fields=[("Authorization", "NTLM abc")]))
        assert answer.get("X-Connection") == mine, "the login went over another connection"
        for _ in range(3):
            other = expect(two.ask("GET", ODD + "/ntlm", auth=BOB), 401)
            assert other.get("X-Connection") != mine, "another client got the authenticated connection"
        answer = passed(one.ask("GET", ODD + "/ntlm", auth=ALICE))
        assert answer.get("X-Connection") == mine
    time.sleep(0.1)
    expect(ask(w, ODD + "/ntlm", auth=BOB), 401)


def test_an_upstream_that_may_know_somebody_is_lent_to_nobody_else(w):
    w.start()

    def behave(sock, head):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    for known_by in ([("Authorization", "Negotiate abcd")], [("Authorization", "Basic eDp5"), ("Authorization", "NTLM abcd")]):
        with Rogue(behave) as origin:
            with w.wire() as c:
                passed(c.ask("GET", origin.url, auth=ALICE, fields=known_by))
                passed(ask(w, origin.url, auth=BOB))
                assert origin.connections == 2, known_by
                passed(c.ask("GET", origin.url, auth=ALICE))
                passed(ask(w, origin.url, auth=BOB))
                assert origin.connections == 2, "each has its own"


def test_repeated_fields_stay_apart(w):
    w.start()
    assert passed(ask(w, ODD + "/cookies", auth=ALICE)).all("Set-Cookie") == ["a=1", "b=2"]


def test_as_many_fields_as_the_limit_allows_pass_both_ways(w):
    config = w.config()
    config.limits = {"header_count": 10000, "header_size": "64k"}
    w.start(config)
    few_bytes = b"".join(b"%c:\r\n" % (b"abcdefg"[n % 7]) for n in range(9000))

    def behave(sock, head):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + few_bytes + b"\r\nok")
    with Rogue(behave) as origin, w.wire() as c:
        c.send(b"GET %s HTTP/1.1\r\nHost: x\r\nProxy-Authorization: %s\r\n%s\r\n" % (origin.url.encode(), ALICE.encode(), few_bytes))
        answer = passed(c.answer())
        assert answer.body == b"ok" and len(answer.all("a")) == 9000 // 7 + 1
        assert origin.heads[0].lower().count(b"\na:") == 9000 // 7 + 1


def test_x_forwarded_for_is_left_alone_or_appended(w):
    p = w.start()
    passed(ask(w, auth=ALICE, source="10.99.0.2", fields=[("X-Forwarded-For", "192.0.2.1")]))
    assert [v for n, v in w.odd.fields() if n == "x-forwarded-for"] == ["192.0.2.1"]
    p.stop()
    config = w.config()
    config.forward = {"x_forwarded_for": True}
    w.start(config)
    passed(ask(w, auth=ALICE, source="10.99.0.2", fields=[("X-Forwarded-For", "192.0.2.1")]))
    said = ", ".join(v for n, v in w.odd.fields() if n == "x-forwarded-for")
    assert said == "192.0.2.1, 10.99.0.2", said


def test_ipv6_origins_are_reached(w):
    from sp_rig.odd_origin import OddOrigin
    w.start()
    passed(ask(w, "http://six.corp.test/echo", auth=ALICE))     # nothing listens at its IPv6 address: IPv4 serves


def test_an_address_that_never_answers_is_passed_over_quickly(w):
    w.start()
    with took(at_most=2.0 * w.patience):
        passed(ask(w, "http://halfdead.corp.test/echo", auth=ALICE))


def test_other_methods_pass(w):
    w.start()
    for method in ("PUT", "DELETE", "PATCH", "PROPFIND", "M-SEARCH"):
        passed(ask(w, auth=ALICE, method=method, fields=[("Content-Length", "0")]))
        assert w.odd.last_head().startswith(method.encode() + b" /echo ")


def test_curl_and_real_pages(w):
    p = w.start()
    status, out, err = w.curl("-U", "alice:Alice-Pass-17", w.url("/1k", "origin"))
    assert status == 0 and out == "k" * 1024, (status, err)
    status, out, err = w.curl("-U", "alice:Alice-Pass-17", w.url("/1k", "origin", "https"))
    assert status == 0 and out == "k" * 1024, (status, err)
    p.last(method="CONNECT", target="origin.corp.test:443", status=200, user="alice")


def test_curl_with_anyauth_takes_basic_where_only_that_is_offered(w):
    config = w.config()
    config.auth["negotiate"] = []
    config.listens = [("10.99.0.1:3128", {"offer": ["basic"]})]
    p = w.start(config)
    status, out, err = w.curl("--proxy-anyauth", "-U", "alice:Alice-Pass-17", w.url("/", "origin"))
    assert status == 0 and out == "the origin's page\n", (status, err)
    assert [r["status"] for r in (p.line(2) and p.lines())] == [407, 200]
