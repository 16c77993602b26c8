"""Want of memory while the proxy serves: nobody is let in or refused who should not be, nothing hangs, and when there is
memory again everything is as before. (tests/want has each room's operations, one failing allocation after the other.)

The allocations are those of the program and its plugins. liblber, krb5's acceptor and libc's resolver assert or crash when
their own fail, which is nothing that we could answer."""

import base64
import contextlib
import mmap
import os
import struct
import threading
import time

from common import ECHO, Gone, ask, basic, login, passed
from sp_rig.procs import run, wait_until
from sp_rig.proxy import Raw
from sp_rig import space

ROUNDS = (300, 40, 8)  # one of so many of our own allocations fails
ROUND_SECONDS = 0.7
GOOD = (200, 502, 503, 504)  # what a sound request may get; 502: an origin that was not reached, for want of memory


class Want:
    """The words that tests/want/want_file.c reads."""

    def __init__(self, path):
        with open(path, "wb") as f:
            f.write(bytes(12))
        with open(path, "r+b") as f:
            self._map = mmap.mmap(f.fileno(), 12)

    def set(self, every):
        self._map[0:4] = struct.pack("=I", every)

    def counted(self):
        return struct.unpack("=II", self._map[4:12])


class Traffic:
    """Clients that ask for all kinds of things until they are told to stop; what was wrong about the answers."""

    def __init__(self, w):
        self.w, self.stop, self.wrong, self.answers = w, threading.Event(), [], {}
        self._threads = [threading.Thread(target=self._go, args=(f,), daemon=True)
                         for f in (self._sound, self._guess, self._ticket, self._tunnel, self._machines, self._long)]

    def _go(self, one):
        while not self.stop.is_set():
            try:
                one()
            except (Gone, OSError):        # cut: there was no memory for an answer
                self._count("cut")

    def _count(self, what):
        self.answers[what] = self.answers.get(what, 0) + 1

    def _judge(self, who, answer, statuses, reasons=None):
        self._count(answer.status)
        said = answer.get("Proxy-Status", "")
        if answer.status not in statuses or (reasons and answer.status == 407 and not any(r in said for r in reasons)):
            self.wrong.append("%s: %d %s" % (who, answer.status, said))

    def _sound(self):
        answer = ask(self.w, auth=login("alice"))
        self._judge("alice", answer, GOOD)
        if answer.status == 200 and b"GET" not in answer.body:
            self.wrong.append("alice: the page is not whole")

    def _guess(self):
        self._judge("bob's guesser", ask(self.w, auth=basic("bob", "not his")), (407, 503), ["bad_credentials"])
        self._judge("a stranger", ask(self.w), (407, 503), ["no_credentials"])

    def _ticket(self):
        self._judge("alice's ticket", ask(self.w, auth=negotiate(self.w)), GOOD)

    def _tunnel(self):
        with self.w.wire() as c:
            answer = c.ask("CONNECT", space.host("origin") + ":443", auth=login("alice"))
            self._judge("alice's tunnel", answer, GOOD)

    def _machines(self):
        with contextlib.suppress(Exception):   # it may have no answer; it may not take the proxy down
            run(["curl", "-sS", "-o", "/dev/null", "--max-time", "2", "http://127.0.0.1:3180/metrics"])

    def _long(self):
        answer = ask(self.w, method="POST", auth=login("alice"), fields=[("Transfer-Encoding", "chunked")], body=b"5\r\nhello\r\n" * 50 + b"0\r\n\r\n")
        self._judge("alice's upload", answer, GOOD)

    def __enter__(self):
        for t in self._threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self._threads:
            t.join(30 * self.w.patience)
            assert not t.is_alive(), "a client waits for an answer that does not come"


def negotiate(w):
    return "Negotiate " + base64.b64encode(w.initiator("alice").step()).decode("ascii")


def started(w):
    config = w.config()
    config.cache = {"ttl": Raw("0s"), "negative_ttl": Raw("0s")}     # every login is asked about
    config.guard = {"user_failures": 0, "client_failures": 0}
    config.backends["corp-ldap"]["idle_timeout"] = Raw("1s")         # so that what stays open is what leaked
    config.limits = {"keepalive_timeout": Raw("1s")}
    want = Want(os.path.join(config.folder, "want"))
    p = w.start(config, binary=w.binary + "_want", env={"SALLYPORT_WANT": os.path.join(config.folder, "want")})
    return p, want


def all_is_well(w):
    """A directory that there was no memory to reach is tried again after a while."""
    wait_until("alice passes again", lambda: ask(w, auth=login("alice")).status == 200, 20 * w.patience)
    passed(ask(w, auth=login("alice")))
    passed(ask(w, auth=login("bob")))
    passed(ask(w, auth=negotiate(w)))
    assert ask(w, auth=basic("bob", "not his")).status == 407
    assert b"sallyport_requests_total" in run(["curl", "-sS", "--max-time", "5", "http://127.0.0.1:3180/metrics"]).encode()


def test_want_of_memory_is_survived_and_decides_nothing(w):
    p, want = started(w)
    all_is_well(w)
    before = p.descriptors("socket")
    for every in ROUNDS:
        want.set(every)
        with Traffic(w) as traffic:
            time.sleep(ROUND_SECONDS * w.patience)
            want.set(0)
        assert p.proc.alive(), "it has ended: %s" % p.proc.words(4000)
        assert not traffic.wrong, "one of %d fails: %s" % (every, traffic.wrong[:10])
        assert want.counted()[1] > 0 and traffic.answers, "no failure was met"
        all_is_well(w)
    told = [r for r in p.lines() if r["reason"] == "ok" and r["bytes_out"] == 0]
    assert not told, "well in the log, and the client had no byte: %s" % told[:3]
    wait_until("as few sockets as before", lambda: p.descriptors("socket") <= before + 8, 15 * w.patience)
