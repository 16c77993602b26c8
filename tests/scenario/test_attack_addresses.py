"""Ways inside by an address: names that change between two questions, names with many addresses, spellings, and addresses that
the machine has or gets. What stands inside hears of none of them."""

import contextlib
import itertools
import socket
import subprocess
import threading

from common import ALICE, Gone, ask, own, passed
from sp_rig import space
from sp_rig.odd_origin import OddOrigin

ODD = space.ADDRESSES["odd"]
PORT = 8088


class Inside:
    """Whatever may not be reached: it counts those who do."""

    def __init__(self, *addresses):
        self.heard = []
        self._sockets = [self._listen(a) for a in addresses]
        for s in self._sockets:
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    @staticmethod
    def _listen(address):
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in address:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((address, PORT))
        s.listen(64)
        return s

    def _serve(self, s):
        with contextlib.suppress(OSError):
            while True:
                conn, peer = s.accept()
                self.heard.append((s.getsockname(), peer))
                conn.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self._sockets:
            s.shutdown(socket.SHUT_RDWR)
            s.close()


class Turning(list):
    """Another list of addresses at each question."""

    def __init__(self, *turns):
        super().__init__(turns[0])
        self._turns = itertools.cycle(turns)

    def __iter__(self):
        return iter(next(self._turns))


@contextlib.contextmanager
def known(w, host, addresses, ttl=0):
    before, w.names.ttl = w.names.ttl, ttl
    w.names.known[host] = addresses
    try:
        yield
    finally:
        w.names.ttl = before
        del w.names.known[host]


def test_a_name_that_changes_between_two_questions_leads_nowhere_else(w):
    """Nothing is kept (TTL 0), so the rule that decides early and the dial ask anew, and each hears something else."""
    config = w.config()
    config.rule("early", to=["10.99.0.0/16"], ports=[str(PORT), "80"], authenticate=False).rule("rest")
    w.start(config)
    origin = OddOrigin(ODD, PORT, 8444)
    try:
        with Inside("127.0.0.1", "::1") as inside:
            for turns in (([ODD], ["127.0.0.1"]), (["127.0.0.1"], [ODD]), ([ODD], ["::1"], ["127.0.0.1"]), ([ODD], [ODD], ["127.0.0.1", ODD])):
                with known(w, "turning.corp.test", Turning(*turns)):
                    for n in range(16):
                        assert ask(w, "http://turning.corp.test:%d/echo" % PORT, auth=ALICE if n % 2 else None).status in (200, 403, 407)
            assert not inside.heard, inside.heard
            assert origin.heads, "it never led outside"
    finally:
        origin.stop()


def test_of_many_addresses_only_those_outside_are_tried(w):
    """Each closed address in every form that a name server can give it, and one that is open among them."""
    w.start()
    closed = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "::ffff:a9fe:101", "169.254.1.1", "0.0.0.0", "::", "fe80::1", "64:ff9b::7f00:1", "2002:7f00:1::",
              "::127.0.0.1", "64:ff9b:1::7f00:1"]
    origin = OddOrigin(ODD, PORT, 8444)
    try:
        with Inside("127.0.0.1", "::1") as inside:
            for address in closed:
                with known(w, "one.corp.test", [address]):
                    own(ask(w, "http://one.corp.test:%d/echo" % PORT, auth=ALICE), 403, "denied")
            with known(w, "many.corp.test", closed + [ODD]):
                for _ in range(4):
                    passed(ask(w, "http://many.corp.test:%d/echo" % PORT, auth=ALICE))
            assert not inside.heard, inside.heard
    finally:
        origin.stop()


SPELLINGS = [b"127.1", b"127.0.1", b"0x7f.1", b"0X7F.0.0.1", b"0x7f000001", b"017700000001", b"0177.0.0.01", b"2130706433", b"127.0.0.1.", b"127.0.0.01", b"0", b"0.0",
             b"localhost", b"localhost.", b"LOCALHOST", b"%6cocalhost", b"%6C%6F%63alhost.", b"127%2e0%2e0%2e1", b"%31%32%37.0.0.1", b"localhost%2e", b"inside.corp.test.",
             b"localhost%00.corp.test", b"localhost%2F.corp.test", b"[::1]", b"[0:0:0:0:0:0:0:1]", b"[::ffff:127.0.0.1]", b"[::ffff:7f00:1]", b"[::127.0.0.1]",
             b"[64:ff9b::127.0.0.1]", b"[2002:7f00:1::]", b"[::]", b"[::ffff:0.0.0.0]", b"[fe80::1%25lo]", b"[fe80::1%lo]", b"[::1%25lo]", b"[::1%lo]", b"127.0.0.1%20",
             "１２７.0.0.1".encode(), "127。0。0。1".encode(), b"127%e3%80%820%e3%80%820%e3%80%821", "①②⑦.0.0.1".encode(), b"localhost..", b".localhost", b"127.0.0.1@odd.corp.test",
             b"odd.corp.test@127.0.0.1", b"odd.corp.test%40127.0.0.1", b"127.0.0.1#.corp.test", b"127.0.0.1\\.corp.test", b"127.0.0.1%09", b"lo\tcalhost"]


def test_no_spelling_of_this_machine_leads_inside(w):
    w.start()
    with Inside("127.0.0.1", "::1") as inside:
        for host in SPELLINGS:
            for head in (b"GET http://%s:%d/echo HTTP/1.1\r\nHost: odd.corp.test\r\n", b"CONNECT %s:%d HTTP/1.1\r\nHost: odd.corp.test\r\n"):
                with w.wire() as c:
                    c.send(head % (host, PORT) + b"Proxy-Authorization: " + ALICE.encode() + b"\r\n\r\n")
                    with contextlib.suppress(Gone):
                        status = c.answer().status
                        assert status in (400, 403, 502), (host, status)
        assert not inside.heard, inside.heard


def test_an_address_that_the_machine_gets_later_is_its_own_at_once(w):
    """As one that another node of a pair hands over: a listener at the wildcard serves it from then on."""
    address, later = "10.99.0.77", ("::ffff:10.99.0.77", "64:ff9b::10.99.0.77")
    config = w.config()
    config.listens = [("0.0.0.0:3128", {"offer": ["basic"]})]
    config.auth["negotiate"] = []
    config.backends.pop("corp-krb5")
    config.protect = {"connect_ports": ["1-65535"], "ports": ["1-65535"]}
    w.start(config)
    subprocess.run(["ip", "addr", "add", address + "/32", "dev", "lo"], check=True)
    try:
        own(ask(w, "http://%s:3128/" % address, auth=ALICE), 403, "proxy itself")
        with w.wire() as c:
            own(c.ask("CONNECT", address + ":3128", auth=ALICE), 403, "proxy itself")
        for six in later:
            with known(w, "later.corp.test", [six]):
                with w.wire() as c:
                    own(c.ask("CONNECT", "later.corp.test:3128", auth=ALICE), 403, "proxy itself")
        own(ask(w, "http://10.99.0.78:3128/", auth=ALICE), 502, "connect_failed")   # nobody's: not ours either
    finally:
        subprocess.run(["ip", "addr", "del", address + "/32", "dev", "lo"], check=True)
