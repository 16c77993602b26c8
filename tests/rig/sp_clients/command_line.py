"""Clients of the command line: curl, wget, git, and the ones that only want a tunnel."""

import os

from .client import Client
from .site import LATE_PORT

CURL = Client("curl", ["curl", "--version"], tools=["curl"])
WGET = Client("wget", ["wget", "--version"], tools=["wget"])
ARIA2 = Client("aria2", ["aria2c", "--version"], tools=["aria2c"])
GIT = Client("git", ["git", "--version"], tools=["git"])
OPENSSL = Client("openssl s_client", ["openssl", "version"], tools=["openssl"])
SOCAT = Client("socat", ["socat", "-V"], tools=["socat"])
NCAT = Client("ncat", ["ncat", "--version"], tools=["ncat"])
RSYNC = Client("rsync", ["rsync", "--version"], tools=["rsync"])


def curl(ask, *words, pages=1):
    trust = ["--proxy-cacert", ask.ca] if ask.tls else []
    return ask.run("curl", "-sSf", "--cacert", ask.ca, *trust, "-x", ask.proxy, *words, *[ask.page] * pages)


@CURL.way("Basic", setting="`-x PROXY -U USER:PASSWORD`")
@CURL.way("Basic", "TLS", setting="`--proxy-cacert CA -x https://PROXY -U USER:PASSWORD`")
def _(ask):
    return curl(ask, "-U", "%s:%s" % (ask.user, ask.password))


@CURL.way("Negotiate", setting="`--proxy-negotiate -U :`; without `-U :` it sends nothing")
@CURL.way("Negotiate", "TLS", setting="`--proxy-cacert CA --proxy-negotiate -U :`")
def _(ask):
    return curl(ask, "--proxy-negotiate", "-U", ":")


@CURL.way("Negotiate, asked first", setting="`--proxy-anyauth -U :`")
@CURL.way("Negotiate, asked first", "TLS", setting="`--proxy-cacert CA --proxy-anyauth -U :`")
def _(ask):
    return curl(ask, "--proxy-anyauth", "-U", ":")


@CURL.way("Negotiate, asked first, three pages", page="three pages", setting="`--proxy-anyauth -U :`; the connection's identity serves the others")
def _(ask):
    return curl(ask, "--proxy-anyauth", "-U", ":", pages=3)


@CURL.way("Negotiate, asked first, upload", targets=("http",), page="thanks", setting="`--proxy-anyauth -U :`; the body is sent once more")
def _(ask):
    body = ask.write("body", "b" * 200000)
    return ask.run("curl", "-sSf", "-x", ask.proxy, "--proxy-anyauth", "-U", ":", "--data-binary", "@" + body, ask.base + "/arrived")


@CURL.way("Negotiate, by the proxy's address", cannot=True, setting="none: there is no service `HTTP/10.99.0.1` in the realm, and curl sends nothing")
def _(ask):
    return ask.run("curl", "-sSf", "--cacert", ask.ca, "-x", "http://%s:%d" % (ask.address, ask.port), "--proxy-negotiate", "-U", ":", ask.page, well=False)


@CURL.way("Basic, a wrong password", cannot=True, setting="asked once, and no more")
def _(ask):
    return ask.run("curl", "-sSf", "--cacert", ask.ca, "-x", ask.proxy, "-U", ask.user + ":wrong", ask.page, well=False)


def wget(ask, proxy):
    return ask.run("wget", "-qO-", "--tries=1", "--ca-certificate=" + ask.ca, ask.page, well=False, http_proxy=proxy, https_proxy=proxy)


@WGET.way("Basic", setting="`https_proxy=http://USER:PASSWORD@PROXY`, or `proxy_user` and `proxy_password` in `.wgetrc`")
def _(ask):
    return wget(ask, ask.with_password())


@WGET.way("Negotiate", cannot=True, setting="none: it has no Negotiate, and ends at the 407")
def _(ask):
    return wget(ask, ask.proxy)


@ARIA2.way("Basic", setting="`--all-proxy=http://PROXY --all-proxy-user=USER --all-proxy-passwd=PASSWORD`")
def _(ask):
    ask.run("aria2c", "-q", "--no-conf", "--all-proxy=" + ask.proxy, "--all-proxy-user=" + ask.user, "--all-proxy-passwd=" + ask.password,
            "--ca-certificate=" + ask.ca, "-o", "got", ask.page)
    return read(ask.at("got"))


def read(path):
    with open(path, "rb") as f:
        return f.read()


def clone(ask, proxy, *settings, well=True):
    settings = ["http.sslCAInfo=" + ask.ca, "http.proxy=" + proxy] + (["http.proxySSLCAInfo=" + ask.ca] if ask.tls else []) + list(settings)
    words = [word for setting in settings for word in ("-c", setting)]
    ask.run("git", *words, "clone", "-q", ask.base + "/repo.git", ask.at("copy"), well=well, GIT_TERMINAL_PROMPT="0")
    return read(ask.at("copy", "page.txt")) if os.path.exists(ask.at("copy")) else b""


@GIT.way("Basic, asked first", "Basic only", setting="`http.proxy=http://USER:PASSWORD@PROXY`, where Basic alone is offered")
def _(ask):
    return clone(ask, ask.with_password())


@GIT.way("Basic, asked first", cannot=True, setting="the same where Negotiate is offered too, without a ticket: libcurl chooses Negotiate and does not come back to Basic")
def _(ask):
    return clone(ask, ask.with_password(), well=False)


@GIT.way("Basic", setting="`http.proxy=http://USER:PASSWORD@PROXY http.proxyAuthMethod=basic`")
@GIT.way("Basic", "TLS", targets=("http",), setting="the same with `https://`, and `http.proxySSLCAInfo=CA`")
def _(ask):
    return clone(ask, ask.with_password(), "http.proxyAuthMethod=basic")


@GIT.way("Negotiate", setting="`http.proxy=http://:@PROXY http.proxyAuthMethod=negotiate`; without `:@` it sends nothing")
@GIT.way("Negotiate", "TLS", targets=("http",), setting="the same with `https://`, and `http.proxySSLCAInfo=CA`")
def _(ask):
    return clone(ask, ask.proxy.replace("://", "://:@"), "http.proxyAuthMethod=negotiate")


@GIT.way("Negotiate, asked first", setting="`http.proxy=http://:@PROXY`")
def _(ask):
    return clone(ask, ask.proxy.replace("://", "://:@"))


@OPENSSL.way("Basic", targets=("https",), setting="`-proxy PROXY -proxy_user USER -proxy_pass pass:PASSWORD`")
def _(ask):
    request = ("GET /page.txt HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % ask.site.name).encode()
    out = ask.run("openssl", "s_client", "-quiet", "-proxy", "%s:%d" % (ask.host, ask.port), "-proxy_user", ask.user, "-proxy_pass", "pass:" + ask.password,
                  "-connect", ask.site.name + ":443", "-servername", ask.site.name, "-CAfile", ask.ca, "-verify_return_error", stdin=request)
    return out.partition(b"\r\n\r\n")[2]


# A tunnel to a line that answers only once the client has closed its writing side. The question fills no socket buffer and
# the answer many, so the closing overtakes nothing and the answer must outlive it.

SAID = b"a question, and nothing after it\n"


@SOCAT.way("Basic, half-closed", targets=("tunnel",), page="late answer",
           setting="`-t 60 - PROXY:PROXYHOST:HOST:PORT,proxyport=3128,proxyauth=USER:PASSWORD`; without `-t` it waits half a second for the answer")
def _(ask):
    return ask.run("socat", "-t", "30", "-", "PROXY:%s:%s:%d,proxyport=%d,proxyauth=%s:%s" % (ask.host, ask.site.name, LATE_PORT, ask.port, ask.user, ask.password), stdin=SAID)


@NCAT.way("Basic, half-closed", targets=("tunnel",), page="late answer", setting="`--proxy PROXY --proxy-type http --proxy-auth USER:PASSWORD`; it asks first")
def _(ask):
    return ask.run("ncat", "--proxy", "%s:%d" % (ask.host, ask.port), "--proxy-type", "http", "--proxy-auth", "%s:%s" % (ask.user, ask.password),
                   ask.site.name, str(LATE_PORT), stdin=SAID)


# rsync's own protocol in a tunnel: a daemon of the rig's serves the site's folder.

@RSYNC.way("Basic", targets=("tunnel",), setting="`RSYNC_PROXY=USER:PASSWORD@PROXY`; `connect_ports` must have 873")
def _(ask):
    ask.run("rsync", "-q", "rsync://%s/site/page.txt" % ask.site.name, ask.at("page.txt"), RSYNC_PROXY="%s:%s@%s:%d" % (ask.user, ask.password, ask.host, ask.port))
    return read(ask.at("page.txt"))
