"""Behind a load balancer: PROXY protocol from a real haproxy (versions 1 and 2, with checks of its own) and from curl; and from nobody else."""

import os
import shutil
import ssl
import struct

from common import ALICE, BOB, ECHO, basic, closed, expect, login, own, passed, request
from sp_rig.procs import Proc, can_connect, wait_until
from sp_rig.wire import Gone, Wire

BALANCER, PLAIN, TLS = "10.99.0.3", 3129, 3143
CLIENT, OTHER = "10.99.0.2", "10.99.0.21"
FRONTS = {4001: (PLAIN, "send-proxy check-send-proxy"), 4002: (PLAIN, "send-proxy-v2 check-send-proxy"), 4003: (TLS, "send-proxy-v2 check-send-proxy"),
          4004: (PLAIN, "send-proxy-v2 check-send-proxy proxy-v2-options crc32c,unique-id")}


class Haproxy:
    def __init__(self, w):
        assert shutil.which("haproxy"), "haproxy is not installed"
        folder = os.path.join(w.folder, "haproxy")
        os.makedirs(folder, exist_ok=True)
        text = "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n"
        for port, (to, how) in FRONTS.items():
            text += "listen front-%d\n  bind %s:%d\n  bind [::1]:%d\n  unique-id-format %%ci_%%cp\n  server one 10.99.0.1:%d %s source %s check inter 100ms\n" % (
                port, BALANCER, port, port, to, how, BALANCER)
        path = os.path.join(folder, "haproxy.cfg")
        with open(path, "w") as f:
            f.write(text)
        self.proc = Proc("haproxy", [shutil.which("haproxy"), "-db", "-f", path], os.path.join(folder, "output.log"))
        for port in FRONTS:
            wait_until("haproxy listens", lambda: can_connect(BALANCER, port) or not self.proc.alive(), 10 * w.patience)
        assert self.proc.alive(), self.proc.words()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.stop()


def balanced(w, **more):
    config = w.config()
    named = {"offer": ["basic"], "proxy_protocol_from": [BALANCER, "::1"]}
    config.listens += [("10.99.0.1:%d" % PLAIN, dict(named)), ("10.99.0.1:%d" % TLS, dict(named, tls_certificate=w.certificate, tls_key=w.key))]
    for name, value in more.items():
        setattr(config, name, value)
    return config


def through(w, port, source=CLIENT, host=BALANCER):
    tls = (ssl.create_default_context(cafile=w.ca), "proxy.corp.test") if FRONTS[port][0] == TLS else None
    return Wire((host, port), source, 20 * w.patience, tls)


def test_the_client_that_haproxy_names_is_who_is_logged_and_judged(w):
    config = balanced(w)
    config.rule("here", clients=[CLIENT, "::1"])
    p = w.start(config)
    with Haproxy(w):
        for port in FRONTS:
            with through(w, port) as c:
                passed(c.ask("GET", ECHO, auth=ALICE))
                passed(c.ask("GET", ECHO, auth=ALICE))
            p.last(client=CLIENT, listener="10.99.0.1:%d" % FRONTS[port][0], status=200)
            with through(w, port, OTHER) as c:
                own(c.ask("GET", ECHO, auth=ALICE), 403, "denied")
            p.last(client=OTHER, listener="10.99.0.1:%d" % FRONTS[port][0], status=403)
            with through(w, port, "::1", "::1") as c:
                passed(c.ask("GET", ECHO, auth=ALICE))
            p.last(client="::1", status=200)
        assert "proxy_header_refused" not in p.errors(), "haproxy's own checks are refused"
        assert "is DOWN" not in open(os.path.join(w.folder, "haproxy", "output.log")).read()


def test_the_guard_blocks_the_client_and_not_the_balancer(w):
    w.start(balanced(w, guard={"client_failures": 3}))
    with Haproxy(w):
        for n in range(3):
            with through(w, 4002) as c:
                expect(c.ask("GET", ECHO, auth=basic("nobody-%d" % n, "x")), 407)
        with through(w, 4002) as c:
            own(c.ask("GET", ECHO, auth=basic("nobody-9", "x")), 429, "blocked")
        for port in (4001, 4002, 4003):
            with through(w, port, OTHER) as c:
                passed(c.ask("GET", ECHO, auth=login("carol")))


def test_curl_names_its_client(w):
    p = w.start(balanced(w))
    status, out, err = w.curl("--haproxy-protocol", "--interface", BALANCER, "-U", "alice:Alice-Pass-17", w.url("/1k", "origin"),
                              proxy="http://10.99.0.1:%d" % PLAIN)
    assert status == 0 and out == "k" * 1024, (status, out, err)
    p.last(client=BALANCER, listener="10.99.0.1:%d" % PLAIN, status=200)


def v2(command, family, body=b"", version=2):
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", version << 4 | command, family, len(body)) + body


def test_headers_without_an_address_leave_the_balancers(w):
    """UNKNOWN, LOCAL, an unspecified family and UNIX sockets: the connection is served, and its client is whoever connects."""
    p = w.start(balanced(w))
    four = bytes([192, 0, 2, 9, 10, 99, 0, 1]) + struct.pack("!HH", 4000, PLAIN)
    for header in (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", v2(0, 0), v2(0, 0x11, four), v2(1, 0, b"whatever"),
                   v2(1, 0x31, b"/run/one".ljust(108, b"\0") + b"/run/two".ljust(108, b"\0"))):
        for pieces in ([header + request("GET", ECHO, auth=ALICE)], [header[:5], header[5:13], header[13:], request("GET", ECHO, auth=ALICE)]):
            with Wire(("10.99.0.1", PLAIN), BALANCER, 20 * w.patience) as c:
                for piece in pieces:
                    c.send(piece)
                passed(c.answer())
    p.line(12)
    assert {record["client"] for record in p.lines()} == {BALANCER}


def test_from_others_a_header_is_refused(w):
    """Whoever is not named cannot choose whom the log, the rules and the guard see."""
    config = balanced(w)
    config.rule("insiders", clients=["192.0.2.0/24"], authenticate=False)
    p = w.start(config)
    four = bytes([192, 0, 2, 9, 10, 99, 0, 1]) + struct.pack("!HH", 4000, PLAIN)
    for port in (3128, PLAIN, TLS):
        for header in (b"PROXY TCP4 192.0.2.9 10.99.0.1 4000 3129\r\n", v2(1, 0x11, four)):
            with Wire(("10.99.0.1", port), CLIENT, 20 * w.patience) as c:
                c.send(header + request("GET", ECHO))
                try:
                    said = c.read_to_end()
                except Gone:               # a reset
                    said = b""
            assert said.startswith(b"HTTP/1.1 400 ") if port != TLS else said[:1] in (b"", b"\x15"), said
    assert not [record for record in p.lines() if record["client"] != CLIENT or record["status"] != 400], p.lines()
    with Wire(("10.99.0.1", PLAIN), CLIENT, 20 * w.patience) as c:
        own(c.ask("GET", ECHO, auth=BOB), 403, "denied")


def test_refusals_do_not_fill_the_log(w):
    p = w.start(balanced(w))
    for _ in range(200):
        with Wire(("10.99.0.1", PLAIN), BALANCER, 20 * w.patience) as c:
            c.send(b"no header\r\n")
            closed(c)
    lines = p.errors().count("event=proxy_header_refused")
    assert 1 <= lines <= 60, lines
