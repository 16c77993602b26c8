"""A real MIT KDC with a realm of its own: people, the proxy's services, keytabs and ticket caches."""

import os
import shutil
import signal

from .directory import PEOPLE
from .procs import Proc, RigError, run, wait_for_port, wait_until

REALM = "CORP.TEST"
PRINCIPALS = ("alice", "bob", "carol", "dave", "outsider")

KRB5_CONF = """[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    ignore_acceptor_hostname = false
    udp_preference_limit = 1
[realms]
    {realm} = {{
        kdc = {address}:{port}
{own}    }}
{others}[domain_realm]
    .corp.test = %(realm)s
    corp.test = %(realm)s
    localhost = %(realm)s
""".replace("%(realm)s", REALM)
# A realm that trusts CORP.TEST and is trusted by it; its alice is not ours.
PARTNER = "PARTNER.TEST"
PARTNER_PEOPLE = {"alice": "Alice-of-partner-7", "pat": "Pat-of-partner-8"}
TRUST_PASSWORD = "between-two-realms-9"

KDC_CONF = """[kdcdefaults]
    kdc_listen = {address}:{port}
    kdc_tcp_listen = {address}:{port}
[realms]
    {realm} = {{
        database_name = {folder}/principal
        key_stash_file = {folder}/stash
        acl_file = {folder}/kadm5.acl
        max_life = 10h
        supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
    }}
"""


class Realm:
    """people: name -> password. trusted: another Realm, with which each trusts the other's tickets."""

    def __init__(self, folder, address, port, services, name=REALM, people=None, trusted=None):
        self.folder, self.address, self.port, self.name = folder, address, port, name
        self.people = people or {p: PEOPLE[p] for p in PRINCIPALS}
        os.makedirs(folder)
        self.krb5_conf = os.path.join(folder, "krb5.conf")
        self._env = dict(os.environ, KRB5_CONFIG=self.krb5_conf, KRB5_KDC_PROFILE=os.path.join(folder, "kdc.conf"))
        settings = dict(realm=name, address=address, port=port, folder=folder)
        self.write_krb5_conf(self.krb5_conf, [trusted] if trusted else [])
        with open(os.path.join(folder, "kdc.conf"), "w") as f:
            f.write(KDC_CONF.format(**settings))
        if not os.path.exists("/usr/sbin/krb5kdc"):
            raise RigError("/usr/sbin/krb5kdc is missing: apt-get install krb5-kdc krb5-admin-server")
        run(["/usr/sbin/kdb5_util", "-r", name, "create", "-s", "-P", "rig-master"], env=self._env)
        self.keytab = os.path.join(folder, "proxy.keytab")
        lines = ['addprinc -pw "%s" %s' % (password, p) for p, password in self.people.items()]
        for service in services:
            lines += ["addprinc -randkey " + service, "ktadd -k %s %s" % (self.keytab, service)]
        self.kadmin(*lines)
        if trusted:
            for realm in (self, trusted):
                realm.kadmin(*['addprinc -pw "%s" krbtgt/%s@%s' % (TRUST_PASSWORD, a, b)
                               for a, b in ((name, trusted.name), (trusted.name, name))])
        self.proc = None

    def write_krb5_conf(self, path, trusted=(), more=""):
        """A machine's krb5.conf that knows this realm and those that it trusts. more: lines for this realm's section."""
        realms = "".join("    %s = {\n        kdc = %s:%d\n    }\n" % (r.name, r.address, r.port) for r in trusted)
        with open(path, "w") as f:
            f.write(KRB5_CONF.format(realm=self.name, address=self.address, port=self.port, own=more, others=realms))
        return path

    def kadmin(self, *lines):
        out = run(["/usr/sbin/kadmin.local", "-r", self.name], env=self._env, stdin=("\n".join(lines) + "\nquit\n").encode())
        return out

    def start(self):
        self.proc = Proc("krb5kdc", ["/usr/sbin/krb5kdc", "-n", "-r", self.name], os.path.join(self.folder, "kdc.log"), env=self._env)
        wait_for_port(self.proc, self.address, self.port)

    def stop(self):
        if self.proc is not None:
            self.proc.stop()
            self.proc = None

    def hang(self):
        """SIGSTOP: it takes connections, and nothing answers."""
        self.proc.send(signal.SIGSTOP)
        wait_until("the KDC has stopped", self.proc.is_stopped)

    def wake(self):
        self.proc.send(signal.SIGCONT)

    def cache(self, user):
        """A ticket cache with a TGT of this user's, fetched with the password; made once."""
        path = os.path.join(self.folder, user + ".cc")
        if not os.path.exists(path):
            fresh = path + ".new"
            run(["kinit", "-c", "FILE:" + fresh, user], env=dict(self._env, LC_ALL="C"), stdin=(self.people[user] + "\n").encode())
            os.rename(fresh, path)
        return "FILE:" + path

    def environment(self, user=None):
        """What a client needs in its environment; with a user also his tickets."""
        env = dict(os.environ, KRB5_CONFIG=self.krb5_conf)
        if user is not None:
            env["KRB5CCNAME"] = self.cache(user)
        return env

    def other_keytab(self, name, *principals):
        """A keytab of its own for principals that are made for it."""
        path = os.path.join(self.folder, name + ".keytab")
        if os.path.exists(path):
            os.unlink(path)
        lines = []
        for p in principals:
            lines += ["addprinc -randkey " + p, "ktadd -k %s %s" % (path, p)]
        self.kadmin(*lines)
        return path

    def rotate(self, service):
        """New keys for a service in a new keytab; the old keytab stays as it is. Returns the new file's name."""
        old = self.keytab + ".rotated"
        shutil.copy(self.keytab, old)
        self.kadmin("ktadd -k %s %s" % (old, service))
        return old
