"""Listening sockets that outlive the process: systemd's descriptor store and socket units, with the manager played by the rig."""

import contextlib
import functools
import os
import signal
import socket
import ssl
import threading

from common import ALICE, ECHO, ask, passed, request
from sp_rig.manager import Store
from sp_rig.procs import can_connect, run, wait_until
from sp_rig.wire import Wire

TLS = 3143


def with_store(test):
    """The test's store, closed at its end: what it keeps would go on listening."""
    @functools.wraps(test)
    def run_it(w):
        with contextlib.closing(Store()) as store:
            test(w, store)
    return run_it


def served(w, workers):
    config = w.config()
    config.top["workers"] = workers
    config.listens.append(("10.99.0.1:%d" % TLS, {"tls_certificate": w.certificate, "tls_key": w.key}))
    return config


def end(w, p):
    """The old process ends as `systemctl restart` has it end; what it says meanwhile is heard."""
    assert p.proc.stop(signal.SIGTERM, 15 * w.patience) == 0
    p.hear()
    p.stop()
    w._proxies.remove(p)


def restart(w, p, config=None):
    end(w, p)
    return w.start(config or p.config, store=p.store)


def sockets_of(p, port=3128):
    out = run(["ss", "-Htlnp", "sport", "=", ":%d" % port])
    return out.count("pid=%d," % p.proc.pid)


def all_are_served(w, count=60, port=3128):
    """Many connections at once: the kernel spreads them over all sockets that listen."""
    wires = [w.wire(port=port) for _ in range(count)]
    for c in wires:
        c.send(request("GET", ECHO, auth=ALICE))
    for c in wires:
        passed(c.answer())
        c.close()


class Clients:
    """Connect, ask, and again; in clear and by TLS. Nobody is to be refused, reset, or left without an answer."""

    def __init__(self, w):
        self.w, self.faults, self.count, self._stop = w, [], [0, 0], threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in (0, 0, 1)]
        for t in self._threads:
            t.start()

    def _run(self, n):
        context = ssl.create_default_context(cafile=self.w.ca)
        while not self._stop.is_set():
            try:
                with Wire(("10.99.0.1", TLS if n else 3128), None, 20 * self.w.patience, (context, "proxy.corp.test") if n else None) as c:
                    passed(c.ask("GET", ECHO, auth=ALICE))
                self.count[n] += 1
            except Exception as error:
                self.faults.append(repr(error))
                return

    def more(self):
        """Some more of both kinds have been served from now on."""
        want = [n + 20 for n in self.count]
        wait_until("clients are served", lambda: self.faults or all(have >= n for have, n in zip(self.count, want)), 30 * self.w.patience)
        assert not self.faults, self.faults

    def end(self):
        self._stop.set()
        for t in self._threads:
            t.join(30 * self.w.patience)
        assert not self.faults, self.faults


@with_store
def test_a_restart_refuses_nobody(w, store):
    p = w.start(served(w, 2), store=store)
    assert store.names == ["listen-10.99.0.1_3128"] * 2 + ["listen-10.99.0.1_3143"] * 2, store.names
    clients = Clients(w)
    clients.more()
    for _ in range(4):
        p = restart(w, p)
        clients.more()
    clients.end()
    assert len(store.names) == 4, store.names


@with_store
def test_another_number_of_workers_leaves_no_socket_unserved(w, store):
    p = w.start(served(w, 4), store=store)
    for workers, sockets in ((1, 4), (3, 4), (6, 6), (2, 6)):
        config = p.config
        config.top["workers"] = workers
        p = restart(w, p, config)
        assert sockets_of(p) == sockets, (workers, sockets_of(p))
        all_are_served(w)
        assert len(store.names) == 2 * sockets, store.names


@with_store
def test_sockets_of_listeners_that_are_gone_are_closed_and_forgotten(w, store):
    p = w.start(served(w, 2), store=store)
    config = p.config
    config.listens.append(("10.99.0.1:3130", {"offer": ["basic"]}))
    config.write()
    p.proc.send(signal.SIGHUP)
    p.log_says("event=reloaded")
    p.hear()
    assert store.names.count("listen-10.99.0.1_3130") == 2, store.names
    all_are_served(w, 10, 3130)
    p = restart(w, p)
    all_are_served(w, 10, 3130)
    gone = config.listens.pop()
    config.write()
    p.proc.send(signal.SIGHUP)
    wait_until("it is reloaded", lambda: p.errors().count("event=reloaded") == 2, 5 * w.patience)
    wait_until("the listener is gone", lambda: p.hear() or not can_connect("10.99.0.1", 3130), 5 * w.patience)
    assert len(store.names) == 4, store.names
    config.listens.append(gone)            # and now one that only the next process finds gone
    p = restart(w, p, config)
    assert len(store.names) == 6
    config.listens.pop()
    p = restart(w, p, config)
    wait_until("the store has forgotten it", lambda: p.hear() or len(store.names) == 4, 5 * w.patience)
    assert not can_connect("10.99.0.1", 3130)
    assert "an inherited socket at 10.99.0.1:3130 is closed" in p.proc.words(), p.proc.words()


@with_store
def test_an_address_that_holds_the_older_one_is_bound_by_a_restart(w, store):
    """And back. The store has the older sockets until it has heard that it need not."""
    p = w.start(served(w, 2), store=store)
    address, keys = p.config.listens[0]
    for title in ("0.0.0.0:3128", address):
        p.config.listens[0] = (title, keys)
        p = restart(w, p)
        all_are_served(w, 10)
        wait_until("the store has forgotten it", lambda: p.hear() or len(store.names) == 4, 5 * w.patience)
        all_are_served(w, 10)


@with_store
def test_a_socket_unit_binds_for_several_workers(w, store):
    """Without SO_REUSEPORT, as systemd binds it by default, no other socket may stand beside it: all workers accept from one."""
    with socket.create_server(("10.99.0.1", 3128), backlog=128, reuse_port=False) as unit, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        store.add([other, unit])
    config = w.config()
    config.top["workers"] = 3
    p = w.start(config, store=store)
    assert "inherited descriptor 3 is closed" in p.proc.words(), p.proc.words()
    all_are_served(w)
    p = restart(w, p)
    all_are_served(w)
    assert store.names == ["socket-unit"] * 2, "it has them anyway: %s" % store.names


@with_store
def test_a_socket_unit_keeps_what_no_listener_has(w, store):
    """Another service may accept from it, and so may we once a listener has the address."""
    with socket.create_server(("10.99.0.1", 3130), backlog=128, reuse_port=False) as unit:
        store.add([unit])
        store.add([unit], "listen-10.99.0.2_3130")         # a name as of ours, but for another address
        p = w.start(served(w, 2), store=store)
        assert p.proc.words().count("nobody accepts from the socket at 10.99.0.1:3130: a socket unit passes it on") == 2, p.proc.words()
        assert "FD" not in p.proc.words() and store.names.count("socket-unit") == 1, store.names
        unit.settimeout(5 * w.patience)
        with socket.create_connection(("10.99.0.1", 3130)) as c:
            with unit.accept()[0] as other:                # as another service would
                other.sendall(b"served by another")
                c.settimeout(5 * w.patience)
                assert c.recv(100) == b"served by another"
        config = p.config
        config.listens.append(("10.99.0.1:3130", {"offer": ["basic"]}))
        p = restart(w, p, config)
        all_are_served(w, 10, 3130)


@with_store
def test_a_wrong_count_of_descriptors_is_said_and_does_no_harm(w, store):
    with socket.create_server(("10.99.0.1", 3128), backlog=128, reuse_port=False) as unit:
        store.add([unit])
    config, before = w.config(), 0
    for claim, words in (("2147483640", "LISTEN_FDS says 2147483640, but descriptor 4 is not open"), ("9" * 30, "is no number of descriptors"),
                         ("-1", "is no number of descriptors"), ("1 more", "is no number of descriptors"), ("0", None)):
        store.claim = claim
        if words and "but" in words:
            p = w.start(config, store=store)
            all_are_served(w, 10)
        else:                                              # the socket is not taken, and so the address is not free
            p = w.start(config, store=store, ready=False)
            p.proc.popen.wait(10 * w.patience)
            assert "cannot listen on 10.99.0.1:3128" in p.proc.words(), p.proc.words()
        said = p.proc.words()[before:]
        before += len(said)
        assert words in said if words else "LISTEN_FDS" not in said, (claim, said)
        p.stop()
        w._proxies.remove(p)


def test_descriptors_of_another_process_are_let_alone(w):
    before = dict(os.environ)
    os.environ.update(LISTEN_PID="1", LISTEN_FDS="3")
    try:
        w.start()
        passed(ask(w, auth=ALICE))
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_who_waits_to_be_accepted_is_served_before_the_end(w):
    """The kernel has told them that they are connected: closing the listener would reset them."""
    config = served(w, 2)
    p = w.start(config)
    passed(ask(w, auth=ALICE))
    p.proc.send(signal.SIGSTOP)
    wires = [w.wire() for _ in range(50)]
    for n, c in enumerate(wires):
        if n % 2:
            c.send(request("GET", ECHO, auth=ALICE))
    late = w.wire(port=TLS)
    p.proc.send(signal.SIGTERM)
    p.proc.send(signal.SIGCONT)
    wait_until("no new connection is taken", lambda: not can_connect("10.99.0.1", 3128), 5 * w.patience)
    for n, c in enumerate(wires):
        if n % 2 == 0:
            c.send(request("GET", ECHO, auth=ALICE))
    context = ssl.create_default_context(cafile=w.ca)
    late.raw.settimeout(5 * w.patience)
    with context.wrap_socket(late.raw, server_hostname="proxy.corp.test") as c:
        c.sendall(request("GET", ECHO, auth=ALICE))
        assert c.recv(100).startswith(b"HTTP/1.1 200 ")
    for n, c in enumerate(wires):
        answer = passed(c.answer())
        # a worker may have woken, and answered, before the main thread told it of the end
        assert n % 2 or not answer.keeps_open(), answer.head
        c.close()
    assert p.proc.popen.wait(10 * w.patience) == 0
    p.stop()
    w._proxies.remove(p)


def test_signals_at_the_very_end_do_not_kill(w):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        p = w.start()
        p.proc.send(signal.SIGTERM)
        while p.proc.popen.poll() is None:     # poll has it reaped, so no signal goes astray
            p.proc.popen.send_signal(number)
        assert p.proc.popen.returncode == 0, (number, p.proc.popen.returncode)
        p.stop()
        w._proxies.remove(p)


@with_store
def test_a_crash_keeps_those_who_wait(w, store):
    p = w.start(served(w, 2), store=store)
    p.proc.stop(signal.SIGKILL)
    wires = [w.wire() for _ in range(20)]
    for c in wires:
        c.send(request("GET", ECHO, auth=ALICE))
    p.stop()
    w._proxies.remove(p)
    w.start(p.config, store=store)
    for c in wires:
        passed(c.answer())
        c.close()
