"""A directory that is worse than down: it hangs, breaks off, answers with garbage, without end, or a byte at a time. With another
server the login passes; alone it is 503; and neither takes memory, a thread or a descriptor that does not come back."""

import time

from before import as_before, brief, grew_little
from common import ALICE, BOB, ask, own, passed
from sp_rig.directory import PEOPLE
from sp_rig.held import control, user_memory
from sp_rig.odd_directory import OddDirectory
from sp_rig.procs import wait_until

MODES = ("silent", "deaf", "hang up", "reset", ("cut", 7, False), ("cut", 20, True), "garbage", "http", "huge", "endless", "stranger", "trickle")
MIB = 1 << 20


def hasty(w):
    """Timeouts by which a fault is met soon, and which a server that is well keeps also on a slow build."""
    each = "%dms" % (500 * w.patience)
    return dict(timeout=each, connect_timeout=each)


def taken_up(w, p, **ldap):
    """By a reload: servers are met afresh, as by a proxy that has just started. The new realm tells that it serves."""
    realm = "Realm %d" % time.monotonic_ns()
    p.config.backends["corp-ldap"].update(ldap)
    p.config.auth["realm"] = realm
    p.config.write()
    control(p, "reload")
    wait_until("the new configuration serves", lambda: any(realm in c for c in ask(w).challenges), 10 * w.patience)
    control(p, "flush")


def test_a_directory_that_misbehaves_is_passed_over(w):
    config = brief(w, workers=1, response_timeout="20s")
    config.backends["corp-krb5"]["groups_from"] = ""
    with OddDirectory(w.dc1) as odd:
        config.backends["corp-ldap"].update(uris=[odd.url, w.ldap_url(w.dc2)], **hasty(w))
        p = w.start(config)
        with as_before(w, p):
            memory = user_memory(p.proc.pid)
            for mode in MODES:
                odd.mode = mode
                odd.drop()
                seen = odd.connections
                taken_up(w, p)
                answer = ask(w, auth=ALICE)
                assert answer.status == 200, (mode, answer)
                assert odd.connections > seen, "%r was never met" % (mode,)
                passed(ask(w, auth=BOB))
                passed(ask(w, auth=w.initiator("alice").value()))
            grew_little(w, p, memory, 24 * MIB, "answers of every kind")
            odd.mode = "pass"
            odd.drop()
            seen = odd.connections
            taken_up(w, p)
            passed(ask(w, auth=ALICE))
            assert odd.connections > seen


def test_a_directory_that_misbehaves_alone_is_503_and_is_asked_again_when_it_is_well(w):
    """Whoever is kept in the cache, and tickets, pass meanwhile."""
    config = brief(w, workers=1, response_timeout="20s")
    config.backends["corp-krb5"]["groups_from"] = ""
    with OddDirectory(w.dc1) as odd:
        config.backends["corp-ldap"].update(uris=[odd.url], **hasty(w))
        p = w.start(config)
        with as_before(w, p):
            for mode in ("silent", ("cut", 20, True), "garbage", "huge", "endless"):
                odd.mode = "pass"
                taken_up(w, p)
                passed(ask(w, auth=ALICE))
                odd.mode = mode
                odd.drop()
                own(ask(w, auth=BOB), 503, "directory_unavailable")
                passed(ask(w, auth=ALICE))
                passed(ask(w, auth=w.initiator("bob").value()))
            odd.mode = "pass"
            odd.drop()
            wait_until("it is asked again", lambda: ask(w, auth=BOB).status == 200, 20 * w.patience, every=0.2)


def test_an_answer_of_the_directory_cut_anywhere_is_no_verdict(w):
    """By `sallyport login`, which asks with the plugin's own code: each run meets one cut. None says yes, and none says no."""
    config = w.config()
    with OddDirectory(w.dc1) as odd:
        config.backends["corp-ldap"].update(uris=[odd.url], **hasty(w))
        path = config.write()
        run = lambda: w.command("login", "-c", path, "--backend", "corp-ldap", "alice", stdin=(PEOPLE["alice"] + "\n").encode())
        status, said, _ = run()
        assert status == 0, said
        whole = odd.said
        step, faults, sizes = (23 if w.patience == 1 else 60), [], []
        # one connection is the service's, one the user's: what each of them says is cut, the whole is their sum
        for at in range(1, whole, step):
            odd.mode = ("cut", at, at % 2 == 0)
            status, said, err = run()
            sizes.append(status)
            if status == 0:
                continue                   # neither connection says so much
            if "answer       no answer" not in said:
                faults.append((at, status, said, err))
        assert not faults, faults[:2]
        assert sizes[0] == 1 and sizes.count(1) >= 3, sizes
