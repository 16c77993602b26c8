"""Messages of which two readers could make different things. A client's: 400, in words, and the connection closes; nothing of
them, and nothing behind them, reaches an origin. An origin's: 502, and its connection is not used again.

The whole list stands in tests/unit/http/test_ambiguities.c; here is one of each kind, on the wire.
"""

import json
import time

from common import ALICE, ECHO, Gone, ask, closed, expect, own, passed, request
from test_hostile import FORGED, ODD, Rogue, unharmed
from test_why import id_of, why

AUTH = b"Proxy-Authorization: " + ALICE.encode() + b"\r\n"
LINE = b"POST http://odd.corp.test/echo?first HTTP/1.1\r\n"
HOST = b"Host: odd.corp.test\r\n"
HEAD = LINE + HOST + AUTH


def to(line):
    return line + b"\r\n" + HOST + AUTH + b"\r\n"


# what is sent, the status, words of the page and of Proxy-Status
REQUESTS = [
    (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "together"),
    (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400, "together"),
    (HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, "chunked"),
    (HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, "last"),
    (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "coding"),
    (HEAD + b"Transfer-Encoding: identity\r\n\r\n", 501, "coding"),
    (HEAD + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400, "colon"),
    (HEAD + b"Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "underscore"),
    (HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400, "folded"),
    (HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "1.0"),
    (HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400, "Content-Length"),
    (HEAD + b"Content-Length: 5, 5\r\n\r\nhello", 400, "Content-Length"),
    (HEAD + b"Content-Length: +5\r\n\r\nhello", 400, "Content-Length"),
    (HEAD + b"Content-Length: 0x5\r\n\r\nhello", 400, "Content-Length"),
    (HEAD + b'Content-Length: "5"\r\n\r\nhello', 400, "Content-Length"),
    (HEAD + b"Content-Length: 5;\r\n\r\nhello", 400, "Content-Length"),
    (HEAD + b"Content-Length: 18446744073709551621\r\n\r\nhello", 400, "Content-Length"),
    (LINE + b" Content-Length: 5\r\n" + HOST + AUTH + b"\r\nhello", 400, "folded"),
    (HEAD + b"Content-Length: 5\r\nExpect: y 100-continue\r\n\r\nhello", 400, "Expect"),
    (HEAD + b"X: y\nTransfer-Encoding: chunked\r\n\r\n", 400, "bare LF"),
    (HEAD + b"X: y\rTransfer-Encoding: chunked\r\n\r\n", 400, "bare CR"),
    (HEAD + b"X: y\r\n\rX", 400, "field"),
    (HEAD + b"X: y\r\n\n", 400, "bare LF"),
    (HEAD + b"X: \0\r\n\r\n", 400, "control"),
    (HEAD + b"X: \x1b[31m<script>\r\n\r\n", 400, "control"),
    (HEAD + b": y\r\n\r\n", 400, "token"),
    (HEAD + b"\xc3\xb6: y\r\n\r\n", 400, "token"),
    (HEAD + HOST + b"\r\n", 400, "Host is repeated"),
    (LINE + AUTH + b"\r\n", 400, "no Host"),
    (LINE + b"Host: a, b\r\n" + AUTH + b"\r\n", 400, "Host"),
    (HEAD + AUTH + b"\r\n", 400, "Proxy-Authorization is repeated"),
    (HEAD + b"Connection: host\r\n\r\n", 400, "Connection names"),
    (HEAD + b"Connection: close, content-length\r\nContent-Length: 0\r\n\r\n", 400, "Connection names"),
    (HEAD + b"Connection: authorization\r\n\r\n", 400, "Connection names"),
    (HEAD + b"Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "Connection names"),
    (HEAD + b"Connection: proxy-authorization\r\n\r\n", 400, "Connection names"),
    (to(b"GET http://odd.corp.test/echo?first"), 400, "HTTP/0.9"),
    (to(b"GET http://odd.corp.test/echo?first HTTP/0.9"), 400, "HTTP/1.0"),
    (to(b"GET http://odd.corp.test/echo?first http/1.1"), 400, "version"),
    (to(b"GET http://odd.corp.test/echo?first HTTP/2.0"), 505, "HTTP/2"),
    (to(b"GET  http://odd.corp.test/echo?first HTTP/1.1"), 400, "space"),
    (to(b"G\x01T http://odd.corp.test/echo?first HTTP/1.1"), 400, "method"),
    (to(b"GET http://odd.corp.test/echo?first\x07 HTTP/1.1"), 400, "percent-encoded"),
    (to(b"GET http://odd.corp.test/echo?first\xff HTTP/1.1"), 400, "percent-encoded"),
    (to(b"GET http://odd.corp.test/echo?first\0 HTTP/1.1"), 400, "percent-encoded"),
    (to(b"GET http://odd.corp.test/echo?first#f HTTP/1.1"), 400, "fragment"),
    (to(b"GET http://me:s3cret@odd.corp.test/echo?first HTTP/1.1"), 400, "userinfo"),
    (to(b"GET http://odd.corp.test\\@evil/echo?first HTTP/1.1"), 400, "userinfo"),
    (to(b"GET http://odd.corp.test:0/echo?first HTTP/1.1"), 400, "port"),
    (to(b"GET http://:80/echo?first HTTP/1.1"), 400, "host"),
    (to(b"GET https://odd.corp.test/echo?first HTTP/1.1"), 400, "CONNECT"),
    (to(b"GET gopher://odd.corp.test/echo?first HTTP/1.1"), 400, "scheme"),
    (to(b"GET /echo?first HTTP/1.1"), 400, "this is a proxy"),
    (to(b"CONNECT odd.corp.test HTTP/1.1"), 400, "port"),
    (to(b"CONNECT odd.corp.test:99999 HTTP/1.1"), 400, "port"),
    (to(b"CONNECT odd.corp.test:443/path HTTP/1.1"), 400, "path"),
    (to(b"CONNECT :443 HTTP/1.1"), 400, "host"),
    (b"CONNECT odd.corp.test:443 HTTP/1.1\r\n" + HOST + AUTH + b"Content-Length: 5\r\n\r\nhello", 400, "body"),
    (b"\n" + to(b"GET http://odd.corp.test/echo?first HTTP/1.1"), 400, "LF"),
    (b"\r" + to(b"GET http://odd.corp.test/echo?first HTTP/1.1"), 400, "CR"),
]


def test_ambiguous_requests_are_refused_in_words_and_nothing_of_them_goes_on(w):
    p = w.start()
    smuggled = request("GET", ODD + "/echo?smuggled", auth=ALICE)
    with unharmed(w, p):
        w.odd.mark()
        for data, status, words in REQUESTS:
            with w.wire() as c:
                c.send(data + smuggled)
                answer = own(c.answer(), status, words)
                assert words in answer.body.decode("ascii"), (data, answer.body)      # for whoever reads it; and ASCII alone
                assert not [b for b in answer.head + answer.body if b < 32 and b not in b"\r\n"], (data, answer.body)
                assert answer.get("Connection") == "close" and not c.read_to_end(), data
    assert not [head for _, head in w.odd.heads if b"first" in head or b"smuggled" in head]
    assert p.last(status=505)["reason"] == "malformed"
    p.line(len(REQUESTS))
    bad = [line for line in p.lines() if line["reason"] == "malformed"]
    assert len(bad) == len(REQUESTS), len(bad)
    assert not any("s3cret" in json.dumps(line) or ALICE in json.dumps(line) for line in bad)


def test_whoever_asks_why_is_told_what_was_wrong(w):
    p = w.start()
    for data, said in ((HEAD + b"X : y\r\n\r\n", "space before the colon of a field"), (HEAD + HOST + b"\r\n", "Host is repeated"),
                       (to(b"GET http://h/\x1b[2J<script> HTTP/1.1"), "a byte in the target that must be percent-encoded")):
        with w.wire() as c:
            c.send(data)
            one = why(w, p, id_of(own(c.answer(), 400, said)))[-1]
            assert (one["status"], one["reason"], one["why"]) == (400, "malformed", said), one
    with Rogue(lambda sock, head: sock.sendall(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab")) as origin:
        one = why(w, p, id_of(own(ask(w, origin.url, auth=ALICE), 502, "upstream")))[-1]
        assert one["reason"] == "upstream" and "Content-Length twice" in one["why"], one


def test_hostile_bytes_do_not_reach_the_log_as_they_are(w):
    for form in ("json", "squid", "combined"):
        config = w.config()
        config.log["format"] = form
        p = w.start(config)
        with w.wire() as c:
            c.send(b"G\x1b]0;T http://h/\x1b[2J HTTP/1.1\r\n\r\n")
            expect(c.answer(), 400)
        with w.wire() as c:
            c.send(b"GET http://h/\x1b[2J\x07\xff\"\\ HTTP/1.1\r\nHost: h\r\n\r\n")
            expect(c.answer(), 400)
        p.stop()
        said = p.everything()
        said = said.encode("utf-8", "surrogateescape") if isinstance(said, str) else said
        assert b"h/" in said, said
        assert not [b for b in said if b in b"\x1b\x07\xff"], said


def test_requests_that_only_look_odd_pass_as_they_were_understood(w):
    w.start()
    for line, fields, there in (
            (b"GET HTTP://ODD.corp.test:80/echo?a HTTP/1.1", b"Host: odd.corp.test:80\r\n", b"GET /echo?a HTTP/1.1\r\nHost: odd.corp.test\r\n"),
            (b"GET http://odd.corp.test/echo?b HTTP/1.2", b"Host: other\r\n", b"GET /echo?b HTTP/1.1\r\nHost: odd.corp.test\r\n"),
            (b"GET http://odd.corp.test./echo?c HTTP/1.0", b"", b"GET /echo?c HTTP/1.1\r\nHost: odd.corp.test\r\n"),
            (b"GET http://odd.corp.test/echo?d HTTP/1.1", b"host:odd.corp.test \r\ncOnTeNt-LeNgTh: \t000 \r\n", b"Content-Length: 0\r\n"),
            (b"GET http://odd.corp.test/echo?e\\%0d%0a HTTP/1.1", HOST, b"GET /echo?e\\%0d%0a HTTP/1.1\r\n")):
        with w.wire() as c:
            c.send(b"\r\n" + line + b"\r\n" + fields + AUTH + b"\r\n")
            assert there in passed(c.answer()).body, line


# ---- origins ----

OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = [
    (OK + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "together"),
    (OK + b"Content-Length: 6\r\nContent-Length: 6\r\n\r\nforged", "Content-Length"),
    (OK + b"Content-Length: 6, 6\r\n\r\nforged", "Content-Length"),
    (OK + b"Content-Length: +6\r\n\r\nforged", "Content-Length"),
    (OK + b"Content-Length: 18446744073709551622\r\n\r\nforged", "Content-Length"),
    (OK + b"Content_Length: 6\r\n\r\nforged", "underscore"),
    (OK + b"Transfer-Encoding: chunked, gzip\r\n\r\nforged", "last"),
    (OK + b"Transfer-Encoding: gzip\r\n\r\nforged", "coding"),
    (OK + b"Transfer-Encoding: identity\r\n\r\nforged", "coding"),
    (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "1.0"),
    (b"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", "status"),
    (b"HTTP/1.1 99 OK\r\nContent-Length: 0\r\n\r\n", "status"),
    (b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n", "status"),
    (b"HTTP/1.1 200 O\x1bK\r\nContent-Length: 0\r\n\r\n", "control"),
    (b"HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/2 or later"),
    (b"\r\n" + OK + b"Content-Length: 0\r\n\r\n", "empty line"),
    (b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "announces a body"),
    (b"HTTP/1.1 205 No\r\nContent-Length: 6\r\n\r\nforged", "announces a body"),
    (b"HTTP/1.1 103 Hints\r\nContent-Length: 6\r\n\r\nforged" + OK + b"\r\n", "announces a body"),
    (b"HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 6\r\n\r\nforged", "407"),
    (OK + b"Set-Cookie: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n", "bare CR"),
    (OK + b"Set-Cookie: a\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n", "bare LF"),
    (OK + b"X : y\r\nContent-Length: 0\r\n\r\n", "colon"),
    (OK + b"Connection: set-cookie\r\nContent-Length: 0\r\n\r\n", "Connection names"),
    (b"HTTP/1.1 101 Switch\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nforged", "without having been asked"),
]


def test_ambiguous_answers_are_502_in_words_and_their_connection_is_not_used_again(w):
    p = w.start()
    with unharmed(w, p):
        for data, words in ANSWERS:
            with Rogue(lambda sock, head: sock.sendall(data)) as origin, w.wire() as c:
                for connections in (1, 2):
                    answer = own(c.ask("GET", origin.url, auth=ALICE), 502, words)
                    assert words in answer.body.decode("ascii") and not answer.challenges, (data, answer.body)
                    assert origin.connections == connections, data
                passed(c.ask("GET", ECHO, auth=ALICE))


def test_a_switch_to_what_was_not_offered_is_502(w):
    p = w.start()
    asked = [("Connection", "upgrade"), ("Upgrade", "websocket")]
    with unharmed(w, p):
        for fields in (b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"Connection: upgrade\r\nUpgrade: websocket, other\r\n",
                       b"Connection: upgrade\r\n", b"Upgrade: websocket\r\n", b""):
            def behave(sock, head):
                sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\nframes")
                return "close"
            with Rogue(behave) as origin, w.wire() as c:
                own(c.ask("GET", origin.url, auth=ALICE, fields=asked), 502, "switched")


def test_interim_answers_without_end_are_502(w):
    p = w.start()
    flood = b"HTTP/1.1 102 Processing\r\n\r\n"
    for count, status in ((200, 200), (2000, 502)):
        def behave(sock, head):
            sock.sendall(flood * count + OK + b"Content-Length: 2\r\n\r\nok")
            return "close"
        for version in ("HTTP/1.1", "HTTP/1.0"):
            with Rogue(behave) as origin, unharmed(w, p), w.wire() as c:
                interim = []
                c.send(request("GET", origin.url, auth=ALICE, version=version))
                expect(c.answer(interim=interim), status)
                assert len(interim) <= 256 and (version == "HTTP/1.1" or not interim), len(interim)


def test_an_answer_may_name_its_transfer_encoding_in_connection(w):
    """As the answers of large networks of servers do."""
    w.start()
    data = OK + b"Transfer-Encoding: chunked\r\nConnection: keep-alive\r\nConnection: Transfer-Encoding\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    with Rogue(lambda sock, head: sock.sendall(data)) as origin, w.wire() as c:
        for _ in range(2):
            answer = passed(c.ask("GET", origin.url, auth=ALICE))
            assert answer.body == b"ok" and answer.get("Connection") is None, answer.head
        assert origin.connections == 1


def test_chunks_of_an_answer_that_are_none_cut_it_off(w):
    p = w.start()
    good = b"2\r\nok\r\n"
    with unharmed(w, p):
        for bad in (b"2\nok\r\n", b"2\r\nokay\r\n", b"+2\r\nok\r\n", b"0x2\r\nok\r\n", b"2 \r\nok\r\n", b"2;\r\nok\r\n", b"2;a\nb\r\nok\r\n",
                    b"2\r\nok\n", b"10000000000000002\r\nok\r\n", b"0\r\nX : y\r\n\r\n", b"0\r\n X: y\r\n\r\n", b"0\n\n", b"\r\n0\r\n\r\n"):
            def behave(sock, head):
                sock.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n" + good + bad + FORGED)
                time.sleep(0.02)
            with Rogue(behave) as origin, w.wire() as c:
                c.send(request("GET", origin.url, auth=ALICE))
                try:
                    whole = c.answer()
                    raise AssertionError("taken for whole: %r %r" % (bad, whole.body))
                except (Gone, ValueError):
                    pass
                closed(c)
