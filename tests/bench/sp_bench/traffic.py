"""Scenarios of traffic with a login that is cached: requests, bodies, connections, tunnels, TLS, and how cost grows."""

import json
import os
import time

from sp_rig.procs import run

from . import sides
from .measure import user_memory
from .scenario import Aim, Scenario, at_least, at_most


class Kept(Scenario):
    name, title, unit = "kept", "Kept-alive GET of 1 KiB, Basic from the cache, 64 connections", "requests/s"

    def prepare(self, bench):
        return bench.usual()

    def measure(self, bench, side, number):
        return bench.run_wrk(side, "/1k", 64)

    def aims(self, by):
        yield at_least(1, "requests/s at least 2.2 times squid's", by, "sallyport", 2.2, "squid")
        yield at_most(1, "CPU a request at most haproxy's", by, "sallyport", 1, "haproxy")


class Latency(Scenario):
    name, title, unit = "latency", "One request at a time, GET of 1 KiB: median time", "us"
    extra = (("p99", "99%", "%.0f us"),)

    def prepare(self, bench):
        self._credential = bench.one_credential()
        return bench.usual()

    def measure(self, bench, side, number):
        auth = ("-A", self._credential) if side.pid else ()
        r = bench.per_exchange(side, "-k", "-c", 1, "-u", bench.origin.url("/1k"), *auth)
        r["value"] = r.pop("p50")
        r.pop("done")
        return r

    def aims(self, by):
        if not {"no proxy", "haproxy", "sallyport"} <= set(by):
            yield Aim(1, "time added at most haproxy's", "not compared", None)
            return
        mine, other = (by[n].value - by["no proxy"].value for n in ("sallyport", "haproxy"))
        yield Aim(1, "time added at most haproxy's", "%.1f us against %.1f us" % (mine, other), mine <= other)


class Body(Scenario):
    """Bodies through forward."""
    name, title, unit, rounds_min = "get64k", "GET of 64 KiB, kept alive, 64 connections", "requests/s", 7

    def prepare(self, bench):
        return bench.usual()

    def measure(self, bench, side, number):
        return bench.run_wrk(side, "/64k", 64)

    def aims(self, by):
        yield from larger(by, "64 KiB")


class LargeBody(Scenario):
    name, title, unit, cpu_unit = "get100m", "GET of 100 MiB, kept alive, 4 connections", "Gbit/s", "s a GB"

    def prepare(self, bench):
        self._credential = bench.one_credential()
        return bench.usual()

    def measure(self, bench, side, number):
        auth = ("-A", self._credential) if side.pid else ()
        return bench.per_byte(side, "-k", "-c", 4, "-u", bench.origin.url("/100m"), *auth)

    def aims(self, by):
        yield from larger(by, "100 MiB")


def larger(by, what):
    """Point 3: one of two is enough."""
    text = "bodies of %s: 1.5 times haproxy's rate, or 60%% of the limit" % what
    if not {"no proxy", "haproxy", "sallyport"} <= set(by):
        yield Aim(3, text, "not compared", None)
        return
    mine = by["sallyport"].value
    a, b = mine / by["haproxy"].value, mine / by["no proxy"].value
    yield Aim(3, text, "%.2f times, %.0f%%" % (a, 100 * b), a >= 1.5 or b >= 0.6)


class Fresh(Scenario):
    name, title, unit = "fresh", "A new connection for each GET of 1 KiB, Basic from the cache, 64 at once", "requests/s"

    def prepare(self, bench):
        self._credential = bench.one_credential()
        return bench.usual()

    def measure(self, bench, side, number):
        auth = ("-A", self._credential) if side.pid else ()
        r = bench.per_exchange(side, "-c", 64, "-u", bench.origin.url("/1k"), *auth)
        return {key: r[key] for key in ("value", "cpu", "errors")}

    def aims(self, by):
        yield at_least(2, "one GET a connection: at least haproxy's rate within 10%", by, "sallyport", 0.9, "haproxy")


class Connect(Scenario):
    name, title, unit = "connect", "CONNECT on a new connection, one GET of 1 KiB through the tunnel, 64 at once", "tunnels/s"

    def prepare(self, bench):
        self._credential = bench.one_credential()
        return bench.usual(haproxy=False)

    def measure(self, bench, side, number):
        how = ("-m", "CONNECT", "-u", bench.origin.address, "-i", "/1k", "-A", self._credential) if side.pid else ("-u", "/1k")
        r = bench.per_exchange(side, "-c", 64, *how)
        return {key: r[key] for key in ("value", "cpu", "errors")}

    def aims(self, by):
        yield at_least(2, "CONNECT: at least 1.6 times squid's rate", by, "sallyport", 1.6, "squid")
        yield at_most(2, "CONNECT: at most half of squid's CPU", by, "sallyport", 0.5, "squid")


class Tunnel(Scenario):
    name, title, unit, cpu_unit, rounds_min = "tunnel", "Through a tunnel: bodies of 100 MiB, 4 tunnels", "Gbit/s", "s a GB", 7

    def prepare(self, bench):
        self._credential = bench.one_credential()
        return bench.usual(haproxy=False)

    def measure(self, bench, side, number):
        how = ("-m", "CONNECT", "-u", bench.origin.address, "-i", "/100m", "-A", self._credential) if side.pid else ("-u", "/100m")
        return bench.per_byte(side, "-k", "-c", 4, *how)

    def aims(self, by):
        yield at_least(2, "tunnel throughput: at least 60% of the limit", by, "sallyport", 0.6, "no proxy")
        yield at_least(2, "tunnel throughput: at least 1.6 times squid's", by, "sallyport", 1.6, "squid")


class Idle(Scenario):
    """User memory of connections that wait: kept-alive clients after one request, and tunnels that have carried one."""
    warm, rounds_max, unit, limit = False, 1, "KiB each", 0

    def words(self, bench):
        raise NotImplementedError

    def count(self, bench):
        # a tunnel has two descriptors, and sallyport keeps some of what it may open for those it has accepted
        return 200 if bench.smoke else min(10000, int(bench.files * 0.44))

    def measure(self, bench, side, number):
        words = ("-H", bench.origin.address) + self.words(bench)
        bench.load.run(side.address, 2, "-c", 8, "-n", 64, *words)             # what is taken once, is taken
        before, count = user_memory(side.pid), self.count(bench)
        holder, stand, failed = bench.load.hold(side.address, 90, "-o", "-c", count, *words)
        time.sleep(0.2 if bench.smoke else 1.5)
        after = user_memory(side.pid)
        holder.stdin.close()
        said = holder.stdout.read().decode()
        holder.wait(30)
        lost = 0 if '"failed": 0' in said else 1
        return {"value": (after - before) / 1024 / max(stand, 1), "errors": failed + lost, "count": stand}

    extra = (("count", "connections", "%d"),)

    def aims(self, by):
        mine = by["sallyport"].value
        yield Aim(7, "at most %d KiB of user memory for an idle %s" % (self.limit, self.kind), "%.2f KiB" % mine, mine <= self.limit)


class IdleClients(Idle):
    name, title, kind, limit = "idle-clients", "User memory of an idle kept-alive client", "client", 2

    def prepare(self, bench):
        self._credential = bench.one_credential()
        return bench.usual(apache=False)[1:]

    def words(self, bench):
        return ("-u", bench.origin.url("/1k"), "-A", self._credential)


class IdleTunnels(Idle):
    name, title, kind, limit = "idle-tunnels", "User memory of an idle tunnel", "tunnel", 4

    def prepare(self, bench):
        self._credential = bench.one_credential()
        return bench.usual(haproxy=False, apache=False)[1:]      # a thread of apache's for each

    def words(self, bench):
        return ("-m", "CONNECT", "-u", bench.origin.address, "-i", "/1k", "-A", self._credential)


class Connections(Scenario):
    name, title, unit = "connections", "Kept-alive GET of 1 KiB by the number of connections, once they stand", "requests/s"
    extra, rounds_min = (("whole", "CPU with connecting", "%.1f us"),), 7

    def prepare(self, bench):
        self._credential = bench.one_credential()
        proxies = bench.start_haproxy() + [bench.start_sallyport(bench.sallyports.config())]
        return [self._at(proxy, count) for count in ((8, 64) if bench.smoke else (8, 64, 512, 4096)) for proxy in proxies]

    @staticmethod
    def _at(proxy, count):
        side = sides.Side("%s, %d connections" % (proxy.name, count), proxy.address, proxy.proc)
        side.connections = count
        return side

    def measure(self, bench, side, number):
        return bench.once_they_stand(side, side.connections, "-k", "-u", bench.origin.url("/1k"), "-A", self._credential)

    def aims(self, by):
        costs = [r.cpu for name, r in by.items() if name.startswith("sallyport")]
        yield Aim(8, "CPU a request at 8 to 4,096 connections differs by less than 30%", "%.0f%%" % (100 * (max(costs) / min(costs) - 1)),
                  max(costs) < 1.3 * min(costs))


class Pair(Scenario):
    """sallyport with and without something, by CPU a request."""

    def measure(self, bench, side, number):
        return bench.run_wrk(side, "/1k", 64)


class Log(Pair):
    name, title, unit = "log", "Access log on and off, kept-alive GET of 1 KiB, 64 connections", "requests/s"
    rounds_min = 11             # 5% of CPU is what three rounds differ by

    def prepare(self, bench):
        off, on = bench.sallyports.config(), bench.sallyports.config()
        on.log["access"] = os.path.join(on.folder, "access.log")
        return [bench.start_sallyport(off, "off"), bench.start_sallyport(on, "on")]

    def aims(self, by):
        ratio = by["on"].cpu / by["off"].cpu
        yield Aim(9, "the access log costs at most 5%", "%.1f%% of CPU, %.1f%% of the rate" % (
            100 * (ratio - 1), 100 * (1 - by["on"].value / by["off"].value)), ratio <= 1.05)


class Rules(Pair):
    name, title, unit = "rules", "10,000 rules of hosts and suffixes, kept-alive GET of 1 KiB, 64 connections", "requests/s"

    def prepare(self, bench):
        none, many = bench.sallyports.config(), bench.sallyports.config()
        for number in range(500 if bench.smoke else 10000):
            many.rule("r%d" % number, "deny", to=["%sh%d.example.test" % ("." if number % 2 else "", number)])
        many.rule("rest", "allow")
        return [bench.start_sallyport(none, "no rules"), bench.start_sallyport(many, "10,000 rules")]


class Decide(Scenario):
    """The policy alone: in a whole request its cost is less than the noise."""
    name, title, unit, warm = "decide", "One decision of the policy alone, by the rules that there are, CPU time", "us at worst", False
    extra = tuple((kind, words, "%.3f us") for kind, words in (("host", "a rule names the host"), ("suffix", "a rule names its domain"),
                                                               ("unnamed", "none does")))

    def prepare(self, bench):
        return [self._of(rules) for rules in (0, 100, 10000)]

    @staticmethod
    def _of(rules):
        side = sides.Side("%s rules" % format(rules, ","), None)
        side.rules = rules
        return side

    def measure(self, bench, side, number):
        said = json.loads(run([bench.load.program("decide"), str(side.rules)]))
        each = {kind: said[kind] / 1000 for kind, _, _ in self.extra}
        return dict(each, value=max(each.values()))

    def aims(self, by):
        worst = by["10,000 rules"].value
        yield Aim(8, "with 10,000 rules a decision costs at most 2 us", "%.2f us" % worst, worst <= 2)


class Tls(Scenario):
    name, title, unit = "tls", "TLS listener: a new connection and handshake for each GET of 1 KiB, 32 at once", "handshakes/s"
    extra = (("resumed", "resumed", "%.0f%%"),)

    def prepare(self, bench):
        w = bench.world
        self._credential = bench.one_credential()
        config = bench.sallyports.config()
        address, port = config.listens[0][0].rsplit(":", 1)
        config.listens.append(("%s:%d" % (address, int(port) + 1), {"tls_certificate": w.certificate, "tls_key": w.key, "offer": ["basic"]}))
        proxies = bench.start_haproxy() + [bench.start_sallyport(config)]
        return [self._by(p, resume) for resume in (False, True) for p in proxies]

    @staticmethod
    def _by(proxy, resume):
        side = sides.Side(proxy.name + (", resumed" if resume else ""), proxy.address, proxy.proc, proxy.tls)
        side.resume = resume
        return side

    def measure(self, bench, side, number):
        words = ("-t",) + (("-r",) if side.resume else ())
        r = bench.run_load(side, "-c", 32, "-u", bench.origin.url("/1k"), "-A", self._credential, *words, address=side.tls)
        done = max(r["done"], 1)
        return {"value": r["done"] / r["seconds"], "cpu": r["used"] / done * 1e6, "errors": r["errors"] + (side.resume and r["resumed"] == 0),
                "resumed": 100 * r["resumed"] / done}

    def aims(self, by):
        yield at_least(10, "TLS: at least haproxy's handshakes a second", by, "sallyport", 1, "haproxy")
        yield at_most(10, "TLS: at most haproxy's CPU a handshake", by, "sallyport", 1, "haproxy")
        share = by["sallyport, resumed"].median("resumed")
        yield Aim(10, "resumption works", "%.0f%% resumed" % share, share > 90)


TRAFFIC = (Kept, Latency, Body, LargeBody, Fresh, Connect, Tunnel, IdleClients, IdleTunnels, Connections, Log, Rules, Decide, Tls)
