"""Neighbours who take places: connections that ask for nothing, handshakes that do not end, uploads that drip. Others are served at
once all the while."""

import contextlib
import resource
import threading
import time

from before import ODD, as_before, brief
from common import ALICE, BOB, ECHO, ask, basic, challenged, expect, passed, request
from sp_rig import space
from sp_rig.held import total
from sp_rig.procs import wait_until
from test_attack import feed, many

NEIGHBOUR = space.ADDRESSES["other-client"]
LONG = {"client_header_timeout": "60s", "keepalive_timeout": "60s"}


@contextlib.contextmanager
def descriptors_for(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def say_nothing(c):
    pass


def begin_a_head(c):
    c.send(b"GET http://odd.corp.test/echo HTTP/1.1\r\nX: ")


def be_challenged(c):
    challenged(c.ask("GET", ECHO))


def be_refused(c):
    challenged(c.ask("GET", ECHO, auth=basic("alice", "a guess")))


def test_places_held_by_strangers_go_to_whoever_comes(w):
    """All of max_connections, by one neighbour, in each state that needs no password; he takes every place that is let go again."""
    places = 60
    for hold in (say_nothing, begin_a_head, be_challenged, be_refused):
        config = brief(w, max_connections=places, **LONG)
        config.guard = {"client_failures": 0}
        p = w.start(config)
        with many(w, places, source=NEIGHBOUR) as wires:
            for c in wires:
                hold(c)
            wait_until("all places are taken", lambda: total(p, "sallyport_connections") == places, 10 * w.patience)
            time.sleep(1.2)                # whoever has just come is about to ask
            for _ in range(20):
                passed(ask(w, auth=BOB))
                with w.wire() as c:        # and one that stays is not who gives way
                    passed(c.ask("GET", ECHO, auth=ALICE))
                    for _ in range(3):
                        passed(ask(w, auth=BOB))
                    passed(c.ask("GET", ECHO, auth=ALICE))
        p.log_says("event=made_room")
        w.end()
        w.begin()


def test_who_is_known_keeps_the_place_and_strangers_do_not(w):
    config = brief(w, workers=1, max_connections=30, **LONG)      # each worker looks at its own connections alone
    p = w.start(config)
    with many(w, 15) as known, many(w, 15, source=NEIGHBOUR):
        for c in known:
            passed(c.ask("GET", ECHO, auth=ALICE))
        wait_until("all places are taken", lambda: total(p, "sallyport_connections") == 30, 10 * w.patience)
        time.sleep(1.2)
        with many(w, 15) as more:
            for c in more:
                passed(c.ask("GET", ECHO, auth=BOB))
            for c in known + more:         # all thirty are somebody's now
                passed(c.ask("GET", ECHO, auth=ALICE))
    wait_until("there is room", lambda: total(p, "sallyport_connections") == 0, 10 * w.patience)


def test_handshakes_that_do_not_end_keep_nobody_out(w):
    """More silent connections to a TLS listener than may be under way at once."""
    count = 4096 + 200
    config = brief(w, workers=1, **LONG)
    config.listens.append(("10.99.0.1:3143", {"tls_certificate": w.certificate, "tls_key": w.key}))
    with descriptors_for(2 * count + 1000):
        w.start(config)
        with many(w, count, source=NEIGHBOUR, port=3143):
            for _ in range(5):
                with w.wire(tls=True, port=3143) as c:
                    passed(c.ask("GET", ECHO, auth=ALICE))


def test_two_thousand_dripping_uploads_starve_nobody(w):
    """A user may be slow for as long as bytes come: each holds two sockets and little memory, and no share of the processor that
    others would miss."""
    count = 2000 if w.patience == 1 else 300
    with descriptors_for(4 * count + 2000):
        p = w.start(brief(w, response_timeout="30s"))
        with as_before(w, p), many(w, count, source=NEIGHBOUR) as wires:
            for c in wires:
                c.send(request("POST", ODD + "/upload", auth=ALICE, fields=[("Content-Length", "100000")]))
            wait_until("all are under way", lambda: total(p, "sallyport_connections") >= count, 30 * w.patience)
            dripping = threading.Thread(target=feed, args=(wires, lambda step: b"y", time.monotonic() + 4, 0.05))
            dripping.start()
            slowest, asked = 0.0, 0
            while dripping.is_alive():
                begun = time.monotonic()
                passed(ask(w, auth=BOB))
                slowest, asked = max(slowest, time.monotonic() - begun), asked + 1
            dripping.join()
            print("        %d requests beside %d dripping uploads, the slowest took %.0f ms" % (asked, count, 1000 * slowest))
            assert asked >= 5, "others waited for seconds"
            expect(ask(w, method="POST", target=ODD + "/upload", auth=BOB, fields=[("Content-Length", "5")], body=b"hello"), 200)
