"""Secrets stay where they belong: distinctive ones are planted on every road a request can take, and then looked for in all that
the process says (logs at level debug, pages, metrics, ctl) and in all of its memory."""

import base64
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request

from common import ALICE, ECHO, ask, basic, expect, passed, request
from sp_rig.directory import PEOPLE, SERVICE_PASSWORD
from sp_rig.procs import RigError, wait_until
from sp_rig.wire import Wire

# Nine letters behind six ("alice:") stand alone in base64, so one search finds each password that begins so.
MARK = "Zq7XwKj9v"
ASAN = "a sanitizer keeps what was freed, unchanged, so memory proves nothing there"


def wrong(road, user="alice"):
    """A wrong password that tells on which road it went."""
    return basic(user, "%s-%s" % (MARK, road))


def forms(text):
    """How a text may lie in memory: as it is, in base64 behind "alice:", in UTF-16 as NTLM has it."""
    raw = text.encode()
    return [raw, base64.b64encode(raw[:len(raw) // 3 * 3]), text.encode("utf-16-le")]


def regions(pid):
    with open("/proc/%d/maps" % pid) as maps:
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ (\d+) *(.*)", line)
            if found and found[4] not in ("[vvar]", "[vvar_vclock]", "[vsyscall]"):
                yield int(found[1], 16), int(found[2], 16), found[4] or "anonymous"


def in_memory(p, needles):
    """Where in the live process one of these bytes stands: ["[heap] ...their surroundings..."]."""
    found = []
    with open("/proc/%d/mem" % p.proc.pid, "rb", buffering=0) as memory:
        for start, end, name in regions(p.proc.pid):
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except OSError:
                continue                   # unmapped meanwhile, or not to be read by anybody
            for needle in needles:
                at = data.find(needle)
                while at >= 0:
                    found.append("%s at %x: %r" % (name, start + at, data[max(0, at - 48):at + 64]))
                    at = data.find(needle, at + 1)
    return found


def gone_from_memory(p, what, needles, seconds=10.0):
    """The wire is quiet; what the last turn of a loop still wipes has a moment."""
    left = []

    def clean():
        left[:] = in_memory(p, needles)
        return not left
    try:
        wait_until(what, clean, seconds * p.patience, every=0.2)
    except RigError:
        raise AssertionError("%s: still in memory in %d places:\n%s" % (what, len(left), "\n".join(left[:12])))


def memory_tells(w):
    """Whether this build's memory may be searched."""
    with open(os.path.join(w.build, "CMakeCache.txt")) as cache:
        if re.search(r"^SP_SANITIZE:\w+=\w", cache.read(), re.M):
            print("SKIPPED: the search of memory; " + ASAN)
            return False
    return True


def planted(w):
    config = w.config()
    config.listens.append(("%s:3143" % w.proxy_address, {"tls_certificate": w.certificate, "tls_key": w.key}))
    config.guard = {"user_failures": 0, "client_failures": 0}
    config.limits = {"client_header_timeout": "1s", "header_size": "8k"}
    config.backends["corp-ldap"] = w.ldap_backend(timeout="1s", connect_timeout="1s", idle_timeout="1s")
    return config


# ---- the roads ----

def heads(w):
    """Well formed ones: judged by the directory."""
    expect(ask(w, auth=wrong("get")), 407)
    expect(ask(w, auth=basic("nobody", MARK + "-unknown")), 407)
    with w.wire() as c:
        c.send(request("CONNECT", "odd.corp.test:443", auth=wrong("connect")))
        expect(c.answer("CONNECT"), 407)
        c.send(request("GET", ECHO, auth=wrong("pipelined-1")) + request("GET", ECHO, auth=wrong("pipelined-2")))
        expect(c.answer(), 407)
        expect(c.answer(), 407)
        c.send(request("POST", ECHO, fields=[("Content-Length", "5")], auth=wrong("body"), body=b"hello"))
        expect(c.answer(), 407)
    with w.wire(tls=True, port=3143) as c:
        expect(c.ask("GET", ECHO, auth=wrong("tls")), 407)
    for path in ("/echo", "/slow?0.1"):
        with w.wire() as c:
            passed(c.ask("GET", "http://odd.corp.test" + path, auth=ALICE))


def refused(w):
    """What is no good request: nobody's credential is ever judged."""
    def send(data, status):
        with w.wire() as c:
            c.send(data)
            expect(c.answer(), status)
    send(request("GET", ECHO, auth=wrong("bad-head"), fields=[("Bad Name", "x")]), 400)
    send(request("GET", ECHO, auth=wrong("twice-1"), fields=[("Proxy-Authorization", wrong("twice-2"))]), 400)
    send(request("GET", "http://alice:%s-userinfo@odd.corp.test/" % MARK, auth=wrong("with-userinfo")), 400)
    send(request("GET", ECHO, auth=wrong("large"), fields=[("X-Large", "x" * 9000)]), 431)
    send(request("GET", ECHO, auth="Digest username=%s" % MARK), 407)
    send(request("GET", ECHO, auth="Basic " + MARK), 407)
    send(request("GET", ECHO, auth="Negotiate " + MARK), 407)
    send(request("GET", ECHO, auth="Negotiate " + base64.b64encode(b"`\x82\x05\x00" + MARK.encode() * 20).decode()), 407)
    send(request("GET", ECHO, auth="Negotiate " + base64.b64encode(b"NTLMSSP\0\1\0\0\0" + MARK.encode() * 9).decode()), 407)
    send(request("GET", ECHO, auth=wrong("bad-framing"), fields=[("Content-Length", "1"), ("Transfer-Encoding", "chunked")]), 400)
    send(request("GET", ECHO, auth=wrong("no-host"), host=""), 400)


def broken(w):
    """Heads that never end, or whose client goes."""
    half = request("GET", ECHO, auth=wrong("half"))[:-2]
    with w.wire() as c:
        c.send(half)
    with w.wire() as c:
        c.send(half.replace(b"half", b"reset"))
        c.reset()
    with w.wire() as c:
        c.send(half)
        expect(c.answer(), 408)
    with w.wire(tls=True, port=3143) as c:
        c.send(half)
        expect(c.answer(), 408)


def unanswered(w, p):
    """The directory hangs, then is gone: the bind is pending when its client leaves, and times out for another."""
    w.dc1.hang()
    w.dc2.hang()
    with w.wire() as leaves:
        leaves.send(request("GET", ECHO, auth=wrong("pending-and-gone")))
        with w.wire() as stays:
            stays.send(request("GET", ECHO, auth=wrong("pending")))
            expect(stays.answer(), 503)
    w.ldap.restore()
    w.dc1.stop()
    w.dc2.stop()
    expect(ask(w, auth=wrong("directory-gone")), 503)
    w.ldap.restore()
    wait_until("the directory answers again", lambda: ask(w, auth=wrong("again")).status == 407, 15 * p.patience)


def travel(w, p):
    heads(w)
    refused(w)
    broken(w)
    unanswered(w, p)


# ---- what is looked at ----

def said_over_http(p):
    out = []
    for path in ("/", "/metrics", "/readyz", "/healthz"):
        try:
            with urllib.request.urlopen("http://%s%s" % (p.config.admin["http"], path), timeout=10) as page:
                out.append(page.read().decode())
        except urllib.error.HTTPError as error:
            out.append(error.read().decode())
    return "".join(out)


def said_by_commands(w, p):
    out = ""
    for words in (["ctl", "-c", p.path, "stats"], ["ctl", "-c", p.path, "sessions"], ["ctl", "-c", p.path, "sessions", "--json"],
                  ["why", "-c", p.path, "alice"], ["why", "-c", p.path, "--json", "alice"], ["why", "-c", p.path, w.proxy_address]):
        code, said, more = w.command(*words)
        out += said + more
    return out


def test_no_password_is_told_or_left_in_memory(w):
    p = w.start(planted(w))
    trace = subprocess.Popen([w.binary, "ctl", "-c", p.path, "trace", "alice"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             env=w.environment())
    answers = []
    wire_answer = Wire.answer

    def remember(self, *words, **more):
        answer = wire_answer(self, *words, **more)
        answers.append(answer.head + answer.body)
        return answer
    Wire.answer = remember
    try:
        travel(w, p)
    finally:
        Wire.answer = wire_answer
    said = said_over_http(p) + said_by_commands(w, p)
    trace.terminate()
    said += trace.communicate(timeout=30)[0].decode()
    assert "alice" in said and "bad_credentials" in p.everything()
    said += p.everything() + b"".join(a for a in answers if b"Proxy-Status" in a).decode("utf-8", "replace")
    for needle in forms(MARK) + forms(PEOPLE["alice"]) + [ALICE.encode(), SERVICE_PASSWORD.encode()]:
        at = said.find(needle.decode("utf-8", "replace"))
        assert at < 0, "a planted secret is told: ...%s..." % said[max(0, at - 200):at + 100]
    if memory_tells(w):
        gone_from_memory(p, "passwords of those who were refused", forms(MARK))
        gone_from_memory(p, "the password of somebody who got in", forms(PEOPLE["alice"]))


def slices(token):
    """What of a token is its own: the ciphertext at its end, raw and in base64 at each alignment."""
    raw = token[-64:-16]
    return [raw[:24]] + [base64.b64encode(raw[n:])[:28] for n in range(3)]


def test_no_token_is_told_or_left_in_memory(w):
    config = planted(w)
    config.backends["corp-krb5"]["mechanisms"] = ["krb5", "ntlmssp"]
    config.backends["corp-krb5"]["realms"] = ["CORP.TEST", "CORP"]
    p = w.start(config)
    needles, wires = [], []

    def value(initiator, challenge=None):
        sent = initiator.value(challenge)
        needles.extend(slices(base64.b64decode(sent.split()[1])))
        return sent

    kept = w.wire()                        # it stays open: only who it is may be remembered
    wires.append(kept)
    passed(kept.ask("GET", ECHO, auth=value(w.initiator())))
    twice = value(w.initiator())
    passed(ask(w, auth=twice))
    expect(ask(w, auth=twice), 407)        # a replay
    tunnel = w.wire()
    wires.append(tunnel)
    tunnel.send(request("CONNECT", "odd.corp.test:80", auth=value(w.initiator("bob"))))
    expect(tunnel.answer("CONNECT"), 200)
    half = w.wire()                        # a handshake that has begun and is not gone on with
    wires.append(half)
    ntlm = w.ntlm()
    answer = expect(half.ask("GET", ECHO, auth=value(ntlm)), 407)
    passed(half.ask("GET", ECHO, auth=value(ntlm, answer.challenges[0])))
    bad = bytearray(base64.b64decode(w.initiator().value().split()[1]))
    bad[-70] ^= 1                          # the authenticator no longer decrypts
    needles += slices(bytes(bad))
    expect(ask(w, auth="Negotiate " + base64.b64encode(bytes(bad)).decode()), 407)
    said = said_over_http(p) + said_by_commands(w, p) + p.everything()
    for needle in needles:
        assert needle.decode("latin-1") not in said, "a token is told"
    if memory_tells(w):
        gone_from_memory(p, "tokens", needles)
    for c in wires:
        c.close()


def in_one_place(p, what, *needles):
    try:
        wait_until(what, lambda: len(in_memory(p, needles)) == 1, 10 * p.patience, every=0.2)
    except RigError:
        raise AssertionError("%s is to be in one place, and is in:\n%s" % (what, "\n".join(in_memory(p, needles))))


def test_secrets_that_must_live_lie_in_one_place_each(w):
    """Which also shows that the search of the other tests finds what is there."""
    p = w.start(planted(w))
    passed(ask(w, auth=ALICE))
    with open(w.key) as f:
        pem = f.read().split("\n")[1:-2]
    der = base64.b64decode("".join(pem))
    with open(w.realm.keytab, "rb") as f:
        keytab = f.read()
    at = keytab.index(b"\x00\x12\x00\x20") + 4              # aes256, 32 bytes
    key, scalar = keytab[at:at + 32], der[36:68]             # RFC 5915, in PKCS #8
    said = p.everything() + said_over_http(p)
    for secret in (SERVICE_PASSWORD.encode(), key, scalar):
        for form in (secret.decode("latin-1"), base64.b64encode(secret).decode(), secret.hex()):
            assert form not in said and form.upper() not in said, "a key is told"
    if not memory_tells(w):
        return
    gone_from_memory(p, "the TLS key's file", [line.encode() for line in pem])
    in_one_place(p, "the service password", SERVICE_PASSWORD.encode())
    in_one_place(p, "the keytab's key", key)
    in_one_place(p, "the TLS key", scalar, scalar[::-1])


def test_a_secret_that_a_reload_replaces_is_gone(w):
    config = planted(w)
    certificate, key = w.authority.issue("replaced", ["proxy.corp.test"], [w.proxy_address])
    config.listens[1][1].update(tls_certificate=certificate, tls_key=key)
    p = w.start(config)
    passed(ask(w, auth=ALICE))
    with open(key) as f:
        old = base64.b64decode("".join(f.read().split("\n")[1:-2]))[36:68]
    if not memory_tells(w):
        return
    in_one_place(p, "the TLS key", old, old[::-1])
    config.listens[1][1].update(tls_certificate=w.certificate, tls_key=w.key)
    config.file("ldap.secret", MARK + "-service\n").write()
    p.proc.send(signal.SIGHUP)
    p.log_says("event=reloaded")
    gone_from_memory(p, "the old TLS key", [old, old[::-1]])
    gone_from_memory(p, "the old service password", [SERVICE_PASSWORD.encode()])
    in_one_place(p, "the new service password", (MARK + "-service").encode())


def test_no_format_of_the_log_tells_a_password(w):
    for form in ("squid", "combined"):
        config = planted(w)
        config.log["format"] = form
        p = w.start(config)
        heads(w)
        refused(w)
        assert p.stop() == 0
        said = p.everything()
        assert "odd.corp.test" in said
        for needle in forms(MARK) + forms(PEOPLE["alice"]):
            assert needle.decode("latin-1") not in said, "%s: a password is told" % form


def test_the_password_file_is_told_nowhere(w):
    """The file backend: passwords are compared by crypt(3), whose scratch is wiped."""
    config = w.config()
    hashed = subprocess.run(["openssl", "passwd", "-6", MARK + "-local"], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    config.file("users.htpasswd", "alice:%s\n" % hashed)
    config.auth = {"basic": ["local"]}
    config.listens[0][1]["offer"] = ["basic"]
    config.backends = {"local": {"plugin": "file", "path": "../users.htpasswd"}}
    p = w.start(config)
    passed(ask(w, auth=wrong("local")))
    expect(ask(w, auth=wrong("not-local")), 407)
    assert hashed not in p.everything() and MARK not in p.everything()
    if memory_tells(w):
        gone_from_memory(p, "passwords of a file's users", forms(MARK))
