"""Origins that break off at every possible point: no client ever takes a part for the whole, and nothing of it stays."""

import contextlib
import signal
import threading
import time

from before import as_before, brief
from common import ALICE, Gone, expect, passed, request
from test_hostile import Rogue, reset

WHOLE = {
    "a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"hello", b"hello"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-Sum: 1\r\n\r\n", b"hello"),
    "until the end": (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"hello", None),
    "no body": (b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", b"", b""),
    "hints first": (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"hello", b"hello"),
}


def step(w):
    return 1 if w.patience == 1 else 5


def got(w, data):
    """The answer as the client has it: (status, body), or None where the connection broke off."""
    with w.wire() as c:
        c.send(data)
        try:
            answer = c.answer()
        except (Gone, ValueError):
            return None
        return answer.status, answer.body


def judge(name, at, by, head, body, content, answer):
    """What a client may see of an answer that breaks off after `at` bytes."""
    words = "%s, cut after %d of %d bytes by %s: %r" % (name, at, len(head + body), by, answer)
    if at < len(head):
        assert answer == (502, answer and answer[1]), words
    elif content is None and by == "FIN":
        assert answer == (200, body[:at - len(head)]), words        # its end is the only end there is
    elif at < len(head) + len(body) or content is None:
        assert answer is None or answer[0] == 502, words
    elif by == "FIN":
        assert answer is not None and answer[1] == content, words
    else:
        assert answer is None or answer[0] == 502 or answer[1] == content, words


def test_an_answer_cut_after_every_byte_is_never_taken_for_whole(w):
    p = w.start(brief(w))
    plan = []

    def behave(sock, head):
        data, by = plan.pop(0)
        sock.sendall(data)
        return reset(sock) if by == "RST" else "close"
    with Rogue(behave) as origin, as_before(w, p):
        for name, (head, body, content) in WHOLE.items():
            for by in ("FIN", "RST"):
                for at in list(range(0, len(head + body), step(w))) + [len(head + body)]:
                    plan[:] = [((head + body)[:at], by)]
                    judge(name, at, by, head, body, content, got(w, request("GET", origin.url, auth=ALICE)))
        assert origin.connections == len(origin.heads), "an answer that broke off was asked for again"


def test_an_answer_that_we_give_up_on_does_not_end_like_a_whole_one(w):
    """Its origin falls silent in the middle: after response_timeout, and at the end of a drain. An HTTP/1.0 client has nothing but
    the reset to tell it."""
    over = threading.Event()

    def behave(sock, head):
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n")
        over.wait()
        return "close"
    for ends_by_drain in (False, True):
        config = brief(w, response_timeout="1h" if ends_by_drain else "1s")
        config.top["shutdown_timeout"] = "500ms"
        p = w.start(config)
        with Rogue(behave) as origin, w.wire() as c:
            c.send(request("GET", origin.url, auth=ALICE, version="HTTP/1.0"))
            assert expect(c.head(), 200).version == "HTTP/1.1" and c.read(5) == b"short"
            if ends_by_drain:
                p.proc.send(signal.SIGTERM)
            try:
                raise AssertionError("ended like a whole one, behind %r" % c.read_to_end())
            except Gone:
                pass
        p.last(status=200, reason="timeout")
        assert p.stop() == 0
        w._proxies.remove(p)
    over.set()


def test_an_origin_that_closes_before_it_was_asked_is_502(w):
    """After the connect, before a byte of the request was read: by FIN and by RST."""
    p = w.start(brief(w))
    with as_before(w, p):
        for by_reset in (False, True):
            def behave(sock, head):
                if by_reset:
                    reset(sock)
                sock.close()
            with Rogue(behave, at_once=True) as origin:
                for method, fields, body in (("GET", [], b""), ("POST", [("Content-Length", "5")], b"hello")):
                    answer = got(w, request(method, origin.url, auth=ALICE, fields=fields, body=body))
                    assert answer is not None and answer[0] == 502, (method, by_reset, answer)
                with w.wire() as c:
                    c.send(request("CONNECT", origin.authority, auth=ALICE))
                    with contextlib.suppress(Gone):
                        if c.answer("CONNECT").status == 200:
                            assert not c.read_to_end()


def test_a_pooled_connection_that_ends_between_requests_fails_none(w):
    """At once after the answer, and a little later: when the next request is already on its way."""
    p = w.start(brief(w, workers=1))
    pause = [0]
    with as_before(w, p):
        for by_reset in (False, True):
            def behave(sock, head):
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if head.startswith(b"HEAD") else b"ok"))
                time.sleep(pause[0])
                return reset(sock) if by_reset else "close"
            with Rogue(behave) as origin, w.wire() as c:
                for n in range(60):
                    pause[0] = (n % 6) * 0.0005
                    method, fields = (("GET", []), ("POST", [("Content-Length", "0")]), ("HEAD", []))[n % 3]
                    answer = passed(c.ask(method, origin.url, auth=ALICE, fields=fields))
                    assert answer.body == (b"" if method == "HEAD" else b"ok")
                    time.sleep((n % 4) * 0.0005)


def test_an_origin_that_ends_during_an_upload_is_told_of(w):
    """Before it has read anything, and after some; with an answer first, and without one."""
    p = w.start(brief(w))
    size = 200000
    early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"
    plan = []

    def behave(sock, head):
        reads, answers, by = plan[0]
        while reads > 0:
            reads -= len(sock.recv(min(reads, 65536)))
        if answers:
            sock.sendall(early)
            time.sleep(0.02)
        return reset(sock) if by == "RST" else "close"
    with as_before(w, p):
        for reads in (0, 1, 50000, 100000):
            for answers in (False, True):
                for by in ("FIN", "RST"):
                    for framing in ("length", "chunks"):
                        plan[:] = [(reads, answers, by)]
                        with Rogue(behave) as origin, w.wire() as c:
                            if framing == "length":
                                data = request("POST", origin.url, auth=ALICE, fields=[("Content-Length", str(size))], body=b"x" * size)
                            else:
                                data = request("POST", origin.url, auth=ALICE, fields=[("Transfer-Encoding", "chunked")]) + b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size)
                            with contextlib.suppress(OSError):
                                c.send(data)
                            status = c.answer().status
                            assert status in ((413, 502) if answers else (502,)), (reads, answers, by, framing, status)


def test_a_tunnel_cut_after_every_byte_passes_on_what_came_and_the_end(w):
    """By either side; a FIN loses nothing, an RST may."""
    p = w.start(brief(w))
    data, seen = b"0123456789abcdefghij", []

    def behave(sock, head):
        side, at, by = plan[0]
        if side == "target":
            sock.sendall(data[:at])
            if by == "RST":
                reset(sock)
            sock.close()
            return
        took = b""
        try:
            while part := sock.recv(100):
                took += part
        except OSError:
            pass
        seen.append(took)
        sock.close()
    plan = []
    with Rogue(behave, at_once=True) as origin, as_before(w, p):
        for at in range(0, len(data) + 1, step(w)):
            for by in ("FIN", "RST"):
                plan[:] = [("target", at, by)]
                with w.wire() as c:
                    c.send(request("CONNECT", origin.authority, auth=ALICE))
                    took = None
                    with contextlib.suppress(Gone):
                        if c.answer("CONNECT").status == 200:
                            took = c.read_to_end()
                    assert by == "RST" or took == data[:at], (at, by, took)
                plan[:] = [("client", at, by)]
                count = len(seen)
                c = w.wire()
                c.send(request("CONNECT", origin.authority, auth=ALICE))
                expect(c.answer("CONNECT"), 200)
                c.send(data[:at])
                c.reset() if by == "RST" else c.close()
                end = time.monotonic() + 10 * w.patience
                while len(seen) == count and time.monotonic() < end:
                    time.sleep(0.001)
                assert len(seen) > count, "the target never saw an end"
                assert seen[-1] == data[:at] or (by == "RST" and data.startswith(seen[-1])), (at, by, seen[-1])
