"""Tunnels: early data, half-close both ways, resets, bulk, and what is refused."""

import fcntl
import hashlib
import os
import socket
import struct
import subprocess
import termios
import threading
import time

from common import ALICE, BOB, ECHO, Gone, ask, challenged, closed, expect, login, own, passed, request, stays_open
from sp_rig import space
from sp_rig.procs import wait_until

TARGET = "odd.corp.test:443"


def tunnel(w, auth=ALICE, target=TARGET, early=b""):
    c = w.wire()
    c.send(request("CONNECT", target, auth=auth) + early)
    answer = expect(c.answer("CONNECT"), 200)
    assert answer.get("Content-Length") is None and answer.get("Transfer-Encoding") is None, answer.head
    return c


def test_a_tunnel_carries_bytes_both_ways(w):
    p = w.start()
    with tunnel(w) as c:
        for n in range(10):
            c.send(b"message %d" % n)
            assert c.read(9) == b"message %d" % n
    record = p.last(method="CONNECT", status=200, reason="ok", target=TARGET, user="alice")
    assert record["bytes_in"] > 90 and record["bytes_out"] > 90, record


def test_connect_without_credentials_is_407_and_the_connection_stays(w):
    w.start()
    with w.wire() as c:
        challenged(c.ask("CONNECT", TARGET))
        stays_open(c)
        expect(c.ask("CONNECT", TARGET, auth=ALICE), 200)
        c.send(b"hello")
        assert c.read(5) == b"hello"


def test_early_data_behind_connect_reaches_the_origin(w):
    w.start()
    with tunnel(w, early=b"too early") as c:
        assert c.read(9) == b"too early"


def test_early_data_behind_a_refused_connect_goes_nowhere(w):
    w.start()
    with w.wire() as c:
        c.send(request("CONNECT", TARGET) + request("GET", ECHO, auth=ALICE))
        challenged(c.answer())
        passed(c.answer())          # it is the next request, and nothing else


def test_the_clients_half_close_gets_through_and_the_answer_comes_back(w):
    w.start()
    with tunnel(w) as c:
        data = b"sum\n" + os.urandom(300000)
        c.send(data)
        c.half_close()
        assert c.read_to_end() == b"%d bytes, sha256 %s" % (len(data), hashlib.sha256(data).hexdigest().encode())


def test_the_origins_half_close_gets_through_and_the_client_goes_on(w):
    w.start()
    with tunnel(w) as c:
        c.send(b"bye\n")
        assert c.read_to_end() == b"good bye"
        c.send(b"but one thing more")
        c.half_close()
        wait_until("the last words arrive", lambda: w.odd.last_head() == b"but one thing more")


def test_early_data_with_an_immediate_half_close_is_answered(w):
    """printf REQUEST | ncat: all at once and then end of file."""
    w.start()
    c = w.wire()
    c.send(request("CONNECT", TARGET, auth=ALICE) + b"sum\nabc")
    c.half_close()
    expect(c.answer("CONNECT"), 200)
    assert c.read_to_end().startswith(b"7 bytes"), "the answer was lost"
    c.close()


def test_socat_and_ncat_get_their_answer_after_a_half_close(w):
    w.start()
    page = b"GET / HTTP/1.0\r\nHost: origin.corp.test\r\n\r\n"
    done = subprocess.run(["socat", "-t", "5", "-", "PROXY:proxy.corp.test:origin.corp.test:80,proxyport=3128,proxyauth=alice:Alice-Pass-17"],
                          input=page, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    assert done.stdout.endswith(b"the origin's page\n"), (done.stdout, done.stderr)
    done = subprocess.run(["ncat", "--proxy", "proxy.corp.test:3128", "--proxy-type", "http", "--proxy-auth", "alice:Alice-Pass-17", "origin.corp.test", "80"],
                          input=page, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    assert done.stdout.endswith(b"the origin's page\n"), (done.stdout, done.stderr)


def test_bulk_passes_whole_both_ways_at_once(w):
    p = w.start()
    size = 64 << 20
    part = os.urandom(1 << 20)
    digest, expected = hashlib.sha256(), hashlib.sha256()
    for _ in range(size >> 20):
        expected.update(part)
    with tunnel(w) as c:
        sender = threading.Thread(target=lambda: [c.socket.sendall(part) for _ in range(size >> 20)], daemon=True)
        before = p.memory_kib()
        sender.start()
        left = size
        while left:
            data = c.read(min(left, 1 << 20))
            digest.update(data)
            left -= len(data)
        sender.join()
        assert digest.digest() == expected.digest()
        assert p.memory_kib() - before < 48 * 1024 * (1 if w.patience == 1 else 6)


def test_a_reset_by_either_side_ends_the_tunnel_and_leaks_nothing(w):
    p = w.start()
    passed(ask(w, auth=ALICE))
    before = p.descriptors("socket")
    for _ in range(20):
        c = tunnel(w)
        c.send(b"x")
        c.read(1)
        c.reset()
    wait_until("sockets are back to %d" % before, lambda: p.descriptors("socket") <= before + 1, 5 * w.patience)


def test_what_a_target_said_arrives_although_it_hears_no_more(w):
    """It answers before it has read all and closes: what the client still sends meets a reset."""
    p = w.start()
    said = os.urandom(1000000)             # more than lies in the client's own socket
    with socket.create_server((space.ADDRESSES["other"], 443)) as listener:
        for _ in range(3):
            with tunnel(w, target="%s:443" % space.ADDRESSES["other"]) as c:
                c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                target, _ = listener.accept()
                with target:
                    target.sendall(said)
                    wait_until("all of it is with the proxy", lambda: unsent(target) == 0, 5 * w.patience)
                    target.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                for _ in range(20):
                    c.send(b"more" * 1000)
                    time.sleep(0.005)
                assert c.read(len(said)) == said
                closed(c, 5 * w.patience)
    p.last(method="CONNECT", status=200, reason="ok")


def unsent(connection):
    """Bytes that the other side has not taken."""
    return struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0]


def test_an_idle_tunnel_ends_after_tunnel_idle_timeout(w):
    config = w.config()
    config.limits = {"tunnel_idle_timeout": "1s"}
    w.start(config)
    with tunnel(w) as c:
        for _ in range(4):
            time.sleep(0.4)
            c.send(b"x")
            assert c.read(1) == b"x", "a busy tunnel goes on"
        closed(c, 3 * w.patience)


def test_an_idle_tunnel_stays(w):
    w.start()
    with tunnel(w) as c:
        time.sleep(2)
        c.send(b"still here")
        assert c.read(10) == b"still here"


def test_a_connect_with_negotiate_carries_the_final_token(w):
    w.start()
    me = w.initiator("alice")
    with w.wire() as c:
        answer = expect(c.ask("CONNECT", TARGET, auth=me.value()), 200)
        from test_negotiate import final_token
        me.step(final_token(answer))
        assert me.complete
        c.send(b"hello")
        assert c.read(5) == b"hello"


def test_an_http_1_0_connect_works(w):
    w.start()
    with w.wire() as c:
        expect(c.ask("CONNECT", TARGET, auth=ALICE, version="HTTP/1.0"), 200)
        c.send(b"hello")
        assert c.read(5) == b"hello"


def test_many_tunnels_at_once(w):
    config = w.config()
    config.top["workers"] = 2
    w.start(config)
    tunnels = [tunnel(w) for _ in range(100)]
    for n, c in enumerate(tunnels):
        c.send(b"%04d" % n)
    for n, c in enumerate(tunnels):
        assert c.read(4) == b"%04d" % n
        c.close()


def test_connect_to_an_address_and_to_ipv6_works(w):
    from sp_rig.odd_origin import OddOrigin
    w.start()
    with tunnel(w, target="10.99.0.20:443") as c:
        c.send(b"x")
        assert c.read(1) == b"x"
    with w.wire() as c:
        answer = c.ask("CONNECT", "[fd99::20]:443", auth=ALICE)
        own(answer, 502, "connect_failed")


def test_a_silent_tunnel_has_the_kernel_look_after_its_target(w):
    """A target that is gone without a word would else hold its tunnel for tunnel_idle_timeout."""
    p = w.start()
    with tunnel(w) as c:
        c.send(b"hello")
        assert c.read(5) == b"hello"
        assert targets(p) == [False], "a tunnel that has just begun is no concern of the kernel's"
        wait_until("a keep-alive timer at the target's socket", lambda: targets(p) == [True], 60)
        c.send(b"again")
        assert c.read(5) == b"again"


def targets(p):
    """For each of the proxy's connections to TARGET's port: does the kernel look after it?"""
    said = subprocess.run(["ss", "-tonpH", "state", "established", "dport", "=", ":443"], stdout=subprocess.PIPE, check=True).stdout.decode()
    return ["timer:(keepalive" in line for line in said.splitlines() if "pid=%d," % p.proc.pid in line]
