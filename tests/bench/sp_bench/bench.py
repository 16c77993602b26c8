"""The bench: the rig's world, what is started on demand for the scenarios, and the rounds."""

import os
import resource
import statistics
import subprocess
import time

from sp_rig.directory import PEOPLE
from sp_rig.world import World

from . import sides
from .measure import Load, cpu_seconds, wrk

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Result:
    """What one side gave in a scenario, round by round: a value in the scenario's unit, CPU time, and perhaps more."""

    def __init__(self, name):
        self.name, self.values, self.cpus, self.extra, self.errors = name, [], [], [], 0

    def add(self, value, cpu=None, errors=0, **extra):
        self.values.append(value)
        if cpu is not None:
            self.cpus.append(cpu)
        self.extra.append(extra)
        self.errors += errors

    @property
    def value(self):
        return statistics.median(self.values)

    @property
    def cpu(self):
        return statistics.median(self.cpus) if self.cpus else None

    def median(self, key):
        known = [e[key] for e in self.extra if e.get(key) is not None]
        return statistics.median(known) if known else None


class Bench:
    def __init__(self, options):
        self.options = options
        self.rounds, self.seconds, self.smoke = options.rounds, options.seconds, options.smoke
        self.load = Load(options.build)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.files = min(hard, 65536)
        for name, value in (("net.ipv4.ip_local_port_range", "10000 65535"), ("net.ipv4.tcp_tw_reuse", "1"), ("net.core.somaxconn", "16384")):
            subprocess.run(["sysctl", "-q", "-w", "%s=%s" % (name, value)], stderr=subprocess.DEVNULL)   # the namespace's own
        self.world = World(options.build)
        os.chmod(self.world.folder, 0o755)          # squid's helpers run as another user
        self.sallyports = sides.Sallyports(self.world)
        self._started, self._count, self._people, self._origin = [], 0, None, None
        self.peers = not options.no_peers
        self.squid = self.peers and sides.have(sides.SQUID)
        self.haproxy = self.peers and sides.have(sides.HAPROXY)
        self.apache = self.peers and sides.have(sides.APACHE)
        self.apache_gssapi = self.apache and os.path.exists(sides.APACHE_MODULES + "/mod_auth_gssapi.so")
        self.wrk = sides.have("wrk")

    # ---- what scenarios ask for ----

    def folder(self, name):
        self._count += 1
        return os.path.join(self.world.folder, "bench-%d-%s" % (self._count, name))

    @property
    def origin(self):
        if self._origin is None:
            self._origin = sides.Origin(self.folder("origin"), self.files)
        return self._origin

    @property
    def people(self):
        if self._people is None:
            self._people = sides.People(self.folder("people"), 2000 if self.smoke else 100000)
        return self._people

    def credentials(self, count, first=0):
        return self.people.file(self.folder("credentials"), min(count, self.people.count - first), first)

    def one_credential(self):
        return sides.write(self.folder("credential"), sides.basic(sides.USER, PEOPLE[sides.USER]) + "\n")

    def keep(self, side):
        self._started.append(side)
        return side

    def start_squid(self, auth):
        return [self.keep(sides.start_squid(self.folder("squid"), auth, self.files, self.world.environment()))] if self.squid else []

    def start_haproxy(self):
        w = self.world
        return [self.keep(sides.start_haproxy(self.folder("haproxy"), self.origin.address, w.certificate, w.key, self.files))] if self.haproxy else []

    def start_apache(self, auth, stock=False):
        """One that is tuned, and where `stock`, one as Debian ships it beside it."""
        return [self.keep(sides.start_apache(self.folder("apache"), auth, self.origin.address, self.world.environment(), shipped))
                for shipped in ((False, True) if stock else (False,))] if self.apache else []

    def start_sallyport(self, config, name="sallyport"):
        return self.keep(self.sallyports.start(config, name))

    def start_relay(self, ms):
        return self.keep(sides.Relay(self.load.program("relay"), self.world.folder, self.people.address, ms))

    def straight(self):
        return sides.Side("no proxy", self.origin.address)

    def usual(self, haproxy=True, apache=True):
        """The five of most scenarios, all knowing one user, sallyport last."""
        url = self.world.ldap_url(self.world.dc1, "ldap")
        return ([self.straight()] + (self.start_haproxy() if haproxy else []) + self.start_squid(sides.squid_ldap(url)) +
                (self.start_apache(sides.apache_ldap(url)) if apache else []) + [self.start_sallyport(self.sallyports.config())])

    def tokens(self, count):
        """A file of fresh Negotiate tokens."""
        path = self.folder("tokens")
        with open(path, "wb") as f:
            subprocess.run([self.load.program("tokens"), "make", "HTTP@" + self.world.proxy_host, str(count)], stdout=f, check=True, timeout=120,
                           env=self.world.realm.environment("alice"))
        return path

    # ---- measuring ----

    def run_wrk(self, side, path, connections):
        if not self.wrk:
            auth = ("-A", self.one_credential()) if side.pid else ()
            r = self.per_exchange(side, "-k", "-c", connections, "-u", self.origin.url(path), *auth)
            return {key: r[key] for key in ("value", "cpu", "errors")}
        env = {"ORIGIN": self.origin.address, "TARGET": self.origin.url(path) if side.pid else path,
               "CREDENTIAL": sides.basic(sides.USER, PEOPLE[sides.USER])[6:] if side.pid else ""}
        before = cpu_seconds(side.pid) if side.pid else 0
        done, took, errors = wrk(side.address, self.seconds, connections, os.path.join(HERE, "absolute.lua"), env)
        used = cpu_seconds(side.pid) - before if side.pid else 0
        return {"value": done / took, "cpu": used / done * 1e6 if side.pid and done else None, "errors": errors + (done == 0)}

    def run_load(self, side, *words, address=None, seconds=None):
        """The generator's report, with the proxy's CPU seconds as `used`."""
        before = cpu_seconds(side.pid) if side.pid else 0
        report = self.load.run(address or side.address, seconds or self.seconds, "-H", self.origin.address, *words)
        report["used"] = cpu_seconds(side.pid) - before if side.pid else None
        report["errors"] = report["failed"] + report["stalled"] + (report["done"] == 0)
        if report["errors"]:
            print("   %s: %s" % (side.name, report), flush=True)
        return report

    def per_exchange(self, side, *words, **more):
        r = self.run_load(side, *words, **more)
        return {"value": r["done"] / r["seconds"], "cpu": r["used"] / r["done"] * 1e6 if r["used"] is not None and r["done"] else None,
                "errors": r["errors"], "p50": r["p50_us"], "p99": r["p99_us"], "done": r["done"]}

    def once_they_stand(self, side, connections, *words):
        """Requests a second and CPU a request of a window in which all connections stand, sampled at its two ends while the load
        runs on; and, as `whole`, CPU a request from the first connection to the window's end."""
        lead = 0.5 if self.smoke else 1.5
        before = cpu_seconds(side.pid)
        with self.load.start(side.address, lead + self.seconds + 1, "-H", self.origin.address, "-c", connections, "-w",
                             "%s:%s" % (lead, self.seconds), *words) as load:
            begin, used = self.load.mark(load), cpu_seconds(side.pid)
            end, used_then = self.load.mark(load), cpu_seconds(side.pid)
            report = self.load.report(load.stdout.read())
        done = end["done"] - begin["done"]
        lost = sum(connections - each["standing"] for each in (begin, end))
        return {"value": done / (end["at"] - begin["at"]), "cpu": (used_then - used) / done * 1e6 if done else None,
                "whole": (used_then - before) / end["done"] * 1e6 if end["done"] else None,
                "errors": report["failed"] + report["stalled"] + lost + (done == 0)}

    def per_byte(self, side, *words, **more):
        """Gbit/s, and CPU seconds a gigabyte."""
        r = self.run_load(side, *words, **more)
        return {"value": r["bytes"] * 8 / r["seconds"] / 1e9, "cpu": r["used"] / (r["bytes"] / 1e9) if r["used"] is not None and r["bytes"] else None,
                "errors": r["failed"] + (r["bytes"] == 0)}

    def rounds_of(self, scenario):
        """Interleaved: each round has every side once. The first, short, is not counted."""
        parts = scenario.prepare(self)
        results = [Result(side.name) for side in parts]
        if scenario.warm and not self.smoke:
            seconds, self.seconds = self.seconds, 1
            for side in parts:
                scenario.measure(self, side, -1)
            self.seconds = seconds
        for number in range(1 if self.smoke else min(max(self.rounds, scenario.rounds_min), scenario.rounds_max)):
            for side, result in zip(parts, results):
                result.add(**scenario.measure(self, side, number))
            print("   round %d: %s" % (number + 1, ", ".join("%s %s" % (r.name, scenario.short(r.values[-1])) for r in results)), flush=True)
        return results

    def end_scenario(self):
        for each in reversed(self._started):
            each.stop()
        self._started = []

    def stop(self):
        self.end_scenario()
        for each in (self._people, self._origin):
            if each is not None:
                each.stop()
        self.world.stop()
