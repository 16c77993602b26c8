"""Hostile clients, hostile origins, a clumsy network: whatever they do, the next request is served and nothing is left open."""

import base64
import contextlib
import os
import resource
import signal
import socket
import ssl
import struct
import threading
import time

from common import ALICE, BOB, ECHO, Gone, ask, basic, challenged, closed, expect, login, own, passed, request, stays_open, took
from sp_rig.procs import wait_until
from test_connect import TARGET, tunnel
from test_run import clients_of

ODD = "http://odd.corp.test"
FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"


class Rogue:
    """An origin that does what `behave(socket, head)` does to each request; at_once: before any, with None for a head.

    Each has a port of its own, so that no pooled connection leads to another test's origin.
    """

    ports = iter(range(8100, 20000))

    def __init__(self, behave, address=None, at_once=False):
        self._behave, self._at_once = behave, at_once
        self.heads, self.connections = [], 0
        address = address or ("10.99.0.21", next(Rogue.ports))
        self.authority = "other.corp.test:%d" % address[1]
        self.url = "http://%s/x" % self.authority
        self._listening = socket.create_server(address, backlog=512)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            sock.settimeout(20)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        data = b""
        try:
            if self._at_once:
                self._behave(sock, None)
            while True:
                while b"\r\n\r\n" not in data:
                    part = sock.recv(65536)
                    if not part:
                        return
                    data += part
                head, data = data.split(b"\r\n\r\n", 1)
                self.heads.append(head)
                if self._behave(sock, head) == "close":
                    return
        except OSError:
            pass
        finally:
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return "close"


@contextlib.contextmanager
def unharmed(w, p, clients=0):
    """Serves as before afterwards, with no more client connections than there were."""
    passed(ask(w, auth=ALICE))
    wait_until("the first client is gone", lambda: clients_of(p) <= clients, 5 * w.patience)
    yield
    passed(ask(w, auth=ALICE))
    wait_until("all client connections are gone", lambda: clients_of(p) <= clients, 5 * w.patience)


def calm(p, seconds=0.4):
    """It uses no processor while nobody asks for anything."""
    ticks = lambda: sum(map(int, open("/proc/%d/stat" % p.proc.pid).read().rsplit(")", 1)[1].split()[11:13]))
    before = ticks()
    time.sleep(seconds)
    spent = (ticks() - before) / os.sysconf("SC_CLK_TCK")
    assert spent < seconds / 3, "it spun: %.2f s of processor in %.2f s" % (spent, seconds)


# ---- requests that two readers could take for different ones ----

def test_requests_with_two_framings_are_refused_and_nothing_behind_them_is_served(w):
    p = w.start()
    smuggled = request("GET", ODD + "/echo?smuggled", auth=ALICE)
    with unharmed(w, p):
        for fields in ([("Content-Length", "5"), ("Transfer-Encoding", "chunked")], [("Transfer-Encoding", "chunked"), ("Content-Length", "5")],
                       [("Content-Length", "5"), ("Content-Length", "6")], [("Content-Length", "+5")], [("Content-Length", "5, 5")],
                       [("Content-Length", "0x5")], [("Transfer-Encoding", "xchunked")], [("Transfer-Encoding", "chunked, identity")],
                       [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")], [("Transfer-Encoding ", "chunked")],
                       [("X", "1\nTransfer-Encoding: chunked")], [("Transfer-Encoding", "\x0bchunked")], [("Content-Length", "5\r")]):
            with w.wire() as c:
                c.send(request("POST", ODD + "/upload", fields=fields, auth=ALICE) + b"0\r\n\r\n" + smuggled)
                answer = c.answer()
                assert answer.status in (400, 501), (fields, answer)
                assert not c.read_to_end(), fields
    assert not any(b"smuggled" in head for _, head in w.odd.heads)


def test_bad_chunks_end_the_connection_and_nothing_behind_them_is_served(w):
    p = w.start()
    smuggled = request("GET", ODD + "/echo?smuggled", auth=ALICE)
    with unharmed(w, p):
        for body in (b"5\nhello\r\n0\r\n\r\n", b"5\r\nhelloX0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n", b"-1\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n",
                     b"10000000000000005\r\nhello\r\n0\r\n\r\n", b"5;a\nb\r\nhello\r\n0\r\n\r\n", b"5;" + b"x" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
                     b"0\r\nX : y\r\n\r\n", b"0\r\n" + b"X: y\r\n" * 5000 + b"\r\n", b"\r\n5\r\nhello\r\n0\r\n\r\n"):
            with w.wire() as c:
                c.send(request("POST", ODD + "/upload", fields=[("Transfer-Encoding", "chunked")], auth=ALICE) + body + smuggled)
                try:
                    assert c.answer().status == 400, body[:40]
                    assert b"HTTP/1.1" not in c.read_to_end(), body[:40]
                except Gone:
                    pass
    assert not any(b"smuggled" in head for _, head in w.odd.heads)


def test_a_refused_requests_body_is_never_taken_for_a_request(w):
    p = w.start()
    smuggled = request("GET", ODD + "/echo?smuggled", auth=ALICE)
    n = len(smuggled)
    with unharmed(w, p):
        for fields, body in (([("Content-Length", str(n))], smuggled),
                             ([("Content-Length", str(n)), ("Expect", "100-continue")], smuggled),
                             ([("Transfer-Encoding", "chunked")], b"%x\r\n%s\r\n0\r\n\r\n" % (n, smuggled))):
            for target, auth, status in ((ECHO, None, 407), (ECHO, login("alice", "wrong-%d" % n), 407), ("http://127.0.0.1/x", ALICE, 403)):
                with w.wire() as c:
                    c.send(request("POST", target, fields=fields, auth=auth) + body + request("GET", ODD + "/echo?next", auth=BOB))
                    expect(c.answer(), status)
                    assert b"/echo?next" in passed(c.answer()).body
    assert not any(b"smuggled" in head for _, head in w.odd.heads)


def test_trailers_cannot_carry_what_fields_may_not(w):
    w.start()
    with w.wire() as c:
        c.send(request("POST", ODD + "/upload", fields=[("Transfer-Encoding", "chunked")], auth=ALICE) + b"5\r\nhello\r\n0\r\n"
               b"Proxy-Authorization: Basic eDp5\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\nHost: x\r\nX-Good: 1\r\n\r\n")
        said = passed(c.answer()).body
        assert b"X-Good: 1" in said and b"Proxy-A" not in said and b"Transfer" not in said and b"Host" not in said, said


def test_early_data_behind_a_connect_waits_for_the_verdict(w):
    """Behind a CONNECT that is refused the bytes are the next request, or an error; the target never sees them."""
    config = w.config()
    config.protect = {"connect_ports": ["443", "8000-20000"]}
    w.start(config)
    with Rogue(lambda sock, head: None) as target:
        for auth, status in ((None, 407), (login("alice", "wrong-early"), 407)):
            with w.wire() as c:
                c.send(request("CONNECT", target.authority, auth=auth) + b"\x16\x03\x01 early secret\r\n\r\n")
                expect(c.answer("CONNECT"), status)
                expect(c.answer(), 400)
                closed(c)
        with w.wire() as c:
            c.send(request("CONNECT", "127.0.0.1:443", auth=ALICE) + b"GET / early\r\n\r\n")
            expect(c.answer("CONNECT"), 403)
            expect(c.answer(), 400)
        with w.wire() as c:
            expect(c.ask("CONNECT", "odd.corp.test:443", auth=ALICE, fields=[("Content-Length", "9")]), 400)
            closed(c)
        assert target.connections == 0


def test_thousands_of_pipelined_requests_in_one_packet_are_answered(w):
    p = w.start()
    count = 2000
    with unharmed(w, p):
        with w.wire() as c:
            data = b"".join(request("GET", ODD + "/echo?%d" % n, auth=ALICE) for n in range(count))
            threading.Thread(target=lambda: c.socket.sendall(data), daemon=True).start()
            for n in range(count):
                assert b"/echo?%d " % n in c.answer().body


def test_thousands_of_pipelined_refusals_are_answered(w):
    p = w.start()
    with unharmed(w, p):
        with w.wire() as c:
            data = request("GET", ECHO) * 3000
            threading.Thread(target=lambda: c.socket.sendall(data), daemon=True).start()
            for n in range(3000):
                assert c.answer().status == 407, n


def test_a_client_that_pipelines_and_never_reads_fills_nothing(w):
    p = w.start()
    with unharmed(w, p):
        before = p.memory_kib()
        with w.wire() as c:
            c.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            c.socket.setblocking(False)
            data, sent, end = request("GET", ECHO) * 500, 0, time.monotonic() + 1.0
            while time.monotonic() < end:
                try:
                    sent += c.socket.send(data)
                except BlockingIOError:
                    time.sleep(0.02)
            assert p.memory_kib() - before < 16 * 1024 * w.patience, (sent, p.memory_kib() - before)
            calm(p)
            c.reset()


def test_a_head_that_comes_byte_by_byte_is_served(w):
    p = w.start()
    with unharmed(w, p):
        with w.wire() as c:
            for byte in request("GET", ECHO, auth=ALICE):
                c.send(bytes([byte]))
            passed(c.answer())


def test_large_heads_in_small_pieces_cost_little(w):
    p = w.start()
    with unharmed(w, p):
        with w.wire() as c, took(at_most=2.5 * w.patience):
            head = request("GET", ECHO, auth=ALICE, fields=[("X-%d" % n, "y" * 1000) for n in range(110)])
            for at in range(0, len(head), 97):
                c.send(head[at:at + 97])
            passed(c.answer())


# ---- identities ----

def test_a_pinned_identity_serves_pipelined_requests_and_ends_with_basic(w):
    p = w.start()
    with unharmed(w, p):
        with w.wire() as c:
            c.send(request("GET", ODD + "/echo?1", auth=w.initiator("alice").value()) + request("GET", ODD + "/echo?2")
                   + request("GET", ODD + "/echo?3", auth=BOB) + request("GET", ODD + "/echo?4"))
            for n in (1, 2, 3):
                assert b"/echo?%d " % n in passed(c.answer()).body
            challenged(c.answer())
    p.line(5)
    users = {r["target"][-1]: (r["user"], r["status"]) for r in p.lines() if "/echo?" in r["target"]}
    assert (users["1"], users["2"], users["3"]) == (("alice", 200), ("alice", 200), ("bob", 200)) and users["4"][1] == 407, users


def test_a_connection_an_origin_has_authenticated_is_lent_to_nobody_else(w):
    """Authenticated in mid-pool: the origin answers 200 to a Negotiate of the client's without ever having said 401."""
    config = w.config()
    config.top["workers"] = 1
    p = w.start(config)

    def behave(sock, head):
        number = sock.fileno()
        known[number] = known.get(number) or b"Authorization:" in head
        body = b"known" if known[number] else b"stranger"
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    for scheme in ("NTLM abc", "Negotiate abc", "nTLM  abc"):
        known = {}
        with Rogue(behave) as origin, w.wire() as one, w.wire() as two:
            assert passed(one.ask("GET", origin.url, auth=ALICE)).body == b"stranger"
            assert passed(one.ask("GET", origin.url, auth=ALICE, fields=[("Authorization", scheme)])).body == b"known"
            assert passed(two.ask("GET", origin.url, auth=BOB)).body == b"stranger"
            assert passed(one.ask("GET", origin.url, auth=ALICE)).body == b"known"
            assert origin.connections == 2, origin.connections


def test_a_pooled_connection_opened_for_one_user_is_no_way_in_for_another(w):
    config = w.config()
    config.rule("inside", users=["alice"], to=["127.0.0.0/8", "*"], ports=["80"])
    config.rule("all")
    w.start(config)
    with Rogue(lambda sock, head: sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nin"), ("127.0.0.1", 80)) as inside:
        for host in ("127.0.0.1", "inside.corp.test"):
            assert passed(ask(w, "http://%s/" % host, auth=ALICE)).body == b"in"
            own(ask(w, "http://%s/" % host, auth=BOB), 403, "denied")
            assert passed(ask(w, "http://%s/" % host, auth=ALICE)).body == b"in"


# ---- clients that leave ----

def test_clients_that_leave_at_any_stage_leave_nothing(w):
    p = w.start()
    stages = {
        "an unfinished head": request("GET", ECHO, auth=ALICE)[:-2],
        "a whole request": request("GET", ODD + "/slow?0.3", auth=ALICE),
        "an upload": request("POST", ODD + "/upload", fields=[("Content-Length", "100000")], body=b"x" * 5000, auth=ALICE),
        "a download": request("GET", ODD + "/bytes?50000000", auth=ALICE),
        "a dial": request("GET", "http://dead.corp.test/", auth=ALICE),
        "a lookup": request("GET", "http://silent.corp.test/", auth=ALICE),
        "a tunnel": request("CONNECT", TARGET, auth=ALICE) + b"hello",
        "a refusal": request("POST", ECHO, fields=[("Content-Length", "100000")], body=b"x" * 5000),
        "a pipeline": request("GET", ODD + "/slow?0.1", auth=ALICE) * 20,
    }
    w.names.silent.add("silent.corp.test")
    config_limits = 12 * w.patience
    passed(ask(w, auth=ALICE))
    for by in ("reset", "close"):
        for data in stages.values():
            c = w.wire()
            c.send(data)
            time.sleep(0.03)
            getattr(c, by)()
    passed(ask(w, auth=ALICE))
    w.names.silent.clear()
    wait_until("all are gone", lambda: clients_of(p) == 0, config_limits)
    calm(p)


def test_clients_that_leave_during_a_bind_leave_nothing(w):
    p = w.start()
    passed(ask(w, auth=ALICE))
    w.dc1.hang()
    w.dc2.hang()
    try:
        for by in ("reset", "close"):
            for _ in range(3):
                c = w.wire()
                c.send(request("GET", ECHO, auth=login("carol")))
                time.sleep(0.05)
                getattr(c, by)()
        passed(ask(w, auth=ALICE))
    finally:
        w.dc1.wake()
        w.dc2.wake()
    wait_until("all are gone", lambda: clients_of(p) == 0, 12 * w.patience)
    passed(ask(w, auth=login("dave")))


def test_a_reset_behind_a_full_tunnel_ends_it(w):
    """The target does not read, so nothing can be written to it; that the client is dead must be noticed all the same."""
    config = w.config()
    config.limits = {"tunnel_idle_timeout": "1h"}
    config.protect = {"connect_ports": ["443", "8000-20000"]}
    p = w.start(config)
    stop = threading.Event()
    with Rogue(lambda sock, head: stop.wait(20), at_once=True) as deaf, unharmed(w, p):
        before = p.descriptors("socket")
        c = tunnel(w, target=deaf.authority)
        c.socket.setblocking(False)
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            try:
                c.socket.send(b"x" * 262144)
            except BlockingIOError:
                time.sleep(0.05)
        c.reset()
        calm(p)
        wait_until("the tunnel is gone", lambda: p.descriptors("socket") <= before, 8 * w.patience)
        stop.set()


def test_a_half_closed_tunnel_with_both_ends_stuck_uses_no_processor(w):
    config = w.config()
    config.protect = {"connect_ports": ["443", "8000-20000"]}
    p = w.start(config)
    stop = threading.Event()
    with Rogue(lambda sock, head: stop.wait(20), at_once=True) as deaf, unharmed(w, p):
        c = tunnel(w, target=deaf.authority)
        c.socket.setblocking(False)
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            try:
                c.socket.send(b"x" * 262144)
            except BlockingIOError:
                time.sleep(0.05)
        c.half_close()
        calm(p)
        stop.set()
        c.close()


# ---- origins ----

ANSWERS = {
    "nothing, and closes": b"",
    "half a head, and closes": b"HTTP/1.1 200 OK\r\nContent-Le",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "HTTP/0.9": b"<html>",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab",
    "an overflowing length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nab",
    "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a folded field": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a NUL": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "a switch nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nframes",
    "a 204 that announces a body": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
}


def test_answers_that_are_no_answers_are_502(w):
    p = w.start()
    with unharmed(w, p):
        for name, data in ANSWERS.items():
            def behave(sock, head):
                sock.sendall(data)
                return "close"
            with Rogue(behave) as origin:
                with w.wire() as c:
                    own(c.ask("GET", origin.url, auth=ALICE), 502, "upstream")
                    passed(c.ask("GET", ECHO, auth=ALICE))


def test_a_giant_answer_head_is_502(w):
    p = w.start()

    def behave(sock, head):
        for _ in range(40):
            sock.sendall(b"HTTP/1.1 200 OK\r\n" if _ == 0 else b"X: " + b"y" * 8000 + b"\r\n")
        return "close"
    with Rogue(behave) as origin, unharmed(w, p):
        own(ask(w, origin.url, auth=ALICE), 502, "upstream")


def test_bytes_behind_an_answer_are_no_answer_to_the_next(w):
    p = w.start()
    for good in (b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                 b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"):
        for pause in (0, 0.05):
            count = [0]

            def behave(sock, head):
                count[0] += 1
                sock.sendall(good + (b"" if pause else FORGED))
                if pause:
                    time.sleep(pause)
                    sock.sendall(FORGED)
            with Rogue(behave) as origin, w.wire() as c:
                c.ask("GET", origin.url, auth=ALICE)
                time.sleep(2 * pause + 0.02)
                answer = c.ask("GET", origin.url, auth=ALICE)
                assert answer.body != b"forged" and origin.connections == 2, (good, pause, answer.body, origin.connections)


def test_a_flood_of_interim_answers_starves_nobody(w):
    p = w.start()
    stop = threading.Event()

    def behave(sock, head):
        flood = b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n" * 2000
        while not stop.is_set():
            sock.sendall(flood)
        return "close"
    with Rogue(behave) as origin, unharmed(w, p):
        for version in ("HTTP/1.1", "HTTP/1.0"):
            with w.wire() as c:
                c.send(request("GET", origin.url, auth=ALICE, version=version))
                time.sleep(0.1)
                with took(at_most=1.0 * w.patience):
                    passed(ask(w, auth=ALICE))
                assert p.memory_kib() < (64 if w.patience == 1 else 600) * 1024
                c.reset()
        stop.set()


def test_answers_that_break_off_break_off_for_the_client_too(w):
    p = w.start()
    for data in (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
                 b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                 b"5\r\nshort\r\nfffffffffffffffff\r\nx"):
        for end in (lambda sock: "close", reset):
            def behave(sock, head):
                sock.sendall(data)
                time.sleep(0.05)
                return end(sock)
            with Rogue(behave) as origin, unharmed(w, p):
                with w.wire() as c:
                    c.send(request("GET", origin.url, auth=ALICE))
                    try:
                        whole = c.answer()
                        raise AssertionError("taken for whole: %r" % whole.body)
                    except (Gone, ValueError):
                        pass
                # an HTTP/1.0 client has nothing but the reset to tell it
                with w.wire() as c:
                    c.send(request("GET", origin.url, auth=ALICE, version="HTTP/1.0"))
                    try:
                        c.head()
                        c.read_to_end()
                        assert b"Content-Length" in data, "a broken answer ended like a whole one"
                    except Gone:
                        pass


def test_an_answer_before_the_upload_is_whole_reaches_the_client(w):
    p = w.start()

    def behave(sock, head):
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        time.sleep(0.2)
        return "close"
    with Rogue(behave) as origin, unharmed(w, p):
        for _ in range(3):
            with w.wire() as c:
                c.send(request("POST", origin.url, fields=[("Content-Length", str(64 << 20))], body=b"x" * 200000, auth=ALICE))
                assert expect(c.answer(), 413).body == b"big"


def test_a_slow_drip_of_an_answer_is_passed_on(w):
    p = w.start()

    def behave(sock, head):
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n":
            sock.sendall(bytes([byte]))
            time.sleep(0.003)
    with Rogue(behave) as origin, unharmed(w, p):
        with w.wire() as c:
            for _ in range(2):
                assert passed(c.ask("GET", origin.url, auth=ALICE)).body == b"abc"


def test_one_byte_chunks_arrive(w):
    p = w.start()

    def behave(sock, head):
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 20000 + b"0\r\n\r\n")
    with Rogue(behave) as origin, unharmed(w, p):
        assert passed(ask(w, origin.url, auth=ALICE)).body == b"x" * 20000


def test_an_origin_that_talks_first_or_resets_idle_connections_is_survived(w):
    p = w.start()

    def behave(sock, head):
        if head is None:
            sock.sendall(b"220 mail.corp.test ESMTP\r\n")
        return None
    with Rogue(behave, at_once=True) as origin, unharmed(w, p):
        own(ask(w, origin.url, auth=ALICE), 502, "upstream")

    def rude(sock, head):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return reset(sock)
    with Rogue(rude) as origin, unharmed(w, p):
        with w.wire() as c:
            for n in range(20):
                assert passed(c.ask("GET", origin.url, auth=ALICE)).body == b"ok"
                time.sleep(0.01 * (n % 3))


# ---- the network, and too much of everything ----

def test_a_tunnel_filled_from_both_ends_with_nobody_reading_is_bounded_and_loses_nothing(w):
    config = w.config()
    config.protect = {"connect_ports": ["443", "8000-20000"]}
    p = w.start(config)
    size, part = 8 << 20, os.urandom(65536)
    got = []

    def behave(sock, head):
        sender = threading.Thread(target=lambda: [sock.sendall(part) for _ in range(size // len(part))], daemon=True)
        sender.start()
        time.sleep(0.7)
        left = size
        while left:
            data = sock.recv(min(left, 65536))
            if not data:
                break
            left -= len(data)
        sender.join()
        got.append(size - left)
        return "close"
    with Rogue(behave, at_once=True) as deaf, unharmed(w, p):
        before = p.memory_kib()
        with tunnel(w, target=deaf.authority) as c:
            sender = threading.Thread(target=lambda: [c.socket.sendall(part) for _ in range(size // len(part))], daemon=True)
            sender.start()
            time.sleep(0.5)
            assert p.memory_kib() - before < (4 if w.patience == 1 else 32) * 1024, p.memory_kib() - before
            calm(p, 0.2)
            for _ in range(size // len(part)):
                assert c.read(len(part)) == part
            sender.join(10)
            wait_until("the target has all of it", lambda: got == [size], 10 * w.patience)


def test_idle_connections_of_all_kinds_end_with_term(w):
    config = w.config()
    config.top.update(workers=2, shutdown_timeout="1s")
    config.listens.append(("10.99.0.1:3143", {"tls_certificate": w.certificate, "tls_key": w.key}))
    p = w.start(config)
    wires = [w.wire() for _ in range(120)] + [w.wire(tls=True, port=3143) for _ in range(20)]
    wires += [w.wire(port=3143) for _ in range(20)]            # a TLS handshake that never begins
    for n, c in enumerate(wires[:120]):
        if n % 3 == 0:
            c.send(request("GET", ECHO, auth=ALICE))
        if n % 3 == 1:
            c.send(request("GET", ECHO)[:20])
    for c in wires[:120:3]:
        passed(c.answer())
    tunnels = [tunnel(w) for _ in range(5)]
    with took(at_most=1.0 + 3 * w.patience):
        assert p.stop() == 0
    for c in wires + tunnels:
        c.close()


def test_a_second_term_cuts_what_is_left(w):
    config = w.config()
    config.top["shutdown_timeout"] = "60s"
    p = w.start(config)
    c = tunnel(w)
    p.proc.send(signal.SIGTERM)
    time.sleep(0.3)
    assert p.proc.alive()
    c.send(b"x")
    assert c.read(1) == b"x"
    with took(at_most=2.0 * w.patience):
        assert p.stop() == 0
    c.close()


def test_term_while_the_directory_hangs_ends_in_time(w):
    config = w.config()
    config.top["shutdown_timeout"] = "1s"
    config.backends["corp-ldap"] = w.ldap_backend(timeout="2s", connect_timeout="1s")
    p = w.start(config)
    passed(ask(w, auth=ALICE))
    w.dc1.hang()
    w.dc2.hang()
    try:
        wires = [w.wire() for _ in range(10)]
        for n, c in enumerate(wires):
            c.send(request("GET", ECHO, auth=login("carol", "guess-%d" % (n % 3))))
        time.sleep(0.2)
        with took(at_most=4.0 + 2 * w.patience):
            assert p.stop() == 0
        for c in wires:
            c.close()
    finally:
        w.dc1.wake()
        w.dc2.wake()


def test_a_proxy_without_descriptors_left_recovers(w):
    config = w.config()
    config.limits = {"client_header_timeout": "2s"}
    p = w.start(config)
    with w.wire() as c:
        passed(c.ask("GET", ECHO, auth=ALICE))
        open_now = len(os.listdir("/proc/%d/fd" % p.proc.pid))
        resource.prlimit(p.proc.pid, resource.RLIMIT_NOFILE, (open_now + 10, open_now + 10))
        wires = [w.wire() for _ in range(40)]
        time.sleep(0.3)
        calm(p)
        assert c.ask("GET", "http://other.corp.test:8099/", auth=ALICE).status in (502, 503)    # no descriptor for a dial
        challenged(c.ask("GET", ECHO))                                       # and who needs none is served
        for each in wires:
            each.close()
        wait_until("it takes connections again", lambda: clients_of(p) <= 1, 5 * w.patience)
        passed(ask(w, auth=ALICE))
    p.log_says("event=accept_paused")


def test_more_tls_clients_than_places_are_not_let_in_together(w):
    config = w.config()
    config.limits = {"max_connections": 3}
    config.listens = [("10.99.0.1:3128", {"tls_certificate": w.certificate, "tls_key": w.key})]
    p = w.start(config)
    context = ssl.create_default_context(cafile=w.ca)
    plain = [w.wire() for _ in range(8)]
    time.sleep(0.1)                    # all are accepted: none has a place yet
    answered = 0
    for c in plain:
        try:
            with_tls = context.wrap_socket(c.raw, server_hostname="proxy.corp.test")
            c._socket = with_tls
            passed(c.ask("GET", ECHO, auth=ALICE))
            answered += 1
        except (Gone, OSError):
            pass
    assert answered == 3, answered
    for c in plain:
        c.close()
    wait_until("the places are free again", lambda: clients_of(p) == 0, 5 * w.patience)
    passed(ask(w, auth=ALICE, tls=True))


def test_garbage_where_a_proxy_header_belongs_is_refused(w):
    config = w.config()
    config.listens.append(("10.99.0.1:3129", {"proxy_protocol_from": ["10.99.0.0/16"], "offer": ["basic"]}))
    config.listens.append(("10.99.0.1:3143", {"proxy_protocol_from": ["10.99.0.0/16"], "tls_certificate": w.certificate, "tls_key": w.key}))
    config.limits = {"client_header_timeout": "1s"}
    p = w.start(config)
    signature = b"\r\n\r\n\0\r\nQUIT\n"
    with unharmed(w, p):
        before = p.descriptors("socket")
        for port in (3129, 3143):
            for data in (b"GET / HTTP/1.1\r\n\r\n", request("GET", ECHO, auth=ALICE), b"PROXY TCP4 1.2.3.4 5.6.7.8 1 70000\r\n",
                         b"PROXY TCP4 1.2.3.4\r\n", b"PROXY " + b"x" * 500, b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", signature + b"\x31\x11\0\x0c" + b"x" * 12,
                         signature + b"\x21\x11\xff\xff" + b"x" * 70000, signature + b"\x21\x11\0\x04abcd", b"\0" * 300, b"\x16\x03\x01\x02\0\x01"):
                with w.wire(port=port) as c:
                    try:
                        c.send(data)
                    except OSError:
                        pass
                    closed(c, 3 * w.patience)
            stalled = [w.wire(port=port) for _ in range(3)]
            stalled[0].send(b"PRO")
            stalled[1].send(signature[:5])
            for c in stalled:
                closed(c, 4 * w.patience)
                c.close()
        with w.wire(port=3129) as c:
            for byte in b"PROXY TCP4 192.0.2.7 10.99.0.1 4000 3129\r\n" + request("GET", ECHO, auth=ALICE):
                c.send(bytes([byte]))
            passed(c.answer())
        assert p.last(client="192.0.2.7")["status"] == 200
        wait_until("all of it is closed", lambda: p.descriptors("socket") <= before + 1, 5 * w.patience)


def test_tls_garbage_and_silence_cost_nothing(w):
    config = w.config()
    config.listens.append(("10.99.0.1:3143", {"tls_certificate": w.certificate, "tls_key": w.key}))
    config.limits = {"client_header_timeout": "1s"}
    p = w.start(config)
    with unharmed(w, p):
        before = p.descriptors("socket")
        for data in (request("GET", ECHO, auth=ALICE), b"\x16\x03\x01\xff\xff" + b"\0" * 70000, os.urandom(2000), b"\x15\x03\x03\0\x02\x02\x28", b"\x16"):
            for by in ("close", "reset", None):
                c = w.wire(port=3143)
                try:
                    c.send(data)
                except OSError:
                    pass
                if by is None:
                    wait_until("it is closed", lambda: c.is_closed(0.05) or c._buffer, 4 * w.patience)
                    by = "close"
                getattr(c, by)()
        tls = w.wire(port=3143, tls=True)
        tls.send(request("GET", ODD + "/bytes?30000000", auth=ALICE))
        tls.head()
        tls.reset()
        wait_until("all of it is closed", lambda: p.descriptors("socket") <= before, 6 * w.patience)
        calm(p)


# ---- reloads ----

def reload(w, p, change=None, says="event=reloaded"):
    """HUP, and wait until the log says that it was taken up (or refused)."""
    if change is not None:
        change(p.config)
        p.config.write()
    seen = p.errors().count(says)
    p.proc.send(signal.SIGHUP)
    wait_until("the log says %s" % says, lambda: p.errors().count(says) > seen, 10 * w.patience)


def test_reloads_under_traffic_lose_no_request_and_no_tunnel(w):
    config = w.config()
    config.top["workers"] = 2
    p = w.start(config)
    stop, faults, served = threading.Event(), [], [0]

    def traffic():
        try:
            while not stop.is_set():
                with w.wire() as c:
                    for _ in range(5):
                        passed(c.ask("GET", ECHO, auth=ALICE))
                        served[0] += 1
        except Exception as error:
            faults.append(error)
    threads = [threading.Thread(target=traffic, daemon=True) for _ in range(3)]
    with tunnel(w) as c:
        for t in threads:
            t.start()
        for n in range(6):
            reload(w, p, lambda config: config.rules.append(("rule-%d" % n, {"action": "allow", "users": ["alice"]})))
            c.send(b"x")
            assert c.read(1) == b"x"
        stop.set()
        for t in threads:
            t.join(10 * w.patience)
        assert not faults, faults
        assert served[0] > 10
    own(ask(w, auth=BOB), 403, "denied")
    wait_until("all are gone", lambda: clients_of(p) == 0, 5 * w.patience)


def test_a_broken_file_changes_nothing(w):
    p = w.start()
    with w.wire() as c, tunnel(w) as t:
        passed(c.ask("GET", ECHO, auth=ALICE))
        for bad in ("workers = 1\nnonsense = {\n", "", 'listen "10.99.0.1:3128" { offer = {"digest"} }\n', None):
            if bad is None:
                os.unlink(p.path)
            else:
                with open(p.path, "w") as f:
                    f.write(bad)
            reload(w, p, says="event=reload_refused")
            passed(c.ask("GET", ECHO, auth=ALICE))
            passed(ask(w, auth=BOB))
            t.send(b"x")
            assert t.read(1) == b"x"
    reload(w, p, lambda config: config.rule("nobody", "deny"))
    own(ask(w, auth=ALICE), 403, "denied")


def test_a_reload_in_mid_handshake_ends_no_handshake(w):
    config = w.config()
    config.backends["corp-krb5"] = w.krb5_backend(mechanisms=["krb5", "ntlmssp"], realms=[], groups_from="")
    p = w.start(config)
    me = w.ntlm()
    with w.wire() as c:
        first = challenged(c.ask("GET", ECHO, auth=me.value()), "Negotiate")
        reload(w, p, lambda config: config.backends["corp-krb5"].update(persist="request"))
        passed(c.ask("GET", ECHO, auth=me.value(first.challenges[0])))


def test_a_known_connection_lives_under_the_newest_configuration(w):
    """Neither a refusal nor an identity of its own keeps a connection with the configuration it began under."""
    p = w.start()
    with w.wire() as known, w.wire() as refused:
        passed(known.ask("GET", ECHO, auth=w.initiator("alice").value()))
        passed(known.ask("GET", ECHO))
        challenged(refused.ask("GET", ECHO, auth=basic("alice", "Wrong-Before-1")))
        reload(w, p, lambda config: config.auth.update(realm="Renamed Proxy"))
        passed(known.ask("GET", ECHO))
        assert p.last(auth="connection", user="alice")
        assert any("Renamed Proxy" in c for c in challenged(refused.ask("GET", ECHO)).challenges)
        reload(w, p, lambda config: config.rule("nobody", "deny"))
        own(known.ask("GET", ECHO), 403, "denied")


def test_listeners_come_and_go_with_reloads(w):
    config = w.config()
    config.top["workers"] = 2
    p = w.start(config)
    extra = ("10.99.0.1:3130", {"offer": ["basic"]})
    tls = {"tls_certificate": w.certificate, "tls_key": w.key}
    before = p.descriptors("socket")
    for _ in range(3):
        reload(w, p, lambda config: config.listens.append(extra))
        c = w.wire(port=3130)
        passed(c.ask("GET", ECHO, auth=ALICE))
        slow = w.wire(port=3130)
        slow.send(request("GET", ODD + "/slow?0.4", auth=ALICE))
        time.sleep(0.1)
        reload(w, p, lambda config: config.listens.remove(extra))
        assert passed(slow.answer()).body == b"at last"       # what is under way is finished
        try:
            c.send(request("GET", ECHO, auth=ALICE))
            closed(c)
        except OSError:
            pass
        c.close()
        slow.close()
        try:
            w.wire(port=3130)
            raise AssertionError("the listener is still there")
        except ConnectionRefusedError:
            pass
    wait_until("all is closed", lambda: p.descriptors("socket") <= before + 4, 5 * w.patience)


def test_a_listener_that_turns_to_tls_takes_no_connection_in_clear_with_it(w):
    """Basic is offered by default on TLS: a connection in clear must not come to be asked for it."""
    config = w.config()
    config.listens.append(("10.99.0.1:3130", {"offer": ["negotiate"]}))
    p = w.start(config)
    with w.wire(port=3130) as c, w.wire(port=3130) as half:
        challenged(c.ask("GET", ECHO), "Negotiate")
        reload(w, p, lambda config: config.listens.__setitem__(1, ("10.99.0.1:3130", {"tls_certificate": w.certificate, "tls_key": w.key})))
        c.send(request("GET", ECHO))
        closed(c)
    with w.wire(port=3130, tls=True) as c:
        challenged(c.ask("GET", ECHO))
        stalled = w.wire(port=3130)        # its handshake has not begun
        time.sleep(0.1)
        reload(w, p, lambda config: config.listens.__setitem__(1, ("10.99.0.1:3130", {"offer": ["negotiate"]})))
        try:
            context = ssl.create_default_context(cafile=w.ca)
            stalled.raw.settimeout(3)
            sock = context.wrap_socket(stalled.raw, server_hostname="proxy.corp.test")
            sock.sendall(request("GET", ECHO))
            assert not sock.recv(10)
        except OSError:
            pass


def test_backends_and_limits_change_under_way(w):
    p = w.start()
    with w.wire() as c:
        passed(c.ask("GET", ECHO, auth=ALICE))
        w.dc1.hang()
        try:
            waiting = w.wire()
            waiting.send(request("GET", ECHO, auth=login("carol")))
            time.sleep(0.1)
            for n in range(3):
                reload(w, p, lambda config: (config.backends["corp-ldap"].update(timeout="%ds" % (4 + n)),
                                             config.limits.update(header_size="%dk" % (32 * (n + 1)))))
        finally:
            w.dc1.wake()
        passed(waiting.answer())
        waiting.close()
        passed(c.ask("GET", ECHO, auth=ALICE))
        reload(w, p, lambda config: (config.auth.update(negotiate=[]), config.listens[0][1].update(offer=["basic"])))
        challenged(c.ask("GET", ECHO), "Basic")


def test_reload_then_term_at_once_ends_well(w):
    config = w.config()
    config.top["workers"] = 2
    p = w.start(config)
    passed(ask(w, auth=ALICE))
    for _ in range(5):
        p.proc.send(signal.SIGHUP)
        p.proc.send(signal.SIGUSR1)
    with took(at_most=6 * w.patience):
        assert p.stop() == 0


def test_a_silent_resolver_does_not_stop_the_others(w):
    p = w.start()
    w.names.silent.add("silent.corp.test")
    with unharmed(w, p):
        waiting = [w.wire() for _ in range(50)]
        for n, c in enumerate(waiting):
            c.send(request("GET", "http://silent.corp.test/%d" % n, auth=ALICE))
        time.sleep(0.1)
        with took(at_most=1.0 * w.patience):
            passed(ask(w, auth=BOB))
        for c in waiting:
            c.reset()
        calm(p)


def with_few_descriptors(w):
    """A sallyport that may have 160 of them."""
    wrapper = os.path.join(w.folder, "few-descriptors")
    with open(wrapper, "w") as f:
        f.write("#!/bin/sh\nexec prlimit --nofile=160:160 %s \"$@\"\n" % w.binary)
    os.chmod(wrapper, 0o755)
    before, w.binary = w.binary, wrapper
    try:
        return w.start()
    finally:
        w.binary = before


def test_clients_cannot_take_the_descriptors_that_serving_them_needs(w):
    p = with_few_descriptors(w)
    passed(ask(w, auth=ALICE))
    wires = [w.wire() for _ in range(200)]
    time.sleep(0.3)
    for c in wires:
        c.send(request("CONNECT", TARGET, auth=ALICE))
    served = 0
    for c in wires[:20]:
        try:
            c.socket.settimeout(2)
            served += c.answer("CONNECT").status == 200
        except (Gone, OSError):
            pass
    assert served >= 5, "%d of the first 20 were served" % served
    calm(p)
    p.log_says("event=accept_paused")
    for c in wires:
        c.close()
    wait_until("it takes connections again", lambda: clients_of(p) == 0, 5 * w.patience)
    passed(ask(w, auth=BOB))


def test_idle_connections_to_origins_cannot_take_the_descriptors_that_serving_needs(w):
    with_few_descriptors(w)
    with w.wire() as c:
        for _ in range(200):               # a POST goes out on a new connection, and leaves it idle
            passed(c.ask("POST", "http://odd.corp.test/upload", auth=ALICE, fields=[("Content-Length", "0")]))
    passed(ask(w, "http://origin.corp.test/", auth=BOB))
