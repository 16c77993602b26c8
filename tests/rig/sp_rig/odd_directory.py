"""What stands before a real slapd and lets through as much as it likes: the faults of a directory that no slapd has on command.

`mode` is what it does from now on with what the server says (and with new connections); it may be changed at any time:
  "pass"                 everything goes both ways
  "silent"               connections are accepted, what comes is taken, nothing is said
  "hang up", "reset"     connections are accepted and ended at once
  "deaf"                 connections are accepted, and nothing is read
  ("cut", n, by_reset)   after n bytes of answers the connection ends
  "garbage"              each request is answered with bytes that are no BER
  "http"                 each request is answered by a web server
  "huge"                 an answer is announced that is longer than any memory, and goes on for ever
  "endless"              a search never ends: one entry after another
  "stranger"             answers are to requests that nobody has made
  "trickle"              the server's own words, a byte at a time
"""

import os
import socket
import struct
import threading
import time

SEARCH = 0x63


def _length(n):
    return bytes([n]) if n < 128 else b"\x84" + struct.pack("!I", n)


def _tlv(tag, content):
    return bytes([tag]) + _length(len(content)) + content


def entry(message_id, dn):
    """A SearchResultEntry without attributes."""
    return _tlv(0x30, _tlv(2, message_id) + _tlv(0x64, _tlv(4, dn) + _tlv(0x30, b"")))


def _request(data):
    """(message id, tag of the operation) of the first request in these bytes."""
    at = 2 if data[1] < 128 else 2 + (data[1] & 127)
    length = data[at + 1]
    return data[at + 2:at + 2 + length], data[at + 2 + length]


class OddDirectory:
    def __init__(self, server, port=0):
        self.server, self.mode = (server.address, server.port), "pass"
        self.connections, self.said, self.sent = 0, 0, 0
        self._listening = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port = self._listening.getsockname()[1]
        self.url = "ldap://127.0.0.1:%d" % self.port
        self._open = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, client):
        server = None
        try:
            if self.mode in ("hang up", "reset"):
                return
            if self.mode == "deaf":
                while self.mode == "deaf":
                    time.sleep(0.05)
                return
            server = socket.create_connection(self.server)
            threading.Thread(target=self._answers, args=(server, client), daemon=True).start()
            while data := client.recv(65536):
                if not self._oddly(client, data):
                    server.sendall(data)
        except OSError:
            pass
        finally:
            self._end(client, self.mode == "reset")
            if server is not None:
                self._end(server, False)

    def _oddly(self, client, data):
        """Answers a request in the way of the mode; False: the server shall have it."""
        mode = self.mode
        if mode == "silent":
            return True
        if mode == "garbage":
            client.sendall(os.urandom(500))
        elif mode == "http":
            client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        elif mode == "huge":
            self._for_ever(client, mode, b"\x30\x84\x7f\xff\xff\xff\x02\x01\x01", bytes(65536))
        elif mode == "stranger":
            client.sendall(_tlv(0x30, _tlv(2, b"\x7f") + _tlv(0x61, b"\x0a\x01\x00\x04\x00\x04\x00")) * 10)
        elif mode == "endless":
            message_id, tag = _request(data)
            if tag != SEARCH:
                return False
            self._for_ever(client, mode, b"", b"".join(entry(message_id, b"uid=person-%d" % n) for n in range(500)))
        else:
            return False
        return True

    def _for_ever(self, client, mode, begin, part):
        client.sendall(begin)
        while self.mode == mode:
            self.sent += client.send(part)

    def _answers(self, server, client):
        count = 0
        try:
            while data := server.recv(65536):
                mode = self.mode
                if isinstance(mode, tuple):
                    data = data[:max(0, mode[1] - count)]
                    count += len(data)
                    client.sendall(data)
                    if count >= mode[1]:
                        self._end(client, mode[2])
                        return
                elif mode == "trickle":
                    for n in range(len(data)):
                        client.sendall(data[n:n + 1])
                        time.sleep(0.05)
                else:
                    client.sendall(data)
                self.said += len(data)
        except OSError:
            pass
        self._end(client, False)

    def _end(self, sock, by_reset):
        try:
            if by_reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
            else:
                sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._open.discard(sock)
        sock.close()

    def drop(self):
        """Ends every connection that is open."""
        for sock in list(self._open):
            self._end(sock, False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.mode = "pass"
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.drop()
