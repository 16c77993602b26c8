"""Basic credentials: good, bad, odd, and never to be tried."""

import re

from common import ALICE, ECHO, ask, basic, challenged, expect, login, own, passed, stays_open
from sp_rig.directory import PEOPLE, TWIN_PASSWORD, person_dn
from sp_rig.procs import wait_until
from sp_rig.wire import request


def in_memory(pid, secret):
    """Where the process holds these bytes, as the kernel names the places."""
    found = []
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as memory:
        for line in maps:
            words = line.split()
            if "w" not in words[1] or words[-1] == "[vvar]":
                continue
            begin, end = (int(part, 16) for part in words[0].split("-"))
            if end - begin > 256 << 20:  # a sanitizer's own
                continue
            try:
                memory.seek(begin)
                held = memory.read(end - begin)
            except (OSError, ValueError, OverflowError):
                continue
            if secret in held:
                found.append(line.strip())
    return found


def test_a_credential_is_wiped_where_it_was_read(w):
    p = w.start()
    secret = ALICE.split(" ")[1].encode()
    with w.wire() as c:
        for _ in range(3):
            passed(c.ask("GET", ECHO, auth=ALICE))
        expect(c.ask("GET", ECHO, auth=login("alice", "not hers")), 407)
        assert not in_memory(p.proc.pid, secret), in_memory(p.proc.pid, secret)
    with w.wire() as c:
        expect(c.ask("CONNECT", "odd.corp.test:443", auth=ALICE), 200)
        assert not in_memory(p.proc.pid, secret), in_memory(p.proc.pid, secret)
    with w.wire() as c:
        c.send(3 * request("GET", ECHO, auth=ALICE))
        for _ in range(3):
            passed(c.answer())
        assert not in_memory(p.proc.pid, secret), in_memory(p.proc.pid, secret)


def test_a_credential_is_wiped_where_tls_was_taken_off_it(w):
    config = w.config()
    config.listens = [("%s:%d" % (w.proxy_address, w.proxy_port), {"tls_certificate": w.certificate, "tls_key": w.key})]
    p = w.start(config)
    secret = ALICE.split(" ")[1].encode()
    with w.wire(tls=True) as c:
        passed(c.ask("GET", ECHO, auth=ALICE))
        assert not in_memory(p.proc.pid, secret), in_memory(p.proc.pid, secret)


def test_a_credential_is_wiped_where_it_served_nothing(w):
    p = w.start()
    secret = ALICE.split(" ")[1].encode()
    whole = request("GET", ECHO, auth=ALICE)
    for refused in (request("GET", ECHO, fields=[("Bad name", "x")], auth=ALICE), whole.replace(b"\r\n\r\n", b"\r\n") + 2 * whole,
                    request("GET", ECHO, fields=[("X", "x" * 200000)], auth=ALICE),
                    request("GET", ECHO, fields=[("Connection", "close")]) + whole):
        with w.wire() as c:
            c.send(refused)
            c.answer()
    with w.wire() as c:
        c.send(whole[:-2])                 # and leaves in the middle of a head
    wait_until("all are gone", lambda: "sallyport_connections 0" in p.metrics(), 10 * w.patience)
    assert not in_memory(p.proc.pid, secret), in_memory(p.proc.pid, secret)


def test_no_credentials_get_407_with_negotiate_first_and_the_connection_stays(w):
    p = w.start()
    with w.wire() as c:
        answer = challenged(c.ask("GET", ECHO), "Negotiate", "Basic")
        assert answer.challenges[0] == "Negotiate", answer.challenges
        assert answer.challenges[1] == 'Basic realm="Corporate Proxy", charset="UTF-8"', answer.challenges
        own(answer, 407, "no_credentials")
        stays_open(c)
        passed(c.ask("GET", ECHO, auth=ALICE))
    p.last(status=407, reason="no_credentials", scheme="none", user="", auth="none")


def test_a_good_password_passes_and_is_asked_of_the_directory(w):
    p = w.start()
    passed(ask(w, auth=ALICE))
    assert w.ldap.binds("alice") == 1
    p.last(status=200, user="alice", scheme="basic", backend="corp-ldap", auth="directory", reason="ok", method="GET", target=ECHO)


def test_a_wrong_password_is_407_with_all_challenges(w):
    p = w.start()
    with w.wire() as c:
        own(challenged(c.ask("GET", ECHO, auth=basic("alice", "wrong"))), 407, "bad_credentials")
        stays_open(c)
    assert w.ldap.binds("alice") == 1
    p.last(status=407, reason="bad_credentials", scheme="basic", user="alice", backend="corp-ldap")


def test_an_unknown_user_is_407_without_a_bind(w):
    w.start()
    own(challenged(ask(w, auth=basic("nobody", "whatever"))), 407, "bad_credentials")
    assert w.ldap.binds("nobody") == 0


def test_what_was_wrong_is_told_to_the_log_and_not_to_strangers(w):
    """Neither the head nor the page tells a wrong password from a name that nobody has, so names cannot be found out by them."""
    p = w.start()
    for accept in ("text/html", "text/plain"):
        seen = set()
        for user in ("bob", "nobody-here", "twin", "ELSEWHERE\\bob"):
            answer = challenged(ask(w, auth=login(user, "Some-Pass-00"), fields=[("Accept", accept)]))
            its_id = re.search(rb'id="([^"]+)"', answer.head)[1]
            seen.add((answer.head + answer.body).replace(its_id, b"").replace(answer.get("Date").encode(), b""))
        assert len(seen) == 1, seen
    p.log_says('user="bob" reason="wrong password"')
    p.log_says('user="nobody-here" reason="no such user"')


def test_an_empty_password_is_never_bound(w):
    w.start()
    challenged(ask(w, auth=basic("alice", "")))
    assert w.ldap.binds("alice") == 0, "RFC 4513 5.1.2: such a bind succeeds and proves nothing"


def test_an_empty_password_is_never_bound_by_template_either(w):
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(user_dn="uid=%u,ou=people,dc=corp,dc=test")
    w.start(config)
    challenged(ask(w, auth=basic("alice", "")))
    assert w.ldap.binds("alice") == 0


def test_an_empty_user_is_refused_without_asking(w):
    w.start()
    challenged(ask(w, auth=basic("", PEOPLE["alice"])))
    assert not w.ldap.searches(), w.ldap.searches()


def test_a_password_that_begins_with_nul_is_never_bound(w):
    w.start()
    for password in ("\0", "\0" + PEOPLE["alice"], PEOPLE["alice"] + "\0", PEOPLE["alice"] + "\0x"):
        challenged(ask(w, auth=basic("alice", password)))
    assert w.ldap.binds("alice") == 0


def test_control_characters_in_names_and_passwords_are_refused(w):
    w.start()
    for user, password in (("alice\n", "x"), ("al\x01ice", "x"), ("alice", "x\r"), ("alice\x7f", "x"), ("alice\0", PEOPLE["alice"])):
        challenged(ask(w, auth=basic(user, password)))
    assert not w.ldap.searches() and w.ldap.binds("alice") == 0


def test_what_is_not_basic_at_all_is_refused_without_asking(w):
    w.start()
    for value in ("Basic", "Basic ", "Basic !!!", "Basic YWxpY2U=", "Basic YWxpY2U6eA", "Basic YWxp Y2U6eA==", "Digest username=alice", "Bearer abc",
                  "basic", "Negotiate", "x"):
        answer = ask(w, auth=value)
        assert answer.status in (400, 407), (value, answer)
        assert w.ldap.binds("alice") <= 1, value


def test_the_scheme_is_compared_without_case(w):
    w.start()
    passed(ask(w, auth=ALICE.replace("Basic", "bAsIc")))


def test_names_are_compared_without_case_and_logged_in_lower_case(w):
    p = w.start()
    passed(ask(w, auth=basic("AliCe", PEOPLE["alice"])))
    p.last(status=200, user="alice")
    passed(ask(w, auth=ALICE))
    assert w.ldap.binds("alice") == 1, "one person, one cache entry"


def test_passwords_are_compared_with_case(w):
    w.start()
    challenged(ask(w, auth=basic("alice", PEOPLE["alice"].lower())))


def test_every_odd_name_logs_in_as_itself(w):
    p = w.start()
    odd = ["o'brien", "smith, john", "a+b", 'quote"d', "(paren)", "star*", "back\\slash", "#hash", "semi;colon", "<angle>", "eq=ual", "jürgen"]
    config_domains = w.ldap_backend(domains=None)
    p.stop()
    config = w.config()
    config.backends["corp-ldap"] = config_domains   # with domains, back\slash would be a domain and a name
    p = w.start(config)
    for name in odd:
        passed(ask(w, auth=login(name)))
        assert w.ldap.binds(name) == 1, name
        assert p.last(status=200, user=name)["backend"] == "corp-ldap"


def test_every_odd_name_logs_in_by_template(w):
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(domains=None, user_dn="uid=%u,ou=people,dc=corp,dc=test", group_base=None)
    w.start(config)
    for name in ("alice", "o'brien", "smith, john", "a+b", 'quote"d', "(paren)", "star*", "back\\slash", "#hash", "semi;colon", "<angle>", "eq=ual",
                 "jürgen"):
        passed(ask(w, auth=login(name)))
        assert w.ldap.binds(name) == 1, name
    assert not [s for s in w.ldap.searches() if "ou=people" in s], "a template needs no search"


def test_a_name_cannot_widen_the_filter_or_the_dn(w):
    config = w.config()
    config.guard = {"user_failures": 0, "client_failures": 0}
    p = w.start(config)
    for name in ("*", "al*", "alice)(uid=*", "alice)(|(uid=*", "alice\\2a", "*)(objectClass=*"):
        challenged(ask(w, auth=basic(name, PEOPLE["alice"])))
    assert w.ldap.binds("alice") == 0
    p.stop()
    config = w.config()
    config.guard = {"user_failures": 0, "client_failures": 0}
    config.backends["corp-ldap"] = w.ldap_backend(user_dn="uid=%u,ou=people,dc=corp,dc=test", domains=None)
    w.start(config)
    for name in ("alice,ou=people,dc=corp,dc=test", "alice+cn=alice", "alice,ou=people"):
        challenged(ask(w, auth=basic(name, PEOPLE["alice"])))
    assert w.ldap.binds("alice") == 0


def test_two_entries_with_one_name_are_an_unknown_user(w):
    w.start()
    own(challenged(ask(w, auth=basic("twin", TWIN_PASSWORD))), 407, "bad_credentials")
    assert w.ldap.binds_of("cn=twin 1,ou=people,dc=corp,dc=test") == 0


def test_a_utf8_name_and_password_pass(w):
    p = w.start()
    passed(ask(w, auth=login("jürgen")))
    p.last(status=200, user="jürgen")


def test_colons_and_spaces_belong_to_the_password(w):
    w.start()
    passed(ask(w, auth=login("colonist")))
    passed(ask(w, auth=login("spacious")))


def test_a_long_name_and_a_long_password_are_refused_cleanly(w):
    w.start()
    for user, password in (("a" * 300, "x"), ("alice", "x" * 5000), ("a" * 20000, "x" * 20000)):
        challenged(ask(w, auth=basic(user, password)))
    passed(ask(w, auth=ALICE))


def test_a_listed_domain_is_taken_off_the_name(w):
    p = w.start()
    for typed in ("CORP\\alice", "alice@corp.test", "corp\\ALICE", "alice@CORP.TEST"):
        passed(ask(w, auth=basic(typed, PEOPLE["alice"])))
    assert w.ldap.binds("alice") == 1, "all of these are alice"
    p.line(4)
    assert {line["user"] for line in p.lines() if line["status"] == 200} == {"alice"}


def test_an_unlisted_domain_is_unknown(w):
    p = w.start()
    for typed in ("OTHER\\alice", "alice@other.test"):
        challenged(ask(w, auth=basic(typed, PEOPLE["alice"])))
        p.last(status=407, user=typed, auth="none")         # nobody was asked, and nothing was kept
        code, out, err = w.command("why", "-c", p.path, typed)
        assert code == 0 and "unknown user: no backend takes such a name; see its domains" in out, (out, err)
    assert w.ldap.binds("alice") == 0


def test_unusable_accounts_are_403_with_the_reason_and_no_prompt(w):
    p = w.start()
    for name, words in (("locked", "lock"), ("expired", "expired"), ("mustchange", "chang")):
        answer = own(ask(w, auth=login(name)), 403, "account")
        assert words in (answer.body.decode() + answer.get("Proxy-Status")).lower(), answer.body
        p.last(status=403, reason="account", user=name)


def test_an_unusable_account_is_kept_for_negative_ttl(w):
    w.start()
    for _ in range(3):
        own(ask(w, auth=login("expired")), 403, "account")
    assert w.ldap.binds("expired") == 1


def test_two_credentials_are_malformed(w):
    w.start()
    own(ask(w, auth=ALICE, fields=[("Proxy-Authorization", ALICE)]), 400, "malformed")
    assert w.ldap.binds("alice") == 0


def test_a_chain_of_ldap_and_file_asks_in_order(w):
    config = w.config()
    config.auth["basic"] = ["corp-ldap", "local"]
    config.backends["local"] = {"plugin": "file", "path": "../users.htpasswd"}
    config.file("users.htpasswd", "# accounts of the proxy's own\n" + hashed("robot", "Robot-Pass-97") + hashed("alice", "Other-Pass-98"))
    p = w.start(config)
    passed(ask(w, auth=basic("robot", "Robot-Pass-97")))
    p.last(status=200, user="robot", backend="local")
    passed(ask(w, auth=ALICE))
    p.last(status=200, user="alice", backend="corp-ldap")
    challenged(ask(w, auth=basic("alice", "Other-Pass-98")))   # a wrong password ends the search
    challenged(ask(w, auth=basic("robot", "wrong")))
    said = p.everything()
    assert "Robot-Pass-97" not in said and "Other-Pass-98" not in said


def test_a_chain_whose_directory_is_down_is_503_for_the_others_unknown(w):
    config = w.config()
    config.auth["basic"] = ["corp-ldap", "local"]
    config.backends["local"] = {"plugin": "file", "path": "../users.htpasswd"}
    config.file("users.htpasswd", hashed("robot", "Robot-Pass-97"))
    w.start(config)
    w.dc1.stop()
    w.dc2.stop()
    passed(ask(w, auth=basic("robot", "Robot-Pass-97")))
    own(ask(w, auth=ALICE), 503, "directory_unavailable")


def test_a_changed_file_of_users_is_taken_up_without_a_reload(w):
    import os
    import time
    config = w.config()
    config.auth["basic"] = ["local"]
    config.backends["local"] = {"plugin": "file", "path": "../users.htpasswd"}
    config.file("users.htpasswd", hashed("robot", "Robot-Pass-97"))
    config.cache = {"negative_ttl": "1s"}
    w.start(config)
    passed(ask(w, auth=basic("robot", "Robot-Pass-97")))
    challenged(ask(w, auth=basic("later", "Later-Pass-99")))
    path = os.path.join(config.folder, "users.htpasswd")
    with open(path + ".new", "w") as f:
        f.write(hashed("robot", "Robot-Pass-97") + hashed("later", "Later-Pass-99"))
    os.rename(path + ".new", path)
    end = time.monotonic() + 10 * w.patience
    while ask(w, auth=basic("later", "Later-Pass-99")).status != 200:
        assert time.monotonic() < end, "the new file was not taken up"
        time.sleep(0.5)


def hashed(user, password):
    """A line of an htpasswd file with a SHA-512 crypt(3) hash."""
    from sp_rig.procs import run
    return "%s:%s\n" % (user, run(["openssl", "passwd", "-6", "-stdin"], stdin=password.encode() + b"\n").strip())
