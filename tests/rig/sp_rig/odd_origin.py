"""An origin that behaves as real ones sometimes do: interim answers, trailers, resets, silence, connection-bound logins.

Runs as threads of the test's own process, so that a test sees each head exactly as it arrived: `heads` holds
(connection number, head as bytes) in order.
"""

import hashlib
import re
import socket
import struct
import threading
import time


class _Closed(Exception):
    pass


class _Connection:
    def __init__(self, origin, sock, number):
        self.origin, self.socket, self.number, self.buffer = origin, sock, number, b""
        self.requests, self.known = 0, False

    def more(self):
        try:
            data = self.socket.recv(262144)
        except OSError as error:
            raise _Closed() from error
        if not data:
            raise _Closed()
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self.more()
        found, self.buffer = self.buffer.split(mark, 1)
        return found + mark

    def take(self, length):
        while len(self.buffer) < length:
            self.more()
        found, self.buffer = self.buffer[:length], self.buffer[length:]
        return found

    def body(self, fields):
        """(sha256, length, framing, trailers) without keeping the body."""
        digest, length = hashlib.sha256(), 0
        if "chunked" in fields.get("transfer-encoding", ""):
            while True:
                size = int(self.until(b"\r\n").split(b";")[0], 16)
                if size == 0:
                    break
                digest.update(self.take(size))
                self.take(2)
                length += size
            trailers = []
            while True:
                line = self.until(b"\r\n")
                if line == b"\r\n":
                    return digest.hexdigest(), length, "chunked", b"".join(trailers)
                trailers.append(line)
        left = int(fields.get("content-length", "0"))
        while length < left:
            if not self.buffer:
                self.more()
            part, self.buffer = self.buffer[:left - length], self.buffer[left - length:]
            digest.update(part)
            length += len(part)
        return digest.hexdigest(), length, "length" if "content-length" in fields else "none", b""

    def send(self, data):
        cut = self.origin.cut()
        if cut is None:
            self.socket.sendall(data)
            return
        after, by_reset = cut
        self.socket.sendall(data[:after])
        if by_reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise _Closed()

    def reply(self, body=b"", status="200 OK", fields=()):
        lines = ["HTTP/1.1 " + status, "Content-Length: %d" % len(body), "X-Connection: %d" % self.number,
                 "X-Requests: %d" % self.requests] + ["%s: %s" % f for f in fields]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (b"" if self.method == "HEAD" else body))

    def serve(self):
        try:
            while True:
                head = self.until(b"\r\n\r\n")
                self.origin.note(self.number, head)
                self.requests += 1
                lines = head.decode("latin-1").split("\r\n")
                self.method, target, _ = lines[0].split(" ", 2)
                fields = {}
                for line in lines[1:]:
                    name, colon, value = line.partition(":")
                    if colon:
                        fields[name.lower()] = value.strip()
                word, _, argument = target.partition("?")
                action = getattr(self, "do_" + word.strip("/").split("/")[0].replace("-", "_"), None)
                if action is None:
                    self.body(fields)
                    self.reply(b"no such thing\n", "404 Not Found")
                else:
                    action(argument, fields, head)
        except (_Closed, OSError):
            pass
        finally:
            self.socket.close()

    # ---- what it can do, by the path's first word ----

    def do_echo(self, _, fields, head):
        self.body(fields)
        self.reply(head, fields=[("Content-Type", "text/plain")])

    def do_upload(self, _, fields, head):
        if "100-continue" in fields.get("expect", "").lower():
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        digest, length, framing, trailers = self.body(fields)
        self.reply(("%s %d %s\n" % (digest, length, framing)).encode() + trailers)

    def do_bytes(self, argument, fields, head):
        left, part = int(argument), self.origin.filling
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
        while left and self.method != "HEAD":
            self.send(part[:min(left, len(part))])
            left -= min(left, len(part))

    def do_chunked(self, argument, fields, head):
        self.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
        if self.method != "HEAD":
            for part in (b"first ", b"second ", b"third"):
                self.send(b"%x;note=x\r\n%s\r\n" % (len(part), part))
            self.send(b"0\r\nX-Sum: abc123\r\n\r\n")

    def do_until_close(self, _, fields, head):
        self.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nall until the end")
        raise _Closed()

    def do_old(self, _, fields, head):
        self.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nan old server")
        raise _Closed()

    def do_hints(self, _, fields, head):
        self.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
        time.sleep(0.05)
        self.reply(b"after hints")

    def do_status(self, argument, fields, head):
        self.body(fields)
        if argument in ("204", "304"):
            self.send(("HTTP/1.1 %s Nothing\r\nX-Connection: %d\r\nETag: \"x\"\r\n\r\n" % (argument, self.number)).encode())
        else:
            self.reply(b"as asked", argument + " Asked")

    def do_slow(self, argument, fields, head):
        time.sleep(float(argument))
        self.reply(b"at last")

    def do_hop(self, _, fields, head):
        self.reply(b"hops", fields=[("Connection", "X-Private, keep-alive"), ("X-Private", "1"), ("Keep-Alive", "timeout=5"),
                                    ("Proxy-Authenticate", "Basic realm=\"origin\""), ("X-Public", "1")])

    def do_reset(self, _, fields, head):
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")
        time.sleep(0.1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise _Closed()

    def do_short(self, _, fields, head):
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")
        raise _Closed()

    def do_garbage(self, _, fields, head):
        self.send(b"this is no HTTP at all\r\n\r\n")
        raise _Closed()

    def do_silent_close(self, _, fields, head):
        raise _Closed()

    def do_once(self, _, fields, head):
        """Says keep-alive and then closes: the next request on this connection meets a closed one."""
        self.reply(b"once")
        raise _Closed()

    def do_cookies(self, _, fields, head):
        self.reply(b"two", fields=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])

    def do_private(self, _, fields, head):
        """The origin's own login, by Basic: for 401 to pass untouched."""
        if "authorization" in fields:
            self.reply(fields["authorization"].encode())
        else:
            self.reply(b"who are you", "401 Unauthorized", [("WWW-Authenticate", 'Basic realm="origin"')])

    def do_ntlm(self, _, fields, head):
        """A login that belongs to the connection, as NTLM and Negotiate do."""
        if fields.get("authorization", "").startswith("NTLM"):
            self.known = True
        if self.known:
            self.reply(b"known on connection %d" % self.number)
        else:
            self.reply(b"who are you", "401 Unauthorized", [("WWW-Authenticate", "NTLM"), ("WWW-Authenticate", "Negotiate")])

    def do_upgrade(self, _, fields, head):
        self.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n\r\n" % fields.get("upgrade", "").encode())
        self.echo_for_ever()

    def echo_for_ever(self):
        while True:
            if self.buffer:
                data, self.buffer = self.buffer, b""
                self.send(data)
            else:
                self.more()


class OddOrigin:
    """Listens on `address` at the HTTP port, and for tunnels at `echo_port` (whatever comes goes back, half-close too)."""

    def __init__(self, address, port=80, echo_port=443):
        self.address, self.port, self.echo_port = address, port, echo_port
        self.filling = bytes(range(256)) * 1024
        self.heads, self.connections = [], 0
        self.cut = lambda: None            # or (bytes, by_reset): what is sent next breaks off after so many
        self._lock = threading.Lock()
        self._listening = [self._listen(port, self._http), self._listen(echo_port, self._echo)]

    def _listen(self, port, serve):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.address, port))
        sock.listen(512)
        threading.Thread(target=self._accept, args=(sock, serve), daemon=True).start()
        return sock

    def _accept(self, listening, serve):
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                number = self.connections
            threading.Thread(target=serve, args=(sock, number), daemon=True).start()

    def _http(self, sock, number):
        _Connection(self, sock, number).serve()

    def _echo(self, sock, number):
        """Echoes; a first line "sum" answers only after the client's end of file: the half-close must get through."""
        data = b""
        try:
            while True:
                part = sock.recv(262144)
                if data[:4] != b"sum\n" and part[:4] == b"sum\n" or data[:4] == b"sum\n":
                    data += part
                    if not part:
                        sock.sendall(b"%d bytes, sha256 %s" % (len(data), hashlib.sha256(data).hexdigest().encode()))
                        break
                elif part[:4] == b"bye\n":
                    sock.sendall(b"good bye")
                    sock.shutdown(socket.SHUT_WR)     # our end first: what the client still says must arrive
                    while True:
                        part = sock.recv(262144)
                        if not part:
                            break
                        data += part
                    self.note(number, data)
                    break
                elif not part:
                    break
                else:
                    sock.sendall(part)
        except OSError:
            pass
        finally:
            sock.close()

    def note(self, number, head):
        with self._lock:
            self.heads.append((number, head))

    def mark(self):
        with self._lock:
            self.heads = []

    def last_head(self):
        with self._lock:
            return self.heads[-1][1] if self.heads else None

    def fields(self, head=None):
        """The last head's fields as a list of (lower-case name, value)."""
        lines = (head or self.last_head()).decode("latin-1").split("\r\n")[1:]
        return [(n.lower(), v.strip()) for n, c, v in (line.partition(":") for line in lines) if c]

    def stop(self):
        for sock in self._listening:
            sock.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept(), which would keep the port otherwise
            sock.close()


class Full:
    """A listener whose queue is full: a connect to it waits until its own deadline, as with a dead host."""

    def __init__(self, address, port):
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.bind((address, port))
        self._listening.listen(0)
        self._fill = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex((address, port))
            self._fill.append(sock)

    def stop(self):
        for sock in self._fill + [self._listening]:
            sock.close()
