"""The third reader: RFC 9112 (and what it takes from 9110 and 3986) to the letter, in regular expressions over bytes.

It shares nothing with src/http, not even its way of going about it, and knows no policy of ours: where the RFC leaves a choice
("MAY reject"), it refuses. head() and chunked() return facts as a dict, or raise Bad (refused) or More (not whole).
"""

import ipaddress
import re


class Bad(Exception):
    """Not what the RFC allows; the words say what."""


class More(Exception):
    """So far there is nothing wrong, and no end."""


TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
FIELD = re.compile(rb"(%s):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*" % TOKEN)
REQUEST_LINE = re.compile(rb"(%s) ([^ ]+) HTTP/([0-9])\.([0-9])" % TOKEN)
STATUS_LINE = re.compile(rb"HTTP/([0-9])\.([0-9]) ([0-9]{3}) ([\t\x20-\x7e\x80-\xff]*)")
# RFC 3986 appendix A
PCHAR = rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})"
PATH_QUERY = re.compile(rb"((?:/%s*)*)(\?(?:%s|[/?])*)?" % (PCHAR, PCHAR))
REG_NAME = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
LIST_OF_TOKENS = re.compile(rb"[ \t]*,*(?:[ \t]*%s[ \t]*(?:,[ \t,]*%s[ \t]*)*)?[ \t,]*" % (TOKEN, TOKEN))
QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)((?:[ \t]*;[ \t]*%s(?:[ \t]*=[ \t]*(?:%s|%s))?)*)" % (TOKEN, TOKEN, QUOTED))


def line_at(data, at):
    """(line without CRLF, where the next begins)."""
    lf = data.find(b"\n", at)
    if lf < 0:
        if b"\r" in data[at:-1]:
            raise Bad("a CR that no LF follows")
        raise More()
    line = data[at:lf]
    if not line.endswith(b"\r") or b"\r" in line[:-1]:
        raise Bad("a line that does not end in CRLF, or holds a CR")
    return line[:-1], lf + 1


def field_lines(data, at):
    fields = []
    while True:
        line, at = line_at(data, at)
        if not line:
            return fields, at
        found = FIELD.fullmatch(line)
        if not found:
            raise Bad("a line that is no field")
        fields.append((found[1], found[2]))


def values(fields, name):
    return [value for n, value in fields if n.lower() == name]


def elements(value):
    return [e.strip(b" \t").lower() for e in value.split(b",") if e.strip(b" \t")]


def options(fields):
    found = []
    for value in values(fields, b"connection"):
        if not LIST_OF_TOKENS.fullmatch(value):
            raise Bad("Connection is no list of tokens")
        found += elements(value)
    return found


def framing(fields, minor):
    """RFC 9112 6.3, (kind, length); None where nothing is said."""
    lengths, codings = values(fields, b"content-length"), values(fields, b"transfer-encoding")
    if codings:
        if lengths:
            raise Bad("Content-Length beside Transfer-Encoding")
        if minor == 0:
            raise Bad("Transfer-Encoding in HTTP/1.0")
        names = [e.split(b";")[0].strip(b" \t") for value in codings for e in elements(value)]
        if not names or not all(re.fullmatch(TOKEN, n) for n in names):
            raise Bad("Transfer-Encoding is no list of codings")
        if names[-1] != b"chunked" or names.count(b"chunked") != 1:
            raise Bad("chunked is not the last coding, once")
        return ("chunked", 0) if len(names) == 1 else ("coded", 0)
    if len(lengths) > 1:
        raise Bad("Content-Length is repeated")
    if lengths:
        if not re.fullmatch(rb"[0-9]+", lengths[0]):
            raise Bad("Content-Length is no number")
        return "length", int(lengths[0])
    return None


def version(major, minor):
    if major != b"1":
        raise Bad("not HTTP/1")
    return min(int(minor), 1)


def keeps_alive(minor, said):
    return b"close" not in said and (minor >= 1 or b"keep-alive" in said)


# ---- targets ----

def host_of(text):
    """In one spelling: lower case, without percent-encoding and the last dot; an address as ipaddress writes it."""
    if text.startswith(b"["):
        try:
            if not text.endswith(b"]") or b"%" in text:
                raise ValueError()
            address = ipaddress.IPv6Address(text[1:-1].decode("ascii"))
        except ValueError:
            raise Bad("no IPv6 address in the brackets") from None
        return address
    if not text or not REG_NAME.fullmatch(text):
        raise Bad("no host")
    plain = re.sub(rb"%(..)", lambda m: bytes([int(m[1], 16)]), text).lower()
    return plain[:-1] if plain.endswith(b".") else plain


def authority(text, default):
    found = re.fullmatch(rb"(\[[^\]@]*\]|[^:\[\]@]*)(?::([0-9]*))?", text)
    if not found:
        raise Bad("no authority")
    port = int(found[2]) if found[2] else default
    if port is None or not 0 < port < 65536:
        raise Bad("no port")
    return host_of(found[1]), port


def target(method, text):
    if method == b"CONNECT":
        host, port = authority(text, None)
        return {"host": host, "port": port, "path": b""}
    found = re.fullmatch(rb"(?i:http)://([^/?#]*)(.*)", text)
    if found:
        host, port = authority(found[1], 80)
        rest = found[2]
    elif text.startswith(b"/") or (text == b"*" and method == b"OPTIONS"):
        host, port, rest = b"", 0, text
    else:
        raise Bad("no target that a proxy for http takes")
    if rest != b"*" and not PATH_QUERY.fullmatch(rest):
        raise Bad("no path and query of a URI")
    if found and not rest.startswith(b"/"):
        rest = b"*" if not rest and method == b"OPTIONS" else b"/" + rest
    return {"host": host, "port": port, "path": rest}


# ---- messages ----

def request(data):
    at = 0
    while data.startswith(b"\r\n", at):
        at += 2
    line, at = line_at(data, at)
    found = REQUEST_LINE.fullmatch(line)
    if not found:
        raise Bad("no request line")
    minor = version(found[3], found[4])
    fields, at = field_lines(data, at)
    facts = {"size": at, "minor": minor, "fields": fields, "method": found[1]}
    facts.update(target(found[1], found[2]))
    hosts = values(fields, b"host")
    if len(hosts) > 1 or (not hosts and minor >= 1):
        raise Bad("not one Host")
    if hosts and hosts[0]:
        authority(hosts[0], 80)
    said = options(fields)
    facts["kind"], facts["length"] = framing(fields, minor) or ("none", 0)
    said += [v.lower() for v in values(fields, b"proxy-connection")]
    facts["keep_alive"] = keeps_alive(minor, said)
    facts["expect"] = minor >= 1 and [v.lower() for v in values(fields, b"expect")] == [b"100-continue"]
    return facts


def response(data, to_head):
    line, at = line_at(data, 0)
    found = STATUS_LINE.fullmatch(line)
    if not found:
        raise Bad("no status line")
    minor, status = version(found[1], found[2]), int(found[3])
    if not 100 <= status <= 599:
        raise Bad("no status that there is")
    fields, at = field_lines(data, at)
    said = options(fields)
    body = framing(fields, minor)
    if body and (body[0] != "length" or body[1] > 0) and (status < 200 or status == 204):
        raise Bad("a body that may not be")
    if to_head or status < 200 or status in (204, 304):
        kind, length = "none", 0
    else:
        kind, length = body or ("close", 0)
    said += [v.lower() for v in values(fields, b"proxy-connection")]
    return {"size": at, "minor": minor, "fields": fields, "status": status, "reason": found[4], "kind": kind, "length": length,
            "keep_alive": keeps_alive(minor, said) and kind != "close"}


def chunked(data):
    at, payload = 0, b""
    while True:
        line, at = line_at(data, at)
        found = CHUNK_LINE.fullmatch(line)
        if not found:
            raise Bad("no chunk size")
        size = int(found[1], 16)
        if size == 0:
            break
        if len(data) < at + size + 2:
            if len(data) > at + size and data[at + size:] != b"\r":
                raise Bad("a chunk longer than its size")
            raise More()
        if data[at + size:at + size + 2] != b"\r\n":
            raise Bad("a chunk longer than its size")
        payload += data[at:at + size]
        at += size + 2
    fields, at = field_lines(data, at)
    return {"size": at, "payload": payload, "fields": fields}
