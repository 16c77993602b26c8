"""A client that sees every byte: raw requests out, heads and framed bodies in."""

import base64
import re
import select
import socket
import ssl
import struct


class Gone(Exception):
    """The other side closed (or reset) where an answer was expected."""


class Answer:
    def __init__(self, version, status, phrase, fields, head):
        self.version, self.status, self.phrase, self.fields, self.head = version, status, phrase, fields, head
        self.body, self.trailers = b"", []

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name, fallback=None):
        found = self.all(name)
        return found[0] if found else fallback

    @property
    def challenges(self):
        return self.all("Proxy-Authenticate")

    def keeps_open(self):
        return "close" not in self.get("Connection", "").lower()

    def __repr__(self):
        return "<%s %d %s>" % (self.version, self.status, self.phrase)


def basic(user, password, encoding="utf-8"):
    raw = (user + ":" + password).encode(encoding)
    return "Basic " + base64.b64encode(raw).decode()


def request(method, target, fields=(), body=b"", version="HTTP/1.1", host=None, auth=None):
    """The bytes of a request. auth: the value of Proxy-Authorization."""
    if host is None:
        host = target if method == "CONNECT" else re.sub(r"^[a-z]+://", "", target).split("/")[0]
    lines = ["%s %s %s" % (method, target, version)]
    if host:
        lines.append("Host: " + host)
    if auth is not None:
        lines.append("Proxy-Authorization: " + auth)
    lines += ["%s: %s" % field for field in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


class Wire:
    """One client connection."""

    def __init__(self, address, source=None, seconds=20.0, tls=None):
        self._socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self._socket.settimeout(seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            self._socket.bind((source, 0))
        self._socket.connect(address)
        self.raw = self._socket
        if tls is not None:
            context, name = tls
            self._socket = context.wrap_socket(self._socket, server_hostname=name)
        self._buffer = b""
        self.sent, self.received = [], []

    @property
    def socket(self):
        return self._socket

    def send(self, data):
        self.sent.append(data)
        self._socket.sendall(data)

    def half_close(self):
        self._socket.shutdown(socket.SHUT_WR)

    def close(self):
        self._socket.close()

    def reset(self):
        """Close with RST instead of FIN."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _more(self):
        try:
            data = self._socket.recv(262144)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError) as error:
            raise Gone("reset while an answer was expected; so far: %r" % self._buffer[:200]) from error
        if not data:
            raise Gone("closed while an answer was expected; so far: %r" % self._buffer[:200])
        self._buffer += data

    def read_until(self, mark):
        while mark not in self._buffer:
            self._more()
        found, self._buffer = self._buffer.split(mark, 1)
        return found + mark

    def read(self, length):
        while len(self._buffer) < length:
            self._more()
        found, self._buffer = self._buffer[:length], self._buffer[length:]
        return found

    def read_to_end(self):
        """All bytes until the other side's end of file (a reset raises Gone)."""
        parts = [self._buffer]
        self._buffer = b""
        while True:
            try:
                data = self._socket.recv(262144)
            except ConnectionResetError as error:
                raise Gone("reset") from error
            if not data:
                return b"".join(parts)
            parts.append(data)

    def head(self):
        head = self.read_until(b"\r\n\r\n")
        self.received.append(head)
        lines = head.decode("latin-1").split("\r\n")
        match = re.match(r"(HTTP/1\.[01]) (\d{3}) ?(.*)$", lines[0])
        assert match, "not a status line: %r" % lines[0]
        fields = []
        for line in lines[1:]:
            if line:
                name, colon, value = line.partition(":")
                assert colon and name == name.strip(), "not a field: %r" % line
                fields.append((name, value.strip()))
        return Answer(match[1], int(match[2]), match[3], fields, head)

    def answer(self, method="GET", interim=None):
        """A whole final answer; interim ones are appended to the list `interim`, or skipped."""
        while True:
            answer = self.head()
            if answer.status >= 200 or answer.status == 101:
                break
            if interim is not None:
                interim.append(answer)
        if method == "HEAD" or answer.status in (101, 204, 304) or (method == "CONNECT" and answer.status < 300):
            return answer
        if "chunked" in answer.get("Transfer-Encoding", "").lower():
            answer.body = self._chunked(answer)
        elif answer.get("Content-Length") is not None:
            answer.body = self.read(int(answer.get("Content-Length")))
        else:
            answer.body = self.read_to_end()
        return answer

    def _chunked(self, answer):
        parts = []
        while True:
            size = int(self.read_until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                break
            parts.append(self.read(size))
            assert self.read(2) == b"\r\n", "a chunk ends with a line end"
        while True:
            line = self.read_until(b"\r\n")
            if line == b"\r\n":
                return b"".join(parts)
            name, _, value = line.decode("latin-1").strip().partition(":")
            answer.trailers.append((name, value.strip()))

    def ask(self, method, target, **more):
        """One request and its answer."""
        self.send(request(method, target, **more))
        return self.answer(method)

    def is_closed(self, seconds=5.0):
        """Did the other side close (nothing unread left)?"""
        if self._buffer:
            return False
        ready, _, _ = select.select([self._socket], [], [], seconds)
        if not ready:
            return False
        try:
            data = self._socket.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            return True
        self._buffer += data
        return not data

    def is_quiet(self, seconds=0.3):
        """Open, and nothing arrives?"""
        if self._buffer:
            return False
        return not select.select([self._socket], [], [], seconds)[0]
