"""Heads and chunked bodies, the same for the same seed: by the grammar, with things here and there that aim at where readers differ.

Of each list the first part is well-formed, the second odd, or odd where it stands.
"""

METHODS = ([b"GET", b"GET", b"POST", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PATCH", b"M-SEARCH"],
           [b"BREW", b"get", b"PRI", b"G(T", b"G\x00T", b"", b"\xc9T"])
HOSTS = ([b"h", b"h", b"example.com", b"EXAMPLE.com", b"example.com.", b"h:80", b"h:8080", b"h:65535", b"127.0.0.1", b"[::1]", b"[::1]:81", b"h_i"],
         [b"h:", b"h:0", b"h:65536", b"h:99999", b"h:8x", b"127.1", b"0x7f.1", b"[::g]", b"[fe80::1%25eth0]", b"::1", b"ex%61mple.com", b"h%00", b"h%2f", b"u@h",
          b"u:p@h", b"", b":80", b"a b", b"a,b", b"h\\i", b"a..b", b".a", b"h;i", b"h!", b"\xc3\xb6", b"h:80:80"])
PATHS = ([b"/", b"/", b"/a/b?c=d", b"", b"?q", b"//x", b"/%0d%0a", b"/a@b:c", b"/;p=1", b"/?a?b", b"/~", b"/'"],
         [b"/%zz", b"/a|b", b"/\"<>\"", b"/a\\b", b"/{x}", b"/[x]", b"/^`", b"/#f", b"#f", b"/\xff", b"/\t", b"/\x0c"])
TARGETS = ([b"*", b"/x", b"h:443", b"[::1]:443", b"HTTP://h/"],
           [b"h", b"https://h/", b"ftp://h/", b"http:/h", b"http:h", b"http:///x", b"//h/x", b"?", b"h:0", b"h:443/x", b"127.1:443", b":443", b"u@h:443"])
VERSIONS = ([b"HTTP/1.1"] * 5 + [b"HTTP/1.0"],
            [b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/2", b"HTTP/0.9", b"http/1.1", b"HTTP/1", b"HTTP/1.10", b"HTTP/11.1", b"ICE/1.0", b"", b"HTTP/1.1 ", b"HTTP/+1.1"])
LENGTHS = ([b"0", b"5", b"5", b"007", b"9223372036854775807"],
           [b"+5", b"-5", b"5, 5", b"5,6", b"0x5", b'"5"', b"5;", b"5 5", b"", b"five", b"9223372036854775808", b"18446744073709551621", b"5\x0b", b"1_0", b"5.0", b"\xd9\xa5"])
CODINGS = ([b"chunked", b"chunked", b"Chunked"],
           [b"identity", b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"xchunked", b"chunked;x=y", b'"chunked"', b"", b",chunked", b"chunked,", b", chunked ,",
            b"\x0bchunked", b"chunked\x00", b"chunk ed", b"gzip;q=1, chunked", b"'chunked'"])
CONNECTIONS = ([b"close", b"keep-alive", b"Keep-Alive, X", b"x", b"upgrade", b"te", b""],
               [b"host", b"content-length", b"Transfer-Encoding", b"authorization", b"proxy-authorization", b"close, via", b",", b", close,", b"a b", b'"close"', b"close;x", b"cl\xf6se",
                b"close\x00", b"max-forwards", b"x-forwarded-for", b"cookie"])
OTHERS = ([(b"Accept", b"*/*"), (b"X", b""), (b"X", b"a  b\tc"), (b"X-Y_Z.1", b"\xf6\xff"), (b"Cookie", b"a=b; c"), (b"Expect", b"100-continue"), (b"Expect", b"100-Continue"),
           (b"Upgrade", b"websocket"), (b"TE", b"trailers"), (b"Keep-Alive", b"timeout=5"), (b"Proxy-Connection", b"keep-alive"), (b"Proxy-Authorization", b"Basic eDp5"),
           (b"Max-Forwards", b"3"), (b"Via", b"1.0 a, 1.1 us"), (b"Trailer", b"X"), (b"Proxy-Foo", b"1"), (b"X-Forwarded-For", b"1.2.3.4"), (b"Authorization", b"Bearer t")],
          [(b"Expect", b"x"), (b"Expect", b"100-continue, x"), (b"Proxy-Connection", b"host"), (b"Max-Forwards", b"-1"), (b"Content_Length", b"5"), (b"Transfer_Encoding", b"chunked"),
           (b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"5"), (b"Host", b"h")])
NAMES = [b"A ", b"A\t", b" A", b"\tA", b"A b", b"", b"A(b)", b"\xf6", b"A\x00", b"Transfer-Encoding ", b"Content-Length\t", b" Host", b"A\r", b"\"A\"", b"A\x7f"]
LINE_ENDS = ([b"\r\n"], [b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n ", b"\r\n\t", b"\r\n\r", b"", b"\x00\r\n", b"\r\n\r\n", b"\x0b\r\n"])
BYTES = [b"\x00", b"\r", b"\n", b" ", b"\t", b":", b",", b"\x0b", b"\x0c", b"\x7f", b"\x80", b"\xff", b"\"", b";", b"\\", b"#", b"@", b"%", b"\x1b", b"\r\n"]
STARTS = ([b""], [b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\x00", b"\t\r\n"])
SPACES = ([b" "], [b"  ", b"\t", b"\x0b", b""])
STATUSES = ([b"200 OK"] * 4 + [b"204 No Content", b"304 Not Modified", b"100 Continue", b"103 Early Hints", b"101 Switching", b"205 Reset", b"404 Not  Found \xf6", b"200 ", b"407 P"],
            [b"200", b"99 x", b"099 x", b"600 x", b"999 x", b"2000 OK", b"20 OK", b"2x0 OK", b" 200 OK", b"200OK", b"200\tOK", b"200 O\x00K", b"200 O\rK", b"+20 x", b""])
SIZES = ([b"%x", b"%x", b"%X", b"0%x", b"00000%x", b"%016x"],
         [b"0x%x", b"+%x", b"-%x", b" %x", b"%x ", b"%x\t", b"%xg", b"1%x", b"%017x", b"f000000000000000%x", b"_%x"])
EXTENSIONS = ([b"", b"", b"", b";a", b";a=b", b";a=b;c", b';a="b;c"', b';a="\\""', b';a="\x80"'],
              [b"; a = b", b" ;a", b";", b";;", b";=b", b";a=", b';a="b', b";a\n", b";a\rb", b';a="\n"', b";a\x00", b";\xf6", b";a=b\x7f", b";a b", b";" + b"x" * 2000])
LASTS = ([b"0", b"00", b"0;a"], [b"", b"-0", b"0 "])


class Dice:
    """Most things are well-formed in most messages, and all of them in some: else nothing would be accepted."""

    def __init__(self, rng):
        self._rng = rng
        self._odd = rng.choice([0.0, 0.02, 0.05, 0.15])

    def one_of(self, things):
        return self._rng.choice(things[1] if self._rng.random() < self._odd else things[0])

    def any_of(self, things):
        return self._rng.choice(things)

    def odd(self, times=1):
        return self._rng.random() < self._odd * times

    def below(self, number):
        return self._rng.randrange(number)


def field(dice, name=None, value=None):
    if name is None:
        kind = dice.below(10)
        if kind < 1:
            name, value = b"Content-Length", dice.one_of(LENGTHS)
        elif kind < 2:
            name, value = b"Transfer-Encoding", dice.one_of(CODINGS)
        elif kind < 4:
            name, value = b"Connection", dice.one_of(CONNECTIONS)
        else:
            name, value = dice.one_of(OTHERS)
    if dice.odd(0.3):
        name = dice.any_of(NAMES)
    if dice.below(10) == 0:
        name = name.swapcase()
    space = dice.any_of([b" ", b" ", b" ", b"", b"\t", b"  ", b" \t "]) if not dice.odd(0.2) else b"\x0b"
    return name + b":" + space + value + dice.any_of([b""] * 10 + [b" ", b"\t"]) + dice.one_of(LINE_ENDS)


def changed(dice, data):
    """Perhaps a byte more, less, doubled, or another one."""
    if not dice.odd(2):
        return data
    at = dice.below(len(data))
    how = dice.below(4)
    if how == 0:
        return data[:at] + dice.any_of(BYTES) + data[at:]
    if how == 1:
        return data[:at] + data[at + 1:]
    if how == 2:
        return data[:at] + dice.any_of(BYTES) + data[at + 1:]
    return data[:at] + data[at:at + 1] + data[at:]


# What follows makes a line whole that was left open, and is never a part of a message that is well.
NEXT = b"5\r\nhello\r\n\r\nGET http://next/ HTTP/1.1\r\nHost: next\r\n\r\n"


def finished(dice, first, fields):
    data = dice.one_of(STARTS) + first + dice.one_of(LINE_ENDS) + b"".join(fields) + dice.one_of(LINE_ENDS)
    return changed(dice, data) + NEXT


def request(rng):
    dice = Dice(rng)
    method = dice.one_of(METHODS)
    if method == b"CONNECT" and not dice.odd(3):
        target = dice.one_of(HOSTS).split(b":")[0] + b":443"
    elif dice.below(12) == 0:
        target = dice.one_of(TARGETS)
    else:
        target = b"http://" + dice.one_of(HOSTS) + dice.one_of(PATHS)
    first = method + dice.one_of(SPACES) + target + dice.one_of(SPACES) + dice.one_of(VERSIONS)
    fields = [field(dice) for _ in range(dice.any_of([0, 0, 1, 1, 1, 2, 2, 3, 5]))]
    hosts = 1 if not dice.odd() else dice.any_of([0, 2])
    fields[:0] = [field(dice, b"Host", dice.one_of(HOSTS)) for _ in range(hosts)]
    if dice.below(4) == 0:
        rng.shuffle(fields)
    return finished(dice, first, fields)


def response(rng):
    dice = Dice(rng)
    first = dice.one_of(VERSIONS) + b" " + dice.one_of(STATUSES)
    return finished(dice, first, [field(dice) for _ in range(dice.any_of([0, 1, 1, 1, 2, 2, 3]))])


def body(rng):
    dice = Dice(rng)
    data = b""
    for _ in range(dice.any_of([0, 1, 1, 2, 3])):
        payload = dice.any_of([b"x", b"hello", b"\r\n", b"0\r\n\r\n", b"a" * 16, bytes(range(33))])
        length = len(payload) + (dice.any_of([1, -1]) if dice.odd(0.5) else 0)
        data += dice.one_of(SIZES) % length + dice.one_of(EXTENSIONS) + dice.one_of(LINE_ENDS) + payload + dice.one_of(LINE_ENDS)
    trailers = b"".join(field(dice) for _ in range(dice.any_of([0, 0, 0, 1, 2])))
    return changed(dice, data + dice.one_of(LASTS) + dice.one_of(LINE_ENDS) + trailers + dice.one_of(LINE_ENDS)) + NEXT
