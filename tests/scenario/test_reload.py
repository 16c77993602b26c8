"""Reload: all of it or nothing, in all workers; and what it cannot change is named."""

import os
import re
import signal

from common import ALICE, BOB, ECHO, ask, basic, challenged, closed, own, passed
from sp_rig.procs import can_connect, run, wait_until
from test_basic import hashed
from test_metrics import families, value

# Registers no further listening socket in the second worker's epoll set, as the kernel may when the user's epoll watches are used up
# (ENOSPC). A limit of the whole machine cannot be lowered for one test.
SHORT_OF_WATCHES = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

int epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
    int (*real)(int, int, int, struct epoll_event *) = dlsym(RTLD_NEXT, "epoll_ctl");
    static _Atomic int listeners;
    int listens = 0;
    socklen_t len = sizeof(listens);

    if (op == EPOLL_CTL_ADD && access(getenv("SHORT_OF_WATCHES"), F_OK) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens && ++listeners % 2 == 0) {
        errno = ENOSPC;
        return -1;
    }
    return real(set, op, fd, event);
}
"""


def test_a_worker_that_cannot_take_it_up_keeps_all_from_it(w):
    source, library, short = (os.path.join(w.folder, name) for name in ("short.c", "short.so", "short"))
    with open(source, "w") as f:
        f.write(SHORT_OF_WATCHES)
    run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"])
    config = w.config()
    config.top["workers"] = 2
    wrapper = os.path.join(w.folder, "with-few-watches")
    with open(wrapper, "w") as f:
        f.write("#!/bin/sh\nexport SHORT_OF_WATCHES=%s LD_PRELOAD=%s ASAN_OPTIONS=verify_asan_link_order=0:$ASAN_OPTIONS\nexec %s \"$@\"\n" %
                (short, library, w.binary))
    os.chmod(wrapper, 0o755)
    before, w.binary = w.binary, wrapper
    try:
        p = w.start(config)
    finally:
        w.binary = before
    passed(ask(w, auth=BOB))
    sockets = p.descriptors("socket")
    open(short, "w").close()
    config.listens.append(("10.99.0.1:3130", {"offer": ["basic"]}))
    config.rule("nobody", "deny")
    config.write()
    for count in (1, 2):
        p.proc.send(signal.SIGHUP)
        wait_until("it is refused", lambda: p.errors().count("event=reload_refused") == count, 5 * w.patience)
        assert not can_connect("10.99.0.1", 3130)
        for _ in range(12):                # whichever worker takes it
            passed(ask(w, auth=BOB))
    assert p.descriptors("socket") <= sockets + 2, "sockets of the refused listener stay"
    os.unlink(short)
    p.proc.send(signal.SIGHUP)
    p.log_says("event=reloaded")
    for _ in range(12):
        own(ask(w, auth=BOB), 403, "denied")
        with w.wire(port=3130) as c:
            own(c.ask("GET", ECHO, auth=ALICE), 403, "denied")


def test_backends_come_and_go(w):
    p = w.start()
    robot = basic("robot", "Robot-Pass-97")

    def reload(count):
        p.config.write()
        p.proc.send(signal.SIGHUP)
        wait_until("it is reloaded", lambda: p.errors().count("event=reloaded") == count, 5 * w.patience)
    with w.wire() as c:
        own(c.ask("GET", ECHO, auth=robot), 407, "bad_credentials")
        p.config.backends["local"] = {"plugin": "file", "path": "../users.htpasswd"}
        p.config.file("users.htpasswd", hashed("robot", "Robot-Pass-97"))
        p.config.auth["basic"] = ["corp-ldap", "local"]
        reload(1)
        passed(c.ask("GET", ECHO, auth=robot))
        passed(c.ask("GET", ECHO, auth=ALICE))
        del p.config.backends["corp-ldap"]
        p.config.auth["basic"] = ["local"]
        p.config.backends["corp-krb5"] = w.krb5_backend(groups_from="")
        reload(2)
        passed(c.ask("GET", ECHO, auth=robot))
        own(c.ask("GET", ECHO, auth=ALICE), 407, "bad_credentials")
        del p.config.backends["local"]
        p.config.auth.update(basic=[])
        p.config.listens[0][1].update(offer=["negotiate"])
        reload(3)
        challenged(c.ask("GET", ECHO, auth=robot), "Negotiate")


def test_what_needs_a_restart_is_named(w):
    p = w.start()
    p.config.top.update(workers=3, user="nobody")
    p.config.log["format"] = "squid"
    p.config.auth["realm"] = "Renamed Proxy"
    path = p.config.write()
    status, out, err = w.command("ctl", "-c", path, "reload")
    assert status == 0, (status, out, err)
    for block, key in (("top", "workers"), ("top", "user"), ("log", "format")):
        p.log_says("event=restart_needed block=%s key=%s " % (block, key))
        assert "needs a restart: %s of %s\n" % (key, block) in out, out
    assert "realm" not in out and out.count("needs a restart") == 3, out
    p.log_says("event=reloaded")
    assert 'realm="Renamed Proxy"' in challenged(ask(w)).challenges[1]


def test_a_listener_that_stays_takes_up_the_new_deadline_for_greetings(w):
    config = w.config()
    config.listens[0][1]["proxy_protocol_from"] = ["10.99.0.0/16"]
    config.limits = {"client_header_timeout": "1h"}
    p = w.start(config)
    config.limits["client_header_timeout"] = "1s"
    config.write()
    assert w.command("ctl", "-c", p.path, "reload") == (0, "reloaded\n", "")
    with w.wire() as c:                    # and says nothing
        closed(c, 10 * w.patience)


def test_ctl_reload_answers_when_every_worker_has_taken_it_up(w):
    config = w.config()
    config.top["workers"] = 4
    p = w.start(config)
    for round in range(12):
        p.config.rules.clear()
        p.config.rule("turn", "deny" if round % 2 == 0 else "allow")
        p.config.write()
        assert w.command("ctl", "-c", p.path, "reload") == (0, "reloaded\n", "")
        for _ in range(8):                 # whichever worker takes it
            if round % 2 == 0:
                own(ask(w, auth=ALICE), 403, "denied")
            else:
                passed(ask(w, auth=ALICE))
    good, refused = p.config.top, 0
    for top, secret, listen, words in (({"no_such_key": 1}, "x", "10.99.0.1:3129", "no_such_key"), ({}, "", "10.99.0.1:3129", "ldap.secret is empty"),
                                       ({}, "x", "nowhere", "nowhere")):
        p.config.top = dict(good, **top)
        p.config.file("ldap.secret", secret)
        p.config.listens[1:] = [(listen, {})]
        p.config.write()
        code, out, err = w.command("ctl", "-c", p.path, "reload")
        assert code == 1 and out == "" and err.startswith("refused, and nothing has changed:\n"), (code, out, err)
        assert re.search(r"^/\S+\.conf:\d+: .*" + words, err, re.M), err
        refused += 1
        found = families(p.metrics())
        assert value(found, "sallyport_config_last_reload_successful") == 0 and value(found, "sallyport_reloads_total", result="refused") == refused
    passed(ask(w, auth=ALICE))


def test_a_reload_ends_the_verdicts_of_what_changed_and_no_others(w):
    config = w.config()
    config.backends["local"] = {"plugin": "file", "path": "../users.htpasswd"}
    config.file("users.htpasswd", hashed("robot", "Robot-Pass-97") + hashed("printer", "Printer-Pass-97"))
    config.auth["basic"] = ["local", "corp-ldap"]
    p = w.start(config)
    robot = basic("robot", "Robot-Pass-97")

    def reload(ended):
        config.write()
        reloads, count = (p.errors().count("event=" + event) for event in ("reloaded", "verdicts_ended"))
        assert w.command("ctl", "-c", p.path, "reload") == (0, "reloaded\n", "")
        wait_until("the log has all of this reload", lambda: p.errors().count("event=reloaded") > reloads)
        assert p.errors().count("event=verdicts_ended") == count + len(ended), p.errors()[-500:]
        for name in ended:
            p.log_says('event=verdicts_ended backend="%s"' % name)

    def asked(auth, how, user):
        passed(ask(w, auth=auth))
        p.last(status=200, user=user, auth=how)
    asked(ALICE, "directory", "alice")
    asked(robot, "directory", "robot")
    config.rule("all", "allow")
    config.backends["corp-ldap"].update(connections=4, timeout="4s", connect_timeout="2s", idle_timeout="9m")
    reload([])                             # what only tunes a backend makes nobody log in again
    asked(ALICE, "cache", "alice")
    asked(robot, "cache", "robot")
    config.backends["corp-ldap"]["filter"] = "(&(uid=%u)(!(uid=alice)))"
    reload(["corp-ldap"])
    challenged(ask(w, auth=ALICE), "Negotiate", "Basic")
    asked(robot, "cache", "robot")
    config.backends["corp-ldap"]["filter"] = "(uid=%u)"
    reload(["corp-ldap"])
    asked(ALICE, "directory", "alice")     # nor is the refusal kept
    config.backends["corp-ldap"]["uris"] = [w.ldap_url(w.dc2)]
    reload(["corp-ldap"])
    binds = w.ldap.binds("alice", w.dc2)
    asked(ALICE, "directory", "alice")
    assert w.ldap.binds("alice", w.dc2) == binds + 1, "the server that is asked now has not said so"
    os.utime(w.ca)
    reload([])                             # the same in its place
    with open(w.ca) as f:
        config.file("other-ca.pem", f.read() + "# and no other\n")
    config.backends["corp-ldap"]["tls_ca"] = "../other-ca.pem"
    reload(["corp-ldap"])
    asked(ALICE, "directory", "alice")
    with open(w.ca) as f:
        config.file("other-ca.pem", f.read())
    reload(["corp-ldap"])                  # who says which server is the directory may be another
    asked(ALICE, "directory", "alice")


def test_a_person_taken_out_of_a_watched_file_is_refused_at_once(w):
    config = w.config()
    config.backends["local"] = {"plugin": "file", "path": "../users.htpasswd"}
    config.file("users.htpasswd", hashed("robot", "Robot-Pass-97") + hashed("printer", "Printer-Pass-97"))
    config.auth.update(basic=["local"], negotiate=[])
    config.listens[0][1].update(offer=["basic"])
    p = w.start(config)
    passed(ask(w, auth=basic("robot", "Robot-Pass-97")))
    config.file("users.htpasswd", hashed("printer", "Printer-Pass-97")).write()
    p.log_says("event=users_taken_up", 10)
    wait_until("it is refused", lambda: ask(w, auth=basic("robot", "Robot-Pass-97")).status == 407, 5 * w.patience)


def test_a_reload_asks_connections_for_another_ticket_where_tickets_are_judged_otherwise(w):
    config = w.config()
    p = w.start(config)
    with w.wire() as c, w.wire() as other:
        for wire in (c, other):
            passed(wire.ask("GET", ECHO, auth=w.initiator("alice").value()))
        config.rule("all", "allow")
        config.write()
        assert w.command("ctl", "-c", p.path, "reload") == (0, "reloaded\n", "")
        passed(c.ask("GET", ECHO))
        p.last(user="alice", auth="connection")
        config.backends["corp-krb5"]["realms"] = ["ELSEWHERE.TEST"]
        config.write()
        assert w.command("ctl", "-c", p.path, "reload") == (0, "reloaded\n", "")
        challenged(c.ask("GET", ECHO))
        own(c.ask("GET", ECHO, auth=w.initiator("alice").value()), 403, "denied")
        own(other.ask("GET", ECHO, auth=w.initiator("alice").value()), 403, "denied")
