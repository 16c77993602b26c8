"""System calls that fail, as they may where a machine is short of everything: no request hangs, nobody is let in or refused who
should not be, nothing that was taken stays, and when the kernel is well again everything is as before."""

import contextlib
import mmap
import os
import signal
import struct
import threading
import time

from before import as_before, brief
from common import ALICE, ECHO, passed, request
from sp_rig.held import control
from sp_rig.procs import wait_until
from sp_rig.proxy import Raw
from sp_rig.traffic import Book, Client
from test_want import all_is_well

# In the order of tests/rig/calls.c.
CALLS = ("accept4", "connect", "epoll_ctl", "epoll_wait", "fcntl", "fopen", "fstat", "getpeername", "getsockname", "getsockopt", "ioctl", "open",
         "pipe2", "poll", "read", "recv", "send", "sendmsg", "setsockopt", "shutdown", "socket", "splice", "stat", "pthread_create", "write")
HEAD = 16                                  # bytes before the counters
ROUNDS = (100, 12)                         # one of so many fails
ROUND_SECONDS = 1.5


class Calls:
    """What tests/rig/calls.c is told, and what it has done."""

    def __init__(self, w):
        self.path, library = os.path.join(w.folder, "calls"), os.path.join(w.build, "tests", "calls.so")
        assert os.path.exists(library), "%s is not built" % library
        with open(self.path, "wb") as f:
            f.write(bytes(HEAD + 4 * len(CALLS)))
        with open(self.path, "r+b") as f:
            self._map = mmap.mmap(f.fileno(), HEAD + 4 * len(CALLS))
        self.environment = {"SALLYPORT_TEST_CALLS": self.path, "LD_PRELOAD": library, "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def fail(self, every, only=None):
        """One of so many, of one call or of all; 0: none."""
        self._map[4:8] = struct.pack("=I", 0 if only is None else CALLS.index(only) + 1)
        self._map[0:4] = struct.pack("=I", every)

    def asked(self):
        """How many there were, of the call or of all that it is about."""
        return struct.unpack("=I", self._map[8:12])[0]

    def failed(self):
        """How often each call has failed."""
        return {name: n for name, n in zip(CALLS, struct.unpack("=%dI" % len(CALLS), self._map[HEAD:])) if n > 0}


def administer(p, stop):
    """Reloads, rotations and questions, one after the other."""
    for n in iter(int, 1):
        for deed in (lambda: p.proc.send(signal.SIGHUP), lambda: control(p, "stats"), lambda: p.proc.send(signal.SIGUSR1), lambda: control(p, "why alice")):
            if stop.wait(0.1):
                return
            with contextlib.suppress(OSError, AssertionError):   # the control socket may fail as well
                deed()


def is_excused(outcome):
    """Cut off, or told in one of the ways that say: try again."""
    return outcome in ("gone", "refused") or outcome[:3] in ("502", "503", "504")


def test_calls_that_fail_cost_answers_and_nothing_else(w):
    calls = Calls(w)
    config = brief(w)
    config.cache = {"ttl": "1s", "negative_ttl": "1s"}
    config.guard = {"user_failures": 0, "client_failures": 0}
    config.listens.append(("10.99.0.1:3143", {"tls_certificate": w.certificate, "tls_key": w.key}))
    config.backends["corp-ldap"]["idle_timeout"] = Raw("1s")
    p = w.start(config, env=calls.environment)
    with as_before(w, p):
        all_is_well(w)
        for every in ROUNDS:
            book, stop = Book(), threading.Event()
            threading.Thread(target=administer, args=(p, stop), daemon=True).start()
            calls.fail(every)
            clients = [Client(w, book, n, 3143) for n in range(6)]
            time.sleep(ROUND_SECONDS * w.patience)
            for client in clients:
                client.stop.set()
            calls.fail(0)
            for client in clients:
                client.thread.join(30 * w.patience)
                assert not client.thread.is_alive(), "a client waits for an answer that does not come"
            stop.set()
            wrong = sorted({(deed, outcome, said) for deed, outcome, _, _, said in book.odd if not is_excused(outcome)})
            assert not wrong, "one of %d fails: %s" % (every, wrong[:10])
            all_is_well(w)
        print("        %d calls of %d kinds failed" % (sum(calls.failed().values()), len(calls.failed())))
        assert len(calls.failed()) > 12, calls.failed()


def test_name_service_goes_on_when_its_socket_could_not_be_watched(w):
    """c-ares keeps that socket as long as a question is open, and here one always is."""
    calls = Calls(w)
    w.names.silent.add("silent.corp.test")
    w.start(brief(w, workers=1, keepalive_timeout="60s", connect_timeout="3s"), env=calls.environment)
    with w.wire() as first, w.wire() as second:
        for c in (first, second):              # their own sockets stand
            passed(c.ask("GET", "http://10.99.0.20/echo", auth=ALICE))
        calls.fail(1, "epoll_ctl")
        first.send(request("GET", "http://silent.corp.test/", auth=ALICE))
        wait_until("the question is asked", lambda: calls.failed() and any(name == "silent.corp.test" for name, _ in w.names.asked), 5 * w.patience)
        calls.fail(0)
        passed(second.ask("GET", ECHO, auth=ALICE))
