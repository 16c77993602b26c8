"""The soak's faults: one after another in an order that a seed gives, each with what it may cause, and over only when the
proxy has been seen to serve again."""

import os
import random
import resource
import signal
import threading
import time

from .directory import PEOPLE
from .held import control
from .procs import RigError, wait_until
from .wire import Gone, basic

UNAVAILABLE = {"503 directory_unavailable"}
BROKEN = {"502 upstream", "gone", "no answer"}
SHORT = {"503 overloaded", "503 directory_unavailable", "502 connect_failed", "502 dns", "502 upstream", "504 timeout", "gone", "refused", "no answer"}
NAMELESS = {"502 dns", "504 timeout"}
NO_ORIGIN = {"502 connect_failed", "502 upstream", "504 timeout", "gone"}
SECONDS_TO_RECOVER = 75                    # a directory's breaker waits a minute and some at most


class Window:
    """From a fault's beginning until the proxy was seen to serve again."""

    def __init__(self, name, allows):
        self.name, self.allows, self.begun, self.ended, self.recovered = name, allows, time.monotonic(), None, None

    def explains(self, deed, outcome):
        """Where a request may be refused, an upload may end without the answer being read: what is left of a body is read up to
        1 MiB, and then the connection closes under a client that goes on sending."""
        return outcome in self.allows or (deed == "upload" and outcome == "gone" and bool(self.allows))

    def covers(self, begun, ended):
        return begun <= (self.ended or ended) and ended >= self.begun


class Weather:
    """Makes faults until it is told to stop. `windows`: those that were; `faults`: what went wrong beyond them."""

    def __init__(self, world, proxy, seed, log_folder, pause=(2.0, 8.0)):
        self.w, self.p, self.random, self.log_folder, self.pause = world, proxy, random.Random(seed), log_folder, pause
        self.windows, self.faults, self.stop = [], [], threading.Event()
        self.kinds = [(self.one_directory_stopped, set()), (self.one_directory_hangs, set()), (self.one_directory_killed, set()),
                      (self.both_directories_hang, UNAVAILABLE), (self.both_directories_killed, UNAVAILABLE),
                      (self.origin_cuts, BROKEN), (self.names_are_silent, NAMELESS), (self.names_fail, NAMELESS), (self.web_server_killed, NO_ORIGIN),
                      (self.kdc_killed, set()), (self.kdc_hangs, set()), (self.reload, set()), (self.reload_of_garbage, set()), (self.rotation, set()), (self.log_disk_full, set()), (self.descriptors_short, SHORT),
                      (self.everything_forgotten, set())]
        for user in ("alice", "bob"):      # whose tickets are in hand before a KDC is gone
            world.initiator(user).value()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        order = []
        while not self.stop.wait(self.random.uniform(*self.pause)):
            if not order:                  # each of them once, then all anew in another order
                order = list(self.kinds)
                self.random.shuffle(order)
            fault, allows = order.pop()
            window = Window(fault.__name__.replace("_", " "), allows)
            self.windows.append(window)
            try:
                fault()
                begun = time.monotonic()
                self._recovers()
                window.recovered = time.monotonic() - begun
            except (RigError, AssertionError, OSError) as error:
                self.faults.append("%s: %s" % (window.name, error))
            window.ended = time.monotonic()

    def _serves(self):
        """A login that the directory is asked about, both origins, a tunnel; so often that hardly a worker was not asked."""
        auth = basic("carol", PEOPLE["carol"])
        try:
            for _ in range(12):
                control(self.p, "flush carol")
                with self.w.wire(seconds=10.0) as c:
                    if not (c.ask("GET", "http://odd.corp.test/echo", auth=auth).status == 200 and
                            c.ask("GET", "http://origin.corp.test/", auth=auth).status == 200 and
                            c.ask("CONNECT", "odd.corp.test:443", auth=auth).status == 200):
                        return False
            return True
        except (Gone, OSError):
            return False

    def _recovers(self):
        wait_until("it serves again", self._serves, SECONDS_TO_RECOVER, every=0.25)

    def _lasts(self, least=1.0, most=4.0):
        self.stop.wait(self.random.uniform(least, most))

    # ---- directories ----

    def _one(self):
        return self.random.choice((self.w.dc1, self.w.dc2))

    def _stopped(self, servers, number):
        for server in servers:
            server.proc.stop(number, 5)
        self._lasts()
        for server in servers:
            server.start()

    def _hung(self, servers):
        for server in servers:
            server.hang()
        self._lasts()
        for server in servers:
            server.wake()

    def one_directory_stopped(self):
        self._stopped([self._one()], signal.SIGTERM)

    def one_directory_killed(self):
        self._stopped([self._one()], signal.SIGKILL)

    def one_directory_hangs(self):
        self._hung([self._one()])

    def both_directories_hang(self):
        self._hung([self.w.dc1, self.w.dc2])

    def both_directories_killed(self):
        self._stopped([self.w.dc1, self.w.dc2], signal.SIGKILL)

    # ---- the KDC: nobody needs it who has a ticket already ----

    def kdc_killed(self):
        self.w.realm.proc.stop(signal.SIGKILL, 5)
        self._lasts()
        self.w.realm.start()

    def kdc_hangs(self):
        self.w.realm.hang()
        self._lasts()
        self.w.realm.wake()

    # ---- origins and names ----

    def origin_cuts(self):
        """Of what the odd origin sends, every second piece breaks off somewhere."""
        chance = random.Random(self.random.random())
        self.w.odd.cut = lambda: (chance.randrange(3000), chance.random() < 0.5) if chance.random() < 0.5 else None
        self._lasts()
        self.w.odd.cut = lambda: None

    def web_server_killed(self):
        self.w.origin.proc.stop(signal.SIGKILL, 5)
        self._lasts()
        self.w.origin.start()

    def names_are_silent(self):
        self.w.names.silent.add("odd.corp.test")
        self._lasts()
        self.w.names.silent.clear()

    def names_fail(self):
        self.w.names.failing.add("odd.corp.test")
        self._lasts()
        self.w.names.failing.clear()

    # ---- the process ----

    def _log_grows(self, words, do):
        seen = self.p.errors().count(words)
        do()
        wait_until("the log says %s" % words, lambda: self.p.errors().count(words) > seen, 20)

    def reload(self):
        self.p.config.auth["realm"] = "Realm %d" % self.random.randrange(1000)
        self.p.config.write()
        self._log_grows("event=reloaded", lambda: self.p.proc.send(signal.SIGHUP))

    def reload_of_garbage(self):
        with open(self.p.path, "a") as f:
            f.write("nonsense = {\n")
        self._log_grows("event=reload_refused", lambda: self.p.proc.send(signal.SIGHUP))
        self.p.config.write()

    def rotation(self):
        path = self.p.config.log["access"]
        os.replace(path, path + ".1")
        self.p.proc.send(signal.SIGUSR1)
        wait_until("the log is opened anew", lambda: os.path.exists(path), 20)

    def log_disk_full(self):
        filling = os.path.join(self.log_folder, "filling")
        try:
            with open(filling, "wb", buffering=0) as f:
                while f.write(bytes(65536)):
                    pass
        except OSError:
            pass                           # no space left on device
        self._lasts()
        os.unlink(filling)

    def descriptors_short(self):
        pid = self.p.proc.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir("/proc/%d/fd" % pid)) + 3, hard))
        self._lasts(0.5, 2.0)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))

    def everything_forgotten(self):
        control(self.p, "flush")
