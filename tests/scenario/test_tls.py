"""HTTPS proxy listeners, what is offered where, and channel bindings."""

import signal
import socket
import ssl
import subprocess
import time

from common import ALICE, BOB, ECHO, ask, basic, challenged, closed, expect, login, own, passed, request
from sp_rig.procs import RigError, can_connect, wait_until
from sp_rig.tokens import end_point_bindings
from gssapi.raw import ChannelBindings


def tls_config(w, **krb5):
    config = w.config()
    config.listens = [("10.99.0.1:3128", {"tls_certificate": w.certificate, "tls_key": w.key})]
    config.backends["corp-krb5"] = w.krb5_backend(**krb5)
    return config


def test_a_tls_listener_offers_all_and_serves(w):
    p = w.start(tls_config(w))
    challenged(ask(w, tls=True), "Negotiate", "Basic")
    passed(ask(w, tls=True, auth=ALICE))
    with w.wire(tls=True) as c:
        for _ in range(5):
            passed(c.ask("GET", ECHO, auth=ALICE))
    p.last(status=200, user="alice", listener="10.99.0.1:3128")


def test_curl_speaks_to_a_tls_listener(w):
    w.start(tls_config(w))
    proxy = "https://proxy.corp.test:3128"
    for url in (w.url("/1k", "origin"), w.url("/1k", "origin", "https")):
        status, out, err = w.curl("--proxy-cacert", w.ca, "-U", "alice:Alice-Pass-17", url, proxy=proxy)
        assert status == 0 and out == "k" * 1024, (status, out, err)
        status, out, err = w.curl("--proxy-cacert", w.ca, "--proxy-negotiate", "-U", ":", url, proxy=proxy, user="alice")
        assert status == 0 and out == "k" * 1024, (status, out, err)


def test_tls_1_2_and_1_3_are_spoken_and_1_1_is_not(w):
    w.start(tls_config(w))
    for version, works in ((ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True), (ssl.TLSVersion.TLSv1_1, False)):
        context = ssl.create_default_context(cafile=w.ca)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        try:
            with context.wrap_socket(socket.create_connection(("10.99.0.1", 3128), 5), server_hostname="proxy.corp.test") as c:
                assert works, c.version()
        except (ssl.SSLError, OSError):
            assert not works, version


def test_a_tunnel_works_through_tls_with_half_close(w):
    w.start(tls_config(w))
    with w.wire(tls=True) as c:
        expect(c.ask("CONNECT", "odd.corp.test:443", auth=ALICE), 200)
        c.send(b"x" * 500000)
        assert c.read(500000) == b"x" * 500000
        c.send(b"bye\n")
        assert c.read(8) == b"good bye"


def test_large_bodies_pass_through_tls(w):
    w.start(tls_config(w))
    with w.wire(tls=True) as c:
        assert len(passed(c.ask("GET", "http://odd.corp.test/bytes?20000000", auth=ALICE)).body) == 20000000
        body = b"y" * 3000000
        c.send(request("POST", "http://odd.corp.test/upload", fields=[("Content-Length", str(len(body)))], body=body, auth=ALICE))
        assert b" 3000000 " in passed(c.answer()).body


def test_an_answer_is_whole_where_another_request_meets_the_end(w):
    p = w.start(tls_config(w))
    size = 32 << 20                        # more than all sockets on the way hold
    with w.wire(tls=True) as c:
        c.send(request("GET", "http://odd.corp.test/bytes?%d" % size, auth=ALICE))
        c.read_until(b"\r\n\r\n")
        p.proc.send(signal.SIGTERM)
        wait_until("no new connection is taken", lambda: not can_connect(w.proxy_address, w.proxy_port), 5 * w.patience)
        c.send(request("GET", ECHO, auth=ALICE))
        body = c.read_to_end()
    assert len(body) == size and body == size // len(w.odd.filling) * w.odd.filling, "%d of %d bytes came" % (len(body), size)
    assert p.proc.popen.wait(10 * w.patience) == 0
    assert p.stop() == 0
    w._proxies.remove(p)


def test_broken_and_stalled_handshakes_cost_others_nothing(w):
    config = tls_config(w)
    config.limits = {"client_header_timeout": "1s"}
    p = w.start(config)
    passed(ask(w, tls=True, auth=ALICE))
    before = p.descriptors("socket")
    stalled = [w.wire() for _ in range(20)]
    for n, c in enumerate(stalled):
        c.send([b"", b"\x16\x03\x01", b"GET http://odd.corp.test/ HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00" + b"\x01" * 100][n % 4])
    passed(ask(w, tls=True, auth=ALICE))
    for c in stalled:
        assert c.is_closed(5 * w.patience) or True
    end = time.monotonic() + 6 * w.patience
    while p.descriptors("socket") > before + 1:
        assert time.monotonic() < end, "stalled handshakes stay: %d sockets, %d before" % (p.descriptors("socket"), before)
        time.sleep(0.1)
    for c in stalled:
        c.close()


def test_sessions_are_resumed(w):
    w.start(tls_config(w))
    done = subprocess.run(["openssl", "s_client", "-connect", "10.99.0.1:3128", "-tls1_2", "-reconnect", "-CAfile", w.ca], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    assert done.stdout.count(b"Reused, ") >= 4, done.stdout[-2000:]


def test_channel_bindings_are_checked_where_the_client_sends_them(w):
    w.start(tls_config(w, channel_bindings="allow"))
    right, wrong = end_point_bindings(w.certificate), ChannelBindings(application_data=b"tls-server-end-point:" + b"\0" * 32)
    passed(ask(w, tls=True, auth=w.initiator("alice", bindings=right).value()))
    passed(ask(w, tls=True, auth=w.initiator("alice").value()))
    expect(ask(w, tls=True, auth=w.initiator("alice", bindings=wrong).value()), 407)


def test_channel_bindings_can_be_required(w):
    w.start(tls_config(w, channel_bindings="require"))
    passed(ask(w, tls=True, auth=w.initiator("alice", bindings=end_point_bindings(w.certificate)).value()))
    expect(ask(w, tls=True, auth=w.initiator("alice").value()), 407)


def test_channel_bindings_can_be_off(w):
    w.start(tls_config(w, channel_bindings="off"))
    wrong = ChannelBindings(application_data=b"tls-server-end-point:" + b"\0" * 32)
    passed(ask(w, tls=True, auth=w.initiator("alice", bindings=wrong).value()))


def test_basic_is_not_offered_in_clear_by_default(w):
    config = w.config()
    config.listens = [("10.99.0.1:3128", {})]
    p = w.start(config)
    challenged(ask(w), "Negotiate")
    assert ask(w, auth=ALICE).status == 407, "what is not offered is not taken either"
    assert w.ldap.binds("alice") == 0
    passed(ask(w, auth=w.initiator("alice").value()))


def test_each_listener_offers_its_own(w):
    config = w.config()
    config.listens = [("10.99.0.1:3128", {"offer": ["negotiate"]}), ("10.99.0.1:3129", {"offer": ["basic"]}),
                      ("10.99.0.1:3130", {"tls_certificate": w.certificate, "tls_key": w.key, "offer": ["basic", "negotiate"]})]
    w.start(config)
    with w.wire(port=3128) as c:
        challenged(c.ask("GET", ECHO), "Negotiate")
    with w.wire(port=3129) as c:
        challenged(c.ask("GET", ECHO), "Basic")
    with w.wire(port=3130, tls=True) as c:
        challenged(c.ask("GET", ECHO), "Negotiate", "Basic")


def test_a_scheme_without_backends_is_not_offered(w):
    config = w.config()
    config.auth["negotiate"] = []
    config.listens = [("10.99.0.1:3128", {"offer": ["basic"]})]
    w.start(config)
    challenged(ask(w), "Basic")
    challenged(ask(w, auth="Negotiate YIIabc="), "Basic")
