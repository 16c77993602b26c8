"""docs/troubleshooting.md: each failure of that page made, and every word that the page shows compared with what is printed.

SALLYPORT_WRITE_DOCS=1 in the environment writes the page's blocks instead: for a change of words, to be read before it is committed.
"""

import contextlib
import os
import re
import signal

from common import ECHO, ask, basic, challenged, login, own, passed
from sp_rig.directory import PEOPLE
from sp_rig.page import Page, steady
from sp_rig.pki import Authority
from sp_rig.proxy import command

PAGE = Page("troubleshooting.md", bool(os.environ.get("SALLYPORT_WRITE_DOCS")))
LAPTOP, PHONE = "10.99.0.2", "10.99.0.3"


STEP = re.compile(r" +\d+\.\d ms  (\w+)")
ROUTE = ("resolve", "connect", "tls", "service_bind")      # the steps to a directory, where they are not what the section is about


def without(rows, dropped):
    """The rows, with `...` for those that are dropped: dropped(row, the last step's name)."""
    kept, step = [], ""
    for row in rows:
        match = STEP.match(row)
        step = match[1] if match else step if row.startswith(" " * 29) else ""
        if not dropped(row, step):
            kept.append(row)
        elif not kept or kept[-1] != "  ...":
            kept.append("  ...")
    return kept


class Made:
    """One section's failure, and what is printed about it."""

    def __init__(self, w, section, config):
        config.log["level"] = "info"                       # as administrators have it
        self.w, self.section, self.printed, self.ids = w, section, {}, set()
        self.p = w.start(config)

    def user(self, answer, part="user"):
        """What the user's program is told."""
        shown = ("Proxy-Status", "Proxy-Authenticate", "Retry-After")
        fields = ["%s: %s" % (name, value) for name, value in answer.fields if name in shown]
        self.printed[part] = "\n".join(["HTTP/1.1 %d %s" % (answer.status, answer.phrase)] + fields)
        return answer

    def log(self, *events, part="log"):
        """The first line of the error log about each event."""
        for event in events:
            self.p.log_says("event=%s " % event)
        self.printed[part] = "\n".join([line for line in self.p.errors().splitlines() if "event=%s " % event in line][0] for event in events)

    def _id(self, words):
        """The id in Proxy-Status; its access line is there then."""
        found = re.search(r'id="([0-9a-hjkmnp-tv-z]{12})"', words)[1]
        self.p.last(id=found)
        return found

    def _run(self, part, status, words, stdin=b"", env=None, dropped=lambda row, step: False):
        path = ("-c", self.p.path)
        code, out, err = command(self.w.binary, (words[0], *path, *words[1:]), env or self.w.environment(), stdin, 60 * self.w.patience)
        assert (code, err) == (status, ""), (code, out, err)
        self.printed[part] = "\n".join(["$ sallyport " + " ".join(words)] + without(out.splitlines(), dropped))

    def why(self, answer, part="why", route=False):
        """`why` about the id that stands in an answer."""
        self._run(part, 0, ("why", self._id(answer.get("Proxy-Status"))), dropped=lambda row, step: not route and step in ROUTE)

    def login(self, user, password=None, status=1, words=(), part="login", route=False):
        self._run(part, status, ("login", *words, user), (PEOPLE[user] if password is None else password).encode() + b"\n",
                  dropped=lambda row, step: not route and step in ROUTE)

    def ticket(self, user, proxy, part="login"):
        """`login --negotiate` with somebody's own ticket, refused. SPNEGO asks every mechanism there is, NTLM too."""
        env = dict(self.w.environment(whole_stacks=True), KRB5CCNAME=self.w.realm.environment(user)["KRB5CCNAME"])
        self._run(part, 1, ("login", "--negotiate", "--proxy", proxy), env=env)
        self._id(self.printed[part])

    def doctor(self, part="doctor"):
        """What `doctor` finds wrong."""
        self._run(part, 1, ("doctor",), dropped=lambda row, step: row.startswith("  ok "))

    def is_on_the_page(self):
        self.ids |= {record["id"] for record in self.p.lines()}
        PAGE.holds(self.section, steady(self.printed, self.ids, self.w.folder))


def test_wrong_password(w):
    made = Made(w, "wrong-password", w.config())
    agent = [("User-Agent", "OldPhone/1.0")]
    answer = made.user(challenged(ask(w, auth=basic("bob", "Summer-2025"), source=PHONE, fields=agent)))
    made.log("login_refused")
    made.why(answer)
    made.login("bob", "Summer-2025")
    for n in range(2):
        challenged(ask(w, auth=basic("bob", "typed-%d" % n), source=PHONE, fields=agent))
    answer = made.user(own(ask(w, auth=login("bob"), source=LAPTOP), 429, "blocked"), "blocked-user")
    made.log("guard_blocked", part="blocked-log")
    made.why(answer, "blocked-why")
    code, out, err = w.command("ctl", "-c", made.p.path, "flush", "bob")
    assert code == 0, (code, out, err)
    passed(ask(w, auth=login("bob"), source=LAPTOP))
    made.is_on_the_page()


def test_account(w):
    made = Made(w, "account", w.config())
    answer = made.user(own(ask(w, auth=login("locked"), source=LAPTOP), 403, "account"))
    made.log("login_account")
    made.why(answer)
    made.login("expired")
    made.is_on_the_page()


def test_user_not_found(w):
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(filter="(&(objectClass=user)(sAMAccountName=%u))")
    made = Made(w, "user-not-found", config)
    answer = made.user(challenged(ask(w, auth=login("alice"), source=LAPTOP)))
    made.log("login_unknown")
    made.why(answer)
    made.login("alice")
    made.is_on_the_page()


def test_search_base(w):
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(base="ou=persons,dc=corp,dc=test")
    made = Made(w, "search-base", config)
    answer = made.user(own(ask(w, auth=login("alice"), source=LAPTOP), 503, "directory_unavailable"))
    made.log("backend_unavailable")
    made.why(answer)
    made.doctor()
    made.is_on_the_page()


def test_directory_down(w):
    made = Made(w, "directory-down", w.config())
    w.ldap.stop()
    answer = made.user(own(ask(w, auth=login("alice"), source=LAPTOP), 503, "directory_unavailable"))
    made.log("backend_unavailable")
    made.why(answer, route=True)
    made.doctor()
    made.is_on_the_page()


@contextlib.contextmanager
def serving(directory, certificate, key):
    """The directory with another certificate."""
    before = {name: directory._settings[name] for name in ("certificate", "key")}
    directory.stop()
    directory.start(certificate=certificate, key=key)
    try:
        yield
    finally:
        directory.stop()
        directory.start(**before)


def test_directory_certificate(w):
    config = w.config()
    other = Authority(os.path.join(w.folder, "other-ca"))
    config.backends["corp-ldap"] = w.ldap_backend(tls_ca=other.ca)
    made = Made(w, "directory-certificate", config)
    answer = made.user(own(ask(w, auth=login("alice"), source=LAPTOP), 503, "directory_unavailable"))
    made.log("ldap_server_down")
    made.why(answer, route=True)
    made.doctor("authority")
    config.backends["corp-ldap"] = w.ldap_backend(uris=[w.ldap_url(w.dc1)])
    config.write()
    for part, certificate in (("name", w.authority.issue("dc1-name", ["ldap.corp.test"])),
                              ("expired", w.authority.issue("dc1-old", ["dc1.corp.test"], days=-1))):
        with serving(w.dc1, *certificate):
            made.doctor(part)
    made.is_on_the_page()


def test_service_account(w):
    config = w.config()
    right = config.files["ldap.secret"]
    made = Made(w, "service-account", config.file("ldap.secret", "Changed-Since-9\n"))
    answer = made.user(own(ask(w, auth=login("alice"), source=LAPTOP), 503, "directory_unavailable"))
    made.log("ldap_service_refused")
    made.why(answer, route=True)
    made.doctor()
    config.file("ldap.secret", right).write()
    os.kill(made.p.proc.pid, signal.SIGHUP)
    made.p.log_says("event=reloaded")
    passed(ask(w, auth=login("alice"), source=LAPTOP))
    made.is_on_the_page()


def with_keytab(w, keytab):
    config = w.config()
    config.backends["corp-krb5"] = w.krb5_backend(keytab=keytab)
    return config


def test_alias(w):
    made = Made(w, "alias", with_keytab(w, w.realm.other_keytab("node", "HTTP/node.corp.test")))
    answer = made.user(challenged(ask(w, auth=w.initiator("alice", service="HTTP@alias.corp.test").value(), source=LAPTOP)))
    made.log("negotiate_refused")
    made.why(answer)
    made.ticket("alice", "alias.corp.test")
    made.is_on_the_page()


def test_old_key(w):
    service = "HTTP/odd.corp.test"
    made = Made(w, "old-key", with_keytab(w, w.realm.other_keytab("odd", service)))
    w.realm.kadmin("cpw -randkey " + service)
    answer = made.user(challenged(ask(w, auth=w.initiator("alice", service=service.replace("/", "@")).value(), source=LAPTOP)))
    made.log("negotiate_refused")
    made.why(answer)
    made.doctor()
    made.is_on_the_page()


def test_clock(w):
    made = Made(w, "clock", w.config())
    answer = made.user(challenged(ask(w, auth=w.made_ticket("clock=-420").value(), source=LAPTOP)))
    made.log("negotiate_refused")
    made.why(answer)
    made.is_on_the_page()


def test_ntlm(w):
    made = Made(w, "ntlm", w.config())
    answer = made.user(challenged(ask(w, auth=w.ntlm().value(), source=LAPTOP)))
    made.log("negotiate_refused")
    made.why(answer)
    made.is_on_the_page()


def test_denied(w):
    config = w.config().rule("admin-sites", groups=["admins"]).rule("no-staff", action="deny", groups=["staff"]).rule("rest")
    made = Made(w, "denied", config)
    answer = made.user(own(ask(w, auth=login("bob"), source=LAPTOP), 403, "denied"))
    made.why(answer)
    made.login("bob", words=("--to", "odd.corp.test:80"), status=0)
    made.is_on_the_page()


def test_protected(w):
    made = Made(w, "protected", w.config())
    answer = made.user(own(ask(w, "http://inside.corp.test/", auth=login("bob"), source=LAPTOP), 403, "denied"))
    made.why(answer)
    made.login("bob", words=("--to", "inside.corp.test:80"), status=0)
    made.is_on_the_page()


def test_loop(w):
    made = Made(w, "loop", w.config())
    with w.wire(source=LAPTOP) as c:
        answer = c.ask("GET", ECHO, auth=basic("bob", "Summer-2025"), fields=[("User-Agent", "Updater/2.1")])
        while answer.status == 407:
            answer = c.ask("GET", ECHO, auth=basic("bob", "Summer-2025"), fields=[("User-Agent", "Updater/2.1")])
    made.user(own(answer, 403, "loop"))
    made.log("loop_cut")
    made.why(answer)
    made.is_on_the_page()


def test_basic_in_clear(w):
    config = w.config()
    config.listens = [("%s:%d" % (w.proxy_address, w.proxy_port), {})]
    made = Made(w, "basic-in-clear", config)
    made.user(challenged(ask(w, source=LAPTOP), "Negotiate"))
    answer = challenged(ask(w, auth=login("bob"), source=LAPTOP), "Negotiate")
    made.log("scheme_refused")
    made.why(answer)
    made.is_on_the_page()


def test_the_page_has_these_sections_and_no_others(w):
    name = "test_the_page_has_these_sections_and_no_others"
    made = [f[5:].replace("_", "-") for f in globals() if f.startswith("test_") and f != name]
    assert PAGE.sections() == made, (PAGE.sections(), made)
    for section in made:
        assert "](#%s)" % section in PAGE.text() and '<a name="%s"></a>' % section in PAGE.text(), "not in the table at the top: " + section
