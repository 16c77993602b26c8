"""Two real slapds with the same people, whose logs say which binds they saw."""

import base64
import hashlib
import os
import re
import shutil
import signal

from .procs import Proc, RigError, run, wait_for_port, wait_until

BASE = "dc=corp,dc=test"
ROOT_DN, ROOT_PASSWORD = "cn=root," + BASE, "rig-root-secret"
SERVICE_DN, SERVICE_PASSWORD = "cn=proxy,ou=services," + BASE, "Service-Secret-81"

# Name -> password. Each password is planted: tests look for it in every log.
PEOPLE = {
    "alice": "Alice-Pass-17", "bob": "Bob-Pass-23", "carol": "Carol-Pass-31", "dave": "Dave-Pass-42",
    "erin": "Erin-Pass-55",                     # her account locks after three wrong passwords
    "jürgen": "Pässwörd-€-67",
    "o'brien": "Obrien-Pass-71", "smith, john": "Smith-Pass-72", "a+b": "Plus-Pass-73", 'quote"d': "Quote-Pass-74",
    "(paren)": "Paren-Pass-75", "star*": "Star-Pass-76", "back\\slash": "Slash-Pass-77", "#hash": "Hash-Pass-78",
    "semi;colon": "Semi-Pass-79", "<angle>": "Angle-Pass-80", "eq=ual": "Equal-Pass-82",
    "colonist": "pass:with:colons-83", "spacious": " space before and after-84 ",
    "locked": "Locked-Pass-91", "expired": "Expired-Pass-92", "mustchange": "Mustchange-Pass-93",
    "outsider": "Outsider-Pass-94",             # in no group
}
TWIN_PASSWORD = "Twin-Pass-95"                  # two entries have uid=twin
GROUPS = {
    "staff": ["alice", "bob", "jürgen", "erin"],
    "admins": ["alice"],
    "inner": ["carol"],
    "outer": [],                                # has the group inner as its member
    "ring-a": ["dave"],                         # ring-a and ring-b hold each other
    "ring-b": [],
}


def escape_dn(value):
    """RFC 4514 2.4, for the values the rig needs."""
    out = "".join("\\" + c if c in ',+"\\<>;=' else c for c in value)
    return "\\" + out if out[:1] in "# " else out


def person_dn(uid):
    return "uid=%s,ou=people,%s" % (escape_dn(uid), BASE)


def _line(attribute, value):
    if all(32 < ord(c) < 127 and c not in ":<" for c in value[:1]) and value.isascii() and not value.endswith(" "):
        return "%s: %s\n" % (attribute, value)
    return "%s:: %s\n" % (attribute, base64.b64encode(value.encode()).decode())


def _hashed(password):
    salt = os.urandom(8)
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()


def _person(dn, uid, password, extra=""):
    return (_line("dn", dn) + "objectClass: inetOrgPerson\n" + _line("uid", uid) + _line("cn", uid) + "sn: Person\n"
            + _line("userPassword", _hashed(password)) + extra + "\n")


def _policy(name, lines):
    return "dn: cn=%s,ou=policies,%s\nobjectClass: device\nobjectClass: pwdPolicy\npwdAttribute: userPassword\n%s\n" % (
        name, BASE, "".join(line + "\n" for line in lines))


def ldif():
    policy = lambda name: "pwdPolicySubentry: cn=%s,ou=policies,%s\n" % (name, BASE)
    extra = {
        "erin": policy("strict"),
        "locked": policy("strict") + "pwdAccountLockedTime: 000001010000Z\n",
        "expired": policy("aging") + "pwdChangedTime: 20010101000000Z\n",
        "mustchange": policy("aging") + "pwdReset: TRUE\n",
    }
    out = ["dn: %s\nobjectClass: organization\nobjectClass: dcObject\no: corp\ndc: corp\n\n" % BASE]
    for unit in ("people", "groups", "services", "policies"):
        out.append("dn: ou=%s,%s\nobjectClass: organizationalUnit\nou: %s\n\n" % (unit, BASE, unit))
    out.append(_policy("strict", ["pwdLockout: TRUE", "pwdMaxFailure: 3"]))
    out.append(_policy("aging", ["pwdMaxAge: 86400", "pwdMustChange: TRUE"]))
    out.append("dn: %s\nobjectClass: person\ncn: proxy\nsn: Service\nuserPassword: %s\n\n" % (SERVICE_DN, _hashed(SERVICE_PASSWORD)))
    for uid, password in PEOPLE.items():
        out.append(_person(person_dn(uid), uid, password, extra.get(uid, "")))
    for number in ("1", "2"):
        out.append(_person("cn=twin %s,ou=people,%s" % (number, BASE), "twin", TWIN_PASSWORD).replace("cn: twin\n", "cn: twin %s\n" % number))
    nested = {"outer": ["inner"], "ring-a": ["ring-b"], "ring-b": ["ring-a"]}
    for name, members in GROUPS.items():
        dns = [person_dn(m) for m in members] + ["cn=%s,ou=groups,%s" % (g, BASE) for g in nested.get(name, [])]
        out.append("dn: cn=%s,ou=groups,%s\nobjectClass: groupOfNames\ncn: %s\n%s\n" % (
            name, BASE, name, "".join(_line("member", dn) for dn in dns)))
    return "".join(out)


CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
TLSProtocolMin 3.3
{extra}
sizelimit 5000
idletimeout {idle}
threads 4
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{service}" read by peername.ip=127.0.0.1 read by * none
database mdb
maxsize 67108864
dbnosync
suffix "{base}"
rootdn "{root}"
rootpw {rootpw}
directory {folder}/db
index objectClass,uid,member eq
overlay ppolicy
ppolicy_use_lockout
"""


class Directory:
    """One slapd. `clear` and `tls` are its ldap:// and ldaps:// addresses, `ldapi` its socket's."""

    def __init__(self, name, folder, address, port, tls_port, authority, hosts, env=None, extra=""):
        """env: its environment, if not ours. extra: lines of configuration."""
        self.name, self.folder, self.address, self.port, self.tls_port = name, folder, address, port, tls_port
        os.makedirs(os.path.join(folder, "db"))
        certificate, key = authority.issue(name, hosts, ["127.0.0.1", address])
        self.ldapi = "ldapi://" + os.path.join(folder, "ldapi").replace("/", "%2F")
        self.log = os.path.join(folder, "slapd.log")
        self._conf = os.path.join(folder, "slapd.conf")
        self._settings = dict(folder=folder, ca=authority.ca, certificate=certificate, key=key, base=BASE, root=ROOT_DN,
                              rootpw=ROOT_PASSWORD, service=SERVICE_DN, idle=0, extra=extra)
        self._env = env
        # Debian confines /usr/sbin/slapd by AppArmor to /var/lib/ldap; the profile goes by path, so a copy is free
        self._binary = os.path.join(folder, "slapd")
        if not os.path.exists("/usr/sbin/slapd"):
            raise RigError("/usr/sbin/slapd is missing: apt-get install slapd")
        shutil.copy("/usr/sbin/slapd", self._binary)
        self._configure()
        run([self._binary, "-Ta", "-q", "-f", self._conf], stdin=ldif().encode())
        self.proc = None

    def _configure(self, **changes):
        self._settings.update(changes)
        with open(self._conf, "w") as f:
            f.write(CONF.format(**self._settings))

    def start(self, **changes):
        """Starts it (again). idle=N makes it drop connections that were silent for N seconds."""
        self._configure(**dict({"idle": 0}, **changes))
        urls = ["ldap://%s:%d" % (self.address, self.port), "ldaps://%s:%d" % (self.address, self.tls_port), self.ldapi]
        self.proc = Proc(self.name, [self._binary, "-f", self._conf, "-h", " ".join(urls), "-d", "stats"], self.log, env=self._env)
        wait_for_port(self.proc, self.address, self.port)

    def tell_time(self, text):
        """The lines (extra=) with which it has currentTime in its root DSE, as Active Directory has."""
        path = os.path.join(self.folder, "rootdse.ldif")
        with open(path, "w") as f:
            f.write("dn:\ncurrentTime: %s\n" % text)
        return ("attributetype ( 1.3.6.1.4.1.32473.1 NAME 'currentTime' SYNTAX 1.3.6.1.4.1.1466.115.121.1.24 SINGLE-VALUE )\n"
                "rootDSE " + path)

    def stop(self):
        if self.proc is not None:
            self.proc.stop(signal.SIGTERM, 3)
            self.proc = None

    def running(self):
        return self.proc is not None and self.proc.alive()

    def hang(self):
        """SIGSTOP: connections stay open and nothing answers."""
        self.proc.send(signal.SIGSTOP)
        wait_until("slapd has stopped", self.proc.is_stopped)

    def wake(self):
        self.proc.send(signal.SIGCONT)

    def modify(self, ldif_text):
        run(["ldapmodify", "-x", "-H", self.ldapi, "-D", ROOT_DN, "-w", ROOT_PASSWORD], stdin=ldif_text.encode())

    def size(self):
        return os.path.getsize(self.log)

    def since(self, offset):
        with open(self.log, "rb") as f:
            f.seek(offset)
            return f.read().decode("utf-8", "replace")


class Directories:
    """Both servers, and what they saw since mark()."""

    def __init__(self, *servers):
        self.servers = servers
        self._marks = [0] * len(servers)

    def mark(self):
        self._marks = [s.size() if os.path.exists(s.log) else 0 for s in self.servers]

    def _lines(self, server=None):
        for s, mark in zip(self.servers, self._marks):
            if server is None or s is server:
                yield from s.since(mark).splitlines()

    def binds(self, uid, server=None):
        """How many simple binds slapd itself saw for this person since the last mark()."""
        # slapd prints a DN normalised, with special characters as hex pairs
        wanted = re.compile(r' BIND dn="uid=%s,ou=people,' % _logged(uid), re.I)
        return sum(1 for line in self._lines(server) if wanted.search(line) and " method=128" in line)

    def binds_of(self, dn, server=None):
        wanted = ' BIND dn="%s" method=128' % dn
        return sum(1 for line in self._lines(server) if wanted.lower() in line.lower())

    def searches(self, server=None):
        """For people and groups; not the looks at whether a server is well, which come by themselves."""
        return [line for line in self._lines(server) if " SRCH base=" in line and ' SRCH base="" scope=0' not in line]

    def restore(self):
        """Both serve again, as at the beginning."""
        for s in self.servers:
            if s.running():
                s.wake()
                if s._settings["idle"] == 0:
                    continue
                s.stop()
            s.start()

    def stop(self):
        for s in self.servers:
            s.stop()


def _logged(uid):
    """The name as slapd's log prints it: normalised, what RFC 4514 escapes as hex pairs."""
    return "".join(r"\\%02X" % ord(c) if c in ',+"\\<>;=#' else re.escape(c) for c in uid)
