"""Where the clients are run: the rig's servers, a sallyport with a clear and a TLS listener, the site, and the counting."""

import base64
import json
import os
import shutil
import subprocess
import urllib.request

from sp_rig import space
from sp_rig.directory import PEOPLE
from sp_rig.procs import Proc, wait_for_port, wait_until
from sp_rig.world import World

from .site import LATE_PORT, Site

USER = "alice"
PASSWORD = PEOPLE[USER]
CLEAR_PORT, TLS_PORT, BASIC_PORT = 3128, 3143, 3130
LIMIT_SECONDS = 60


class Ask:
    """One client's task: a page of the site, and the proxy on the way to it."""

    def __init__(self, ground, target, proxy, tickets):
        world = ground.world
        self.target, self.tls = target, proxy == "TLS"
        self.ca, self.user, self.password = world.ca, USER, PASSWORD
        self.host, self.address, self.site = world.proxy_host, world.proxy_address, ground.site
        self.port = {"clear": CLEAR_PORT, "TLS": TLS_PORT, "Basic only": BASIC_PORT}[proxy]
        self.proxy = "%s://%s:%d" % ("https" if self.tls else "http", self.host, self.port)
        self.base = "%s://%s" % (target, ground.site.name)
        self.page = self.base + "/page.txt"
        self.folder = os.path.join(world.folder, "client")      # its home; made anew for each
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.modules, self.krb5_conf = ground.modules, world.realm.krb5_conf
        self.env = {"PATH": os.environ["PATH"], "HOME": self.folder, "LC_ALL": "C.UTF-8", "KRB5_CONFIG": self.krb5_conf,
                    "KRB5CCNAME": world.realm.cache(USER) if tickets else "FILE:/nonexistent"}

    def with_password(self, scheme=None):
        """The proxy's address with the user's name and password in it."""
        return "%s://%s:%s@%s:%d" % (scheme or ("https" if self.tls else "http"), self.user, self.password, self.host, self.port)

    def at(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, text):
        path = self.at(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        return path

    def run(self, *argv, stdin=None, well=True, **env):
        """Runs the client to its end and returns what it wrote to standard output. well: it must exit with 0."""
        given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(self.env, **env), cwd=self.folder,
                              timeout=LIMIT_SECONDS, **given)
        assert not well or done.returncode == 0, "%s ended with %d:\n%s%s" % (
            argv[0], done.returncode, done.stdout[-1500:].decode("utf-8", "replace"), done.stderr[-3000:].decode("utf-8", "replace"))
        return done.stdout


class Ground:
    def __init__(self, build, modules, patience=1.0):
        self.modules = modules
        self.world = World(build, patience=patience)
        try:
            self.site = Site(os.path.join(self.world.folder, "site"), space.host("site"), space.ADDRESSES["site"], self.world.authority)
            self._rsyncd = self._serve_files()
            config = self.world.config()
            config.listens = [("10.99.0.1:%d" % CLEAR_PORT, {"offer": ["negotiate", "basic"]}),
                              ("10.99.0.1:%d" % TLS_PORT, {"tls_certificate": self.world.certificate, "tls_key": self.world.key}),
                              ("10.99.0.1:%d" % BASIC_PORT, {"offer": ["basic"]})]
            config.protect["connect_ports"] = ["80", "443", "873", str(LATE_PORT)]
            self.world.begin()
            self.proxy = self.world.start(config)
        except BaseException:
            self.world.stop()
            raise
        self._before = self._probes = 0

    def _serve_files(self):
        """rsync's daemon for the site's folder, where rsync is installed."""
        if shutil.which("rsync") is None:
            return None
        conf, address = os.path.join(self.world.folder, "rsyncd.conf"), space.ADDRESSES["site"]
        with open(conf, "w") as f:
            f.write("use chroot = no\n[site]\npath = %s\nuid = root\ngid = root\n" % self.site.folder)
        daemon = Proc("rsync", ["rsync", "--daemon", "--no-detach", "--config=" + conf, "--address=" + address], os.path.join(self.world.folder, "rsyncd.log"))
        wait_for_port(daemon, address, 873)
        return daemon

    def ask(self, target, proxy, tickets):
        self._quiet()
        self._before = len(self.proxy.lines())
        self.site.mark()
        return Ask(self, target, proxy, tickets)

    def _quiet(self):
        """Until every client connection has ended, and with it every exchange is in the access log: a last request of our own
        is written after all others."""
        def none():
            with urllib.request.urlopen("http://%s/metrics" % self.proxy.config.admin["http"], timeout=5) as page:
                return b"\nsallyport_connections 0\n" in page.read()
        wait_until("the client's connections have ended", none, 20 * self.world.patience)
        self._probes += 1
        last = "http://probe.corp.test/%d" % self._probes
        with self.world.wire() as wire:
            wire.ask("GET", last)
        self.proxy.last(target=last)

    def lines(self):
        """The access log of the last client's requests to the site; what else a browser asks for is not counted."""
        self._quiet()
        return [record for record in self.proxy.lines()[self._before:] if self.site.name in record["target"]]

    def connections(self, lines):
        """How many connections to the proxy carried these requests: the decisions that it remembers say which."""
        numbers = set()
        for record in lines:
            code, out, err = self.world.command("why", "-c", self.proxy.path, "--json", record["id"])
            assert code == 0, "%s is not remembered: %s" % (record["id"], err)
            numbers |= {one["connection"] for one in map(json.loads, out.splitlines()) if one["id"] == record["id"]}
        return len(numbers)

    def credentials_seen(self, tls):
        """What of a credential reached the site: in clear, where the proxy passes it on, or within the client's own TLS."""
        seen = self.site.seen(tls).lower()
        pair = "%s:%s" % (USER, PASSWORD)
        planted = [PASSWORD, base64.b64encode(pair.encode()).decode(), "authorization", "proxy-auth"]
        return [words for words in planted if words.lower().encode() in seen]

    def stop(self):
        """Ends everything; returns the rig's own faults: a secret in a log, an end that was none."""
        try:
            faults = self.world.end()
            if self._rsyncd is not None:
                self._rsyncd.stop()
            self.site.stop()
        finally:
            self.world.stop()
        return faults
