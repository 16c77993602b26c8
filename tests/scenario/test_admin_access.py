"""Who may ask: the control socket answers root and the proxy's own user, the pages whom the configuration names."""

import contextlib
import os
import re
import socket
import subprocess

from common import ALICE, ask, own, passed

NOBODY = 65534
OTHER = "10.99.0.2"                        # an address that is not the listener's


def get(where, source=None, host=None, path="/metrics"):
    """(status, body) as curl had it."""
    words = ["curl", "-sS", "--noproxy", "*", "--max-time", "10", "-w", "\n%{http_code}"]
    words += (["--interface", source] if source else []) + (["-H", "Host: " + host] if host else [])
    done = subprocess.run(words + ["http://%s%s" % (where, path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    body, _, status = done.stdout.decode().rpartition("\n")
    return int(status), body


def answered(*words, **more):
    status, body = get(*words, **more)
    assert status == 200 and "sallyport_build_info" in body, (status, body[:300])


def refused(words, *more, **keys):
    status, body = get(*more, **keys)
    assert status == 403 and words in body and "sallyport_" not in body, (status, body[:300])


def start(w, http, *named):
    config = w.config()
    config.admin["http"] = http
    if named:
        config.admin["http_from"] = list(named)
    return w.start(config)


def test_an_address_that_is_written_names_whoever_reaches_it(w):
    p = start(w, w.proxy_address + ":3180")
    p.log_says("event=admin_exposed")
    answered(w.proxy_address + ":3180")
    answered(w.proxy_address + ":3180", source=OTHER)
    answered(w.proxy_address + ":3180", source=OTHER, host="proxy.corp.test:3180")     # as Prometheus has it


def test_a_wildcard_names_nobody(w):
    for wildcard in ("0.0.0.0:3180", "[::]:3180"):
        p = start(w, wildcard)
        p.log_says("event=admin_unnamed")
        answered("127.0.0.1:3180")
        answered(w.proxy_address + ":3180", source=w.proxy_address)
        refused("admin.http_from", w.proxy_address + ":3180", source=OTHER)
        refused("admin.http_from", w.proxy_address + ":3180", source=OTHER, path="/")
        assert p.stop() == 0


def test_networks_that_are_named_are_answered_and_no_others(w):
    p = start(w, "0.0.0.0:3180", OTHER, "10.99.9.0/24")
    p.log_says("event=admin_exposed")
    answered("127.0.0.1:3180")
    answered(w.proxy_address + ":3180", source=OTHER)
    refused("admin.http_from", w.proxy_address + ":3180", source="10.99.0.3")
    assert p.stop() == 0
    p = start(w, w.proxy_address + ":3180", OTHER)
    answered(w.proxy_address + ":3180", source=OTHER)
    refused("admin.http_from", w.proxy_address + ":3180", source="10.99.0.3")
    # that a reload does not take it up is told
    p.config.admin["http_from"] = ["10.99.0.3"]
    p.config.write()
    assert w.command("ctl", "-c", p.path, "reload")[0] == 0
    p.log_says("event=restart_needed block=admin key=http_from")


def test_the_proxy_is_no_way_to_its_own_pages(w):
    """Through it they would be asked for by the proxy's own address, which is answered; not even a rule opens that way."""
    config = w.config()
    config.rule("there", to=["10.99.0.0/16", "127.0.0.0/8"], ports=["3180"], users=["alice"])
    for http in (w.proxy_address + ":3180", "0.0.0.0:3180", "127.0.0.1:3180"):
        config.admin.update(http=http, http_from=["10.99.0.9"])
        p = w.start(config)
        targets = ["127.0.0.1"] if http.startswith("127") else [w.proxy_address, w.proxy_host]
        for target in targets + (["127.0.0.1", "0.0.0.0"] if http.startswith("0") else []):
            own(ask(w, "http://%s:3180/metrics" % target, auth=ALICE), 403, "denied")
            own(ask(w, "%s:3180" % target, method="CONNECT", auth=ALICE), 403, "denied")
        assert p.stop() == 0
        w._proxies.remove(p)


def test_nor_is_it_after_a_reload_that_names_another_address(w):
    """Only a restart takes that one up: until then the pages are where they were."""
    config = w.config()
    config.rule("there", to=["10.99.0.0/16"], ports=["3180", "3181"], users=["alice"])
    config.admin["http"] = w.proxy_address + ":3180"
    p = w.start(config)
    config.admin["http"] = w.proxy_address + ":3181"
    config.write()
    assert w.command("ctl", "-c", p.path, "reload")[0] == 0
    p.log_says("event=restart_needed block=admin key=http ")
    p.log_says("event=reloaded")
    answered(w.proxy_address + ":3180")
    own(ask(w, "http://%s:3180/metrics" % w.proxy_address, auth=ALICE), 403, "denied")


def test_what_is_no_network_is_a_fault(w):
    config = w.config()
    config.admin["http_from"] = ["10.0.0.0/8", "prometheus.corp.test"]
    code, out, err = w.command("check", "-c", config.write())
    assert code == 1 and re.search(r"sallyport\.conf:\d+: .*prometheus\.corp\.test.*is not a network", out + err), out + err


def test_a_page_whose_name_leads_to_loopback_reads_nothing(w):
    start(w, "127.0.0.1:3180")
    answered("127.0.0.1:3180")
    answered("localhost:3180")
    refused("as localhost", "127.0.0.1:3180", host="evil.example")


def test_a_flood_of_strangers_leaves_room_for_who_may_ask(w):
    """They hold their connections open as long as they may; the pages and `ctl` are there for others meanwhile."""
    p = start(w, "0.0.0.0:3180", "10.99.0.3")
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            s = stack.enter_context(socket.create_connection((w.proxy_address, 3180), 10, (OTHER, 0)))
            with contextlib.suppress(OSError):
                s.sendall(b"GET / HTTP/1.1\r\nX: ")
        answered("127.0.0.1:3180")
        answered(w.proxy_address + ":3180", source="10.99.0.3")
        for _ in range(100):               # and now whoever may ask
            stack.enter_context(socket.create_connection(("127.0.0.1", 3180), 10))
        code, out, err = w.command("ctl", "-c", p.path, "stats")
        assert code == 0 and "sallyport_requests_total" in out, err


def test_the_control_socket_turns_others_away_and_says_why(w):
    p = w.start()
    passed(ask(w, auth=ALICE))
    os.chmod(w.folder, 0o711)
    os.chmod(p.config.admin["socket"], 0o666)        # as on a file system that keeps no modes
    own = os.path.join(p.folder, "ctl.conf")
    with open(own, "w") as f:
        f.write('listen "127.0.0.1:1" {}\nadmin { socket = "%s" }\n' % p.config.admin["socket"])
    os.chmod(own, 0o644)
    code, out, err = w.command("ctl", "-c", own, "stats")
    assert code == 0 and "sallyport_requests_total" in out, err
    for _ in range(20):                              # whichever comes first, the question or the refusal
        asked = subprocess.run(["setpriv", "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY, "--clear-groups", "--",
                                w.binary, "ctl", "-c", own, "stats"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=w.environment())
        said = (asked.stdout + asked.stderr).decode()
        assert asked.returncode == 1 and "you are uid %d" % NOBODY in said and "sallyport_requests" not in said, said
        assert "reset" not in said and "Broken pipe" not in said, said
    p.log_says("event=control_refused uid=%d" % NOBODY)
