"""HTTPS proxy listeners, what is offered where, and channel bindings."""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

from common import ALICE, BOB, ECHO, ask, basic, challenged, closed, expect, login, own, passed, request
from sp_rig.procs import RigError, can_connect, wait_until
from sp_rig.tokens import end_point_bindings
from sp_rig.wire import Wire
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
    stalled = [w.wire() for _ in range(500)]
    for n, c in enumerate(stalled):
        c.send([b"", b"\x16\x03\x01", b"GET http://odd.corp.test/ HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00" + b"\x01" * 100][n % 4])
    passed(ask(w, tls=True, auth=ALICE))
    for c in stalled:
        assert c.is_closed(5 * w.patience)
    end = time.monotonic() + 6 * w.patience
    while p.descriptors("socket") > before + 1:
        assert time.monotonic() < end, "stalled handshakes stay: %d sockets, %d before" % (p.descriptors("socket"), before)
        time.sleep(0.1)
    for c in stalled:
        c.close()


def s_client(w, *words, stdin=b"", port=3128):
    done = subprocess.run(["openssl", "s_client", "-connect", "10.99.0.1:%d" % port, "-CAfile", w.ca, *words], input=stdin,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30 * w.patience)
    return done.stdout.decode("utf-8", "replace")


def subject_of(w, name=None, *words):
    said = s_client(w, *(["-servername", name] if name else ["-noservername"]), *words)
    return re.search(r"subject=.*CN ?= ?(\S+)", said).group(1), said


def several(w):
    """Four certificates on one listener: the default, a wildcard, and a name with two kinds of key."""
    pairs = [(w.certificate, w.key), w.authority.issue("wild", ["*.branch.test"]), w.authority.issue("double-ec", ["double.test"]),
             w.authority.issue("double-rsa", ["double.test"], key=("rsa", "rsa_keygen_bits:2048"))]
    config = tls_config(w)
    config.listens[0][1].update(tls_certificate=[c for c, _ in pairs], tls_key=[k for _, k in pairs])
    return config, pairs


def test_each_name_gets_its_certificate(w):
    config, pairs = several(w)
    w.start(config)
    for name, want in (("proxy.corp.test", "proxy.corp.test"), (None, "proxy.corp.test"), ("nobody.test", "proxy.corp.test"),
                       ("paris.branch.test", "*.branch.test"), ("DOUBLE.test", "double.test")):
        assert subject_of(w, name)[0] == want, name
    for algorithms, kind in (("ECDSA+SHA256", "ECDSA"), ("RSA-PSS+SHA256", "RSA")):
        for version in ("-tls1_2", "-tls1_3"):
            subject, said = subject_of(w, "double.test", version, "-sigalgs", algorithms)
            assert subject == "double.test" and re.search("Peer signature type: %s" % kind, said), said
    proxy = "https://paris.branch.test:3128"
    status, out, err = w.curl("--proxy-cacert", w.ca, "--resolve", "paris.branch.test:3128:10.99.0.1", "-U", "alice:Alice-Pass-17",
                              w.url("/1k", "origin"), proxy=proxy)
    assert status == 0 and out == "k" * 1024, (status, out, err)


def test_channel_bindings_are_those_of_the_certificate_shown(w):
    config, pairs = several(w)
    config.backends["corp-krb5"] = w.krb5_backend(channel_bindings="require")
    w.start(config)
    with Wire(("10.99.0.1", 3128), None, 20 * w.patience, (ssl.create_default_context(cafile=w.ca), "paris.branch.test")) as c:
        passed(c.ask("GET", ECHO, auth=w.initiator("alice", bindings=end_point_bindings(pairs[1][0])).value()))
    with Wire(("10.99.0.1", 3128), None, 20 * w.patience, (ssl.create_default_context(cafile=w.ca), "paris.branch.test")) as c:
        expect(c.ask("GET", ECHO, auth=w.initiator("alice", bindings=end_point_bindings(pairs[0][0])).value()), 407)


def test_faults_of_certificates_are_told_with_file_and_line(w):
    rsa = w.authority.issue("double-rsa", ["double.test"], key=("rsa", "rsa_keygen_bits:2048"))
    old = w.authority.issue("old", ["old.test"], days=-1)
    for keys, where, says in (
            (dict(tls_certificate=[w.certificate, rsa[0]], tls_key=[w.key]), "tls_key", "tls_key names 1 of 2 files"),
            (dict(tls_certificate=[w.certificate, rsa[0]], tls_key=[w.key, w.key]), "tls_key", "does not belong to tls_certificate"),
            (dict(tls_certificate=[w.certificate, w.key], tls_key=[w.key, w.key]), "tls_certificate", "no PEM certificate"),
            (dict(tls_certificate=[w.certificate, "absent.pem"], tls_key=[w.key, w.key]), "tls_certificate", "absent.pem cannot be read"),
            (dict(tls_certificate=[w.certificate, old[0]], tls_key=[w.key, old[1]]), None, "expired on")):
        config = tls_config(w)
        config.listens[0][1].clear()
        config.listens[0][1].update(keys)
        path = config.write()
        status, out, err = w.command("check", "-c", path)
        assert status == (0 if where is None else 1) and says in err, (status, err)
        with open(path) as f:
            line = [n for n, text in enumerate(f, 1) if text.strip().startswith(where or "tls_certificate")][0]
        assert "sallyport.conf:%d: " % line in err, (line, err)
    status, out, err = w.command("doctor", "-c", several(w)[0].write(), "--json")
    for number, words in ((1, "EC, for proxy.corp.test"), (2, "*.branch.test"), (3, "EC, for double.test"), (4, "RSA, for double.test")):
        assert re.search(r'certificate %d of listen [^{}]*%s' % (number, re.escape(words)), out), out


def test_a_reload_brings_a_new_certificate_and_a_bad_one_changes_nothing(w):
    pair = [os.path.join(w.folder, name) for name in ("turning.pem", "turning.key")]

    def put(issued):
        for source, to in zip(issued, pair):
            shutil.copy(source, to)
    put((w.certificate, w.key))
    config = tls_config(w)
    config.listens[0][1].update(tls_certificate=pair[0], tls_key=pair[1])
    p = w.start(config)
    with w.wire(tls=True) as c:
        passed(c.ask("GET", ECHO, auth=ALICE))
        with open(pair[1], "w") as f:
            f.write("no key at all")
        p.proc.send(signal.SIGHUP)
        p.log_says("event=reload_refused")
        assert re.search(r"event=config_fault .*sallyport\.conf:\d+: tls_key .*no PEM private key", p.errors()), p.errors()[-2000:]
        assert subject_of(w)[0] == "proxy.corp.test"
        session = os.path.join(w.folder, "session.pem")
        s_client(w, "-tls1_2", "-sess_out", session)
        assert "Reused, " in s_client(w, "-tls1_2", "-sess_in", session)
        put(w.authority.issue("turned", ["turned.test"]))
        p.proc.send(signal.SIGHUP)
        p.log_says("event=reloaded")
        assert subject_of(w)[0] == "turned.test"
        assert "Reused, " not in s_client(w, "-tls1_2", "-sess_in", session), "a session outlived its certificate"
        passed(c.ask("GET", ECHO, auth=ALICE))


def test_sessions_are_resumed_by_any_worker_and_after_a_reload(w):
    config = tls_config(w)
    config.top["workers"] = 4
    p = w.start(config)
    for round in range(2):
        said = s_client(w, "-tls1_2", "-reconnect")
        assert said.count("Reused, ") >= 4, said[-2000:]
        session = os.path.join(w.folder, "session.pem")
        if round == 0:
            with w.wire(tls=True) as c:    # a ticket of TLS 1.3 comes with the first answer
                passed(c.ask("GET", ECHO, auth=ALICE))
            said = s_client(w, "-tls1_3", "-sess_out", session, "-ign_eof", stdin=request("GET", ECHO, fields=[("Connection", "close")]))
        for _ in range(6):
            assert "Reused, TLSv1.3" in s_client(w, "-tls1_3", "-sess_in", session)
        p.proc.send(signal.SIGHUP)
        p.log_says("event=reloaded")


def test_neither_renegotiation_nor_early_data(w):
    w.start(tls_config(w))
    said = s_client(w, "-tls1_2", stdin=b"R\n")
    assert "Secure Renegotiation IS supported" in said and "no renegotiation" in said, said[-1500:]
    session, early = os.path.join(w.folder, "session.pem"), os.path.join(w.folder, "early")
    with open(early, "wb") as f:
        f.write(request("GET", ECHO, auth=ALICE))
    s_client(w, "-tls1_3", "-sess_out", session, "-ign_eof", stdin=request("GET", ECHO, fields=[("Connection", "close")]))
    assert "Early data was accepted" not in s_client(w, "-tls1_3", "-sess_in", session, "-early_data", early)


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
