"""Every decision explained: `sallyport why` and `sallyport ctl trace`, for what is refused, what passes, and whole 407 chains."""

import base64
import json
import os
import re
import signal
import subprocess
import time

from common import ALICE, ECHO, ask, basic, challenged, expect, login, own, passed, request
from sp_rig.procs import wait_until
from sp_rig.tokens import SPNEGO
from test_negotiate import go_on, ntlm_config

FIELDS = {"ts", "id", "client", "listener", "user", "scheme", "mech", "backend", "auth", "sent", "groups", "method", "target", "status",
          "reason", "why", "rule", "ms", "auth_ms", "connect_ms", "connection", "request", "count", "steps"}


def no_secret(w, said):
    for secret in w.secrets():
        for form in (secret, base64.b64encode(secret.encode()).decode()):
            assert form not in said, "a secret was shown: %s" % form
    assert not re.search(r"(YII|TlRMTVNT)[A-Za-z0-9+/]{20}", said), "a token was shown"
    return said


def why(w, p, word):
    """The decisions that `why --json` tells, checked for shape and secrets; and for people, no less."""
    code, out, err = w.command("why", "-c", p.path, "--json", word)
    assert code == 0, (word, code, out, err)
    found = [json.loads(line) for line in no_secret(w, out).splitlines()]
    assert found, word
    for one in found:
        assert FIELDS <= set(one), FIELDS - set(one)
        assert all({"what", "server", "detail", "outcome", "ms"} == set(s) for s in one["steps"]), one
    code, out, err = w.command("why", "-c", p.path, word)
    assert code == 0 and "\x1b" not in out, (code, out, err)
    for one in found:
        assert one["id"] in no_secret(w, out), out
    return found


def unknown(w, p, word):
    code, out, err = w.command("why", "-c", p.path, word)
    assert code == 1 and out == "" and "nothing is known" in err, (code, out, err)


def steps(decision):
    return [s["what"] for s in decision["steps"]]


def outcome(decision, what):
    found = [s for s in decision["steps"] if s["what"] == what]
    assert found, (what, decision)
    return found[-1]


def id_of(answer):
    """The request's id as the user sees it, on the page and in Proxy-Status."""
    shown = re.search(r"\b[0-9a-hjkmnp-tv-z]{12}\b", answer.get("Proxy-Status"))
    assert shown, answer.get("Proxy-Status")
    assert shown[0].encode() in answer.body, answer.body
    return shown[0]


def test_a_wrong_password_is_explained_by_its_id_step_by_step(w):
    p = w.start()
    answer = challenged(ask(w, auth=basic("bob", "no-Such-Pass-1")))
    one = why(w, p, id_of(answer))[-1]
    assert p.last(status=407)["id"] == one["id"] == id_of(answer)
    assert (one["user"], one["reason"], one["auth"], one["backend"], one["why"]) == ("bob", "bad_credentials", "directory", "corp-ldap", "wrong password"), one
    assert one["sent"] == "Basic, user bob"
    assert steps(one)[0] == "cache" and steps(one)[-1] == "verdict", one
    assert {"search", "bind"} <= set(steps(one)), one
    assert "ldap" in outcome(one, "bind")["server"] and "wrong password" in outcome(one, "bind")["outcome"], one
    assert "uid=bob" in outcome(one, "bind")["detail"], one
    assert "no-Such-Pass-1" not in json.dumps(one)


def test_a_wrong_password_from_the_cache_has_its_age_and_the_row_one_entry(w):
    p = w.start()
    for _ in range(4):
        answer = challenged(ask(w, auth=basic("bob", "no-Such-Pass-2")))
    found = why(w, p, "bob")
    assert [(one["auth"], one["count"]) for one in found] == [("directory", 1), ("cache", 3)], found
    assert found[1]["age_s"] >= 0 and not found[1]["steps"] and found[1]["why"] == "wrong password"
    assert found[1]["id"] == id_of(answer) and "first_ts" in found[1]
    p.line(4)
    for record in p.lines():              # none of the row's ids is lost
        assert why(w, p, record["id"])


def test_a_cache_hit_tells_its_age_and_the_groups(w):
    config = w.config()
    config.rule("people", groups=["staff"])
    p = w.start(config)
    for _ in range(2):
        passed(ask(w, auth=ALICE))
    first, second = why(w, p, "alice")
    assert first["auth"] == "directory" and "age_s" not in first and first["steps"], first
    assert second["auth"] == "cache" and second["age_s"] >= 0 and second["steps"] == [], second
    for one in (first, second):
        assert "staff" in one["groups"] and one["rule"] == "people" and one["status"] == 200, one


def test_a_user_is_found_without_case_and_domain_and_a_client_by_address(w):
    p = w.start()
    passed(ask(w, auth=ALICE, source="10.99.0.3"))
    for word in ("alice", "ALICE", "CORP\\alice", "Alice@corp.test"):
        assert why(w, p, word)[-1]["user"] == "alice"
    assert why(w, p, "10.99.0.3")[-1]["user"] == "alice"
    for word in ("alic", "10.99.0.4", "bob", "00000000zzzz"):
        unknown(w, p, word)
    assert w.command("why", "-c", p.path)[0] == 2
    assert w.command("why", "-c", p.path, "a\nb")[0] == 2


def test_an_unknown_user_is_told_apart_from_a_wrong_password(w):
    p = w.start()
    one = why(w, p, id_of(challenged(ask(w, auth=basic("nobody-here", "x")))))[-1]
    assert one["why"] == "unknown user" and one["user"] == "nobody-here", one
    assert "no match" in outcome(one, "search")["outcome"] or "0" in outcome(one, "search")["outcome"], one


def test_an_unusable_account_tells_its_reason(w):
    p = w.start()
    for user in ("locked", "mustchange"):
        one = why(w, p, id_of(own(ask(w, auth=login(user)), 403, "account")))[-1]
        assert one["reason"] == "account" and one["why"] and outcome(one, "verdict")["outcome"] == one["why"], one


def test_a_denial_by_group_names_the_rule_and_the_groups(w):
    config = w.config()
    config.rule("no-outsiders", action="deny", groups=["staff"])
    config.rule("all")
    p = w.start(config)
    one = why(w, p, id_of(own(ask(w, auth=ALICE), 403, "denied")))[-1]
    assert (one["rule"], one["user"], one["reason"]) == ("no-outsiders", "alice", "denied"), one
    assert "staff" in one["groups"] and one["why"], one


def test_a_protected_destination_is_told(w):
    p = w.start()
    one = why(w, p, id_of(own(ask(w, "http://127.0.0.1/", auth=ALICE), 403, "denied")))[-1]
    assert "protected" in one["why"], one


def test_a_block_names_the_device_at_fault(w):
    p = w.start()
    for n in range(3):
        challenged(ask(w, auth=basic("bob", "wrong-%d" % n), source="10.99.0.3", fields=[("User-Agent", "OldPhone/1.0")]))
    answer = own(ask(w, auth=login("bob"), source="10.99.0.2"), 429, "blocked")
    one = why(w, p, id_of(answer))[-1]
    assert one["reason"] == "blocked" and one["client"] == "10.99.0.2", one
    assert "10.99.0.3" in outcome(one, "guard")["outcome"] and "OldPhone/1.0" in outcome(one, "guard")["outcome"], one


def test_the_end_of_a_loop_names_what_was_wrong(w):
    config = w.config()
    config.auth["max_challenges"] = 2
    config.guard = {"user_failures": 0}
    p = w.start(config)
    with w.wire() as c:
        for n in range(2):
            challenged(c.ask("GET", ECHO, auth=basic("alice", "wrong-%d" % n)))
        answer = own(c.ask("GET", ECHO, auth=basic("alice", "wrong-9")), 403, "loop")
    one = why(w, p, id_of(answer))[-1]
    assert one["reason"] == "loop" and one["why"] == "wrong password" and "bind" in steps(one), one


def test_a_directory_that_is_down_is_told_server_by_server(w):
    p = w.start()
    w.ldap.stop()
    one = why(w, p, id_of(own(ask(w, auth=ALICE), 503, "directory_unavailable")))[-1]
    servers = {s["server"] for s in one["steps"] if s["what"] == "connect"}
    assert len(servers) == 2, one
    assert outcome(one, "verdict")["outcome"], one


def test_who_joined_a_login_is_told_whose_it_was(w):
    config = w.config()
    config.top["workers"] = 2
    p = w.start(config)
    wires = [w.wire() for _ in range(12)]
    for c in wires:
        c.send(request("GET", ECHO, auth=ALICE))
    for c in wires:
        passed(c.answer())
        c.close()
    found = why(w, p, "alice")
    joined = [outcome(one, "joined") for one in found if "joined" in steps(one)]
    led = {one["id"] for one in found if "bind" in steps(one)}
    assert len(led) <= 1, found
    for step in joined:
        assert re.search(r"by [0-9a-z]{12}$", step["outcome"]), step


def test_a_ticket_for_a_key_that_the_keytab_lacks_is_explained(w):
    config = w.config()
    config.backends["corp-krb5"] = w.krb5_backend(keytab=w.realm.other_keytab("why-%d" % os.getpid(), "HTTP/why%d.corp.test" % time.time()))
    p = w.start(config)
    one = why(w, p, id_of(expect(ask(w, auth=w.initiator("alice").value()), 407)))[-1]
    assert one["scheme"] == "negotiate" and one["reason"] == "bad_credentials", one
    said = " ".join(s["outcome"] + " " + s["detail"] for s in one["steps"])
    assert "HTTP/proxy.corp.test@CORP.TEST" in said and "kvno" in said, one


def test_ntlm_in_several_legs_is_one_chain(w):
    p = w.start(ntlm_config(w))
    me = w.ntlm()
    with w.wire() as c:
        challenged(c.ask("GET", ECHO))
        passed(c.ask("GET", ECHO, auth=me.value(go_on(c.ask("GET", ECHO, auth=me.value())))))
        passed(c.ask("GET", ECHO))
    chain = why(w, p, "walter")
    assert [(one["status"], one["reason"]) for one in chain] == [(407, "no_credentials"), (407, "handshake"), (200, "ok"), (200, "ok")], chain
    assert len({one["connection"] for one in chain}) == 1 and [one["request"] for one in chain] == [1, 2, 3, 4], chain
    assert chain[2]["auth"] == "directory" and chain[3]["auth"] == "connection" and chain[3]["age_s"] >= 0, chain
    middle = why(w, p, chain[1]["id"])
    assert [one["id"] for one in middle] == [one["id"] for one in chain[:3]], middle


def test_a_client_that_never_learns_makes_no_endless_chain(w):
    p = w.start()
    with w.wire() as c:
        for _ in range(40):
            challenged(c.ask("GET", ECHO))
        passed(c.ask("GET", ECHO, auth=ALICE))
    assert [(one["reason"], one["request"]) for one in why(w, p, "alice")] == [("no_credentials", 40), ("ok", 41)]


def test_a_tunnel_is_told_when_it_begins(w):
    p = w.start()
    with w.wire() as c:
        expect(c.ask("CONNECT", "origin.corp.test:443", auth=ALICE), 200)
        one = why(w, p, "alice")[-1]
        assert (one["method"], one["status"], one["target"]) == ("CONNECT", 200, "origin.corp.test:443"), one


class Trace:
    """`sallyport ctl trace` under way."""

    def __init__(self, w, p, *words):
        before = p.errors().count("command=trace")
        self.popen = subprocess.Popen([w.binary, "ctl", "-c", p.path, "trace", *words], env=w.environment(), stdout=subprocess.PIPE,
                                      preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))    # as a shell's "&" leaves it
        os.set_blocking(self.popen.stdout.fileno(), False)
        self.said = b""
        wait_until("the trace is taken up", lambda: p.errors().count("command=trace") > before)

    def lines(self):
        """What it has said by now, in whole lines."""
        self.said += self.popen.stdout.read() or b""
        return self.said[:self.said.rfind(b"\n") + 1].decode().splitlines()

    def wait(self, count):
        wait_until("%d lines of the trace" % count, lambda: len(self.lines()) >= count)
        return self.lines()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.end(signal.SIGINT)

    def end(self, number):
        """Its exit status."""
        self.popen.send_signal(number)
        status = self.popen.wait(10)
        self.popen.stdout.close()
        return status


def test_ctl_trace_shows_a_chain_as_it_happens(w):
    p = w.start()
    with Trace(w, p, "--json", "alice") as by_user, Trace(w, p, "--json", "10.99.0.2") as by_client:
        me = w.initiator("alice", mech=SPNEGO, dce=True)
        with w.wire(source="10.99.0.2") as c:
            challenged(c.ask("GET", ECHO))
            assert json.loads(by_client.wait(1)[0])["reason"] == "no_credentials"
            answer = c.ask("GET", ECHO, auth=me.value())
            assert json.loads(by_client.wait(2)[1])["reason"] == "handshake"
            assert by_user.lines() == []
            while answer.status == 407:
                answer = c.ask("GET", ECHO, auth=me.value(go_on(answer)))
            passed(answer)
        chain = [json.loads(line) for line in by_user.wait(3)]
        assert [one["reason"] for one in chain][:2] == ["no_credentials", "handshake"] and chain[-1]["user"] == "alice", chain
        assert [one["id"] for one in chain] == [json.loads(line)["id"] for line in by_client.wait(len(chain))]
        passed(ask(w, auth=login("bob"), source="10.99.0.3"))
        passed(ask(w, auth=ALICE, source="10.99.0.3"))
        assert json.loads(by_user.wait(len(chain) + 1)[-1])["scheme"] == "basic"
        no_secret(w, "\n".join(by_user.lines() + by_client.lines()))


def test_ctl_trace_for_people_and_its_end_with_the_proxy(w):
    p = w.start()
    with Trace(w, p, "alice") as t:
        passed(ask(w, auth=ALICE))
        wait_until("a decision in words", lambda: any("-> 200 ok" in line for line in t.lines()))
        no_secret(w, "\n".join(t.lines()))
        p.stop()
        assert t.popen.wait(10) == 1


def test_an_interrupted_trace_ends_well(w):
    p = w.start()
    for number in (signal.SIGINT, signal.SIGTERM):
        t = Trace(w, p, "alice")
        assert t.end(number) == 0, number


def test_only_so_many_trace_at_once(w):
    p = w.start()
    traces = [Trace(w, p, "alice") for _ in range(8)]
    code, out, err = w.command("ctl", "-c", p.path, "trace", "alice")
    assert code == 1 and "too many" in err, (code, out, err)
    for t in traces:
        t.__exit__()

    def one_more():
        with Trace(w, p, "--json", "bob") as t:
            passed(ask(w, auth=login("bob")))
            wait_until("its line, or its end", lambda: t.lines() or t.popen.poll() is not None)
            return t.lines()
    wait_until("room for one more", one_more)
