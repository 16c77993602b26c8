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

from common import ALICE, BOB, ECHO, Gone, ask, challenged, closed, expect, login, own, passed, request, stays_open, took
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
        before = p.sockets()
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
        wait_until("the tunnel is gone", lambda: p.sockets() <= before, 8 * w.patience)
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
