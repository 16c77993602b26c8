"""The status page: true numbers, true words, well-formed, of one piece, and harmless whatever people call themselves."""

import html.parser
import os
import re
import shutil
import signal
import subprocess
import time

from common import ALICE, BOB, ECHO, ask, basic, challenged, login, own, passed
from sp_rig.procs import RigError, wait_until
from test_basic import hashed
from test_connect import tunnel
from test_fault_log import fill, small_disk
from test_metrics import families, value
from test_privileges import for_nobody

VOID = {"meta", "br", "hr", "img", "input", "link", "path", "rect", "line"}


class Page(html.parser.HTMLParser):
    """Well-formed, or it says where not: every element is closed by its own end, attributes stand once, ids are unique."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.text, self._open, self.elements, self.words, self.tables = text, [], [], [], []
        self.ids = set()
        self.feed(text)
        self.close()
        assert not self._open, "never closed: %s" % self._open

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, attrs)
        values = dict(attrs)
        if "id" in values:
            assert values["id"] not in self.ids, "an id twice: %s" % values["id"]
            self.ids.add(values["id"])
        assert "style" not in values and not [n for n in names if n.startswith("on")], "inline: %s %s" % (tag, attrs)
        self.elements.append((tag, values))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open and self._open[-1] == tag, "%s ends inside %s" % (tag, self._open)
        self._open.pop()

    def handle_data(self, data):
        assert self._open or not data.strip(), data
        if "script" in self._open or "style" in self._open:
            return
        self.words.append(data)
        if "td" in self._open or "th" in self._open:
            self.tables[-1][-1][-1] += data + " "

    def all(self, tag):
        return [values for name, values in self.elements if name == tag]

    @property
    def said(self):
        return re.sub(r"\s+", " ", "".join(self.words))

    def section(self, id):
        """The words of the section with that heading."""
        found = re.search(r'<section aria-labelledby="%s">(.*?)</section>' % id, self.text, re.S)
        assert found, "no section %s" % id
        return Page(found[1])

    def section_of_verdict(self):
        return re.sub(r"\s+", " ", Page(re.search(r'(<section class="verdict.*?</section>)', self.text, re.S)[1]).said)

    @property
    def headline(self):
        return re.sub(r"\s+", " ", Page(re.search(r"(<h1>.*?</h1>)", self.text, re.S)[1]).said)

    def gauge(self, name):
        return re.search(r"<dt>%s</dt><dd>([^<]*)</dd>" % re.escape(name), self.text)[1]


def fetch(p, path="/"):
    """(head, body)"""
    out = subprocess.run(["curl", "-sSi", "--max-time", "5", "http://%s%s" % (p.config.admin["http"], path)], stdout=subprocess.PIPE, check=True).stdout
    head, _, body = out.decode("utf-8").partition("\r\n\r\n")
    return head, body


def status_page(p):
    return Page(fetch(p)[1])


def test_it_is_one_piece_well_formed_and_strict(w):
    p = w.start()
    passed(ask(w, auth=ALICE))
    head, body = fetch(p)
    page = Page(body)
    assert body.startswith("<!DOCTYPE html>") and page.all("html") == [{"lang": "en"}]
    assert [len(page.all(tag)) for tag in ("title", "main", "h1", "style", "script")] == [1, 1, 1, 1, 1]
    policy = re.search(r"Content-Security-Policy: (.*)", head)[1].strip()
    nonce = page.all("style")[0]["nonce"]
    assert page.all("script") == [{"nonce": nonce}] and len(nonce) == 24
    assert policy == ("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'nonce-%s'; "
                      "script-src 'nonce-%s'; connect-src 'self'" % (nonce, nonce)), policy
    assert Page(fetch(p)[1]).all("style")[0]["nonce"] != nonce, "a nonce is used once"
    assert "'none'" in fetch(p, "/metrics")[0] and "nonce" not in fetch(p, "/metrics")[0]
    for tag, values in page.elements:
        for name in ("src", "href", "data", "action"):
            assert values.get(name, "/").startswith("/") and not values.get(name, "/").startswith("//"), (tag, values)
    assert not re.search(r"url\(|@import|https?:", re.search(r"<style.*?</style>.*|$", body, re.S)[0].split("</style>")[0]), "from elsewhere"
    assert not page.all("link") and not page.all("img") and not page.all("iframe")
    for values in page.all("svg"):
        assert values.get("aria-label") if values.get("role") == "img" else values.get("aria-hidden") == "true", values
    for table in re.findall(r"<table.*?</table>", body, re.S):
        assert '<th scope="col"' in table and '<th scope="row"' in table, table
    assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in body


def test_all_is_well_and_the_numbers_are_true(w):
    config = w.config()
    config.top["workers"] = 2
    p = w.start(config)
    for _ in range(9):
        passed(ask(w, auth=ALICE))
    for _ in range(4):
        passed(ask(w, auth=BOB, target="http://origin.corp.test/"))
    challenged(ask(w))
    with tunnel(w, auth=login("carol")):
        page = status_page(p)
        assert page.headline == "All is well" and "<title>All is well" in page.text, page.headline
        found = families(p.metrics())
        assert int(page.gauge("Requests since the start")) == value(found, "sallyport_requests_total") == 15
        assert (page.gauge("Connections"), page.gauge("Tunnels"), page.gauge("Handshakes in flight")) == ("1", "1", "0")
        hits, misses = (value(found, "sallyport_cache_total", result=r) for r in ("hit", "miss"))
        assert page.gauge("From the cache, last hour") == "%.0f %%" % (100 * hits / (hits + misses)), (hits, misses)
    people = [[cell.strip() for cell in row] for row in page.section("people").tables[0][1:]]
    assert people == [["alice", "9"], ["bob", "4"], ["carol", "1"]], people
    hosts = dict((row[0].strip(), int(row[1])) for row in page.section("hosts").tables[0][1:])
    assert hosts == {"odd.corp.test": 10, "origin.corp.test": 4}, hosts
    assert "Nobody." in page.section("blocked").said and "None is remembered." in page.section("refusals").said
    wait_until("the servers were looked at", lambda: status_page(p).section("servers").said.count("answers since") == 2, 5 * w.patience)
    facts = page.section("process").said
    assert config.folder in facts and "none since the start" in facts and re.search(r"Workers2, \d+ jobs wait", facts), facts


def micros(text):
    number, unit = text.split()
    return float(number) * {"ms": 1e3, "s": 1e6}[unit]


def test_percentiles_agree_with_the_histogram(w):
    p = w.start()
    for _ in range(30):
        passed(ask(w, auth=ALICE))
    for _ in range(10):
        passed(ask(w, auth=ALICE, target="http://odd.corp.test/slow?0.3"))
    rows = {row[0].strip(): [c.strip() for c in row[1:]] for row in status_page(p).section("times").tables[0] if len(row) == 4}
    p50, p95, p99 = map(micros, rows["Whole request"])
    found = families(p.metrics())["sallyport_request_seconds"][1]
    buckets = [(float(labels["le"].replace("+Inf", "inf")) * 1e6, v) for name, labels, v in found if name.endswith("_bucket")]
    for share, said in ((0.5, p50), (0.95, p95), (0.99, p99)):
        at = next(i for i, (_, count) in enumerate(buckets) if count >= share * buckets[-1][1])
        low, high = buckets[at - 1][0] if at else 0, buckets[at][0]
        assert low * 0.99 <= said <= high * 1.01, (share, said, low, high)
    assert p50 < p95 <= p99, (p50, p95, p99)
    assert all(cell != "–" for cell in rows["Of it, who asks"] + rows["Backend's verdict"]), rows


def test_what_is_wrong_stands_first(w):
    config = w.config()
    config.cache = {"ttl": 0, "negative_ttl": 0, "refresh": 0}
    config.backends["corp-ldap"] = w.ldap_backend(timeout="1s", connect_timeout="1s")
    w.dc1.stop()
    p = w.start(config)
    passed(ask(w, auth=ALICE))
    wait_until("one server is missed", lambda: "ldaps://dc1.corp.test:636 does not answer since" in status_page(p).headline, 30 * w.patience)
    page = status_page(p)
    assert 'class="verdict warn"' in page.text and "Another server of its backend does the work" in page.said, page.said
    w.dc2.stop()
    for _ in range(3):
        own(ask(w, auth=ALICE), 503, "directory_unavailable")
    wait_until("all are missed", lambda: status_page(p).headline.startswith("corp-ldap cannot answer since "), 30 * w.patience)
    page = status_page(p)
    assert re.fullmatch(r"corp-ldap cannot answer since (\d\d? [A-Z][a-z]{2} )?\d\d:\d\d, nor corp-krb5 without groups from corp-ldap; 3 requests were turned away",
                        page.headline), page.headline
    assert 'class="verdict bad"' in page.text and "Connection refused" in page.said and "sallyport doctor" in page.said, page.said
    assert page.section("servers").said.count("does not answer") == 2 and "Readyno" in page.section("process").said
    w.dc1.start()
    wait_until("it is over", lambda: "cannot answer" not in status_page(p).headline, 30 * w.patience)
    assert "3 requests were answered 503 in the last five minutes" in status_page(p).said, status_page(p).said


def test_a_refused_reload_is_told(w):
    p = w.start()
    with open(p.path, "a") as f:
        f.write("nonsense = 1\n")
    p.proc.send(signal.SIGHUP)
    p.log_says("event=reload_refused")
    page = status_page(p)
    assert page.headline.startswith("The last reload, at ") and "sallyport.conf:22: unknown key" in page.said and "sallyport check" in page.said, page.headline
    assert "refused" in page.section("process").said


def test_blocked_people_devices_and_refusals_are_named(w):
    p = w.start()
    for n in range(3):
        challenged(ask(w, auth=basic("bob", "wrong-%d" % n), fields=[("User-Agent", "Outlook-iOS/4")]))
    own(ask(w, auth=basic("bob", "wrong-9")), 429, "blocked")
    page = status_page(p)
    row = [re.sub(r"\s+", " ", cell).strip() for cell in page.section("blocked").tables[0][1]]
    assert row[0].startswith("bob") and "corp-ldap" in row[0] and "Outlook-iOS/4" in row[1] and re.fullmatch(r"(\d\d? [A-Z][a-z]{2} )?\d\d:\d\d", row[2]), row    # the end may be tomorrow
    assert "1 blocked for wrong passwords" in page.headline, page.headline
    rows = [[re.sub(r"\s+", " ", cell).strip() for cell in row] for row in page.section("refusals").tables[0][1:]]
    assert rows[0][3].startswith("429 blocked") and any(row[3].startswith("407 bad_credentials") for row in rows), rows
    word, why, id = rows[0][4].split()
    assert (word, why) == ("sallyport", "why")
    code, out, err = w.command("why", "-c", p.path, id)
    assert code == 0 and "bob" in out and "429" in out, (code, out, err)
    assert w.command("ctl", "-c", p.path, "flush", "bob")[0] == 0
    assert "Nobody." in status_page(p).section("blocked").said


EVIL = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"


def test_hostile_text_is_only_text(w):
    p = w.start()
    for n in range(4):
        ask(w, auth=basic(EVIL + "‮\u200b\u061c\u00ad", "x%d" % n), fields=[("User-Agent", EVIL)])
        ask(w, auth=basic("carol", "y%d" % n), fields=[("User-Agent", EVIL)])
    ask(w, auth=ALICE, target="http://%3Cscript%3Ealert(1)%3C/script%3E.test/")
    ask(w, auth=ALICE, target="http://nowhere.test/<script>alert(3)</script>")
    with w.wire() as c:
        c.send(b"GET http://nowhere.test/?<svg/onload=alert(4)> HTTP/1.1\r\nHost: nowhere.test\r\nProxy-Authorization: " + ALICE.encode() + b"\r\n\r\n")
        c.answer()
    page = status_page(p)                     # as strict as above: whatever came out of its place would be seen there
    assert len(page.all("script")) == 1 and not page.all("img"), page.all("script")
    assert "&lt;script&gt;" in page.text and EVIL[:25] in page.said, page.section("refusals").said
    assert not set("‮\u200b\u061c\u00ad") & set(page.text), "letters that turn the text around, or cannot be seen"


def test_many_users_stay_within_bounds(w):
    p = w.start()
    before = p.memory_kib()
    with w.wire() as c:
        for n in range(600):                  # names nobody has, refused: no place among the busiest
            c.ask("GET", ECHO, auth=basic("nobody-%d" % n, "x"))
            if n % 5 == 4:
                c.close()
                c = w.wire()
    page = status_page(p)
    assert len(page.section("refusals").tables[0]) <= 21 and len(page.text) < 60000, len(page.text)
    assert "Nothing was let through" in page.section("people").said
    assert p.memory_kib() < before + 16 * 1024


def test_who_is_turned_away_learns_no_names_of_ours(w):
    """The page and the log say which server failed and how; whoever asks from outside learns that it is not their fault."""
    config = w.config()
    config.cache = {"ttl": 0, "negative_ttl": 0, "refresh": 0}
    config.backends["corp-ldap"] = w.ldap_backend(timeout="1s", connect_timeout="1s")
    p = w.start(config)

    def turned_away(auth):
        answer = own(ask(w, auth=auth), 503, "directory_unavailable")
        said = (answer.head + answer.body).decode("utf-8").lower()
        found = [word for word in ("dc1", "dc2", "ldap", "krb5", "10.99.", "636", "cn=") if word in said]
        assert not found, (found, said)
    w.dc2.stop()
    w.dc1.hang()
    turned_away(ALICE)
    w.dc1.wake()
    w.dc1.stop()
    turned_away(ALICE)
    turned_away(w.initiator("alice").value())
    p.log_says("ldaps://dc1.corp.test:636")
    w.end()
    w.begin()
    config.file("ldap.secret", "wrong\n")
    p = w.start(config)
    turned_away(ALICE)


def says(w, p, *words, headline=True):
    """Waits until the verdict (or only what stands below its headline) has these words."""
    def found():
        page = status_page(p)
        where = page.headline if headline else page.section_of_verdict()
        return all(word in where for word in words)
    try:
        wait_until("the verdict says %r" % (words,), found, 10 * w.patience)
    except RigError:
        raise AssertionError("%r is not in: %s" % (words, status_page(p).section_of_verdict()))


def current(p, key):
    """{file: value} of sallyport_file_current for one key."""
    return {labels["file"]: v for _, labels, v in families(p.metrics())["sallyport_file_current"][1] if labels["key"] == key}


def test_a_certificate_that_has_expired_is_the_headline_and_one_that_ends_soon_a_warning(w):
    config = w.config()
    keys = {"offer": ["negotiate", "basic"]}
    keys["tls_certificate"], keys["tls_key"] = w.authority.issue("ended", ["proxy.corp.test"], days=-1)
    config.listens.append(("10.99.0.1:3143", keys))
    p = w.start(config)
    page = status_page(p)
    assert page.headline == "The certificate of listen 10.99.0.1:3143 has expired", page.headline
    assert '<section class="verdict bad"' in page.text and keys["tls_certificate"] in page.said and "sallyport ctl reload" in page.said, page.said
    p.log_says("event=certificate_expired listener=10.99.0.1:3143")
    ends = families(p.metrics())["sallyport_certificate_end_timestamp_seconds"][1]
    assert len(ends) == 1 and ends[0][1] == {"listener": "10.99.0.1:3143", "file": keys["tls_certificate"]}, ends
    assert abs(ends[0][2] - time.time() + 86400) < 600, ends
    keys["tls_certificate"], keys["tls_key"] = w.authority.issue("brief", ["proxy.corp.test"], days=5)
    config.write()
    assert w.command("ctl", "reload", "-c", p.path)[0] == 0
    page = status_page(p)
    assert re.fullmatch(r"The certificate of listen 10\.99\.0\.1:3143 ends in [45] days", page.headline), page.headline
    assert '<section class="verdict warn"' in page.text
    keys["tls_certificate"], keys["tls_key"] = w.authority.issue("long", ["proxy.corp.test"], days=30)
    config.write()
    assert w.command("ctl", "reload", "-c", p.path)[0] == 0
    assert status_page(p).headline == "All is well"


def test_files_that_are_not_what_serves_are_told_and_counted(w):
    """A keytab and a user file that are refused, a secret and a certificate that wait for a reload; each ends when it is mended."""
    config = w.config()
    for name in ("tls.pem", "tls.key"):
        with open(w.certificate if name == "tls.pem" else w.key) as f:
            config.file(name, f.read())
    keytab = os.path.join(config.folder, "watched.keytab")
    shutil.copy(w.realm.keytab, keytab)
    config.backends["corp-krb5"] = w.krb5_backend(keytab=keytab)
    config.listens.append(("10.99.0.1:3143", {"tls_certificate": "tls.pem", "tls_key": "tls.key"}))
    config.backends["local"] = {"plugin": "file", "path": "../users.htpasswd"}
    config.auth["basic"].append("local")
    config.file("users.htpasswd", hashed("robot", "Robot-Pass-97"))
    p = w.start(config)
    wait_until("the servers were looked at", lambda: status_page(p).headline == "All is well", 10 * w.patience)
    path = {key: list(current(p, key)) for key in ("keytab", "path", "bind_password_file", "tls_certificate", "tls_key")}
    assert path["keytab"] == [keytab] and all(len(files) == 1 for files in path.values()), path

    def spoil(key, words, name, content):
        wait_until("%s is current" % key, lambda: set(current(p, key).values()) == {1}, 10 * w.patience)
        with open(name, "rb") as f:
            good = f.read()
        with open(name, "wb") as f:
            f.write(content)
        says(w, p, *words)
        assert set(current(p, key).values()) == {0}
        return good

    def mend(name, good):
        with open(name, "wb") as f:
            f.write(good)

    mend(keytab, spoil("keytab", ("new file of keytab in backend corp-krb5 was refused",), keytab, b"no keytab"))
    says(w, p, "All is well")
    name = path["path"][0]
    mend(name, spoil("path", ("new file of path in backend local was refused",), name, b"robot:garbage\n"))
    says(w, p, "All is well")
    os.rename(name, name + ".away")
    says(w, p, "The file of path is not there any more")
    os.rename(name + ".away", name)
    says(w, p, "All is well")
    for key in ("bind_password_file", "tls_certificate"):
        good = spoil(key, ("The file of %s has changed and is not taken up" % key,), path[key][0], b"another\n")
        passed(ask(w, auth=ALICE))         # what was read serves on
        mend(path[key][0], good)
        assert w.command("ctl", "reload", "-c", p.path)[0] == 0
        says(w, p, "All is well")


def test_a_folder_that_is_closed_to_the_proxys_user_is_no_missing_file(w):
    """Debian's /etc/ssl/private: read at the start by root, and not even to be looked at later."""
    config = for_nobody(w)
    config.top["user"] = "nobody"
    folder = os.path.join(config.folder, "private")
    os.makedirs(folder)
    keys = {name: shutil.copy(path, folder) for name, path in (("tls_certificate", w.certificate), ("tls_key", w.key))}
    os.chmod(folder, 0o700)
    config.listens.append(("10.99.0.1:3143", dict(keys, offer=["basic"])))
    p = w.start(config)
    says(w, p, "The file of tls_key is closed to the proxy's user")
    page = status_page(p)
    assert "not there any more" not in page.said and "Permission denied" in page.said and "reload" in page.said, page.said
    time.sleep(1.5 * w.patience)           # looked at again
    assert current(p, "tls_key") == {}, "what cannot be seen is neither current nor not"


def test_a_log_that_cannot_be_written_is_told(w):
    config = w.config()
    with small_disk(w) as disk:
        config.log["access"] = os.path.join(disk, "access.log")
        p = w.start(config)
        filling = fill(disk)

        def told():
            passed(ask(w, auth=ALICE))
            return status_page(p).headline == "The access log could not be written"
        wait_until("the page says it", told, 10 * w.patience)
        assert "No space left on device" in status_page(p).said
        assert value(families(p.metrics()), "sallyport_log_writable", log="access") == 0
        assert value(families(p.metrics()), "sallyport_log_writable", log="error") == 1
        os.unlink(filling)
        passed(ask(w, auth=ALICE))
        wait_until("it is written again", lambda: value(families(p.metrics()), "sallyport_log_writable", log="access") == 1, 10 * w.patience)
        assert p.stop() == 0
