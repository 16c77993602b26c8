"""Where the three readers differ, by name, with the reason. A class covers a disagreement when our words are those of the class and
what the class is about does stand in the message: so a class that grows by accident fails.
"""

import collections
import ipaddress
import re

import strict

Known = collections.namedtuple("Known", "how name covers why")

REFUSED, ACCEPTED, DIFFERENT = "we refuse, strictly it is right", "we accept, strictly it is wrong", "we understand it differently"
LLHTTP_REFUSED, LLHTTP_DIFFERENT, PASSED_ON = "we accept, llhttp does not", "llhttp understands it differently", "what we pass on is wrong"


# ---- what stands in a message ----

def first_line(data):
    return data.lstrip(b"\r\n").split(b"\r\n")[0]


def target(data):
    return (first_line(data).split(b" ") + [b""])[1]


def authority_of(data):
    return re.sub(rb"(?i)^http://", b"", target(data)).split(b"/")[0].split(b"?")[0]


def values(data, name):
    return [v.strip(b" \t") for v in re.findall(rb"(?im)^%s:([^\r\n]*)\r$" % name, data.lstrip(b"\r\n").split(b"\r\n\r\n")[0] + b"\r\n")]


def plain(authority):
    host = re.sub(rb":[0-9]*$", b"", authority)
    return re.sub(rb"%(..)", lambda m: bytes([int(m[1], 16)]), host).lower()


def is_no_name(authority):
    host = plain(authority)
    return not host.startswith(b"[") and (not re.fullmatch(rb"[a-z0-9._-]*", host) or b"" in host.removesuffix(b".").split(b"."))


def is_odd_ipv4(authority):
    """It ends in a number, and is not four of 0 to 255 without leading zeros."""
    host = plain(authority).removesuffix(b".")
    if not re.fullmatch(rb"[0-9]+|0x[0-9a-f]*", host.split(b".")[-1]):
        return False
    try:
        ipaddress.IPv4Address(host.decode("ascii"))
        return False
    except ValueError:
        return True


def methods(data, *names):
    return first_line(data).split(b" ")[0] in names


# of those that llhttp knows, those that the messages have
LLHTTP_METHODS = (b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PATCH", b"M-SEARCH")


def is_unknown_method(data):
    """PRI is one: llhttp knows it with HTTP/2.0 alone."""
    return re.fullmatch(strict.TOKEN, first_line(data).split(b" ")[0]) and not methods(data, *LLHTTP_METHODS)


def names_in_connection(data):
    return {e for v in values(data, b"connection") for e in strict.elements(v)}


ESSENTIAL = {b"host", b"content-length", b"transfer-encoding", b"authorization", b"proxy-authorization", b"via", b"max-forwards", b"x-forwarded-for", b"cookie"}
LARGEST = 2 ** 63 - 1
# what browsers put into a path or query as it is, and RFC 3986 does not have
NO_URI = re.compile(rb"[\x21-\x7e]*(?:[\"<>\\^`{|}\[\]]|%(?![0-9A-Fa-f]{2}))[\x21-\x7e]*")


def says(*words):
    return lambda said: any(w in said for w in words)


def known(how, name, said, stands, why, kinds="QRHC"):
    return Known(how, name, lambda kind, data, words: kind in kinds and said(words) and bool(stands(data)), why)


KNOWN = [
    # ---- stricter than the RFC ----
    known(REFUSED, "hosts that no resolver knows", says("no host name has", "overlong label", "broken percent-encoding"), lambda d: is_no_name(authority_of(d)),
          "RFC 3986's reg-name is nearly anything; rules compare hosts, and DNS has letters, digits, '-', '_'", "Q"),
    known(REFUSED, "addresses as only inet_aton reads them", says("an odd spelling of an IPv4 address"), lambda d: is_odd_ipv4(authority_of(d)),
          "127.1 is a reg-name by the RFC, and 127.0.0.1 to a resolver: an address that no rule saw", "Q"),
    known(REFUSED, "such hosts in Host", says("a Host field that is not well-formed"), lambda d: any(not v or is_no_name(v) or is_odd_ipv4(v) for v in values(d, b"host")),
          "ignored beside an absolute target (RFC 9112 3.2.2), but an odd one plays readers off; an empty one beside a target with a host is wrong (7.2)", "Q"),
    known(REFUSED, "a body on CONNECT or TRACE", says("a CONNECT or TRACE request with a body"), lambda d: methods(d, b"CONNECT", b"TRACE"),
          "no meaning (RFC 9110 9.3.6), or forbidden (9.3.8): one reader's body is another's next message", "Q"),
    known(REFUSED, "expectations of something else, or twice", says("Expect is "), lambda d: values(d, b"expect") != [b"100-continue"],
          "417 would do (RFC 9110 10.1.1); one reader waits where another does not", "Q"),
    known(REFUSED, "Connection that names what matters", says("Connection names a field"), lambda d: names_in_connection(d) & ESSENTIAL,
          "a MUST NOT of senders alone (RFC 9110 7.6.1); taking the field out would change the message"),
    known(REFUSED, "framing with an underscore", says("with an underscore"), lambda d: values(d, b"content_length") or values(d, b"transfer_encoding"),
          "an unknown field by the RFC; CGI's variables make '-' of it"),
    known(REFUSED, "Max-Forwards that is no number", says("Max-Forwards is"), lambda d: methods(d, b"OPTIONS", b"TRACE"), "a grammar that the strict reader does not look at", "Q"),
    known(REFUSED, "two Proxy-Authorization", says("Proxy-Authorization is repeated"), lambda d: len(values(d, b"proxy-authorization")) > 1, "which of them was judged?", "Q"),
    known(REFUSED, "codings beside chunked, or a list with holes", says("transfer coding other", "list of codings", "odd Transfer-Encoding", "chunked not the last", "Transfer-Encoding is repeated"),
          lambda d: [v.lower() for v in values(d, b"transfer-encoding")] != [b"chunked"], "we know chunked alone, and exactly so: 501, or 400"),
    known(REFUSED, "a tab behind a length", says("an odd Content-Length"), lambda d: re.search(rb"(?im)^content-length:[ \t]*[0-9]+ *\t", d),
          "white space by the RFC; llhttp takes spaces alone there, and we refuse what either dislikes"),
    known(REFUSED, "lengths past 63 bits", says("larger than any body", "an odd Content-Length"), lambda d: any(v.isdigit() and int(v) > LARGEST for v in values(d, b"content-length")),
          "no reader counts so far"),
    known(REFUSED, "a 205 with a length", says("205 answer that announces"), lambda d: b" 205 " in first_line(d), "RFC 9110 15.3.6 forbids it, RFC 9112 6.3 frames it", "RH"),
    known(REFUSED, "white space in chunk size lines", says("not a hexadecimal number", "extension that is not"), lambda d: re.search(rb"[0-9A-Fa-f][ \t]+;|;[ \t]|[ \t]=|=[ \t]", d),
          "BWS: to be taken, never to be sent (RFC 9110 5.6.3); real readers take it for several things", "C"),
    known(REFUSED, "chunk sizes of more than 16 digits", says("too many digits"), lambda d: re.search(rb"(?m)^[0-9A-Fa-f]{17}", d), "leading zeros without end are a reader's overflow", "C"),
    known(REFUSED, "chunk extensions without end", says("size line that is too long"), lambda d: re.search(rb";[^\r\n]{1000}", d), "bounded to 1 KiB a line (CVE-2024-22019)", "C"),
    # ---- looser than the RFC ----
    known(ACCEPTED, "bytes of no URI in path or query", says("no path and query of a URI"), lambda d: NO_URI.fullmatch(target(d)), "browsers send them; opaque to us, passed as they are", "Q"),
    known(ACCEPTED, "no space where there is no reason", says("no status line"), lambda d: re.fullmatch(rb"HTTP/1\.[0-9] [0-9]{3}", first_line(d)), "servers leave it out; what goes on has it", "RH"),
    known(DIFFERENT, "Content-Length: 0 on CONNECT or TRACE", says("kind 'none' 'length'"), lambda d: methods(d, b"CONNECT", b"TRACE") and values(d, b"content-length"),
          "no body either way; not sent on", "Q"),
    known(PASSED_ON, "bytes of no URI in path or query", says("no path and query of a URI"), lambda d: NO_URI.fullmatch(target(d)), "as they came, see above", "Q"),
    # ---- looser than llhttp ----
    known(LLHTTP_REFUSED, "methods that llhttp does not know", says("HPE_INVALID_METHOD", "HPE_INVALID_VERSION"), is_unknown_method, "any token is a method; first lines are read by us", "Q"),
    known(LLHTTP_REFUSED, "minor versions above 1", says("HPE_INVALID_VERSION"), lambda d: re.search(rb"HTTP/1\.[2-9]", first_line(d)), "1.x is to be read as 1.1 (RFC 9110 2.5); 1.1 goes on", "QRH"),
    known(LLHTTP_REFUSED, "several extensions, and escapes in them", says("HPE_STRICT", "HPE_INVALID_CHUNK_SIZE"), lambda d: re.search(rb";[^\r\n]*;|;[^\r\n]*\\", d),
          "RFC 9112 7.1.1 has both, llhttp 8.1 neither; none goes on", "C"),
    known(LLHTTP_REFUSED, "fields of framing in trailers", says("HPE_INVALID_TRANSFER_ENCODING", "HPE_INVALID_CONTENT_LENGTH", "HPE_UNEXPECTED_CONTENT_LENGTH"),
          lambda d: re.search(rb"(?im)^(content-length|transfer-encoding):", d), "dropped, as RFC 9110 6.5.1 has it; none goes on", "C"),
    known(LLHTTP_DIFFERENT, "a tab behind chunked", says("kind 'chunked' 'none'"), lambda d: re.search(rb"(?im)^transfer-encoding:[ \t]*chunked *\t", d),
          "white space by the RFC; llhttp alone sees another coding. What goes on has none"),
]


# ---- facts ----

def same(name, mine, theirs):
    if isinstance(theirs, ipaddress.IPv6Address):
        return ipaddress.IPv6Address(mine.decode("ascii")) == theirs
    return mine == theirs


# of a hop, or written anew from what was understood
ANEW = {b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"te", b"upgrade", b"via", b"max-forwards"}


def end_to_end(fields, minor):
    named = {e for n, v in fields if n.lower() == b"connection" for e in strict.elements(v)}
    gone = ANEW | named | ({b"expect"} if minor == 0 else set())
    return [(n, v) for n, v in fields if n.lower() not in gone and not n.lower().startswith(b"proxy-")]


def changed(kind, mine, got, size):
    """What of a head is another one after we passed it on; None: it says the same."""
    names = [n.lower() for n, _ in got["fields"]]
    if got["size"] != size or got["minor"] != 1:
        return "size or version"
    if any(n.startswith(b"proxy-") for n in names) or b"keep-alive" in names:
        return "field of the hop"
    for name in ("method", "path") if kind == "Q" else ("status",):
        if got[name] != mine[name]:
            return name
    if (got["kind"], got["length"]) != (mine["kind"], mine["length"]):
        return "body"
    if kind == "Q":
        if names.count(b"host") != 1 or names[0] != b"host":
            return "place of Host"
        host, port = strict.authority(got["fields"][0][1], 80)
        if not same("host", mine["host"], host) or port != mine["port"]:
            return "host"
    elif got["reason"] != mine["reason"]:
        return "reason"
    if end_to_end(mine["fields"], mine["minor"] if kind == "Q" else 1) != end_to_end(got["fields"], 1):
        return "field"
    return None
