"""The parties: an origin, a directory with many people, a relay that puts it far away; and the proxies that are compared,
each with one worker, no access log and no page cache."""

import base64
import hashlib
import os
import re
import shutil
import signal

from sp_rig import space
from sp_rig.directory import BASE, PEOPLE, SERVICE_DN, SERVICE_PASSWORD
from sp_rig.procs import Proc, run, wait_for_port
from sp_rig.proxy import Raw

USER = "alice"
SQUID, HAPROXY, APACHE = "/usr/sbin/squid", "/usr/sbin/haproxy", "/usr/sbin/apache2"
APACHE_MODULES = "/usr/lib/apache2/modules"
APACHE_THREADS = 128        # more than any scenario has connections at work at once, but for the storm, which queues

ORIGIN = """
worker_processes 1; worker_rlimit_nofile {files}; daemon off; {user}
error_log {folder}/error.log; pid {folder}/nginx.pid;
events {{ worker_connections {files}; multi_accept on; }}
http {{
    access_log off; default_type text/plain; keepalive_requests 100000000; keepalive_timeout 600s; client_header_timeout 600s;
    open_file_cache max=100; sendfile on; tcp_nopush on;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen {address}:8080 backlog=16384; root {folder}/pages; }}
}}
"""
SQUID_CONF = """
http_port {address}:3128
pid_filename {folder}/squid.pid
cache_log {folder}/cache.log
access_log none
cache deny all
cache_mem 0 MB
shutdown_lifetime 1 seconds
forwarded_for transparent
dns_nameservers 127.0.0.1
visible_hostname squid.corp.test
max_filedescriptors {files}
client_idle_pconn_timeout 10 minutes
workers 1
{auth}
acl known proxy_auth REQUIRED
http_access allow known
"""
HAPROXY_CONF = """
global
    nbthread 1
    maxconn {maxconn}
    tune.ssl.default-dh-param 2048
userlist people
    user {user} insecure-password {password}
defaults
    mode http
    timeout connect 10s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
    http-reuse always
    option http-use-proxy-header
frontend in
    bind {address}:3128
    bind {address}:3143 ssl crt {pem}
    http-request auth realm bench unless {{ http_auth(people) }}
    http-request del-header Proxy-Authorization
    default_backend origin
backend origin
    server origin {origin}
"""
APACHE_CONF = """
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
LogLevel crit
ServerName apache.corp.test
{user}
{modules}
{workers}
Listen {address}:{port}
ListenBacklog 16384
Timeout 600
KeepAlive On
KeepAliveTimeout 600
MaxKeepAliveRequests 0
ProxyRequests On
ProxyVia Off
ProxyAddHeaders Off
AllowCONNECT 8080
{auth}
"""
APACHE_TUNED = """
StartServers 1
ServerLimit 1
ThreadLimit {threads}
ThreadsPerChild {threads}
MaxRequestWorkers {threads}
MinSpareThreads 1
MaxSpareThreads {threads}
MaxConnectionsPerChild 0
AsyncRequestWorkerFactor 64
<Proxy "http://{origin}" enablereuse=on max={threads} ttl=600>
</Proxy>
"""
APACHE_STOCK = "Include /etc/apache2/mods-available/mpm_event.conf"
APACHE_LOADS = ("mpm_event", "authn_core", "authz_core", "authz_user", "auth_basic", "ldap", "authnz_ldap", "auth_gssapi", "proxy", "proxy_http",
                "proxy_connect")
APACHE_LDAP = """
LDAPSharedCacheSize 1048576
LDAPCacheEntries {entries}
LDAPOpCacheEntries {entries}
LDAPCacheTTL 7200
LDAPConnectionPoolTTL -1
<Proxy "*">
    AuthType Basic
    AuthName bench
    AuthBasicProvider ldap
    LDAPReferrals off
    AuthLDAPURL "{url}/ou=people,{base}?uid?sub"
    AuthLDAPBindDN "{service}"
    AuthLDAPBindPassword "{password}"
    Require valid-user
</Proxy>
"""
APACHE_NEGOTIATE = """
<Proxy "*">
    AuthType GSSAPI
    AuthName bench
    GssapiCredStore keytab:{keytab}
    GssapiAllowedMech krb5
    Require valid-user
</Proxy>
"""
SLAPD_CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
sizelimit 10
threads 4
loglevel 0
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{service}" read by * none
database mdb
maxsize 1073741824
dbnosync
suffix "{base}"
directory {folder}/db
index objectClass,uid eq
"""


def have(path):
    return os.access(path, os.X_OK) or shutil.which(path) is not None


def basic(user, password):
    return "Basic " + base64.b64encode(("%s:%s" % (user, password)).encode()).decode()


def write(path, text, mode=0o644):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


class Origin:
    """nginx with pages of 1 KiB, 64 KiB and 100 MiB."""

    def __init__(self, folder, files):
        os.makedirs(os.path.join(folder, "pages"))
        for name, size in (("1k", 1024), ("64k", 65536), ("100m", 100 << 20)):
            with open(os.path.join(folder, "pages", name), "wb") as f:
                f.truncate(size)
        address = space.ADDRESSES["other"]
        conf = write(folder + "/nginx.conf", ORIGIN.format(folder=folder, address=address, files=files, user="user root;" if os.geteuid() == 0 else ""))
        self.proc = Proc("nginx", ["/usr/sbin/nginx", "-e", folder + "/error.log", "-c", conf, "-p", folder], folder + "/out")
        wait_for_port(self.proc, address, 8080)
        self.address = "%s:8080" % address

    def url(self, path):
        return "http://%s%s" % (self.address, path)

    def stop(self):
        self.proc.stop()


class People:
    """A slapd with many people; uid=u000000 has the password pass-u000000, and so on."""

    def __init__(self, folder, count):
        os.makedirs(folder + "/db")
        self.folder, self.count, self.address, self.proc = folder, count, "%s:389" % space.ADDRESSES["other"], None
        self._binary = folder + "/slapd"
        shutil.copy("/usr/sbin/slapd", self._binary)     # AppArmor's profile goes by path
        self._conf = write(folder + "/slapd.conf", SLAPD_CONF.format(folder=folder, base=BASE, service=SERVICE_DN))
        run([self._binary, "-Ta", "-q", "-f", self._conf], stdin=self._ldif().encode(), seconds=180)
        self.log = folder + "/slapd.log"
        self.start()

    @staticmethod
    def uid(number):
        return "u%06d" % number

    def credential(self, number):
        return basic(self.uid(number), "pass-" + self.uid(number))

    def _ldif(self):
        hashed = lambda password: base64.b64encode(hashlib.sha1(password.encode() + b"salt").digest() + b"salt").decode()
        out = ["dn: %s\nobjectClass: organization\nobjectClass: dcObject\no: corp\ndc: corp\n\n" % BASE]
        out += ["dn: ou=%s,%s\nobjectClass: organizationalUnit\nou: %s\n\n" % (unit, BASE, unit) for unit in ("people", "services")]
        out.append("dn: %s\nobjectClass: person\ncn: proxy\nsn: Service\nuserPassword: {SSHA}%s\n\n" % (SERVICE_DN, hashed(SERVICE_PASSWORD)))
        for number in range(self.count):
            uid = self.uid(number)
            out.append("dn: uid=%s,ou=people,%s\nobjectClass: inetOrgPerson\nuid: %s\ncn: %s\nsn: P\nuserPassword: {SSHA}%s\n\n" % (
                uid, BASE, uid, uid, hashed("pass-" + uid)))
        return "".join(out)

    def start(self, stats=False):
        """stats: it logs each operation, so that binds can be counted."""
        self.stop()
        self.proc = Proc("slapd", [self._binary, "-f", self._conf, "-h", "ldap://" + self.address, "-d", "stats" if stats else "none"], self.log)
        wait_for_port(self.proc, *self._place())

    def _place(self):
        host, port = self.address.split(":")
        return host, int(port)

    def binds(self, uid):
        with open(self.log, errors="replace") as f:
            return len(re.findall(r' BIND dn="uid=%s,ou=people,[^"]*" method=128' % uid, f.read()))

    def file(self, path, count, first=0):
        """A file of credentials, one a line."""
        return write(path, "".join(self.credential(n) + "\n" for n in range(first, first + count)))

    def stop(self):
        if self.proc is not None:
            self.proc.stop(signal.SIGTERM, 5)
            self.proc = None


class Relay:
    """The same directory, a round trip of `ms` away."""

    def __init__(self, program, folder, target, ms):
        self.address = "%s:1389" % space.ADDRESSES["other"]
        self.proc = Proc("relay", [program, self.address, target, str(int(ms * 500))], folder + "/relay.out")
        wait_for_port(self.proc, space.ADDRESSES["other"], 1389)

    def stop(self):
        self.proc.stop()


class Side:
    """One way to the origin: through a proxy, or straight (no pid)."""

    def __init__(self, name, address, proc=None, tls=None, flush=None):
        self.name, self.address, self.proc, self.tls, self.flush = name, address, proc, tls, flush

    @property
    def pid(self):
        return self.proc.pid if self.proc else None

    def stop(self):
        if self.proc is not None:
            self.proc.stop(signal.SIGTERM, 5)


def start_squid(folder, auth, files, environment):
    os.makedirs(folder)
    os.chmod(folder, 0o777)
    address = space.ADDRESSES["other-client"]
    conf = write(folder + "/squid.conf", SQUID_CONF.format(folder=folder, address=address, files=files, auth=auth))
    proc = Proc("squid", [SQUID, "-N", "-f", conf], folder + "/out", env=dict(environment, KRB5RCACHENAME="none:"))
    wait_for_port(proc, address, 3128)
    return Side("squid", address + ":3128", proc)


def squid_ldap(url, template=False, ttl="2 hours", helpers=16):
    """basic_ldap_auth: by search and bind, or by a bind alone."""
    how = '-u uid -b "ou=people,%s"' % BASE if template else '-R -b "ou=people,%s" -D "%s" -w "%s" -f "uid=%%s"' % (BASE, SERVICE_DN, SERVICE_PASSWORD)
    return "auth_param basic program /usr/lib/squid/basic_ldap_auth %s -H %s\nauth_param basic children %d startup=%d idle=1 queue-size=1000\n" \
           "auth_param basic credentialsttl %s" % (how, url, helpers, helpers, ttl)


def squid_negotiate(keytab):
    """Its best figure is with the replay cache off, by KRB5RCACHENAME (with -t none the helper of Debian 12 crashes)."""
    return "auth_param negotiate program /usr/lib/squid/negotiate_kerberos_auth -r -k %s -s HTTP/proxy.corp.test@CORP.TEST\n" \
           "auth_param negotiate children 16 startup=8 idle=1 queue-size=1000" % keytab


def start_haproxy(folder, origin, certificate, key, files):
    os.makedirs(folder)
    pem = write(folder + "/both.pem", open(certificate).read() + open(key).read(), 0o600)
    address = space.ADDRESSES["client"]
    conf = write(folder + "/haproxy.cfg", HAPROXY_CONF.format(maxconn=(files - 200) // 2, user=USER, password=PEOPLE[USER], address=address, pem=pem,
                                                              origin=origin))
    proc = Proc("haproxy", [HAPROXY, "-db", "-f", conf], folder + "/out")
    wait_for_port(proc, address, 3128)
    return Side("haproxy", address + ":3128", proc, tls=address + ":3143")


def start_apache(folder, auth, origin, environment, stock=False):
    """Tuned: one process of many threads (the event MPM), which uses as many processors as there are, and whose connections to
    the origin are kept. Stock: the processes and threads that Debian ships, and the forward proxy's own way with the origin,
    a connection for each request."""
    os.makedirs(folder)
    os.chmod(folder, 0o777)
    address, port = space.ADDRESSES["other-client"], 3130 if stock else 3129
    modules = [name for name in APACHE_LOADS if name != "auth_gssapi" or "GSSAPI" in auth]
    conf = write(folder + "/apache.conf", APACHE_CONF.format(
        folder=folder, address=address, port=port, auth=auth, user="User www-data\nGroup www-data" if os.geteuid() == 0 else "",
        workers=APACHE_STOCK if stock else APACHE_TUNED.format(origin=origin, threads=APACHE_THREADS),
        modules="\n".join("LoadModule %s_module %s/mod_%s.so" % (name, APACHE_MODULES, name) for name in modules)))
    proc = Proc("apache", [APACHE, "-D", "FOREGROUND", "-f", conf], folder + "/out", env=dict(environment, KRB5RCACHENAME="none:"))
    wait_for_port(proc, address, port)
    return Side("apache, as Debian ships it" if stock else "apache", "%s:%d" % (address, port), proc)


def apache_ldap(url, cached=True):
    """mod_authnz_ldap searches and binds; without its cache where each login is another person's."""
    return APACHE_LDAP.format(url=url, base=BASE, service=SERVICE_DN, password=SERVICE_PASSWORD, entries=1024 if cached else 0)


def apache_negotiate(keytab):
    """mod_auth_gssapi, with MIT's replay cache off (KRB5RCACHENAME): its best figure, as squid's."""
    return APACHE_NEGOTIATE.format(keytab=keytab)


class Sallyports:
    """Starts sallyport as a scenario wants it, each on ports of its own."""

    def __init__(self, world):
        self.world, self.count = world, 0

    def config(self, url=None, template=False, **ldap):
        """Basic by the ldap backend without groups (squid asks for none); url: the directory, the rig's own by default."""
        w, number = self.world, self.count
        self.count += 1
        config = w.config()
        config.listens = [("%s:%d" % (w.proxy_address, 4000 + 2 * number), {"offer": ["basic"]})]
        config.admin["http"] = "127.0.0.1:%d" % (5000 + number)
        config.log.update(level="warning", access="")
        config.auth = {"basic": ["corp-ldap"]}
        config.cache["ttl"] = Raw("1h")
        config.limits["keepalive_timeout"] = Raw("10m")
        config.protect["connect_ports"] = ["443", "80", "8080"]
        changes = dict(uris=[url or w.ldap_url(w.dc1, "ldap")], allow_clear=True, group_base="", filter="(uid=%u)")
        if template:
            changes["user_dn"] = "uid=%u,ou=people," + BASE
        config.backends = {"corp-ldap": w.ldap_backend(**dict(changes, **ldap))}
        return config

    def negotiate(self):
        config = self.config()
        config.listens[0][1]["offer"] = ["negotiate"]
        config.auth = {"negotiate": ["corp-krb5"]}
        config.backends = {"corp-krb5": self.world.krb5_backend(groups_from="")}
        return config

    def start(self, config, name="sallyport"):
        port = int(config.listens[0][0].rsplit(":", 1)[1])
        tls = None
        if len(config.listens) > 1:
            tls = config.listens[1][0]
        proxy = self.world.start(config)
        return Side(name, "%s:%d" % (self.world.proxy_address, port), proxy.proc, tls, flush=lambda: self.world.command("ctl", "-c", proxy.path, "flush"))
