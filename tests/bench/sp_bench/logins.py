"""Scenarios of logins: Negotiate, Basic that no cache knows, a directory far away, a storm, and a full cache."""

import subprocess

from . import sides
from .scenario import Aim, Scenario, at_least, at_most


class Negotiate(Scenario):
    name, title, unit = "negotiate", "Negotiate (Kerberos in SPNEGO): a new connection and a fresh ticket for each GET of 1 KiB, 32 at once", "logins/s"
    warm, rounds_min = False, 7

    def prepare(self, bench):
        self._files = {}
        realm = bench.world.realm
        keytab = sides.write(bench.folder("keytab"), "")
        with open(realm.keytab, "rb") as source, open(keytab, "wb") as target:
            target.write(source.read())             # one that squid's helpers may read
        self._keytab = keytab
        alone = sides.Side("the GSS call alone, 2 threads", "none:")
        cached = sides.Side("the same with MIT's replay cache", "dfl:")
        squid = bench.start_squid(sides.squid_negotiate(keytab))
        apache = bench.start_apache(sides.apache_negotiate(keytab), stock=True) if bench.apache_gssapi else []
        return [alone, cached] + squid + apache + [bench.start_sallyport(bench.sallyports.negotiate())]

    def _tokens(self, bench, number):
        if number not in self._files:
            self._files[number] = bench.tokens(300 if bench.smoke else int(10000 * min(bench.seconds, 3)))
        return self._files[number]

    def measure(self, bench, side, number):
        tokens = self._tokens(bench, number)
        if side.pid is None:
            return self._alone(bench, side, tokens)
        r = bench.per_exchange(side, "-c", 32, "-u", bench.origin.url("/1k"), "-a", tokens, seconds=min(bench.seconds, 3))
        return {key: r[key] for key in ("value", "cpu", "errors")}

    def _alone(self, bench, side, tokens):
        env = dict(bench.world.realm.environment(), KRB5RCACHEDIR=bench.world.folder)
        with open(tokens) as f:
            said = subprocess.run([bench.load.program("tokens"), "accept", self._keytab, "2", side.address], stdin=f, stdout=subprocess.PIPE, env=env,
                                  timeout=120, check=True).stdout.decode()
        done, took, cpu = (float(x) for x in said.split())
        return {"value": done / took, "cpu": cpu / done * 1e6, "errors": 0}

    def aims(self, by):
        yield at_least(4, "Negotiate: at least 4 times squid's logins/s", by, "sallyport", 4, "squid")
        yield at_least(4, "Negotiate: at least twice apache's logins/s", by, "sallyport", 2, "apache")
        yield at_least(4, "Negotiate: at least twice the logins/s of an apache as Debian ships it", by, "sallyport", 2, "apache, as Debian ships it")
        alone, mine = by["the GSS call alone, 2 threads"].cpu, by["sallyport"].cpu
        yield Aim(4, "Negotiate: at most 100 us of CPU beyond the GSS call", "%.0f us beyond %.0f us" % (mine - alone, alone), mine - alone <= 100)


class Misses(Scenario):
    """Every login is another person's."""
    unit, template, limit = "logins/s", False, 0

    def prepare(self, bench):
        url = "ldap://" + bench.people.address
        self._all = bench.credentials(bench.people.count)
        squid = bench.start_squid(sides.squid_ldap(url, self.template, ttl="1 seconds"))
        apache = [] if self.template else bench.start_apache(sides.apache_ldap(url, cached=False))     # it searches, always
        return squid + apache + [bench.start_sallyport(bench.sallyports.config(url, self.template))]

    def measure(self, bench, side, number):
        if side.flush:
            side.flush()
        r = bench.per_exchange(side, "-k", "-c", 64, "-u", bench.origin.url("/1k"), "-a", self._all)
        return {key: r[key] for key in ("value", "cpu", "errors")}

    def aims(self, by):
        yield at_least(5, "%s: at least 3 times squid's logins/s" % self.kind, by, "sallyport", 3, "squid")
        mine = by["sallyport"].cpu
        yield Aim(5, "%s: at most %d us of CPU a login" % (self.kind, self.limit), "%.0f us" % mine, mine <= self.limit)


class MissesTemplate(Misses):
    name, title = "misses-template", "Basic, every login different: a bind by template, 64 connections"
    kind, template, limit = "template bind", True, 70


class MissesSearch(Misses):
    name, title = "misses-search", "Basic, every login different: search and bind, 64 connections"
    kind, template, limit = "search and bind", False, 90


class Far(Scenario):
    name, title, unit = "far", "Basic, every login different, search and bind, the directory 10 ms away (round trip), 64 connections", "logins/s"
    warm = False
    extra = (("p50", "median time", "%.0f us"), ("p99", "99%", "%.0f us"))

    def prepare(self, bench):
        url = "ldap://" + bench.start_relay(10).address
        self._all = bench.credentials(bench.people.count)
        every, more = bench.sallyports.config(url), bench.sallyports.config(url, connections=64)
        every.top["workers"] = 0
        return bench.start_squid(sides.squid_ldap(url, ttl="1 seconds")) + bench.start_apache(sides.apache_ldap(url, cached=False)) + [
            bench.start_sallyport(bench.sallyports.config(url)), bench.start_sallyport(every, "sallyport, a worker for each CPU"),
            bench.start_sallyport(more, "sallyport, connections = 64")]

    def measure(self, bench, side, number):
        if side.flush:
            side.flush()
        r = bench.per_exchange(side, "-k", "-c", 64, "-u", bench.origin.url("/1k"), "-a", self._all)
        return {key: r[key] for key in ("value", "cpu", "errors", "p50", "p99")}

    def aims(self, by):
        yield at_least(5, "directory 10 ms away, default configuration: at least twice apache's logins/s", by, "sallyport, a worker for each CPU", 2, "apache")
        yield at_least(5, "the rate grows with `connections` (64 against 16: at least 1.5 times)", by, "sallyport, connections = 64", 1.5, "sallyport")


class Storm(Scenario):
    name, title, unit = "storm", "1,000 connections at once with one login that no cache knows", "ms until all are answered"
    warm = False
    extra = (("binds", "binds at slapd", "%d"), ("one", "one login alone", "%.1f ms"), ("known", "1,000 with a known login", "%.1f ms"))

    def prepare(self, bench):
        bench.people.start(stats=True)
        self._next = bench.people.count - 1
        near, far = "ldap://" + bench.people.address, "ldap://" + bench.start_relay(10).address
        return bench.start_squid(sides.squid_ldap(near)) + bench.start_apache(sides.apache_ldap(near)) + [
            bench.start_sallyport(bench.sallyports.config(near)), bench.start_sallyport(bench.sallyports.config(far), "sallyport, directory 10 ms away")]

    def _person(self, bench):
        self._next -= 1
        return bench.people.uid(self._next + 1), bench.credentials(1, self._next + 1)

    def measure(self, bench, side, number):
        many = 100 if bench.smoke else 1000
        ask = lambda count, file: bench.run_load(side, "-b", "-c", count, "-n", count, "-u", bench.origin.url("/1k"), "-A", file, seconds=20)
        ask(1, self._person(bench)[1])                      # the proxy's connections to the directory stand from here
        first = self._person(bench)[1]
        one, known = ask(1, first), ask(many, first)
        uid, file = self._person(bench)
        storm = ask(many, file)
        missing = many - storm["done"]
        return {"value": storm["seconds"] * 1e3, "cpu": storm["used"] / many * 1e6, "errors": one["errors"] + known["errors"] + storm["errors"] + missing,
                "binds": bench.people.binds(uid), "one": one["seconds"] * 1e3, "known": known["seconds"] * 1e3}

    def aims(self, by):
        for name in ("sallyport", "sallyport, directory 10 ms away"):
            r = by[name]
            most = max(e["binds"] for e in r.extra)
            yield Aim(6, "a storm makes one bind (%s)" % name, "%d" % most, most == 1)
            limit = 1.5 * (r.median("one") + r.median("known"))
            yield Aim(6, "all answered within 1.5 times one bind plus the forwarding (%s)" % name, "%.1f ms, limit %.1f ms" % (r.value, limit), r.value <= limit)


class Cache(Scenario):
    name, title, unit = "cache", "A hit with few and with many entries in the cache, kept-alive GET of 1 KiB, 64 connections", "requests/s"

    def prepare(self, bench):
        url, many = "ldap://" + bench.people.address, bench.people.count
        parts = []
        for count in (100, many):
            config = bench.sallyports.config(url, template=True)
            config.cache["max_entries"] = 2 * many
            side = bench.start_sallyport(config, "%s entries" % format(count, ","))
            side.credentials = bench.credentials(count)
            bench.run_load(side, "-k", "-c", 64, "-n", count, "-u", bench.origin.url("/1k"), "-a", side.credentials, seconds=60)
            parts.append(side)
        self._names = [side.name for side in parts]
        return parts

    def measure(self, bench, side, number):
        r = bench.per_exchange(side, "-k", "-c", 64, "-u", bench.origin.url("/1k"), "-A", side.credentials)
        return {key: r[key] for key in ("value", "cpu", "errors")}

    def aims(self, by):
        few, many = (by[name].cpu for name in self._names)
        yield Aim(8, "with %s a hit costs at most 1.2 times what it costs with 100" % self._names[1], "%.2f times" % (many / few), many <= 1.2 * few)


LOGINS = (Negotiate, MissesTemplate, MissesSearch, Far, Storm, Cache)
