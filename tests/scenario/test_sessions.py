"""Who is connected, and for what: `sallyport ctl sessions`, over several workers, and while the proxy reloads and drains."""

import json
import os
import signal
import socket
import threading

from common import ALICE, BOB, ECHO, ask, challenged, login, passed, request
from sp_rig.procs import wait_until
from test_connect import TARGET, tunnel
from test_why import no_secret

FIELDS = {"connection", "worker", "client", "client_port", "listener", "user", "scheme", "pinned", "state", "exchange", "age_ms", "idle_ms",
          "id", "method", "target"}


def several_workers(w, workers=3):
    config = w.config()
    config.top["workers"] = workers
    return config


def sessions(w, p):
    """(the counters, what is connected), checked for shape and secrets."""
    code, out, err = w.command("ctl", "-c", p.path, "sessions", "--json")
    assert code == 0, (code, out, err)
    counts, *found = [json.loads(line) for line in no_secret(w, out).splitlines()]
    assert set(counts) == {"connections", "tunnels", "handshakes"}, counts
    for one in found:
        assert FIELDS | {"bytes_in", "bytes_out"} == set(one) if one["state"] == "tunnel" else FIELDS == set(one), one
    assert len({one["connection"] for one in found}) == len(found), found
    return counts, found


def port_of(wire):
    return wire.raw.getsockname()[1]


def session_of(w, p, wire):
    found = [one for one in sessions(w, p)[1] if one["client_port"] == port_of(wire)]
    assert len(found) == 1, found
    return found[0]


def test_nobody_is_connected(w):
    p = w.start()
    assert sessions(w, p) == ({"connections": 0, "tunnels": 0, "handshakes": 0}, [])
    code, out, err = w.command("ctl", "-c", p.path, "sessions")
    assert code == 0 and [line.split()[-1] for line in out.splitlines()] == ["0", "0", "0"], (code, out, err)


def test_each_kind_of_session_is_told_for_what_it_is(w):
    p = w.start(several_workers(w))
    with tunnel(w) as joined, w.wire() as idle, w.wire() as pinned, w.wire() as asked, w.wire() as slow, w.wire() as silent, w.wire() as half:
        joined.send(b"0123456789")
        assert joined.read(10) == b"0123456789"
        passed(idle.ask("GET", ECHO, auth=BOB))
        passed(pinned.ask("GET", ECHO, auth=w.initiator("alice").value()))
        challenged(asked.ask("GET", ECHO))
        slow.send(request("GET", "http://odd.corp.test/slow?20", auth=ALICE))
        half.send(b"GET http://odd.corp.test/ HTTP/1.1\r\n")
        wait_until("all are there", lambda: sorted(one["state"] for one in sessions(w, p)[1]) ==
                   ["serving", "serving", "tunnel", "waiting", "waiting", "waiting", "waiting"])
        wait_until("the slow one is forwarded", lambda: session_of(w, p, slow)["exchange"] == "forwarding")
        counts, found = sessions(w, p)
        assert counts["connections"] == len(found) == 7 and counts["tunnels"] == 1, (counts, found)
        assert all(one["client"] and one["listener"] and one["worker"] < 3 and one["idle_ms"] <= one["age_ms"] for one in found), found

        one = session_of(w, p, joined)
        assert (one["user"], one["scheme"], one["method"], one["target"], one["pinned"]) == ("alice", "basic", "CONNECT", TARGET, False), one
        assert one["bytes_in"] > 10 and one["bytes_out"] > 10, one
        before = one
        joined.send(b"x" * 1000)
        joined.read(1000)
        one = session_of(w, p, joined)
        assert (one["bytes_in"], one["bytes_out"]) == (before["bytes_in"] + 1000, before["bytes_out"] + 1000), (before, one)
        assert one["id"] == before["id"] and one["age_ms"] >= before["age_ms"], (before, one)

        one = session_of(w, p, idle)
        assert (one["state"], one["user"], one["scheme"], one["pinned"], one["target"]) == ("waiting", "bob", "basic", False, ""), one
        one = session_of(w, p, pinned)
        assert (one["state"], one["user"], one["scheme"], one["pinned"]) == ("waiting", "alice", "negotiate", True), one
        for wire in (asked, silent):
            one = session_of(w, p, wire)
            assert (one["state"], one["user"], one["scheme"], one["exchange"]) == ("waiting", "", "none", ""), one
        one = session_of(w, p, slow)
        assert (one["state"], one["user"], one["target"]) == ("serving", "alice", "http://odd.corp.test/slow?20"), one
        one = session_of(w, p, half)
        assert (one["state"], one["exchange"], one["user"], one["target"]) == ("serving", "reading", "", ""), one

        code, out, err = w.command("ctl", "-c", p.path, "sessions")
        assert code == 0 and "\x1b" not in no_secret(w, out), (code, out, err)
        lines = out.splitlines()
        assert [line.split()[-1] for line in lines[:2]] == ["7", "1"] and len(lines) == 4 + 7, out
        slow.reset()                          # a half-close would be waited with
        assert len([line for line in lines if " tunnel " in line and TARGET in line and " alice " in line and " in, " in line]) == 1, out


def test_who_is_known_no_more_is_not_told(w):
    p = w.start()
    with w.wire() as c:
        passed(c.ask("GET", ECHO, auth=ALICE))
        assert session_of(w, p, c)["user"] == "alice"
        challenged(c.ask("GET", ECHO))
        assert session_of(w, p, c)["user"] == ""


def test_many_sessions_are_told_while_they_come_and_go(w):
    p = w.start(several_workers(w, 2))
    kept = [w.wire() for _ in range(600)]
    for c in kept[::100]:
        passed(c.ask("GET", ECHO, auth=ALICE))
    wait_until("all are there", lambda: sessions(w, p)[0]["connections"] == 600)
    over = threading.Event()

    def come_and_go():
        while not over.is_set():
            passed(ask(w, auth=ALICE))
    others = [threading.Thread(target=come_and_go) for _ in range(2)]
    for t in others:
        t.start()
    try:
        ports = {port_of(c) for c in kept}
        for n in range(10):
            if n == 5:
                code, out, err = w.command("ctl", "-c", p.path, "reload")
                assert code == 0, (code, out, err)
            found = sessions(w, p)[1]
            assert ports <= {one["client_port"] for one in found}, n
            for worker in (0, 1):
                numbers = [one["connection"] for one in found if one["worker"] == worker]
                assert numbers and numbers == sorted(numbers), "the oldest come first"
    finally:
        over.set()
        for t in others:
            t.join()
        for c in kept:
            c.close()


def test_asking_goes_on_through_a_drain(w):
    config = several_workers(w)
    config.top["shutdown_timeout"] = "60s"
    p = w.start(config)
    with tunnel(w) as c:
        p.proc.send(signal.SIGTERM)
        wait_until("it drains", lambda: "event=draining" in p.errors())
        for _ in range(20):                   # workers without a session have ended, and answer nevertheless
            counts, found = sessions(w, p)
            assert [one["client_port"] for one in found] == [port_of(c)] and counts["connections"] == 1, (counts, found)
    askers = [threading.Thread(target=w.command, args=("ctl", "-c", p.path, "sessions")) for _ in range(4)]
    for t in askers:                          # the end comes in the middle of it, or before
        t.start()
    for t in askers:
        t.join()
    assert p.proc.popen.wait(10 * w.patience) == 0
    assert not os.path.exists(p.config.admin["socket"])
    p.stop()
    w._proxies.remove(p)


def test_who_leaves_before_the_answer_harms_nobody(w):
    p = w.start(several_workers(w))
    with w.wire() as c:
        passed(c.ask("GET", ECHO, auth=login("carol")))
        for _ in range(30):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(p.config.admin["socket"])
                s.sendall(b"sessions\n")
        wait_until("there is room to ask again", lambda: w.command("ctl", "-c", p.path, "sessions")[0] == 0)
        assert session_of(w, p, c)["user"] == "carol"
