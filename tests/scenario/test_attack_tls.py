"""Attacks by those who shake hands in TLS, and nothing more. (Floods of messages without data: tests/unit/net/test_tls_messages.c.)"""

import contextlib
import socket
import ssl

from before import brief
from common import ALICE, ask, passed
from test_fault_calls import Calls

NEVER = 0xffffffff                         # one of so many fails


class Pieces:
    """A TLS connection whose records the test makes itself: each piece of bytes is one, and all go out together."""

    def __init__(self, w, port):
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = ssl.create_default_context(cafile=w.ca).wrap_bio(self._in, self._out, server_hostname=w.proxy_host)
        self.socket = socket.create_connection((w.proxy_address, port), 20 * w.patience)
        while not self._shaken():
            self.socket.sendall(self._out.read())
            self._in.write(self.socket.recv(65536))
        self.socket.sendall(self._out.read())

    def _shaken(self):
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
            return True
        return False

    def send(self, pieces):
        for piece in pieces:
            self._tls.write(piece)
        self.socket.sendall(self._out.read())

    def read(self):
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                data = self.socket.recv(65536)
                if not data:
                    return b""
                self._in.write(data)


def test_a_head_of_tiny_records_is_read_by_turns(w):
    """A byte in each. All of it is there at once, and still others have their turns in between."""
    calls = Calls(w)
    config = brief(w, workers=1)
    config.listens.append(("10.99.0.1:3143", {"tls_certificate": w.certificate, "tls_key": w.key}))
    w.start(config, env=calls.environment)
    passed(ask(w, auth=ALICE))
    head = b"GET http://odd.corp.test/echo HTTP/1.1\r\nHost: odd.corp.test\r\nX: " + b"y" * 8000 + b"\r\n\r\n"
    c = Pieces(w, 3143)
    calls.fail(NEVER, "epoll_wait")
    before = calls.asked()
    c.send(bytes([byte]) for byte in head)
    answer = c.read()
    turns = calls.asked() - before
    c.socket.close()
    assert answer.startswith(b"HTTP/1.1 407 "), answer
    print("        %d bytes in %d turns" % (len(head), turns))
    assert turns >= len(head) / 50, "%d turns of the loop for %d records" % (turns, len(head))
