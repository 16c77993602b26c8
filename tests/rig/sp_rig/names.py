"""The rig's name server: A and AAAA over UDP, so that answers, failures and silence are all at the tests' command."""

import os
import socket
import struct
import threading

A, CNAME, AAAA = 1, 5, 28
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3
TRUNCATED = 0x0200


class NameServer:
    """Answers from `known` (name -> addresses). Names in `failing` get SERVFAIL, those in `silent` nothing, those in `garbled` bytes
    that are no answer, those in `truncated` the word that it did not fit (and TCP is not served)."""

    aliases = {}                               # name -> the name that a CNAME gives in its place

    def __init__(self, known, address="127.0.0.1", port=53, ttl=1):
        self.known = dict(known)
        self.failing, self.silent, self.garbled, self.truncated = set(), set(), set(), set()
        self.ttl = ttl
        self.asked = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                packet, peer = self._socket.recvfrom(2048)
            except OSError:
                return
            try:
                answer = self._answer(packet)
            except (IndexError, struct.error, UnicodeDecodeError):
                continue
            if answer is not None:
                self._socket.sendto(answer, peer)

    def _answer(self, packet):
        labels, at = [], 12
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode("ascii"))
            at += 1 + packet[at]
        question = packet[12:at + 5]
        kind = struct.unpack("!H", packet[at + 1:at + 3])[0]
        name = ".".join(labels).lower()
        self.asked.append((name, kind))
        if name in self.silent:
            return None
        if name in self.garbled:
            return packet[:2] + os.urandom(200)
        if name in self.truncated:
            return self._message(packet, NOERROR | TRUNCATED, question, [])
        if name in self.failing:
            return self._message(packet, SERVFAIL, question, [])
        if name in self.aliases:
            return self._alias(packet, question, kind, self.aliases[name])
        if name not in self.known:
            return self._message(packet, NXDOMAIN, question, [])
        family = {A: socket.AF_INET, AAAA: socket.AF_INET6}.get(kind)
        found = [socket.inet_pton(family, a) for a in self.known[name]
                 if family is not None and (":" in a) == (family == socket.AF_INET6)]
        return self._message(packet, NOERROR, question, [(kind, data) for data in found])

    def _alias(self, packet, question, kind, real):
        name = b"".join(bytes([len(label)]) + label.encode() for label in real.split(".")) + b"\0"
        addresses = [socket.inet_aton(a) for a in self.known[real] if kind == A and ":" not in a]
        answers = [b"\xc0\x0c" + struct.pack("!HHIH", CNAME, 1, self.ttl, len(name)) + name]
        answers += [name + struct.pack("!HHIH", A, 1, self.ttl, len(a)) + a for a in addresses]
        return packet[:2] + struct.pack("!HHHHH", 0x8580, 1, len(answers), 0, 0) + question + b"".join(answers)

    def _message(self, packet, code, question, answers):
        head = packet[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(answers), 0, 0)
        body = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, self.ttl, len(data)) + data for kind, data in answers)
        return head + question + body

    def stop(self):
        self._socket.close()
