"""Name service that is silent, fails, garbles, cuts short, or says no and then yes: 502 `dns` in bounded time, and never for others."""

import contextlib

from before import as_before, brief
from common import ALICE, BOB, ask, own, passed, request
from sp_rig import space
from sp_rig.held import total
from sp_rig.names import A, AAAA
from sp_rig.procs import wait_until
from test_health import page

FAULTS = ("silent", "failing", "garbled", "truncated")


def test_each_fault_of_name_service_is_told_and_over_when_it_is(w):
    """A failure to get an answer is not kept: the next request asks anew."""
    p = w.start(brief(w, connect_timeout="3s"))
    with as_before(w, p), contextlib.ExitStack() as stack:
        hosts = ["%s.corp.test" % fault for fault in FAULTS]
        wires = [stack.enter_context(w.wire()) for _ in hosts]
        for fault, host, c in zip(FAULTS, hosts, wires):
            w.names.known[host] = [space.ADDRESSES["odd"]]
            getattr(w.names, fault).add(host)
            c.send(request("GET", "http://%s/echo" % host, auth=ALICE))
        passed(ask(w, auth=BOB))
        for fault, c in zip(FAULTS, wires):
            status = c.answer().status
            assert status in (502, 504), (fault, status)
        for fault, host in zip(FAULTS, hosts):
            getattr(w.names, fault).clear()
            passed(ask(w, "http://%s/echo" % host, auth=ALICE))


def test_whoever_asks_when_name_service_is_back_waits_for_no_lost_question(w):
    """The first question went unanswered, twice; the next one has nothing to do with it."""
    p = w.start(brief(w, workers=1, connect_timeout="10s", response_timeout="10s"))
    with as_before(w, p):
        passed(ask(w, "http://odd.corp.test/echo", auth=ALICE))
        host = "lost.corp.test"
        w.names.known[host] = [space.ADDRESSES["odd"]]
        w.names.silent.add(host)
        with w.wire() as first:
            first.send(request("GET", "http://%s/echo" % host, auth=ALICE))
            wait_until("each was asked twice", lambda: all(w.names.asked.count((host, kind)) >= 2 for kind in (A, AAAA)), 10 * w.patience)
            w.names.silent.clear()
            passed(ask(w, "http://%s/echo" % host, auth=BOB))
            first.reset()                  # its own question can only run out


def test_a_flood_of_names_that_nobody_answers_is_bounded_and_delays_nobody(w):
    """400 different names on 400 connections, and the next request for one that is known is served at once."""
    p = w.start(brief(w))
    count = 400 if w.patience == 1 else 100
    with as_before(w, p):
        hosts = ["unheard-%d.corp.test" % n for n in range(count)]
        w.names.silent.update(hosts)
        wires = [w.wire() for _ in hosts]
        for c, host in zip(wires, hosts):
            c.send(request("GET", "http://%s/" % host, auth=ALICE))
        for _ in range(20):
            passed(ask(w, auth=BOB))
        for n, c in enumerate(wires):
            if n % 4 == 0:
                c.reset()
        for n, c in enumerate(wires):
            if n % 4 != 0:
                assert c.answer().status in (502, 503, 504)
                c.close()
        w.names.silent.clear()


def test_an_answer_that_is_cut_short_is_no_fault_of_others(w):
    """The whole of it is to be had by TCP, which is refused here: c-ares then gives up every question that is under way."""
    p = w.start(brief(w))
    with as_before(w, p):
        for n in range(40):
            cut, good = ("%s-%d.corp.test" % (kind, n) for kind in ("cut", "good"))
            w.names.known[cut] = w.names.known[good] = [space.ADDRESSES["odd"]]
            w.names.truncated.add(cut)
            with w.wire() as one, w.wire() as other:
                one.send(request("GET", "http://%s/echo" % cut, auth=ALICE))
                other.send(request("GET", "http://%s/echo" % good, auth=ALICE))
                passed(other.answer())
                assert one.answer().status == 502


def test_name_service_that_is_gone_is_told_where_people_look(w):
    """The directory answers, so nothing else is wrong: log, metrics, status page and doctor name it, once, and then that it is over."""
    config = brief(w, workers=1, connect_timeout="10s", response_timeout="10s")
    p = w.start(config)
    hosts = ["gone-%d.corp.test" % n for n in range(6)]
    fail = hosts[1:]                       # and the first says nothing at all

    def gone():
        return total(p, "sallyport_names_unanswered") == 1
    with as_before(w, p):
        w.names.silent.add(hosts[0])
        w.names.failing.update(fail)
        for _ in range(6):                 # again and again one name: that is its own trouble
            assert ask(w, "http://%s/" % fail[0], auth=ALICE).status == 502
        assert not gone()
        for host in hosts[:1] + hosts[2:5]:
            assert ask(w, "http://%s/" % host, auth=ALICE).status in (502, 504)
        wait_until("it is known", gone, 10 * w.patience)
        p.log_says("event=names_unanswered")
        assert "Names get no answer" in page(p, "/")[1]
        status, out = w.command("doctor", "-c", p.path)[:2]
        assert status == 1 and "the last five names that a worker asked for got no answer" in out, out
        assert ask(w, "http://%s/" % hosts[5], auth=ALICE).status == 502
        own(ask(w, "http://no-such-%d.corp.test/" % p.proc.pid, auth=ALICE), 502, "dns")       # an answer, if no good one
        wait_until("it is over", lambda: not gone(), 10 * w.patience)
        p.log_says("event=names_answered")
        assert p.errors().count("event=names_unanswered") == 1 and "Names get no answer" not in page(p, "/")[1]


def test_no_such_name_is_kept_shortly_and_then_asked_again(w):
    p = w.start(brief(w))
    with as_before(w, p):
        own(ask(w, "http://new.corp.test/echo", auth=ALICE), 502, "dns")
        w.names.known["new.corp.test"] = [space.ADDRESSES["odd"]]
        try:
            wait_until("the new name is known", lambda: ask(w, "http://new.corp.test/echo", auth=ALICE).status == 200, 25 * w.patience, every=0.25)
        finally:
            del w.names.known["new.corp.test"]
