"""The show behind tests/rig/demo: each step tells what it does, prints the wire, and checks what came."""

import argparse
import os
import re
import signal
import subprocess
import sys
import textwrap
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from sp_rig.directory import PEOPLE
from sp_rig.procs import RigError, wait_until
from sp_rig.proxy import Raw
from sp_rig.tokens import KRB5, token_of
from sp_rig.wire import basic, request
from sp_rig.world import World

TERMINAL = sys.stdout.isatty()
TTL_SECONDS = 4


def paint(code, text):
    return "\033[%sm%s\033[0m" % (code, text) if TERMINAL else text


def cut(text):
    """Credentials and tokens are shown by kind and length only."""
    def shorter(match):
        what = {"Basic": "name and password"}.get(match[2], "token of %d bytes" % (len(match[3]) * 3 // 4))
        return "%s%s <%s, cut>" % (match[1], match[2], what)
    return re.sub(r"(Prox[a-z-]*(?:Authorization|Authenticate): )(Basic|Negotiate) ([A-Za-z0-9+/=]{8,})", shorter, text, flags=re.I)


def wire(arrow, head, code):
    for line in cut(head.decode("latin-1") if isinstance(head, bytes) else head).rstrip().splitlines():
        print("    %s %s" % (arrow, paint(code, line)))


class Show:
    def __init__(self, world):
        self.world, self.number, self.failed = world, 0, []
        config = world.config()
        config.cache = {"ttl": Raw("%ds" % TTL_SECONDS), "refresh": 0, "grace": Raw("1h")}
        config.guard = {"user_failures": 0}
        ports = [str(p) for p in (world.origin.port, world.origin.tls_port, world.odd.port, world.odd.echo_port)]
        config.rule("demo", to=["127.0.0.0/8", "::1/128"], ports=ports, groups=["staff"])
        config.backends["corp-ldap"].update(timeout=Raw("2s"), connect_timeout=Raw("1s"))
        self.proxy = world.start(config)
        self.page = world.url("/", "origin")
        self.secure = world.url("/", "origin", "https")

    def step(self, title, words):
        self.number += 1
        print("\n%s" % paint("1", "%d. %s" % (self.number, title)))
        print(textwrap.fill(words, 100, initial_indent="   ", subsequent_indent="   "))

    def note(self, text):
        print(textwrap.fill(text, 100, initial_indent="   ", subsequent_indent="   "))

    def want(self, fact, text):
        print("   %s %s" % (paint("32", "as it should be:") if fact else paint("31", "NOT AS IT SHOULD BE:"), text))
        if not fact:
            self.failed.append("%d: %s" % (self.number, text))

    def ask(self, c, method, target, auth=None):
        data = request(method, target, auth=auth)
        wire(">", data, "36")
        c.send(data)
        answer = c.answer(method)
        wire("<", answer.head, "33")
        return answer

    def alone(self, auth=None):
        with self.world.wire() as c:
            return self.ask(c, "GET", self.page, auth)

    def logged(self, **want):
        record = self.proxy.last(**want)
        shown = ("user", "scheme", "mech", "backend", "auth", "status", "reason", "rule")
        print("    log: %s" % paint("2", "  ".join("%s=%s" % (k, record[k]) for k in shown if record[k] != "")))
        return record

    # ---- the steps ----

    def nobody(self):
        self.step("No credentials", "A request without credentials gets one 407 that offers Negotiate (Kerberos) first and Basic second.")
        answer = self.alone()
        self.want(answer.status == 407 and [c.split()[0] for c in answer.challenges] == ["Negotiate", "Basic"], "407, Negotiate and Basic offered")
        self.logged(status=407, reason="no_credentials")

    def basic_good(self):
        self.step("Basic, the right password", "sallyport looks alice up in OpenLDAP over ldaps, binds as her, reads her groups, and lets her through.")
        answer = self.alone(basic("alice", PEOPLE["alice"]))
        self.want(answer.status == 200 and b"origin's page" in answer.body, "200 from the origin")
        self.logged(status=200, user="alice", auth="directory")
        self.want(self.world.ldap.binds("alice") == 1, "slapd itself saw %d bind as alice" % self.world.ldap.binds("alice"))

    def basic_again(self):
        self.step("Basic again, from the cache", "The same password a moment later. The directory is not asked.")
        answer = self.alone(basic("alice", PEOPLE["alice"]))
        self.want(answer.status == 200, "200 again")
        self.logged(status=200, user="alice", auth="cache")
        self.want(self.world.ldap.binds("alice") == 1, "slapd still saw %d bind as alice" % self.world.ldap.binds("alice"))

    def basic_bad(self):
        self.step("Basic, a wrong password", "The directory says no (result 49): 407, so that a person can try again.")
        answer = self.alone(basic("bob", "not-his-password"))
        self.want(answer.status == 407, "407")
        self.logged(status=407, reason="bad_credentials", user="bob")

    def ticket(self):
        self.step("Negotiate with a ticket, by curl", "bob has logged in to the Kerberos realm (kinit) and gives no password to anybody: "
                  "curl takes a ticket for HTTP/localhost from the KDC and shows it.")
        argv = ["curl", "-sSv", "-x", "http://localhost:%d" % self.world.proxy_port, "--proxy-negotiate", "-U", ":", self.page]
        print("    $ " + paint("36", " ".join(argv).replace("-sSv", "-v")))
        done = subprocess.run(argv, env=self.world.realm.environment("bob"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for line in done.stderr.decode("utf-8", "replace").splitlines():
            if line[:2] in ("> ", "< ") and line[2:].strip():
                wire(line[0], line[2:], "36" if line[0] == ">" else "33")
        self.want(done.returncode == 0 and b"origin's page" in done.stdout, "the page arrived")
        self.logged(status=200, user="bob", scheme="negotiate", mech="krb5")

    def legs(self):
        self.step("A handshake of several legs", "DCE-style Kerberos needs three tokens: the client's, the server's, and the client's again, over 407s on one "
                  "connection. After it the connection is known: the next request needs no header.")
        me = self.world.initiator("alice", mech=KRB5, dce=True)
        with self.world.wire() as c:
            answer = self.ask(c, "GET", self.page, me.value())
            middle = answer.challenges
            self.want(answer.status == 407 and len(middle) == 1 and middle[0].startswith("Negotiate "), "407 with the server's token and no other challenge")
            self.logged(status=407, reason="handshake")
            answer = self.ask(c, "GET", self.page, me.value(middle[0]))
            self.want(answer.status == 200 and me.complete, "200: both sides have proven themselves")
            answer = self.ask(c, "GET", self.page)
            self.want(answer.status == 200, "200 without a header, on this connection only")
            self.logged(status=200, user="alice", auth="connection")

    def tunnel(self):
        self.step("A tunnel: CONNECT, and https through it", "The client's TLS runs end to end with the origin; sallyport moves bytes.")
        argv = ["curl", "-sSv", "-x", "http://localhost:%d" % self.world.proxy_port, "--proxy-basic", "-U", "alice:" + PEOPLE["alice"], "--cacert", self.world.ca,
                self.secure]
        print("    $ " + paint("36", " ".join(argv).replace("-sSv", "-v").replace(PEOPLE["alice"], "...")))
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for line in done.stderr.decode("utf-8", "replace").splitlines():
            if line[:2] in ("> ", "< ") and line[2:].strip():
                wire(line[0], line[2:], "36" if line[0] == ">" else "33")
        self.want(done.returncode == 0 and b"origin's page" in done.stdout, "the page arrived over https")
        self.logged(method="CONNECT", status=200, user="alice")

    def origin_saw(self):
        self.step("What the origin saw", "The origin logs any Proxy-Authorization that reaches it.")
        seen = self.world.origin.requests()
        self.want(seen and all(entry[4] == "-" for entry in seen), "%d requests, none with a proxy credential" % len(seen))

    def bad_day(self):
        self.step("The directory stops", "Both slapds are stopped, and alice's verdict grows older than its ttl of %d s. Who is known is served out of grace; "
                  "who is not gets 503 and Retry-After, never a 407: a browser must not throw a good password away." % TTL_SECONDS)
        self.alone_quiet(basic("alice", PEOPLE["alice"]))
        self.world.dc1.stop()
        self.world.dc2.stop()
        time.sleep(TTL_SECONDS + 0.5)
        answer = self.alone(basic("alice", PEOPLE["alice"]))
        self.want(answer.status == 200, "alice passes")
        self.logged(status=200, user="alice", auth="grace")
        answer = self.alone(basic("carol", PEOPLE["carol"]))
        self.want(answer.status == 503 and answer.get("Retry-After") is not None and not answer.challenges, "503 with Retry-After for carol, whom the cache does not know")
        self.logged(status=503, user="carol", reason="directory_unavailable")
        self.world.dc1.start()
        self.world.dc2.start()
        self.note("Both slapds are started again.")

    def alone_quiet(self, auth):
        with self.world.wire() as c:
            return c.ask("GET", self.page, auth=auth)

    def play(self):
        for act in (self.nobody, self.basic_good, self.basic_again, self.basic_bad, self.ticket, self.legs, self.tunnel, self.origin_saw, self.bad_day):
            try:
                act()
            except (AssertionError, RigError, OSError, Exception) as error:
                self.want(False, "%s: %s" % (type(error).__name__, error))

    def lines_to_try(self):
        w, port = self.world, self.world.proxy_port
        print("\n%s\n" % paint("1", "Lines to try, in another terminal"))
        print("\n".join([
            "  curl -v -x http://localhost:%d %s                                    # 407" % (port, self.page),
            "  curl -v -x http://localhost:%d -U 'alice:%s' %s          # Basic" % (port, PEOPLE["alice"], self.page),
            "  curl -v -x http://localhost:%d -U 'alice:%s' --cacert %s %s" % (port, PEOPLE["alice"], w.ca, self.secure),
            "",
            "  export KRB5_CONFIG=%s KRB5CCNAME=%s" % (w.realm.krb5_conf, w.realm.cache("bob")),
            "  klist",
            "  curl -v -x http://localhost:%d --proxy-negotiate -U : %s             # Kerberos" % (port, self.page),
            "",
            "  sallyport='%s' conf='%s'" % (os.path.relpath(w.binary), self.proxy.path),
            "  $sallyport why -c $conf alice                  # the last decisions about her, step by step",
            "  $sallyport doctor -c $conf                     # all that logins rest on",
            "  $sallyport login -c $conf alice                # a login made anew, by the terminal",
            "  $sallyport ctl -c $conf trace bob              # what is decided about bob, while it happens",
            "",
            "  people:       alice %s, bob %s, carol %s (not in the group staff: 403)" % (PEOPLE["alice"], PEOPLE["bob"], PEOPLE["carol"]),
            "  access log:   tail -f %s" % self.proxy.config.log["access"],
            "  error log:    tail -f %s" % self.proxy.config.log["error"],
            "  its config:   %s" % self.proxy.path,
            "  directories:  ldap://127.0.0.1:%d ldap://127.0.0.1:%d (slapd's own log: %s)" % (w.dc1.port, w.dc2.port, w.dc1.log),
            "  status page:  http://%s/" % self.proxy.config.admin["http"],
            "  metrics:      curl http://%s/metrics" % self.proxy.config.admin["http"],
        ]))
        sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(prog="demo")
    parser.add_argument("--build", required=True)
    parser.add_argument("--once", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        os.environ.pop(name, None)
    print("Starting two OpenLDAP servers, a Kerberos KDC, an origin and sallyport, all on loopback ...")
    world = show = None
    try:
        world = World(options.build, names=False)
        show = Show(world)
        print("They run, with everything they write in %s" % world.folder)
        show.play()
        faults = show.failed
        print("\n%s" % (paint("31", "Not as expected:\n  " + "\n  ".join(faults)) if faults else paint("32", "Every step gave what was expected.")))
        if not options.once:
            show.lines_to_try()
            print("\nEverything stays up until Ctrl-C.", flush=True)
            while show.proxy.proc.alive():
                time.sleep(0.5)
            print("sallyport ended by itself:\n" + show.proxy.proc.words())
            return 1
        return 1 if faults else 0
    except KeyboardInterrupt:
        print("\nstopping")
        return 0
    except RigError as error:
        print("the rig did not start: %s" % error)
        return 1
    finally:
        if world is not None:
            world.stop()


if __name__ == "__main__":
    sys.exit(main())
