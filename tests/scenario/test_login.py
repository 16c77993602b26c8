"""`sallyport login`: each verdict, each kind of backend, each way in which a directory cannot be had, told in steps."""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import time

from sp_rig.directory import PEOPLE
from sp_rig.pki import Authority
from sp_rig.proxy import command
from test_hostile import Rogue

LOCAL_PASSWORD = "Local-Pass-88"


def configured(w, **ldap):
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(**ldap)
    return config


def with_local(config):
    """A file backend in front of the directory."""
    hashed = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=LOCAL_PASSWORD.encode(), stdout=subprocess.PIPE, check=True)
    config.file("users.htpasswd", "keeper:%s" % hashed.stdout.decode())
    config.backends["local"] = {"plugin": "file", "path": "../users.htpasswd"}
    config.auth["basic"] = ["local", "corp-ldap"]
    return config


def login(w, user, password=None, config=None, words=()):
    """(exit status, standard output); neither output may hold any password."""
    password = PEOPLE[user] if password is None else password
    path = (config or w.config()).write()
    status, out, err = w.command("login", "-c", path, *words, user, stdin=(password + "\nnot this line\n").encode())
    for secret in w.secrets() + [LOCAL_PASSWORD, password]:
        assert secret not in out + err, "a password was printed:\n" + out + err
    assert status != 2 and "Sanitizer" not in err, err
    return status, out


def objects(w, user, password=None, config=None, words=()):
    status, out = login(w, user, password, config, ("--json",) + tuple(words))
    return status, [json.loads(line) for line in out.splitlines()]


def verdict_of(found):
    return [o for o in found if "verdict" in o][0]


def step(found, what, at=0):
    steps = [s for s in found[at].get("steps", ()) if s["what"] == what]
    assert steps, "no step %r in %s" % (what, found[at])
    return steps[-1]


def says(text, *words):
    for word in words:
        assert word in text, "%r is not in:\n%s" % (word, text)


def test_accepted_with_every_step(w):
    status, found = objects(w, "alice")
    assert status == 0, found
    assert [s["what"] for s in found[0]["steps"]][:4] == ["resolve", "connect", "tls", "service_bind"], found[0]["steps"]
    says(step(found, "resolve")["outcome"], "10.99.0.")
    says(step(found, "tls")["outcome"], "TLSv1.", "certificate of dc1.corp.test", "valid until 20")
    says(step(found, "search")["detail"], "(&(objectClass=inetOrgPerson)(uid=alice))")
    says(step(found, "search")["outcome"], "1 match: uid=alice,ou=people,dc=corp,dc=test")
    says(step(found, "bind")["outcome"], "success")
    says(step(found, "groups")["outcome"], "2 groups")
    for one in found[0]["steps"]:
        assert one["server"] == "ldaps://dc1.corp.test:636" and one["ms"] >= 0, one
    end = verdict_of(found)
    assert end["verdict"] == "accepted" and end["by"] == "corp-ldap" and end["user"] == "alice", end
    assert {"staff", "admins"} <= set(end["groups"]), end
    assert w.ldap.binds("alice") == 1


def test_for_people_without_colours(w):
    status, out = login(w, "alice")
    assert status == 0
    says(out, "corp-ldap\n", " ms  service_bind", "verdict      accepted", "staff")
    assert "\x1b" not in out


def test_each_refusal_says_which(w):
    for user, password, word, reason in (
            ("alice", "Wrong-Pass-00", "refused", "wrong password"), ("nobody-at-all", "Any-Pass-01", "unknown user", "unknown"),
            ("twin", "Twin-Pass-00", "unknown user", "unknown"), ("locked", None, "account unusable", "locked"),
            ("expired", None, "account unusable", "expired"), ("mustchange", None, "account unusable", "changed")):
        status, found = objects(w, user, password)
        end = verdict_of(found)
        assert status == 1 and end["verdict"] == word, (user, found)
        assert reason in end["reason"], (user, end)


def test_no_backend_hears_of_an_odd_credential(w):
    for user, password, why in (("alice", "", "empty password"), ("al:ice", "x", "no colon"), ("alice", "a\x01b", "control characters")):
        path = w.config().write()
        status, out, err = w.command("login", "-c", path, user, stdin=(password + "\n").encode())
        assert status == 1 and out == "", out
        says(err, why)
    assert w.ldap.binds("alice") == 0 and not w.ldap.searches()


def test_the_chain_is_the_proxys(w):
    """Who does not know the user passes on; a wrong password ends the search."""
    status, found = objects(w, "alice", config=with_local(w.config()))
    assert status == 0 and [o.get("backend") for o in found] == ["local", "corp-ldap", None], found
    assert found[0]["answer"] == "unknown user" and found[1]["answer"] == "accepted"
    status, found = objects(w, "keeper", "Wrong-Pass-02", with_local(w.config()))
    assert status == 1 and len(found) == 2 and verdict_of(found)["verdict"] == "refused", found
    status, found = objects(w, "keeper", LOCAL_PASSWORD, with_local(w.config()))
    assert status == 0 and verdict_of(found)["by"] == "local", found
    status, found = objects(w, "keeper", LOCAL_PASSWORD, with_local(w.config()), ("--backend", "corp-ldap"))
    assert status == 1 and [o.get("backend") for o in found] == ["corp-ldap", None], found


def test_one_that_cannot_answer_is_skipped_and_said(w):
    config = with_local(w.config())
    config.backends["corp-ldap"]["uris"] = ["ldap://127.0.0.1:9"]
    config.auth["basic"] = ["corp-ldap", "local"]
    status, found = objects(w, "keeper", LOCAL_PASSWORD, config)
    assert status == 0 and found[0]["answer"] == "no answer", found
    assert verdict_of(found)["by"] == "local", found
    says(step(found, "connect")["outcome"], "refused")
    status, found = objects(w, "alice", config=config)
    end = verdict_of(found)
    assert status == 1 and end["verdict"] == "no answer" and "could not answer" in end["reason"], end


def test_a_name_of_another_domain_is_not_asked(w):
    status, found = objects(w, "OTHER\\alice", PEOPLE["alice"])
    assert status == 1 and verdict_of(found)["verdict"] == "unknown user" and "steps" not in found[0], found
    assert not w.ldap.searches()
    status, found = objects(w, "CORP\\Alice", PEOPLE["alice"])
    assert status == 0 and found[0]["asked about"] == "alice", found


def test_both_kinds_of_tls(w):
    for keys in ({"uris": [w.ldap_url(w.dc2)]}, {"uris": [w.ldap_url(w.dc2, "ldap")], "start_tls": True}):
        status, found = objects(w, "alice", config=configured(w, **keys))
        assert status == 0, found
        says(step(found, "tls")["outcome"], "TLSv1.", "valid until")


def test_tls_that_cannot_be_trusted_is_no_answer(w):
    other = Authority(os.path.join(w.folder, "other-pki"))
    status, found = objects(w, "alice", config=configured(w, tls_ca=other.ca, uris=[w.ldap_url(w.dc1)]))
    assert status == 1 and verdict_of(found)["verdict"] == "no answer", found
    says(step(found, "tls")["outcome"], "does not verify")
    status, found = objects(w, "alice", config=configured(w, uris=["ldaps://127.0.0.2:636"]))
    assert status == 1 and verdict_of(found)["verdict"] == "no answer", found
    assert w.ldap.binds("alice") == 0


def test_the_directory_is_down_or_hangs(w):
    w.dc1.stop()
    status, found = objects(w, "alice")
    assert status == 0, found
    servers = {s["server"] for s in found[0]["steps"]}
    assert len(servers) == 2, "both were tried: %s" % found[0]["steps"]
    w.dc2.hang()
    try:
        status, found = objects(w, "alice", config=configured(w, connect_timeout="500ms", timeout="500ms"))
    finally:
        w.dc2.wake()
    assert status == 1 and verdict_of(found)["verdict"] == "no answer", found


def test_a_wrong_service_password(w):
    config = w.config().file("ldap.secret", "Wrong-Service-03\n")
    status, found = objects(w, "alice", config=config)
    assert status == 1 and verdict_of(found)["verdict"] == "no answer", found
    says(step(found, "service_bind")["outcome"], "Invalid credentials", "bind_dn")


def test_what_the_rules_would_say(w):
    config = w.config().rule("staff", groups=["staff"], to=[".corp.test", "10.99.0.0/16"], ports=["1-65535"])
    status, found = objects(w, "alice", config=config, words=("--to", "odd.corp.test:443"))
    assert status == 0 and len(found) == 3, found
    assert found[2]["decision"] == "allowed" and found[2]["rule"] == "staff" and found[2]["address"].startswith("10.99."), found[2]
    status, found = objects(w, "outsider", config=config, words=("--to", "odd.corp.test:443"))
    assert status == 0 and found[2]["decision"] == "denied" and found[2]["why"] == "no rule matches", found
    status, found = objects(w, "alice", config=config, words=("--to", "127.0.0.1:443"))
    assert found[2]["decision"] == "denied" and found[2]["why"] == "no rule matches", found
    status, found = objects(w, "alice", words=("--to", "127.0.0.1:443"))
    assert found[2]["decision"] == "denied" and "protected" in found[2]["why"], found
    status, found = objects(w, "alice", config=config, words=("--to", "nowhere.corp.test:80"))
    assert found[2]["decision"] == "the name does not resolve", found
    status, found = objects(w, "outsider", config=config, words=("--to", "nowhere.corp.test:80"))
    assert found[2]["decision"] == "denied" and found[2]["why"] == "no rule matches", found
    status, found = objects(w, "alice", "Wrong-Pass-04", config, ("--to", "odd.corp.test:80"))
    assert status == 1 and found[2]["decision"] == "depends on who it is", found


def test_rules_for_clients_take_the_address_given(w):
    config = w.config().rule("office", clients=["192.0.2.0/24"])
    for source, decision in (("192.0.2.7", "allowed"), ("198.51.100.7", "denied")):
        status, found = objects(w, "alice", config=config, words=("--to", "odd.corp.test:443", "--from", source))
        assert status == 0 and found[2]["decision"] == decision, found


def test_the_running_proxys_memory_plays_no_part(w):
    config = w.config()
    config.guard["user_failures"] = 1
    w.start(config)
    for _ in range(2):
        status, found = objects(w, "bob", "Wrong-Pass-05", config)
        assert verdict_of(found)["verdict"] == "refused"
    assert w.ldap.binds("bob") == 2
    assert objects(w, "bob", config=config)[0] == 0


def test_usage(w):
    path = w.config().write()
    for words in ((), ("--backend", "nobody", "alice"), ("--backend", "corp-krb5", "alice"), ("--to", "nowhere", "alice"),
                  ("--to", "a:b:c", "alice"), ("--from", "here", "alice"), ("alice", "password"),
                  ("--negotiate", "alice"), ("--negotiate", "--listen", "nowhere"), ("--proxy", "here", "alice")):
        status, out, err = w.command("login", "-c", path, *words, stdin=b"x\n")
        assert status == 2 and out == "" and err.startswith("sallyport login: "), (words, status, out, err)


def ticket(w, config, *words, user="alice", env=None):
    """`login --negotiate` with a user's own tickets: (exit status, the one object)."""
    environment = w.environment(whole_stacks=True)   # SPNEGO asks every mechanism that there is
    environment.update({k: v for k, v in (env if env is not None else w.realm.environment(user)).items() if k.startswith(("KRB5", "NTLM"))})
    status, out, err = command(w.binary, ("login", "-c", config.path, "--negotiate", "--json", "--proxy", w.proxy_host, *words), environment)
    assert status != 2 and "Sanitizer" not in err, err
    assert not [word for word in (out + err).replace('"', " ").split() if word.startswith(("YII", "TlRM", "oY"))], out + err
    return status, json.loads(out)


def test_a_ticket_through_the_listener(w):
    p = w.start()
    status, found = ticket(w, p)
    assert status == 0 and found["verdict"] == "accepted", found
    assert [s["what"] for s in found["steps"]] == ["connect", "leg 0", "leg 1", "verified"], found
    says(found["steps"][1]["outcome"], "407", "Negotiate, Basic")
    says(found["steps"][2]["detail"], "sent a Negotiate token of ")
    says(found["steps"][2]["outcome"], "502", "with a token of ")
    says(found["steps"][3]["outcome"], "krb5, the proxy has proven itself")
    line = p.last(status=502, reason="dns", user="alice")
    assert line["mech"] == "krb5" and found["id"] == line["id"], (line, found)
    status, found = ticket(w, p, "--to", "odd.corp.test:80")
    assert status == 0 and found["said"] == "" and found["id"] == "", found
    assert p.last(user="alice", method="GET")["reason"] == "ok"


def test_dns_is_silent_about_this_machine(w):
    """Without --proxy its full name is asked for: that ends by our own deadline, long before the resolver's, and is said."""
    own = socket.gethostname().lower()
    p = w.start()
    environment = w.environment(whole_stacks=True)
    environment["RES_OPTIONS"] = "timeout:30 attempts:5"
    w.names.silent.add(own)
    try:
        status, out, err = command(w.binary, ("login", "-c", p.path, "--negotiate", "--json"), environment)
    finally:
        w.names.silent.remove(own)
    assert status == 1 and out == "" and "Sanitizer" not in err, (status, out, err)
    says(err, "sallyport login: the full name of this machine is not known", "DNS does not answer about", "within 5 s", "--proxy")
    assert any(name == own for name, _ in w.names.asked), w.names.asked
    assert not p.lines()


def test_hints_before_the_answer_are_not_the_answer(w):
    """103, as many as the proxy passes on; where nothing else comes, that is said."""
    hint, answer = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"
    config = w.config()
    p = w.start(config)
    for hints, accepted in ((1, True), (3, True), (40, False)):
        def behave(sock, head):
            for _ in range(hints):
                sock.sendall(hint)
                time.sleep(0.01)           # one by one, and some together
            sock.sendall(hint + answer if accepted else answer)
        with Rogue(behave) as origin:
            status, found = ticket(w, p, "--to", origin.url.split("/")[2])
        assert (status == 0) == accepted, found
        says(json.dumps(found), "204" if accepted else "nothing but 1xx")


def test_a_ticket_through_tls_with_channel_bindings(w):
    config = w.config()
    config.listens = [("%s:%d" % (w.proxy_address, w.proxy_port), {"tls_certificate": w.certificate, "tls_key": w.key})]
    config.backends["corp-krb5"] = w.krb5_backend(channel_bindings="require")
    p = w.start(config)
    status, found = ticket(w, p)
    assert status == 0 and found["steps"][0]["outcome"].startswith("TLSv1."), found
    p.last(status=502, reason="dns", user="alice")


def test_nothing_is_sent_to_another_certificate(w):
    config = w.config()
    certificate, key = w.authority.issue("replaced", ["proxy.corp.test"])
    config.listens = [("%s:%d" % (w.proxy_address, w.proxy_port), {"tls_certificate": certificate, "tls_key": key})]
    p = w.start(config)
    fresh, fresh_key = w.authority.issue("fresh", ["proxy.corp.test"])
    os.replace(fresh, certificate)
    os.replace(fresh_key, key)
    status, found = ticket(w, p)
    assert status == 1 and found["verdict"] == "no answer", found
    says(found["steps"][0]["outcome"], "another certificate")
    assert not p.lines()


def test_several_legs_by_ntlmssp(w):
    config = w.config()
    config.backends["corp-krb5"] = w.krb5_backend(mechanisms=["krb5", "ntlmssp"], realms=["CORP.TEST", "CORP"], groups_from="")
    p = w.start(config)
    status, found = ticket(w, p, env={"KRB5CCNAME": "FILE:/nonexistent", "NTLM_USER_FILE": w.environment()["NTLM_USER_FILE"]})
    legs = [s for s in found["steps"] if s["what"].startswith("leg")]
    assert status == 0 and len(legs) >= 3, found
    says(legs[1]["outcome"], "407", "with a token of ")
    says([s for s in found["steps"] if s["what"] == "verified"][0]["outcome"], "ntlmssp")
    p.last(status=502, reason="dns", mech="ntlmssp")


def test_a_ticket_that_is_refused_and_one_that_is_not_there(w):
    config = w.config()
    config.backends["corp-krb5"] = w.krb5_backend(keytab=w.realm.other_keytab("stranger", "HTTP/dc1.corp.test"))
    p = w.start(config)
    status, found = ticket(w, p)
    assert status == 1 and found["verdict"] == "refused" and found["id"], found
    assert p.last(status=407, reason="bad_credentials")["id"] == found["id"]
    status, found = ticket(w, p, env={"KRB5CCNAME": "FILE:/nonexistent", "NTLM_USER_FILE": "/nonexistent"})
    assert status == 1 and found["verdict"] != "accepted", found
    assert [s for s in found["steps"] if s["what"] == "ticket"], found


def test_a_rule_denies_and_a_listener_does_not_offer(w):
    config = w.config().rule("nobody", action="deny", users=["alice"]).rule("rest")
    config.listens.append(("127.0.0.1:3131", {"offer": ["basic"]}))
    p = w.start(config)
    status, found = ticket(w, p)
    assert status == 1 and found["verdict"] == "denied" and "denied" in found["said"], found
    status, found = ticket(w, p, "--listen", "127.0.0.1:3131")
    assert status == 1 and found["verdict"] == "not offered", found
    p.stop()
    w._proxies.remove(p)
    status, found = ticket(w, p)
    assert status == 1 and found["verdict"] == "no answer" and "refused" in found["reason"], found


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Terminal:
    """sallyport login at a terminal of its own."""

    def __init__(self, w, *words):
        pid, self.fd = pty.fork()
        if pid == 0:
            for number in ENDING:                          # nohup, or a shell's "&", would leave some of them ignored
                signal.signal(number, signal.SIG_DFL)
            os.execve(w.binary, [w.binary, "login", "-c", *words], w.environment())
        self.pid, self.said = pid, ""

    def until(self, words, seconds=20):
        end = time.monotonic() + seconds
        while words not in self.said:
            assert time.monotonic() < end, "never said %r: %r" % (words, self.said)
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    got = os.read(self.fd, 4096)
                except OSError:
                    got = b""
                assert got or words in self.said, "ended without %r: %r" % (words, self.said)
                self.said += got.decode("utf-8", "replace")

    def echoes(self):
        import termios
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def end(self):
        return os.waitpid(self.pid, 0)[1]


def test_a_terminal_does_not_show_the_password_and_gets_its_echo_back(w):
    t = Terminal(w, w.config().write(), "alice")
    t.until("Password of alice: ")
    assert not t.echoes()
    os.write(t.fd, (PEOPLE["alice"] + "\n").encode())
    t.until("verdict      ")
    t.until("staff")
    assert PEOPLE["alice"] not in t.said
    assert "\x1b[32m" in t.said, "colours on a terminal"
    assert os.waitstatus_to_exitcode(t.end()) == 0


def test_a_signal_at_the_prompt_ends_it_and_gives_the_echo_back(w):
    for number in ENDING:
        t = Terminal(w, w.config().write(), "alice")
        t.until("Password of alice: ")
        assert not t.echoes()
        terminal = os.readlink("/proc/%d/fd/0" % t.pid)
        slave = os.open(terminal, os.O_RDWR | os.O_NOCTTY)
        os.kill(t.pid, number)
        assert os.waitstatus_to_exitcode(t.end()) == -number
        assert t.echoes()
        os.close(slave)
        os.close(t.fd)
