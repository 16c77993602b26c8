"""Somebody sets the clock, by a day forward and back: durations do not notice, hours and time stamps follow."""

import calendar
import os
import signal
import struct
import time

from common import ALICE, ECHO, ask, login, own, passed, request
from sp_rig.procs import wait_until
from test_connect import tunnel
from test_cost import Reader

HOUR = 3600


class Clock:
    """The wall clock of one sallyport (tests/rig/clock.c)."""

    def __init__(self, w):
        self.path, library = os.path.join(w.folder, "clock"), os.path.join(w.build, "tests", "clock.so")
        assert os.path.exists(library), "%s is not built" % library
        self.environment = {"SALLYPORT_TEST_CLOCK": self.path, "LD_PRELOAD": library,
                            "ASAN_OPTIONS": "verify_asan_link_order=0"}
        self.set(0)

    def set(self, seconds):
        """So far from the right time. The file is written in place: it is mapped."""
        self.offset = seconds
        if not os.path.exists(self.path):
            with open(self.path, "wb") as f:
                f.write(bytes(8))
        with open(self.path, "r+b") as f:
            f.write(struct.pack("=q", int(seconds)))

    def now(self):
        return time.time() + self.offset

    def set_hour(self, hour):
        """To the next time at which it is that hour here."""
        here = time.localtime()
        self.set((hour - here.tm_hour) * HOUR % (24 * HOUR))


def stamp(text):
    """Seconds of an RFC 3339 time stamp in UTC with milliseconds."""
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))


def test_no_duration_reacts_to_a_clock_that_jumps(w):
    clock = Clock(w)
    config = w.config()
    config.cache = {"ttl": "10m", "negative_ttl": "10m"}
    config.guard = {"user_failures": 3, "client_failures": 0, "window": "30m", "block": "30m"}
    p = w.start(config, env=clock.environment)
    with tunnel(w) as through, w.wire() as known, w.wire() as slow:
        passed(known.ask("GET", ECHO, auth=ALICE))
        for n in range(3):
            ask(w, auth=login("carol", "wrong-%d" % n))
        own(ask(w, auth=login("carol")), 429, "blocked")
        for n in range(2):
            ask(w, auth=login("dave", "wrong-%d" % n))
        for number, hours in enumerate((26, -26, 300, 0)):
            slow.send(request("GET", "http://odd.corp.test/slow?0.5", auth=ALICE))
            time.sleep(0.1)
            clock.set(hours * HOUR)
            through.send(b"tick")
            assert through.read(4) == b"tick"
            passed(known.ask("GET", ECHO + "?jump-%d" % number, auth=ALICE))
            assert passed(slow.answer()).body == b"at last"
            own(ask(w, auth=login("carol")), 429, "blocked")
            record = p.last(target=ECHO + "?jump-%d" % number)
            assert record["auth"] == "cache" and 0 <= record["ms"] < 10000, record
            assert abs(stamp(record["ts"]) - clock.now()) < 60, (record["ts"], clock.now())
        ask(w, auth=login("dave", "wrong-3"))
        own(ask(w, auth=login("dave")), 429, "blocked")                     # the first two still count
        assert w.ldap.binds("alice") == 1 and w.ldap.binds("carol") == 3
    assert all(0 <= r["ms"] < 20000 * w.patience and 0 <= r["auth_ms"] <= r["ms"] for r in p.lines() if r["method"] == "GET")


def test_what_was_to_end_ends_although_the_clock_went_back(w):
    """A block, a kept refusal and an idle connection, all of seconds, and the clock goes back by a day."""
    clock = Clock(w)
    config = w.config()
    config.cache = {"ttl": "2s", "negative_ttl": "1s"}
    config.guard = {"user_failures": 3, "client_failures": 0, "window": "30m", "block": "2s"}
    config.limits = {"keepalive_timeout": "1s"}
    p = w.start(config, env=clock.environment)
    with w.wire() as c:
        passed(c.ask("GET", ECHO, auth=ALICE))
        for n in range(3):
            ask(w, auth=login("carol", "wrong-%d" % n))
        own(ask(w, auth=login("carol")), 429, "blocked")
        clock.set(-26 * HOUR)
        assert c.is_closed(10 * w.patience)
    own(ask(w, auth=login("carol")), 429, "blocked")
    wait_until("the log follows the clock", lambda: abs(stamp(p.lines()[-1]["ts"]) - clock.now()) < 60, 5 * w.patience)
    wait_until("the block ends", lambda: ask(w, auth=login("carol")).status == 200, 15 * w.patience)
    passed(ask(w, auth=ALICE))
    assert w.ldap.binds("alice") == 2, "a verdict of two seconds outlived them"
    assert p.stop() == 0


def test_hours_of_rules_follow_the_clock(w):
    clock = Clock(w)
    config = w.config()
    config.rule("by day", hours="Mo-Su 08:00-18:00")
    clock.set_hour(12)
    p = w.start(config, env=clock.environment)
    for hour, status in ((12, 200), (3, 403), (12, 200), (20, 403), (9, 200)):
        clock.set_hour(hour)
        answer = ask(w, auth=ALICE)
        assert answer.status == status, (hour, answer)
    p.last(status=403, reason="denied")


def test_the_last_lines_are_written_whatever_the_clock_says(w):
    """Closing a log goes on for three seconds at most; by a clock that was set back they would have passed already. The log is a
    pipe whose reader begins when sallyport has been told to end."""
    for hours in (-26, 26):
        clock, count = Clock(w), 600
        config = w.config()
        reader = Reader(config.log["access"])
        p = w.start(config, env=clock.environment)
        os.unlink(config.log["access"])    # sallyport has it open; nobody else is to open it
        with w.wire() as c:
            passed(c.ask("GET", ECHO, auth=ALICE))
            clock.set(hours * HOUR)
            for n in range(count - 1):
                passed(c.ask("GET", ECHO + "?%d" % n, auth=ALICE))
        p.proc.send(signal.SIGTERM)
        time.sleep(0.5)
        reader.begin()
        p.proc.popen.wait(15 * w.patience)                     # a second TERM would cut it short
        assert p.stop() == 0
        reader.end()
        assert reader.lines == count and "event=ended" in p.errors(), "%d of %d lines" % (reader.lines, count)
