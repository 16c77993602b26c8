"""The whole rig in one object: started together, stopped together, and a fresh sallyport for each test."""

import os
import shutil
import ssl
import tempfile

from . import space
from .directory import PEOPLE, SERVICE_DN, SERVICE_PASSWORD, TWIN_PASSWORD, BASE, Directories, Directory
from .odd_origin import Full, OddOrigin
from .names import NameServer
from .origin import Origin
from .pki import Authority
from .procs import RigError, free_port, run
from .proxy import Config, Proxy, Raw, command
from .realm import PARTNER, PARTNER_PEOPLE, Realm
from .tokens import Initiator
from .wire import Wire

NTLM_USER, NTLM_PASSWORD = "walter", "Walter-Ntlm-96"


class World:
    """In a namespace (`names=True`) every party has an address and its usual port; else all are on 127.0.0.1 on free
    ports, and clients call them localhost."""

    def __init__(self, build, names=True, folder=None, patience=1.0):
        self.build, self.named, self.patience = os.path.abspath(build), names, patience
        self.binary = os.path.join(self.build, "sallyport")
        if not os.access(self.binary, os.X_OK):
            raise RigError("%s is not built" % self.binary)
        self.folder = folder or tempfile.mkdtemp(prefix="sallyport-rig.")
        self._stops = []
        self._proxies = []
        self._count = 0
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _at(self, name, port):
        return (space.ADDRESSES[name], port) if self.named else ("127.0.0.1", free_port())

    def _start(self):
        at = lambda name: os.path.join(self.folder, name)
        if self.named:
            self.names = NameServer(space.names())
            self._stops.append(self.names.stop)
        self.authority = Authority(at("pki"))
        self.ca = self.authority.ca
        self.proxy_host = space.host("proxy") if self.named else "localhost"
        self.proxy_address, self.proxy_port = self._at("proxy", 3128)
        self.certificate, self.key = self.authority.issue("proxy", [self.proxy_host, "localhost"], ["127.0.0.1", self.proxy_address])
        servers = []
        for name in ("dc1", "dc2"):
            address, port = self._at(name, 389)
            tls_port = 636 if self.named else free_port()
            server = Directory(name, at(name), address, port, tls_port, self.authority, [space.host(name), "localhost"])
            self._stops.append(server.stop)
            server.start()
            servers.append(server)
        self.dc1, self.dc2 = servers
        self.ldap = Directories(*servers)
        self.realm = Realm(at("kdc"), *self._at("kdc", 88),
                           services=["HTTP/%s" % self.proxy_host] + (["HTTP/alias.corp.test", "HTTP/localhost"] if self.named else []))
        self._stops.append(self.realm.stop)
        self.realm.start()
        self._partner = None
        address, port = self._at("origin", 80)
        self.origin = Origin(at("origin"), address, port, 443 if self.named else free_port(), self.authority,
                             [space.host("origin"), "localhost"])
        self._stops.append(lambda: self.origin.stop())
        self.origin.start()
        address, port = self._at("odd", 80)
        self.odd = OddOrigin(address, port, 443 if self.named else free_port())
        self._stops.append(self.odd.stop)
        if self.named:
            self._stops += [Full(space.ADDRESSES["dead"], port).stop for port in (80, 443, 389)]
        self._ntlm_users = at("ntlm.users")
        with open(self._ntlm_users, "w") as f:
            f.write("CORP:%s:%s\n" % (NTLM_USER, NTLM_PASSWORD))

    # ---- sallyport ----

    def config(self):
        """A whole configuration for this rig; a test changes what it is about."""
        self._count += 1
        folder = os.path.join(self.folder, "sallyport.%d" % self._count)
        os.makedirs(folder)
        config = Config(folder, "%s:%d" % (self.proxy_address, self.proxy_port))
        if not self.named:
            config.admin["http"] = "127.0.0.1:%d" % free_port()
        config.backends["corp-ldap"] = self.ldap_backend()
        config.backends["corp-krb5"] = self.krb5_backend()
        return config.file("ldap.secret", SERVICE_PASSWORD + "\n")

    def ldap_url(self, server, scheme="ldaps"):
        host = space.host(server.name) if self.named else "localhost"
        return "%s://%s:%d" % (scheme, host, server.tls_port if scheme == "ldaps" else server.port)

    def ldap_backend(self, **changes):
        keys = {
            "plugin": "ldap", "uris": [self.ldap_url(self.dc1), self.ldap_url(self.dc2)], "tls_ca": self.ca,
            "bind_dn": SERVICE_DN, "bind_password_file": "../ldap.secret", "base": "ou=people," + BASE,
            "filter": "(&(objectClass=inetOrgPerson)(uid=%u))", "domains": ["CORP", "corp.test"],
            "group_base": "ou=groups," + BASE, "group_filter": "(member=%d)", "group_name": "cn",
        }
        keys.update(changes)
        return keys

    def krb5_backend(self, **changes):
        keys = {"plugin": "gssapi", "keytab": self.realm.keytab, "mechanisms": ["krb5"], "realms": ["CORP.TEST"],
                "username": "local", "groups_from": "corp-ldap"}
        keys.update(changes)
        return keys

    def environment(self, whole_stacks=False):
        """sallyport's own environment: the rig's Kerberos, no tickets. whole_stacks: to tell whose the leaks are."""
        scratch = os.path.join(self.folder, "scratch")
        os.makedirs(scratch, exist_ok=True)
        env = self.realm.environment()
        for name in ("KRB5CCNAME", "KRB5_KTNAME"):
            env.pop(name, None)
        env.update(KRB5RCACHEDIR=scratch, NTLM_USER_FILE=self._ntlm_users,
                   ASAN_OPTIONS="detect_leaks=1:exitcode=99" + (":fast_unwind_on_malloc=0" if whole_stacks else ""), UBSAN_OPTIONS="print_stacktrace=1",
                   LSAN_OPTIONS="print_suppressions=0:suppressions=" + os.path.join(os.path.dirname(__file__), "lsan.supp"),
                   TSAN_OPTIONS="exitcode=98:halt_on_error=0:suppressions=" + os.path.join(os.path.dirname(__file__), "tsan.supp"))
        return env

    def start(self, config=None, krb5_conf=None, env=None, binary=None, **more):
        config = config or self.config()
        leaky = any("ntlmssp" in keys.get("mechanisms", ()) or keys.get("sasl") for keys in config.backends.values())
        environment = self.environment(leaky)
        if krb5_conf is not None:
            environment["KRB5_CONFIG"] = krb5_conf
        for name, value in (env or {}).items():
            environment[name] = ":".join(filter(None, (environment.get(name), value))) if name.endswith("_OPTIONS") else value
        proxy = Proxy(binary or self.binary, config, environment, self.patience, **more)
        self._proxies.append(proxy)
        return proxy

    def command(self, *words, stdin=b""):
        return command(self.binary, words, self.environment(), stdin, 60 * self.patience)

    # ---- clients ----

    def url(self, path="/", host="odd", scheme="http"):
        if self.named:
            return "%s://%s%s" % (scheme, space.host(host), path)
        port = {"odd": self.odd.port, "origin": self.origin.tls_port if scheme == "https" else self.origin.port}[host]
        return "%s://localhost:%d%s" % (scheme, port, path)

    def wire(self, source=None, tls=False, port=None, seconds=20.0):
        context = None
        if tls:
            context = (ssl.create_default_context(cafile=self.ca), self.proxy_host)
        return Wire((self.proxy_address, port or self.proxy_port), source, seconds * self.patience, context)

    def initiator(self, user="alice", **more):
        return Initiator(self.realm.environment(user), service=more.pop("service", "HTTP@" + self.proxy_host), **more)

    def partner(self):
        """The realm that ours and it trust each other; started when a test first asks for it."""
        if self._partner is None:
            address, port = self._at("partner-kdc", 88)
            self._partner = Realm(os.path.join(self.folder, "partner-kdc"), address, port, [], PARTNER, PARTNER_PEOPLE, self.realm)
            self._stops.append(self._partner.stop)
            self._partner.start()
        return self._partner

    def made_ticket(self, *words, user="alice", **more):
        """An initiator with a ticket that no KDC gave: tests/rig/ticket.c makes it with the proxy's key."""
        self._count += 1
        cache = os.path.join(self.folder, "made.%d.cc" % self._count)
        run([os.path.join(self.build, "tests", "ticket"), self.realm.keytab, "%s@%s" % (user, self.realm.name),
             "HTTP/%s@%s" % (self.proxy_host, self.realm.name), cache, *words], env=self.realm.environment())
        return Initiator(dict(self.realm.environment(), KRB5CCNAME="FILE:" + cache), service="HTTP@" + self.proxy_host, **more)

    def ntlm(self):
        from .tokens import NTLMSSP
        env = dict(os.environ, NTLM_USER_FILE=self._ntlm_users)
        return Initiator(env, service="HTTP@" + self.proxy_host, mech=NTLMSSP, ntlm_user="CORP\\" + NTLM_USER, mutual=False)

    def curl(self, *words, user=None, proxy=None, seconds=30):
        """Debian's curl through the proxy: (exit status, standard output, standard error)."""
        import subprocess
        proxy = proxy or "http://%s:%d" % (self.proxy_host, self.proxy_port)
        env = self.realm.environment(user)
        if user is None:
            env["KRB5CCNAME"] = "FILE:/nonexistent"
        argv = ["curl", "-sS", "--max-time", str(int(seconds * self.patience)), "-x", proxy, "--cacert", self.ca, *words]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
        return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")

    # ---- between and after tests ----

    def secrets(self):
        return list(PEOPLE.values()) + list(PARTNER_PEOPLE.values()) + [TWIN_PASSWORD, SERVICE_PASSWORD, NTLM_PASSWORD]

    def begin(self):
        """Before each test: all servers serve, counting starts anew."""
        self.ldap.restore()
        if self.realm.proc is None or not self.realm.proc.alive():
            self.realm.start()
        self.realm.wake()
        if self.named:
            for names in (self.names.failing, self.names.silent, self.names.garbled, self.names.truncated):
                names.clear()
        self.ldap.mark()
        self.odd.mark()

    def end(self):
        """After each test: sallyport ends well (no leak, no race, no crash) and told no secret. Returns faults."""
        faults = []
        for proxy in self._proxies:
            was_dead = not proxy.proc.alive() and proxy.status is None
            status = proxy.stop()
            if was_dead or status != 0:
                faults.append("sallyport ended with %d%s:\n%s" % (status, " by itself" if was_dead else "", proxy.proc.words(12000)))
            said = proxy.everything()
            faults += ["a secret is in its logs: %s" % s for s in self.secrets() if s in said]
            faults += ["a credential is in its logs: %s" % w for w in said.replace('"', " ").split()
                       if w.startswith(("TlRMTVNT", "YII")) and len(w) > 40]
        self._proxies = []
        return faults

    def running(self):
        return list(self._proxies)

    def stop(self, keep=False):
        for proxy in self._proxies:
            proxy.stop()
        for stop in reversed(self._stops):
            stop()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
