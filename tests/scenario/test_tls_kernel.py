"""Bulk through a TLS listener, byte for byte. tests/kernel/run sets SP_KERNEL_TLS on a kernel that has TLS: there it must serve."""

import hashlib
import os
import ssl

from common import ALICE, expect, passed, request
from sp_rig.wire import Wire
from test_tls import tls_config

PART, BULK = 256 << 10, 6 << 20             # the whole is more than the sockets on the way hold


def digest(data):
    return hashlib.sha256(data).hexdigest()


def count_of_kernel(p):
    """How many connections the kernel's TLS has served in the proxy's own network namespace: name -> number."""
    with open("/proc/%d/net/tls_stat" % p.proc.pid) as f:
        return {name: int(number) for name, number in (line.split() for line in f)}


def tunnel_echoes(w, c, data):
    expect(c.ask("CONNECT", "odd.corp.test:443", auth=ALICE), 200)
    heard = []
    for at in range(0, len(data), PART):
        c.send(data[at:at + PART])
        heard.append(c.read(PART))
    assert digest(b"".join(heard)) == digest(data), "the tunnel gave back other bytes"


def bodies_pass(w, c, data):
    c.send(request("POST", "http://odd.corp.test/upload", fields=[("Content-Length", str(len(data)))], body=data, auth=ALICE))
    assert passed(c.answer()).body.startswith(b"%s %d " % (digest(data).encode(), len(data))), "the upload has other bytes"
    got = passed(c.ask("GET", "http://odd.corp.test/bytes?%d" % len(data), auth=ALICE)).body
    filling = w.odd.filling
    assert digest(got) == digest((filling * (len(data) // len(filling) + 1))[:len(data)]), "the answer has other bytes"


def test_bulk_is_whole_in_either_version_of_tls(w):
    demanded = "SP_KERNEL_TLS" in os.environ
    p = w.start(tls_config(w))
    data = os.urandom(BULK)
    for version, receives in ((ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, False)):
        context = ssl.create_default_context(cafile=w.ca)
        context.minimum_version = context.maximum_version = version
        for bulk in (tunnel_echoes, bodies_pass):
            before = count_of_kernel(p) if demanded else None
            with Wire((w.proxy_address, w.proxy_port), seconds=20 * w.patience, tls=(context, w.proxy_host)) as c:
                bulk(w, c, data)
            if demanded:
                after = count_of_kernel(p)
                sent, received = (after[name] - before[name] for name in ("TlsTxSw", "TlsRxSw"))
                # OpenSSL 3.0 lets the kernel read TLS 1.2 alone
                assert sent == 1 and (received == 1 or not receives), "%s: %r, then %r" % (version.name, before, after)
    if not demanded:
        print("SKIPPED: whether the kernel's TLS serves; SP_KERNEL_TLS is not set (tests/kernel/run sets it)", flush=True)
