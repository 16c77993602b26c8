"""For attacks and faults: a sallyport that soon lets go of what is idle, and the check that afterwards all is as before."""

import contextlib
import time

from common import ALICE, BOB, ECHO, ask, passed
from sp_rig.held import PIPES_PER_WORKER, control, difference, held, pipes, processor_seconds, user_memory
from sp_rig.procs import RigError, wait_until
from test_connect import tunnel

QUIET_SECONDS = 20.0
ODD = "http://odd.corp.test"


def brief(w, workers=2, **limits):
    """A configuration in which nothing idle is kept longer than a second or two."""
    config = w.config()
    config.top["workers"] = workers
    config.log["level"] = "info"
    config.limits = dict({"client_header_timeout": "2s", "keepalive_timeout": "1s", "response_timeout": "2s", "connect_timeout": "1s"}, **limits)
    config.protect = {"connect_ports": ["443", "8000-20000"]}
    config.backends["corp-ldap"] = w.ldap_backend(timeout="1s", connect_timeout="1s")
    return config


def serves(w, target=ECHO):
    """A request, one whose password is asked of the directory, and a tunnel."""
    passed(ask(w, target, auth=ALICE))
    passed(ask(w, target, auth=BOB))
    with tunnel(w) as c:
        c.send(b"still here")
        assert c.read(10) == b"still here"


def forgotten(p):
    """What it holds once verdicts and blocks are forgotten."""
    control(p, "flush")
    return held(p)


def at_start(w, p):
    """What it holds before anybody has come; what belongs to the start itself, as a socket to systemd or the first look at the
    directory, is over soon: the slower the build, the longer it must have been so."""
    readings = [forgotten(p)]
    enough = int(4 * w.patience)

    def steady():
        readings.append(forgotten(p))
        return len(readings) >= enough and all(reading == readings[-1] for reading in readings[-enough:])
    wait_until("the start is over", steady, QUIET_SECONDS * w.patience, every=0.05)
    return readings[-1]


def is_as(w, p, before):
    """Waits until it holds what it held before."""
    last = [None]

    def same():
        last[0] = forgotten(p)
        return last[0] == before
    try:
        wait_until("it holds what it held before", same, QUIET_SECONDS * w.patience, every=0.1)
    except RigError:
        raise AssertionError("it does not hold what it held before:\n" + difference(before, last[0]))
    stock = PIPES_PER_WORKER * p.config.top["workers"]
    assert pipes(p.proc.pid) <= stock, "%d pipes are more than its stock of %d" % (pipes(p.proc.pid), stock)


@contextlib.contextmanager
def as_before(w, p, target=ECHO):
    """Of a sallyport that was just started: whatever happens inside, afterwards it serves, uses no processor, and holds what
    it held at its start, by number and kind."""
    before = at_start(w, p)
    serves(w, target)
    yield
    serves(w, target)
    is_as(w, p, before)
    idle(p)
    assert p.proc.alive()


def grew_little(w, p, before, limit, what):
    """Its own memory, against what it was before. A sanitizer keeps shadows and quarantines beside each byte: there only what
    grows without end is seen."""
    grown, limit = user_memory(p.proc.pid) - before, limit * (1 if w.patience == 1 else 8 if w.patience <= 3 else 64)
    assert grown < limit, "%s: %.1f MiB more, the limit is %.1f" % (what, grown / 2 ** 20, limit / 2 ** 20)


def idle(p, seconds=0.5):
    """It uses no processor while nobody asks for anything: a fifth of what spinning would at most."""
    before = processor_seconds(p.proc.pid)
    time.sleep(seconds)
    spent = processor_seconds(p.proc.pid) - before
    assert spent <= seconds / 5, "it spun: %.2f s of processor in %.2f s" % (spent, seconds)
