"""What the scenarios share: passwords at hand, one-line requests, and assertions that say what they saw."""

import contextlib
import time

from sp_rig.directory import PEOPLE
from sp_rig.wire import Gone, basic, request

ALICE = basic("alice", PEOPLE["alice"])
BOB = basic("bob", PEOPLE["bob"])
ECHO = "http://odd.corp.test/echo"


def login(user, password=None):
    """The Basic credential of one of the rig's people."""
    return basic(user, PEOPLE[user] if password is None else password)


def ask(w, target=ECHO, method="GET", auth=None, **more):
    """One request on a connection of its own."""
    source, tls = more.pop("source", None), more.pop("tls", False)
    with w.wire(source=source, tls=tls) as c:
        return c.ask(method, target, auth=auth, **more)


def expect(answer, status, reason=None):
    """The status, and for the proxy's own answers the reason in Proxy-Status."""
    assert answer.status == status, "expected %d, got %s\n%s%s" % (
        status, answer, answer.head.decode("latin-1"), answer.body[:500].decode("utf-8", "replace"))
    if reason is not None:
        said = answer.get("Proxy-Status", "")
        assert reason in said, "expected %s in Proxy-Status: %r" % (reason, said)
    return answer


def passed(answer):
    """The origin's answer, not one of the proxy's own."""
    expect(answer, 200)
    assert answer.get("Proxy-Status") is None, "the proxy answered: %s" % answer.head
    return answer


def challenged(answer, *schemes):
    """A 407 with all that belongs to one, offering exactly these schemes in this order."""
    expect(answer, 407)
    assert answer.phrase == "Proxy Authentication Required", answer.phrase
    assert answer.get("Content-Length") is not None, "a 407 has a Content-Length"
    found = [c.split(" ")[0] for c in answer.challenges]
    assert found == list(schemes or ("Negotiate", "Basic")), "offered: %r" % answer.challenges
    return answer


def own(answer, status, reason):
    """An answer of the proxy's own: Proxy-Status with the reason, Content-Length, never a challenge unless 407."""
    expect(answer, status, reason)
    assert answer.get("Content-Length") is not None, answer.head
    if status != 407:
        assert not [c for c in answer.challenges if c == "Negotiate" or c.startswith("Basic")], "a %d challenges" % status
    return answer


def closed(wire, seconds=5.0):
    assert wire.is_closed(seconds), "the connection should have been closed"


def stays_open(wire):
    assert wire.is_quiet(), "the connection should have stayed open and quiet"


@contextlib.contextmanager
def took(at_least=0.0, at_most=1e9):
    begun = time.monotonic()
    yield
    seconds = time.monotonic() - begun
    assert at_least <= seconds <= at_most, "it took %.2f s, not %.2f to %.2f" % (seconds, at_least, at_most)
