"""Life of the process: start, drain, signals, plugins made elsewhere."""

import os
import shutil
import signal
import subprocess
import time

from common import ALICE, BOB, ECHO, Gone, ask, basic, challenged, closed, expect, login, own, passed, request
from sp_rig.procs import can_connect, run, wait_until
from test_connect import tunnel


def test_term_and_int_end_an_idle_proxy_at_once(w):
    for number in (signal.SIGTERM, signal.SIGINT):
        p = w.start()
        passed(ask(w, auth=ALICE))
        begun = time.monotonic()
        assert p.stop(number) == 0
        assert time.monotonic() - begun < 3 * w.patience


def test_term_lets_a_request_finish_and_takes_no_new_connection(w):
    p = w.start()
    passed(ask(w, auth=ALICE))
    with w.wire() as slow, w.wire() as idle:
        passed(idle.ask("GET", ECHO, auth=ALICE))
        slow.send(request("GET", "http://odd.corp.test/slow?1.5", auth=ALICE))
        time.sleep(0.4)
        p.proc.send(signal.SIGTERM)
        closed(idle, 1.0 * w.patience)
        wait_until("no new connection is taken", lambda: not can_connect("10.99.0.1", 3128), 1.0 * w.patience)
        answer = passed(slow.answer())
        assert answer.body == b"at last"
        closed(slow)
    assert p.proc.popen.wait(5 * w.patience) == 0
    assert p.stop() == 0
    w._proxies.remove(p)


def test_term_gives_tunnels_shutdown_timeout(w):
    config = w.config()
    config.top["shutdown_timeout"] = "2s"
    p = w.start(config)
    c = tunnel(w)
    slow = w.wire()
    slow.send(request("GET", "http://odd.corp.test/slow?20", auth=ALICE))
    time.sleep(0.2)
    p.proc.send(signal.SIGTERM)
    time.sleep(0.8)
    c.send(b"still open")
    assert c.read(10) == b"still open"
    closed(c, 5 * w.patience)
    c.close()
    slow.close()
    assert p.proc.popen.wait(5 * w.patience) == 0
    p.last(method="CONNECT", reason="timeout")
    p.last(method="GET", reason="timeout")
    p.stop()
    w._proxies.remove(p)


def test_usr1_reopens_the_log_files(w):
    p = w.start()
    passed(ask(w, auth=ALICE))
    p.line(1)
    path = p.config.log["access"]
    os.rename(path, path + ".1")
    p.proc.send(signal.SIGUSR1)
    wait_until("a new file stands", lambda: os.path.exists(path), 5 * w.patience)
    passed(ask(w, auth=ALICE))
    assert p.line(1)["status"] == 200


def test_a_broken_listener_address_family_is_served_too(w):
    config = w.config()
    config.listens.append(("[::1]:3129", {"offer": ["basic"]}))
    w.start(config)
    from sp_rig.wire import Wire
    with Wire(("::1", 3129)) as c:
        passed(c.ask("GET", ECHO, auth=ALICE))


def test_several_workers_share_a_listener(w):
    config = w.config()
    config.top["workers"] = 3
    p = w.start(config)
    wires = [w.wire() for _ in range(30)]
    for c in wires:
        c.send(request("GET", ECHO, auth=ALICE))
    for c in wires:
        passed(c.answer())
        c.close()
    assert p.stop() == 0


def test_connections_are_gone_after_a_burst(w):
    p = w.start()
    with w.wire() as c:
        passed(c.ask("GET", ECHO, auth=ALICE))
    wires = [w.wire() for _ in range(200)]
    for n, c in enumerate(wires):
        c.send(request("GET", ECHO, auth=ALICE))
    for n, c in enumerate(wires):
        if n % 3:
            passed(c.answer())
        c.reset() if n % 2 else c.close()
    # upstream connections may be kept for the next request: those are bounded by what was opened at once
    wait_until("client descriptors are gone", lambda: clients_of(p) == 0, 10 * w.patience)
    passed(ask(w, auth=ALICE))


def clients_of(p):
    out = run(["ss", "-Htnp", "state", "established", "sport", "=", ":3128"])
    return len([line for line in out.splitlines() if "pid=%d," % p.proc.pid in line])


def test_it_is_installed_and_finds_its_plugins_there(w):
    prefix = os.path.join(w.folder, "prefix")
    run(["cmake", "--install", w.build, "--prefix", prefix])
    for part in ("sbin/sallyport", "lib/sallyport/ldap.so", "lib/sallyport/gssapi.so", "lib/sallyport/file.so", "include/sallyport/auth_backend.h"):
        assert os.path.exists(os.path.join(prefix, part)), part
    config = w.config()
    config.top["plugin_dir"] = os.path.join(prefix, "lib/sallyport")
    before, w.binary = w.binary, os.path.join(prefix, "sbin/sallyport")
    try:
        w.start(config)
        passed(ask(w, auth=ALICE))
    finally:
        w.binary = before


def test_a_plugin_built_outside_the_tree_loads_and_verifies(w):
    prefix, build = os.path.join(w.folder, "outside-prefix"), os.path.join(w.folder, "outside-build")
    example = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "examples", "backend-static")
    run(["cmake", "--install", w.build, "--prefix", prefix])
    run(["cmake", "-S", example, "-B", build, "-DSALLYPORT_PREFIX=" + prefix])
    assert ("SALLYPORT_INCLUDE_DIR:PATH=%s/include" % prefix) in open(os.path.join(build, "CMakeCache.txt")).read()
    run(["cmake", "--build", build])
    config = w.config()
    config.top["plugin_dir"] = build
    config.auth = {"basic": ["outside"]}
    config.listens[0][1]["offer"] = ["basic"]
    config.backends = {"outside": {"plugin": "static", "users": ["olga:Outside-Pass-5"]}}
    p = w.start(config)
    passed(ask(w, auth=basic("olga", "Outside-Pass-5")))
    own(ask(w, auth=basic("olga", "Wrong-Pass-5")), 407, "bad_credentials")
    own(ask(w, auth=basic("nobody", "x")), 407, "bad_credentials")
    p.last(user="olga", backend="outside", status=200, auth="directory")


def test_a_drained_connection_that_goes_on_asking_gets_its_answer_whole(w):
    """All of the answer is with the kernel when the connection ends; a reset would destroy what has not arrived."""
    p = w.start()
    size, rest = 32 << 20, 2 << 20
    with w.wire() as c:
        c.send(request("GET", "http://odd.corp.test/bytes?%d" % size, auth=ALICE))
        c.read_until(b"\r\n\r\n")
        p.proc.send(signal.SIGTERM)
        wait_until("no new connection is taken", lambda: not can_connect(w.proxy_address, w.proxy_port), 5 * w.patience)
        body = c.read(size - rest)
        time.sleep(0.3)                     # the proxy hands over what is left, and ends
        c.send(request("GET", ECHO, auth=ALICE))
        time.sleep(0.1)
        body += c.read_to_end()
    assert len(body) == size, "%d of %d bytes came" % (len(body), size)
    assert p.proc.popen.wait(10 * w.patience) == 0
    assert p.stop() == 0
    w._proxies.remove(p)
