"""What a load balancer and an init system are told: /readyz while no backend can answer, and again by itself when one can;
/healthz while a loop does not turn."""

import contextlib
import os
import signal
import socket
import subprocess
import threading

from common import ALICE, ECHO, ask, basic, own, passed, request
from sp_rig.directory import SERVICE_PASSWORD
from sp_rig.procs import wait_until
from test_connect import tunnel

HERE = os.path.dirname(os.path.abspath(__file__))
INCLUDE = os.path.join(HERE, "..", "..", "include")


def page(p, path):
    """(status, text) of a page of the admin listener."""
    done = subprocess.run(["curl", "-sS", "--max-time", "5", "-w", "\n%{http_code}", "http://%s%s" % (p.config.admin["http"], path)],
                          stdout=subprocess.PIPE, check=True)
    text, _, status = done.stdout.decode("utf-8").rpartition("\n")
    return int(status), text


def ready(p):
    return page(p, "/readyz")[0] == 200


def becomes(p, what, is_ready):
    wait_until(what, lambda: ready(p) is is_ready, 30 * p.patience)


def slow_to_log_in(w, **changes):
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(timeout="1s", connect_timeout="1s", **changes)
    return config


def test_without_any_directory_it_is_not_ready_and_comes_back_by_itself(w):
    p = w.start(slow_to_log_in(w))
    assert ready(p) and page(p, "/healthz") == (200, "ok\n")
    w.dc1.stop()
    w.dc2.stop()
    own(ask(w, auth=ALICE), 503, "directory_unavailable")
    becomes(p, "it is not ready", False)
    status, text = page(p, "/readyz")
    assert status == 503 and text.startswith("not ready\nno backend can answer\n"), text
    assert "corp-ldap cannot answer\n  ldaps://dc1.corp.test:636: " in text and "ldaps://dc2.corp.test:636: " in text, text
    assert "corp-krb5 cannot answer without groups from corp-ldap" in text, text
    p.log_says("event=no_backend_answers")
    p.status_says("Serving with 1 worker; no backend answers")
    assert page(p, "/healthz")[0] == 200      # it is alive: a restart would not help
    w.dc2.start()                             # and nobody asks anything meanwhile
    becomes(p, "it is ready again", True)
    p.log_says("event=backends_answer")
    p.status_says("Serving with 1 worker")
    passed(ask(w, auth=ALICE))


class Hung:
    """Directories that take connections and never say a word; how many are open at once, and who has been asked."""

    def __init__(self, count):
        self.listeners = [socket.create_server(("10.99.0.3", 0)) for _ in range(count)]
        self.most, self.asked, self._open, self._lock = 0, set(), 0, threading.Lock()
        for n in range(count):
            threading.Thread(target=self._accept, args=(n,), daemon=True).start()

    def uri(self, n):
        return "ldap://10.99.0.3:%d" % self.listeners[n].getsockname()[1]

    def _accept(self, n):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._hold, args=(n, self.listeners[n].accept()[0]), daemon=True).start()

    def _hold(self, n, c):
        with self._lock:
            self._open += 1
            self.most = max(self.most, self._open)
            self.asked.add(n)
        with c:
            with contextlib.suppress(OSError):
                while c.recv(4096):
                    pass
            with self._lock:
                self._open -= 1

    def close(self):
        for s in self.listeners:
            s.shutdown(socket.SHUT_RDWR)
            s.close()


def test_servers_that_hang_leave_threads_to_logins(w):
    """Each look waits out its time limit on a thread of the pool, where logins of other backends work as well."""
    config = w.config()
    with contextlib.closing(Hung(6)) as hung:
        for n in range(6):
            config.backends["hung-%d" % n] = w.ldap_backend(uris=[hung.uri(n)], allow_clear=True, timeout="1s", connect_timeout="1s")
            config.auth["basic"].append("hung-%d" % n)
        w.start(config)
        wait_until("each has been looked at", lambda: len(hung.asked) == 6, 30 * w.patience)
        assert hung.most <= 3, "%d looks at once" % hung.most       # two, and one whose end we have not seen
        passed(ask(w, auth=ALICE))


def test_it_notices_without_a_request(w):
    w.dc1.stop()
    w.dc2.hang()
    p = w.start(slow_to_log_in(w))
    becomes(p, "it is not ready", False)
    assert "ldaps://dc2.corp.test:636: " in page(p, "/readyz")[1]
    w.dc2.wake()
    becomes(p, "it is ready", True)


def test_one_server_is_enough(w):
    w.dc1.stop()
    p = w.start(slow_to_log_in(w))
    passed(ask(w, auth=ALICE))
    assert ready(p)


def test_a_backend_that_asks_nobody_is_enough(w):
    config = w.config()
    config.auth = {"realm": "x", "negotiate": ["corp-krb5"]}
    config.backends = {"corp-krb5": w.krb5_backend(groups_from="")}
    config.listens[0][1]["offer"] = ["negotiate"]
    w.dc1.stop()
    w.dc2.stop()
    p = w.start(config)
    passed(ask(w, auth=w.initiator("alice").value()))
    assert ready(p), page(p, "/readyz")


def test_a_refused_service_identity_is_not_ready_until_it_is_taken(w):
    config = slow_to_log_in(w).file("ldap.secret", "wrong\n")
    p = w.start(config)
    own(ask(w, auth=ALICE), 503, "directory_unavailable")
    becomes(p, "it is not ready", False)
    assert "service identity" in page(p, "/readyz")[1] or "invalid" in page(p, "/readyz")[1].lower(), page(p, "/readyz")
    config.file("ldap.secret", SERVICE_PASSWORD + "\n").write()
    assert w.command("ctl", "-c", p.path, "reload")[0] == 0
    becomes(p, "it is ready", True)
    passed(ask(w, auth=ALICE))


def test_a_drain_is_not_ready(w):
    config = w.config()
    config.top["shutdown_timeout"] = "60s"
    p = w.start(config)
    with tunnel(w):
        p.proc.send(signal.SIGTERM)
        becomes(p, "it drains", False)
        assert page(p, "/readyz") == (503, "not ready\ndraining: nothing new is accepted\n")
        assert page(p, "/healthz")[0] == 200


def test_a_hung_directory_delays_no_end(w):
    w.dc1.hang()
    w.dc2.hang()
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(timeout="60s", connect_timeout="60s")
    p = w.start(config)
    p.stop(seconds=10 * w.patience)
    w._proxies.remove(p)


def test_a_loop_that_does_not_turn_is_told(w):
    config = w.config()
    plugins = os.path.join(config.folder, "plugins")
    os.makedirs(plugins)
    subprocess.run(["cc", "-shared", "-fPIC", "-I", INCLUDE, "-o", os.path.join(plugins, "stuck.so"), os.path.join(HERE, "stuck.c")], check=True)
    config.top.update(workers=2, plugin_dir=plugins)
    config.auth = {"realm": "x", "basic": ["stuck"]}
    config.backends = {"stuck": {"plugin": "stuck"}}
    config.listens[0][1]["offer"] = ["basic"]
    p = w.start(config)
    assert page(p, "/healthz") == (200, "ok\n")
    with w.wire() as c:
        c.send(request("GET", ECHO, auth=basic("alice", "x")))
        wait_until("it is told", lambda: page(p, "/healthz")[0] == 503, 20 * w.patience)
        text = page(p, "/healthz")[1]
        assert text in ("not ok\nworker %d has not turned its loop for %d s\n" % (n, s) for n in (0, 1) for s in range(5, 9)), text
        wait_until("it is well again", lambda: page(p, "/healthz") == (200, "ok\n"), 20 * w.patience)
