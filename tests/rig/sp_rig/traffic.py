"""The soak's clients: what a company's people do all day, each deed with its outcome in a book.

A deed has a name and the outcomes that are well; every other outcome is kept with its time, and is to be explained by a fault
that was about at that time.
"""

import hashlib
import random
import re
import socket
import ssl
import threading
import time

from .directory import PEOPLE
from .space import ADDRESSES
from .wire import Gone, basic, request

ODD, ORIGIN, ECHO = "http://odd.corp.test", "http://origin.corp.test", "odd.corp.test:443"
USERS = ("alice", "bob", "carol", "outsider", "o'brien", "a+b", "star*", "(paren)")
GUESSED = "dave"                           # whose password is guessed, from an address of its own
ANY = ("200",)


class Book:
    """What happened: counts by deed and outcome, and each outcome that was not well with its time."""

    def __init__(self):
        self._lock = threading.Lock()
        self.counts, self.odd, self.bytes = {}, [], 0

    def note(self, deed, outcome, well, begun, moved=0, said=""):
        with self._lock:
            self.counts[(deed, outcome)] = self.counts.get((deed, outcome), 0) + 1
            self.bytes += moved
            if outcome not in well:
                self.odd.append((deed, outcome, begun, time.monotonic(), said))

    def total(self):
        with self._lock:
            return sum(self.counts.values())


_said = threading.local()                  # what the last answer of this thread told, for those that nothing explains


def outcome_of(answer):
    """"200", or "503 directory_unavailable": the status and the reason in Proxy-Status."""
    _said.text = answer.get("Proxy-Status", "")
    reason = re.search(r'details="([a-z_]+)', _said.text)
    return "%d %s" % (answer.status, reason[1]) if reason else str(answer.status)


def fill_stock(world, connections=16, count=1500):
    """The rings in which decisions are remembered are stock: they grow until they are full. So they are filled before anything
    is measured, by refusals (each with a target of its own, or they would be folded into one) and by pages."""
    auth = basic("alice", PEOPLE["alice"])
    for n in range(connections):
        with world.wire() as c:
            for at in range(0, count, 50):
                c.send(b"".join(request("GET", "http://127.0.0.1:80/%d-%d/%s" % (n, at + m, "x" * 100), auth=auth) for m in range(50)))
                for _ in range(50):
                    assert c.answer().status == 403
                c.send(request("GET", ORIGIN + "/?" + "x" * 100, auth=auth) * 50)
                for _ in range(50):
                    assert c.answer().status == 200


class Client:
    """One thread of deeds, in an order that its seed gives."""

    def __init__(self, world, book, seed, tls_port):
        self.w, self.book, self.random, self.tls_port = world, book, random.Random(seed), tls_port
        self.stop = threading.Event()
        self.kept = None
        self.deeds = [(12, self.hit), (6, self.miss), (2, self.guess), (4, self.ticket), (6, self.page), (3, self.short_tunnel), (1, self.long_tunnel),
                      (1, self.download), (1, self.upload), (3, self.secret), (1, self.secret_tunnel), (4, self.leave), (0.5, self.read_slowly), (1, self.broken),
                      (1, self.nowhere), (1, self.stranger)]
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        weights, deeds = [n for n, _ in self.deeds], [d for _, d in self.deeds]
        while not self.stop.is_set():
            deed = self.random.choices(deeds, weights)[0]
            begun = time.monotonic()
            well, moved, outcome, _said.text = ANY, 0, None, ""
            try:
                outcome, *rest = deed()
                well = rest[0] if rest else ANY
                moved = rest[1] if len(rest) > 1 else 0
            except Gone:
                outcome = "gone"
            except socket.timeout:
                outcome = "no answer"
            except ConnectionRefusedError:
                outcome = "refused"
            except ssl.SSLError as error:
                outcome = "gone" if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) else str(error)
            except OSError as error:
                outcome = "gone" if error.errno in (32, 103, 104) else str(error)
            except Exception as error:     # a token that could not be made, an answer that is no HTTP: told, not lost
                outcome = "%s: %s" % (type(error).__name__, error)
            self.book.note(deed.__name__, outcome, well, begun, moved, _said.text)
        if self.kept is not None:
            self.kept.close()

    def wire(self, **more):
        return self.w.wire(seconds=20.0, **more)

    def ask(self, target, method="GET", auth=None, **more):
        with self.wire() as c:
            return outcome_of(c.ask(method, target, auth=auth, **more))

    def login(self, user=None):
        user = user or self.random.choice(USERS)
        return basic(user, PEOPLE[user])

    # ---- requests ----

    def hit(self):
        """On a connection that is kept from deed to deed; one that was closed while it was idle is replaced, as browsers do."""
        fresh = self.kept is None
        if fresh:
            self.kept = self.wire()
        try:
            answer = self.kept.ask("GET", ODD + "/echo?hit", auth=basic("alice", PEOPLE["alice"]))
        except (Gone, OSError):
            self.kept.close()
            self.kept = None
            if fresh:
                raise
            return self.ask(ODD + "/echo?again", auth=basic("alice", PEOPLE["alice"])),
        if not answer.keeps_open():
            self.kept.close()
            self.kept = None
        return outcome_of(answer),

    def miss(self):
        """Verdicts are kept so shortly that many of these are asked of the directory."""
        return self.ask(ODD + "/echo?miss", auth=self.login(), fields=[("Connection", "close")]),

    def guess(self):
        with self.wire(source=ADDRESSES["other-client"]) as c:
            return outcome_of(c.ask("GET", ODD + "/echo", auth=basic(GUESSED, "guess-%d" % self.random.randrange(10 ** 9)))), ("407 bad_credentials", "429 blocked")

    def ticket(self):
        with self.wire() as c:
            first = outcome_of(c.ask("GET", ODD + "/echo?ticket", auth=self.w.initiator(self.random.choice(("alice", "bob"))).value()))
            if first != "200":
                return first,
            return outcome_of(c.ask("GET", ODD + "/echo?pinned")),

    def page(self):
        with self.wire() as c:
            for _ in range(self.random.randrange(1, 6)):
                answer = c.ask("GET", ORIGIN + "/" + self.random.choice(("", "1k", "64k")), auth=self.login("bob"))
                if answer.status != 200:
                    break
            return outcome_of(answer),

    def stranger(self):
        return self.ask(ODD + "/echo", fields=[("User-Agent", "stranger")]), ("407 no_credentials",)

    def nowhere(self):
        return self.ask("http://%s.corp.test/" % self.random.choice(("nowhere", "refusing")), auth=self.login("alice")), ("502 dns", "502 connect_failed")

    def broken(self):
        """Origins that break off: the client is told, by a status or by a connection that ends too early."""
        try:
            outcome = self.ask(ODD + self.random.choice(("/reset", "/short", "/garbage", "/silent-close", "/once")), auth=self.login("alice"))
        except Gone:
            outcome = "gone"
        return outcome, ("gone", "502 upstream", "200")

    # ---- bodies ----

    def _take(self, c, target):
        c.send(request("GET", target, auth=self.login("alice")))
        answer = c.head()
        if answer.status != 200:
            return outcome_of(answer), 0
        left = int(answer.get("Content-Length"))
        size = left
        while left:
            part = c.read(min(left, 65536))
            left -= len(part)
        return "200", size

    def download(self):
        with self.wire(**self._where()) as c:
            outcome, moved = self._take(c, ODD + "/bytes?%d" % self.random.randrange(100000, 4000000))
            return outcome, ANY, moved

    def upload(self):
        body = self.random.randbytes(1000) * self.random.randrange(100, 3000)
        chunked = self.random.random() < 0.5
        with self.wire(**self._where()) as c:
            if chunked:
                c.send(request("POST", ODD + "/upload", auth=self.login("bob"), fields=[("Transfer-Encoding", "chunked")]))
                for at in range(0, len(body), 50000):
                    part = body[at:at + 50000]
                    c.send(b"%x\r\n%s\r\n" % (len(part), part))
                c.send(b"0\r\n\r\n")
            else:
                c.send(request("POST", ODD + "/upload", auth=self.login("bob"), fields=[("Content-Length", str(len(body)))], body=body))
            answer = c.answer()
        if answer.status == 200 and hashlib.sha256(body).hexdigest().encode() not in answer.body:
            return "another body arrived",
        return outcome_of(answer), ANY, len(body)

    def _where(self):
        return {"tls": True, "port": self.tls_port} if self.random.random() < 0.3 else {}

    def secret(self):
        with self.wire(tls=True, port=self.tls_port) as c:
            return outcome_of(c.ask("GET", ODD + "/echo?tls", auth=self.login())),

    def read_slowly(self):
        """Reads a little, then nothing for a while, and leaves."""
        with self.wire(**self._where()) as c:
            c.send(request("GET", ODD + "/bytes?20000000", auth=self.login("alice")))
            answer = c.head()
            if answer.status == 200:
                c.read(100000)
                self.stop.wait(self.random.uniform(0.1, 3.0))
            return outcome_of(answer),

    # ---- tunnels ----

    def _echo(self, c, count, pause):
        c.send(request("CONNECT", ECHO, auth=self.login("carol")))
        answer = c.answer("CONNECT")
        if answer.status != 200:
            return outcome_of(answer), 0
        moved = 0
        for _ in range(count):
            data = self.random.randbytes(self.random.choice((10, 1000, 100000)))
            c.send(b"_" + data)
            if c.read(len(data) + 1) != b"_" + data:
                return "other bytes came back", moved
            moved += 2 * len(data)
            if pause and self.stop.wait(self.random.uniform(0, pause)):
                break
        return "200", moved

    def short_tunnel(self):
        with self.wire() as c:
            outcome, moved = self._echo(c, self.random.randrange(1, 4), 0)
            if self.random.random() < 0.3:
                c.reset()
            return outcome, ANY, moved

    def secret_tunnel(self):
        with self.wire(tls=True, port=self.tls_port) as c:
            outcome, moved = self._echo(c, 3, 0)
            return outcome, ANY, moved

    def long_tunnel(self):
        with self.wire() as c:
            outcome, moved = self._echo(c, 20, 1.0)
            return outcome, ANY, moved

    # ---- leaving ----

    def leave(self):
        """In the middle of anything."""
        auth = self.login()
        data = self.random.choice((
            request("GET", ODD + "/echo", auth=auth), request("GET", ODD + "/bytes?3000000", auth=auth), request("GET", ODD + "/slow?0.3", auth=auth),
            request("POST", ODD + "/upload", auth=auth, fields=[("Content-Length", "500000")], body=b"x" * 100000),
            request("CONNECT", ECHO, auth=auth) + b"hello" * 100, request("GET", ODD + "/echo", auth=auth) * 20,
            request("GET", ODD + "/echo", auth=self.w.initiator("alice", dce=True).value())))
        with self.wire() as c:
            c.socket.setblocking(False)
            try:
                c.socket.send(data[:self.random.randrange(1, len(data) + 1)])
            except BlockingIOError:
                pass
            self.stop.wait(self.random.choice((0, 0.01, 0.1)))
            if self.random.random() < 0.5:
                c.reset()
        return "left", ("left",)
