"""Chromium and Firefox, headless, each with a fresh profile that knows the rig's CA; a ticket is all they have."""

import re

from sp_rig.procs import wait_until

from .client import Client

CHROMIUM = Client("Chromium", ["chromium", "--version"], tools=["chromium", "certutil"])
FIREFOX = Client("Firefox", ["firefox-esr", "--version"], tools=["firefox-esr", "certutil"], heavy=True)


def trust(ask, store):
    """A certificate store of NSS's that knows the CA."""
    ask.write(store + "/.keep", "")
    ask.run("certutil", "-N", "--empty-password", "-d", "sql:" + ask.at(store))
    ask.run("certutil", "-A", "-n", "rig", "-t", "C,,", "-i", ask.ca, "-d", "sql:" + ask.at(store))


def chromium(ask, page, *words):
    trust(ask, ".pki/nssdb")
    return ask.run("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--disable-background-networking", "--disable-component-update", "--user-data-dir=" + ask.at("profile"),
                   "--proxy-server=" + ask.proxy, "--dump-dom", "--timeout=20000", *words, "%s/%s" % (ask.base, page))


def shown(dom):
    """The text of the page's one paragraph, as the browser has it after its script ran."""
    found = re.search(rb'<p id="page">([^<]*)</p>', dom)
    return found[1] if found else dom


BY_NAME = "nothing, for a proxy named as its SPN names it"
BY_TLS = "`--proxy-server=https://PROXY`, or a PAC file that says `HTTPS PROXY`; the CA in NSS's store"


@CHROMIUM.way("Negotiate", page="page.html", targets=("http",), setting=BY_NAME)
@CHROMIUM.way("Negotiate", page="page.html", targets=("https",), most=8, setting="the same, and several tunnels are opened at once")
@CHROMIUM.way("Negotiate", "TLS", page="page.html", targets=("http",), setting=BY_TLS)
@CHROMIUM.way("Negotiate", "TLS", page="page.html", targets=("https",), most=8, setting="the same")
def _(ask):
    return shown(chromium(ask, "page.html"))


@CHROMIUM.way("Negotiate, an allowlist of others", page="page.html", targets=("http",), setting="the policy `AuthServerAllowlist` is about origins; a proxy need not be in it")
def _(ask):
    return shown(chromium(ask, "page.html", "--auth-server-allowlist=elsewhere.test"))


@CHROMIUM.way("Negotiate, twelve pictures", page="pictures", most=18, setting="as with one page; one 407 for each connection")
@CHROMIUM.way("Negotiate, twelve pictures", "TLS", page="pictures", most=18, setting="the same, over TLS")
def _(ask):
    return shown(chromium(ask, "pictures.html"))


PREFERENCES = {
    "network.proxy.type": 1, "network.proxy.no_proxies_on": "", "network.proxy.allow_hijacking_localhost": True,
    "browser.shell.checkDefaultBrowser": False, "browser.aboutwelcome.enabled": False, "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.enabled": False, "network.captive-portal-service.enabled": False, "network.connectivity-service.enabled": False,
    "dom.security.https_first": False, "security.OCSP.enabled": 0,
}


def preferences(ask):
    """A clear proxy has preferences of its own; one behind TLS is named by a PAC file alone."""
    chosen = dict(PREFERENCES)
    if ask.tls:
        pac = ask.write("proxy.pac", 'function FindProxyForURL(url, host) { return "HTTPS %s:%d"; }\n' % (ask.host, ask.port))
        chosen.update({"network.proxy.type": 2, "network.proxy.autoconfig_url": "file://" + pac})
    for kind in () if ask.tls else ("http", "ssl"):
        chosen.update({"network.proxy.%s" % kind: ask.host, "network.proxy.%s_port" % kind: ask.port})
    word = {bool: lambda v: str(v).lower(), int: str, str: lambda v: '"%s"' % v}
    return "".join('user_pref("%s", %s);\n' % (name, word[type(v)](v)) for name, v in chosen.items())


@FIREFOX.way("Negotiate", page="beacon.html", setting="nothing: `network.negotiate-auth.allow-proxies` is true as it comes; `network.negotiate-auth.trusted-uris` is about origins")
@FIREFOX.way("Negotiate", "TLS", page="beacon.html", setting="the same; a PAC file that says `HTTPS PROXY`, which no other setting can name")
def _(ask):
    ask.write("profile/user.js", preferences(ask))
    trust(ask, "profile")
    ask.run("firefox-esr", "--headless", "--no-remote", "--profile", ask.at("profile"), "--screenshot", ask.at("page.png"), ask.base + "/beacon.html",
            MOZ_DISABLE_AUTO_SAFE_MODE="1")
    wait_until("Firefox tells what it shows", lambda: ask.site.arrived, 10)
    return ask.site.arrived[0]


def furnish(site, words):
    """The pages for browsers: each writes the words into its paragraph by a script, so that only a page that ran shows them."""
    script = '<!DOCTYPE html><title>rig</title><link rel="icon" href="data:,"><p id="page"></p>%s<script>document.getElementById("page").textContent = "%s".split("").reverse().join("");%s</script>\n'
    turned = words.decode()[::-1]
    pictures = "".join('<img src="/picture%d.svg" width="8" height="8">' % n for n in range(12))
    tell = 'const told = new XMLHttpRequest(); told.open("POST", "/arrived", false); told.send(document.getElementById("page").textContent);'
    wait = 'addEventListener("load", () => { const all = [...document.images].every((one) => one.naturalWidth > 0); if (!all) document.getElementById("page").textContent = "a picture is missing"; });'
    site.write("page.html", (script % ("", turned, "")).encode())
    site.write("beacon.html", (script % ("", turned, tell)).encode())
    site.write("pictures.html", (script % (pictures, turned, wait)).encode())
    for n in range(12):
        site.write("picture%d.svg" % n, b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>\n')
