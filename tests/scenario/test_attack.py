"""Attacks by clients: slow ones, silent ones, many, greedy ones, and those that leave at every stage. Others are served
meanwhile, and each attack ends with sallyport serving as it did and holding what it held. docs/robustness.md lists them."""

import contextlib
import os
import resource
import socket
import subprocess
import threading
import time

from before import ODD, as_before, at_start, brief, grew_little, idle, is_as, serves
from common import ALICE, BOB, ECHO, Gone, ask, basic, challenged, expect, login, passed, request
from sp_rig import space
from sp_rig.held import control, descriptors, total, user_memory
from sp_rig.procs import wait_until
from sp_rig.tokens import negotiate
from test_connect import TARGET
from test_hostile import Rogue, reset

MIB = 1 << 20
ONCE = ODD + "/once"                       # this origin closes after each answer, so that no pool keeps its connection


def plain(w):
    """A sanitizer's build is slower and larger: there the same attacks come with less in number."""
    return w.patience == 1


@contextlib.contextmanager
def many(w, count, **more):
    wires = [w.wire(**more) for _ in range(count)]
    try:
        yield wires
    finally:
        for c in wires:
            c.close()


def feed(wires, bytes_of, until, every=0.05):
    """One more byte to each of them, again and again, until the time is over or all are gone. Those that are left."""
    left, step = list(wires), 0
    while left and time.monotonic() < until:
        for c in list(left):
            try:
                c.socket.send(bytes_of(step))
            except OSError:
                left.remove(c)
        step += 1
        time.sleep(every)
    return left


def ended(c, seconds):
    """Whatever it was told, the other side has ended the connection by then."""
    c.socket.settimeout(seconds)
    try:
        while c.socket.recv(65536):
            pass
    except socket.timeout:
        return False
    except OSError:
        pass
    return True


# ---- slow clients ----

def test_slow_heads_end_at_their_deadline_and_delay_nobody(w):
    """The deadline is for the head, and each byte does not start it anew."""
    p = w.start(brief(w))
    with as_before(w, p), many(w, 300) as wires:
        for c in wires:
            c.send(b"GET http://odd.corp.test/echo HTTP/1.1\r\nX: ")
        for _ in range(10):
            passed(ask(w, auth=ALICE))
        left = feed(wires, lambda step: b"y", time.monotonic() + 8 * w.patience, every=0.1)
        assert not left, "%d slow heads outlived client_header_timeout" % len(left)
        assert total(p, "sallyport_requests_total", status="408") == 300


def test_slow_bodies_of_refused_requests_end_at_their_deadline(w):
    """Nobody has logged in: what is left of such a body is read for client_header_timeout, and no longer."""
    p = w.start(brief(w))
    with as_before(w, p), many(w, 100) as wires:
        for c in wires:
            c.send(request("POST", ECHO, fields=[("Content-Length", "100000")], body=b"x"))
        for c in wires:
            challenged(c.answer())
        left = feed(wires, lambda step: b"y", time.monotonic() + 6 * w.patience, every=0.1)
        assert not left, "%d slow bodies outlived client_header_timeout" % len(left)


def test_slow_uploads_hold_little_and_end_when_they_fall_silent(w):
    """A user may be slow for as long as bytes come; silence ends the upload with 408."""
    p = w.start(brief(w))
    with as_before(w, p), many(w, 100) as wires:
        memory = user_memory(p.proc.pid)
        for c in wires:
            c.send(request("POST", ODD + "/upload", auth=ALICE, fields=[("Content-Length", "100000")]))
        assert len(feed(wires, lambda step: b"y", time.monotonic() + 3, every=0.1)) == 100, "response_timeout is for silence"
        passed(ask(w, auth=BOB))
        grew_little(w, p, memory, 100 * 16 * 1024, "100 slow uploads")
        for c in wires:
            expect(c.answer(), 408, "timeout")


def test_slow_readers_fill_no_memory_and_hold_the_origin_back(w):
    """Each asks for 64 MiB and reads nothing: what lies between is what the kernel's buffers take."""
    sent, lock = [0], threading.Lock()
    size = 64 * MIB

    def behave(sock, head):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        part, left = bytes(65536), size
        while left:
            n = sock.send(part)
            left -= n
            with lock:
                sent[0] += n
    config = brief(w)
    config.listens.append(("10.99.0.1:3143", {"tls_certificate": w.certificate, "tls_key": w.key}))
    p = w.start(config)
    with Rogue(behave) as origin, as_before(w, p):
        memory = user_memory(p.proc.pid)
        with many(w, 20) as wires, many(w, 10, tls=True, port=3143) as secret:
            for c in wires + secret:
                c.send(request("GET", origin.url, auth=ALICE))
                c.head()
            wait_until("the origins cannot send", lambda: (lambda before: time.sleep(0.3) or sent[0] == before)(sent[0]), 15 * w.patience)
            assert sent[0] < 30 * size / 4, "%d MiB were taken from origins for nobody" % (sent[0] / MIB)
            grew_little(w, p, memory, 8 * MIB, "30 slow readers")
            passed(ask(w, auth=BOB))
            wait_until("all are cut", lambda: total(p, "sallyport_connections") == 0, 15 * w.patience)
    said = [r["reason"] for r in p.lines() if r["target"] == origin.url]
    assert len(said) == 30 and set(said) <= {"timeout", "client_gone"}, said


def test_peers_that_vanish_without_a_word_are_let_go(w):
    """Half-open connections: the client's address is gone, so nothing of it arrives and nothing gets there."""
    p = w.start(brief(w, tunnel_idle_timeout="3s"))
    address = space.ADDRESSES["other-client"]
    stages = [b"", request("GET", ECHO, auth=ALICE)[:-2], request("GET", ODD + "/bytes?50000000", auth=ALICE),
              request("GET", ODD + "/slow?1", auth=ALICE), request("CONNECT", TARGET, auth=ALICE),
              request("CONNECT", TARGET, auth=ALICE) + b"x" * 100000, request("GET", ECHO, auth=ALICE),
              request("POST", ODD + "/upload", fields=[("Content-Length", "100000")], body=b"x" * 5000, auth=ALICE)]
    with as_before(w, p):
        with many(w, 5 * len(stages), source=address) as wires:
            for n, c in enumerate(wires):
                c.send(stages[n % len(stages)])
            time.sleep(0.3)
            subprocess.run(["ip", "addr", "del", address + "/32", "dev", "lo"], check=True)
            try:
                passed(ask(w, auth=BOB))
                wait_until("all of them are let go", lambda: total(p, "sallyport_connections") == 0, 15 * w.patience)
            finally:
                subprocess.run(["ip", "addr", "add", address + "/32", "dev", "lo"], check=True)


# ---- too large ----

def test_heads_that_are_too_large_are_refused_and_take_no_more_than_the_limit(w):
    p = w.start(brief(w))
    bombs = {
        "a giant line": (b"GET http://odd.corp.test/echo HTTP/1.1\r\nHost: odd.corp.test\r\nX: " + b"y" * (4 * MIB), 431),
        "many fields": (b"GET http://odd.corp.test/echo HTTP/1.1\r\nHost: odd.corp.test\r\n" + b"X: y\r\n" * 200000, 431),
        "many empty fields": (b"GET http://odd.corp.test/echo HTTP/1.1\r\nHost: odd.corp.test\r\n" + b"X:\r\n" * 200000, 431),
        "a giant target": (b"GET http://odd.corp.test/" + b"y" * (4 * MIB), 414),
        "a giant method": (b"G" * (4 * MIB), 400),
        "a giant credential": (b"GET http://odd.corp.test/echo HTTP/1.1\r\nProxy-Authorization: Basic " + b"QQ" * (2 * MIB), 431),
    }
    with as_before(w, p):
        memory = user_memory(p.proc.pid)
        for name, (data, status) in bombs.items():
            with many(w, 20) as wires:
                for c in wires:
                    c.socket.setblocking(False)
                    with contextlib.suppress(OSError):
                        c.socket.send(data)
                    c.socket.settimeout(10 * w.patience)
                for c in wires:
                    answer = c.answer()
                    assert answer.status == status, (name, answer)
            grew_little(w, p, memory, 16 * MIB, name)


def test_heads_just_within_the_limit_hold_no_more_than_it(w):
    """300 of nearly 128 KiB, none of them whole."""
    p = w.start(brief(w))
    with as_before(w, p):
        memory = user_memory(p.proc.pid)
        with many(w, 300) as wires:
            part = b"GET http://odd.corp.test/echo HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(120))
            for c in wires:
                c.send(part)
            passed(ask(w, auth=BOB))
            grew_little(w, p, memory, 300 * 192 * 1024, "300 heads")


# ---- too many ----

def test_ten_thousand_idle_connections_cost_little_and_others_are_served(w):
    count = 10000 if plain(w) else 2000
    config = brief(w, client_header_timeout="60s")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * count + 1000), hard))
    try:
        p = w.start(config)
        with as_before(w, p):
            passed(ask(w, auth=ALICE))
            memory, resident = user_memory(p.proc.pid), p.memory_kib()
            with many(w, count):
                wait_until("all are in", lambda: total(p, "sallyport_connections") >= count, 30 * w.patience)
                each = (user_memory(p.proc.pid) - memory) / count
                print("        %d idle connections: %.0f bytes of user memory each, %d KiB resident" % (
                    count, each, p.memory_kib() - resident))
                for _ in range(20):
                    passed(ask(w, auth=BOB))
                idle(p)
                grew_little(w, p, memory, count * 2048, "%d idle connections" % count)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_flood_over_max_connections_is_closed_at_once_and_accepting_does_not_spin(w):
    config = brief(w, max_connections=50, keepalive_timeout="60s", client_header_timeout="60s")
    p = w.start(config)
    before = at_start(w, p)
    with contextlib.ExitStack() as stack:
        inside = stack.enter_context(many(w, 50))
        for c in inside:
            passed(c.ask("GET", ONCE, auth=ALICE))
        wait_until("they are counted", lambda: total(p, "sallyport_connections") >= 50, 5 * w.patience)
        shut = 0
        for _ in range(300):
            try:
                with w.wire() as c:
                    shut += ended(c, 5 * w.patience)
            except OSError:
                shut += 1                  # before it could even be told that it stands
        assert shut == 300, "of 300 more only %d were closed" % shut
        for c in inside:                   # who was in is served
            passed(c.ask("GET", ONCE, auth=ALICE))
        idle(p)
    wait_until("there is room again", lambda: total(p, "sallyport_connections") == 0, 5 * w.patience)
    for _ in range(20):
        passed(ask(w, ONCE, auth=BOB))
    is_as(w, p, before)


def calls(p, seconds):
    """System calls that wait or accept, over a while in which nobody asks for anything."""
    out = os.path.join(p.folder, "strace.counts")
    done = subprocess.run(["timeout", "-s", "INT", str(seconds), "strace", "-f", "-c", "-e", "trace=epoll_wait,epoll_pwait,accept,accept4,fcntl",
                           "-o", out, "-p", str(p.proc.pid)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with open(out) as f:
        text = f.read()
    assert os.path.exists(out), done.stdout
    return sum(int(line.split()[3]) for line in text.splitlines() if line.strip().endswith(("epoll_wait", "epoll_pwait", "accept", "accept4", "fcntl")))


def allow_descriptors(p, count=None):
    """So many in all; None: as many as it may have."""
    hard = resource.prlimit(p.proc.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(p.proc.pid, resource.RLIMIT_NOFILE, (hard if count is None else count, hard))


def test_no_descriptor_left_is_waited_out_without_spinning(w):
    """200 more than it has descriptors for, all of them waiting in the backlog."""
    p = w.start(brief(w, keepalive_timeout="60s", client_header_timeout="60s"))
    before = at_start(w, p)
    with w.wire() as c:
        passed(c.ask("GET", ONCE, auth=ALICE))
        now = sum(descriptors(p.proc.pid).values())
        allow_descriptors(p, now + 20)
        with many(w, 200):
            p.log_says("event=accept_paused")
            count = calls(p, 2)
            assert count < 400, "%d calls in two seconds" % count
            challenged(c.ask("GET", ECHO))     # who needs none is served
        allow_descriptors(p)
    wait_until("they are gone", lambda: total(p, "sallyport_connections") == 0, 5 * w.patience)
    serves(w, ONCE)
    is_as(w, p, before)
    assert p.errors().count("event=accept_paused") <= 4


def test_whatever_finds_no_descriptor_fails_cleanly(w):
    """The limit is set to what is open and k more, for each k that a request could get to: socket, pipe, dial, accept."""
    p = w.start(brief(w))
    with as_before(w, p):
        for k in range(8):
            with w.wire() as c, w.wire() as d, w.wire() as e:
                passed(c.ask("GET", ECHO, auth=ALICE))
                with Rogue(lambda sock, head: sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as origin:
                    now = max(int(fd) for fd in os.listdir("/proc/%d/fd" % p.proc.pid)) + 1
                    allow_descriptors(p, now + k)
                    with contextlib.suppress(Gone):
                        assert c.ask("GET", origin.url, auth=ALICE).status in (200, 502, 503)
                    with contextlib.suppress(Gone):
                        assert d.ask("GET", ECHO, auth=login("dave")).status in (200, 503)
                    with contextlib.suppress(Gone):
                        e.send(request("CONNECT", TARGET, auth=ALICE) + b"x" * 300000)
                        assert e.answer("CONNECT").status in (200, 502, 503)
                    allow_descriptors(p)
            control(p, "flush")


# ---- logins ----

def storm(w, values, connections=30, target=ECHO):
    """Each value of Proxy-Authorization in a request of its own, on so many connections at once. The statuses."""
    lock, left, got = threading.Lock(), list(values), []

    def work():
        c = w.wire(seconds=60.0)
        try:
            while True:
                with lock:
                    if not left:
                        return
                    value = left.pop()
                try:
                    answer = c.ask("GET", target, auth=value)
                    status, keep = answer.status, answer.keeps_open()
                except (Gone, OSError):
                    status, keep = 0, False
                with lock:
                    got.append(status)
                if not keep:
                    c.close()
                    c = w.wire(seconds=60.0)
        finally:
            c.close()
    threads = [threading.Thread(target=work, daemon=True) for _ in range(connections)]
    for t in threads:
        t.start()
    return threads, got


def finished(w, threads, seconds=40):
    for t in threads:
        t.join(seconds * w.patience)
        assert not t.is_alive(), "the storm did not end"


def test_a_flood_of_wrong_logins_is_answered_and_keeps_nothing_beyond_the_caches_bound(w):
    config = brief(w)
    config.cache = {"max_entries": 1000}
    config.guard = {"user_failures": 0, "client_failures": 0}
    config.auth["max_challenges"] = 1000
    p = w.start(config)
    count = 3000 if plain(w) else 800
    with as_before(w, p):
        threads, got = storm(w, [basic(("bob", "nobody-%d" % n)[n % 2], "guess-%d" % n) for n in range(count)])
        passed(ask(w, auth=ALICE))
        finished(w, threads)
        assert set(got) <= {407, 503} and got.count(407) > count * 0.9, {s: got.count(s) for s in set(got)}
        assert total(p, "sallyport_cache_entries") <= 1000
        passed(ask(w, auth=ALICE))


def test_a_flood_of_guesses_meets_the_guard_and_not_the_directory(w):
    config = brief(w)
    config.guard = {"user_failures": 3, "client_failures": 0}
    config.auth["max_challenges"] = 1000
    p = w.start(config)
    with as_before(w, p):
        passed(ask(w, auth=ALICE))
        seen = w.ldap.binds("carol")
        threads, got = storm(w, [login("carol", "guess-%d" % n) for n in range(500)])
        finished(w, threads)
        assert set(got) == {407, 429} and got.count(429) >= 490, {s: got.count(s) for s in set(got)}
        assert w.ldap.binds("carol") - seen <= 3
        passed(ask(w, auth=ALICE))


def test_a_flood_of_logins_while_the_directory_hangs_is_answered_503_and_others_are_served(w):
    """2,500 people at once of whom nothing is kept: what no queue takes is told at once, the rest within the timeouts."""
    config = brief(w, response_timeout="30s")
    p = w.start(config)
    with as_before(w, p):
        passed(ask(w, auth=ALICE))
        w.dc1.hang()
        w.dc2.hang()
        try:
            count = 2500 if plain(w) else 600
            with many(w, count) as wires:
                for n, c in enumerate(wires):
                    c.send(request("GET", ECHO, auth=basic("person-%d" % n, "password-%d" % n)))
                for _ in range(10):
                    passed(ask(w, auth=ALICE))
                got = [c.answer().status for c in wires]
                assert set(got) == {503}, {s: got.count(s) for s in set(got)}
        finally:
            w.dc1.wake()
            w.dc2.wake()
        wait_until("the directory is asked again", lambda: ask(w, auth=login("carol")).status == 200, 20 * w.patience)


def test_a_flood_of_garbage_tokens_is_refused_and_tickets_pass_meanwhile(w):
    config = brief(w)
    config.auth["max_challenges"] = 1000
    p = w.start(config)
    good = w.initiator("alice").value()
    token = negotiate(os.urandom(3000))
    with as_before(w, p):
        real = w.initiator("bob").step()
        bad = [token, "Negotiate", "Negotiate =", "Negotiate !!!", negotiate(b"\x60\x82\xff\xff"), negotiate(real[:len(real) // 2]), negotiate(b"NTLMSSP\0\1\0\0\0"),
               negotiate(real[:200] + os.urandom(200) + real[400:]), negotiate(b"\x60" * 3000), "Negotiate " + "A" * 80000]
        count = 1500 if plain(w) else 300
        threads, got = storm(w, [bad[n % len(bad)] for n in range(count)])
        with w.wire() as c:
            passed(c.ask("GET", ECHO, auth=good))
        finished(w, threads)
        assert set(got) <= {400, 407, 503} and got.count(407) > count * 0.8, {s: got.count(s) for s in set(got)}


def test_handshakes_begun_and_left_are_forgotten(w):
    """Half of them leave; the others stay and say nothing until handshake_timeout."""
    config = brief(w, keepalive_timeout="5s")
    config.auth["handshake_timeout"] = "2s"
    p = w.start(config)
    with as_before(w, p), many(w, 60) as wires:
        for c in wires:
            c.send(request("GET", ECHO, auth=w.initiator("alice", dce=True).value()))
        for c in wires:
            expect(c.answer(), 407)
        assert total(p, "sallyport_handshakes_in_progress") == 60
        for n, c in enumerate(wires[:30]):
            c.reset() if n % 2 else c.close()
        passed(ask(w, auth=ALICE))
        wait_until("no handshake is left", lambda: total(p, "sallyport_handshakes_in_progress") == 0, 10 * w.patience)


# ---- leaving ----

def test_pipelining_floods_end_with_their_clients(w):
    p = w.start(brief(w))
    with as_before(w, p), many(w, 60) as wires:
        data = request("GET", ECHO, auth=ALICE) * 300
        for n, c in enumerate(wires):
            c.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                c.socket.send(data)
        passed(ask(w, auth=BOB))
        for n, c in enumerate(wires[::2]):
            c.reset() if n % 2 else c.close()
        passed(ask(w, auth=BOB))


def test_clients_that_leave_after_every_byte_leave_nothing(w):
    """Of a CONNECT with early data, an upload with a length, one in chunks, and a Negotiate login: cut after each byte."""
    p = w.start(brief(w))
    step = 1 if plain(w) else 5
    token = w.initiator("alice", dce=True).value()
    whole = {
        "a tunnel": request("CONNECT", TARGET, auth=ALICE) + b"early data" * 3,
        "an upload": request("POST", ODD + "/upload", auth=ALICE, fields=[("Content-Length", "40")], body=b"x" * 40),
        "chunks": request("POST", ODD + "/upload", auth=ALICE, fields=[("Transfer-Encoding", "chunked")], body=b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"),
        "a refusal": request("POST", ECHO, fields=[("Content-Length", "40")], body=b"x" * 40),
    }
    with as_before(w, p):
        for data in whole.values():
            for at in range(0, len(data) + 1, step):
                for by in ("reset", "close"):
                    c = w.wire()
                    c.send(data[:at])
                    getattr(c, by)()
        for at in range(0, len(token), 97):
            c = w.wire()
            c.send(request("GET", ECHO, auth=token)[:at + 80])
            c.reset()
        passed(ask(w, auth=BOB))


def test_tunnels_opened_and_dropped_leave_nothing(w):
    """By either side, with FIN and RST, before, during and after their bytes; and both at once."""
    p = w.start(brief(w))
    ends = []

    def behave(sock, head):
        how = ends.pop(0) if ends else "stay"
        if how in ("reset at once", "close at once"):
            return sock.close() if how == "close at once" else (reset(sock), sock.close())
        sock.recv(10)
        if how == "reset":
            reset(sock)
        elif how == "stay":
            while sock.recv(65536):
                pass
        sock.close()
    with Rogue(behave, at_once=True) as origin, as_before(w, p):
        for _ in range(4):
            for how in ("stay", "reset", "close", "reset at once", "close at once"):
                for by in ("reset", "close", "half_close", "read"):
                    ends.append(how)
                    c = w.wire()
                    c.send(request("CONNECT", origin.authority, auth=ALICE) + (b"0123456789" if by != "half_close" else b""))
                    with contextlib.suppress(Gone, OSError):
                        c.answer("CONNECT")
                        if by == "half_close":
                            c.half_close()
                        elif by == "read" and how != "stay":
                            c.socket.settimeout(10 * w.patience)
                            c.read_to_end()
                    c.reset() if by == "reset" else c.close()
        passed(ask(w, auth=BOB))
