"""The HTTP clients that programming languages bring or that their programs use."""

from .client import Client, PYTHON, npm_version, program, python

JAVA = ["java", "-version"]
JAVA_CONNECTION = Client("Java HttpURLConnection", JAVA, tools=["java"], heavy=True)
JAVA_CLIENT = Client("Java java.net.http.HttpClient", JAVA, tools=["java"], heavy=True)
REQUESTS = Client("Python requests", python("requests"), imports=["requests"])
URLLIB = Client("Python urllib", [PYTHON, "--version"])
UNDICI = Client("Node undici ProxyAgent", npm_version("undici"), tools=["node"], modules=["undici"])
FETCH = Client("Node fetch (undici EnvHttpProxyAgent)", npm_version("undici"), tools=["node"], modules=["undici"])
AGENT = Client("Node https-proxy-agent, http-proxy-agent", npm_version("https-proxy-agent"), tools=["node"], modules=["https-proxy-agent", "http-proxy-agent"])
AXIOS = Client("Node axios", npm_version("axios"), tools=["node"], modules=["axios"])
SOUP = Client("libsoup 3 (GNOME)", ["dpkg-query", "-W", "-f", "${Version}", "libsoup-3.0-0"], imports=["gi"])
LWP = Client("Perl LWP", ["perl", "-MLWP", "-e", "print $LWP::VERSION"], tools=["perl"])

NEGOTIATE = ("`-Djavax.security.auth.useSubjectCredsOnly=false`, a JAAS file with `useTicketCache=true` for "
             "`com.sun.security.jgss.krb5.initiate`, `-Djava.security.krb5.conf=FILE`")
DISABLED = "-Djdk.http.auth.tunneling.disabledSchemes="


def java(ask, kind, *words, properties=()):
    ask.run("keytool", "-importcert", "-noprompt", "-alias", "rig", "-file", ask.ca, "-keystore", ask.at("trust.p12"), "-storepass", "changeit")
    return ask.run("java", "-Djavax.net.ssl.trustStore=" + ask.at("trust.p12"), "-Djavax.net.ssl.trustStorePassword=changeit", *properties,
                   program("Page.java"), kind, ask.host, str(ask.port), ask.page, *words, well=False)


def ticket(ask):
    cache = ask.env["KRB5CCNAME"].partition(":")[2]
    jaas = ask.write("jaas.conf", 'com.sun.security.jgss.krb5.initiate {\n  com.sun.security.auth.module.Krb5LoginModule required\n'
                                  '  useTicketCache=true ticketCache="%s" doNotPrompt=true;\n};\n' % cache)
    return ["-Djava.security.krb5.conf=" + ask.krb5_conf, "-Djavax.security.auth.useSubjectCredsOnly=false", "-Djava.security.auth.login.config=" + jaas]


@JAVA_CONNECTION.way("Basic", "Basic only", setting="an `Authenticator`; for https:// pages `%s` (empty), or it takes the 407 as final" % DISABLED)
def _(ask):
    return java(ask, "connection", ask.user, ask.password, properties=[DISABLED])


@JAVA_CONNECTION.way("Basic, `disabledSchemes` as it comes", "Basic only", targets=("https",), cannot=True, setting="Java's default bars Basic from tunnels")
def _(ask):
    return java(ask, "connection", ask.user, ask.password)


@JAVA_CONNECTION.way("Negotiate", setting=NEGOTIATE)
def _(ask):
    return java(ask, "connection", properties=ticket(ask))


@JAVA_CLIENT.way("Basic", setting="`HttpClient.Builder.authenticator`; for https:// pages `%s` (empty)" % DISABLED)
def _(ask):
    return java(ask, "client", ask.user, ask.password, properties=[DISABLED])


@JAVA_CLIENT.way("Negotiate", cannot=True, setting="none: it has no Negotiate, and gives the 407 to the program")
def _(ask):
    return java(ask, "client", properties=ticket(ask))


@REQUESTS.way("Basic", setting="`proxies={\"https\": \"http://USER:PASSWORD@PROXY\"}`, or `https_proxy`")
@REQUESTS.way("Basic", "TLS", setting="the same with `https://`; `REQUESTS_CA_BUNDLE` must know the proxy's CA too")
def _(ask):
    return ask.run(PYTHON, program("page_requests.py"), ask.with_password(), ask.page, REQUESTS_CA_BUNDLE=ask.ca)


@REQUESTS.way("Negotiate", cannot=True, setting="none: requests-kerberos and requests-gssapi answer origins, not proxies")
def _(ask):
    return ask.run(PYTHON, program("page_requests.py"), ask.proxy, ask.page, well=False, REQUESTS_CA_BUNDLE=ask.ca)


@URLLIB.way("Basic", setting="`ProxyHandler`, or `https_proxy=http://USER:PASSWORD@PROXY`")
def _(ask):
    return ask.run(PYTHON, program("page_urllib.py"), ask.with_password(), ask.page, SSL_CERT_FILE=ask.ca)


def node(ask, how, **more):
    return ask.run("node", program("page.cjs"), how, ask.with_password(), ask.page, NODE_PATH=ask.modules, NODE_EXTRA_CA_CERTS=ask.ca, **more)


@UNDICI.way("Basic", setting="`new ProxyAgent({uri, token: \"Basic …\"})`; it opens a tunnel for http:// pages too: `connect_ports` must have 80")
@UNDICI.way("Basic", "TLS", setting="the same with `https://`; `NODE_EXTRA_CA_CERTS` for a CA of your own")
def _(ask):
    return node(ask, "undici")


@FETCH.way("Basic", setting="`http_proxy`, `https_proxy` with name and password, and `EnvHttpProxyAgent`; a tunnel for http:// pages too")
def _(ask):
    return node(ask, "fetch")


@AGENT.way("Basic", setting="name and password in the agent's address")
@AGENT.way("Basic", "TLS", setting="the same with `https://`; `NODE_EXTRA_CA_CERTS` for a CA of your own")
def _(ask):
    return node(ask, "agent")


@AXIOS.way("Basic", setting="`proxy: {host, port, auth: {username, password}}`")
def _(ask):
    return node(ask, "axios")


def soup(ask, *who):
    return ask.run(PYTHON, program("page_soup.py"), ask.proxy, ask.page, ask.ca, *who, well=False)


@SOUP.way("Basic", targets=("http",), setting="the `authenticate` signal; it asks first")
@SOUP.way("Basic", targets=("https",), shows=True, setting="the same")
def _(ask):
    return soup(ask, ask.user, ask.password)


@SOUP.way("Negotiate", targets=("http",), cannot=True, setting="none; it gives the 407 to the program")
@SOUP.way("Negotiate", targets=("https",), setting="the feature `Soup.AuthNegotiate`")
def _(ask):
    return soup(ask)


@LWP.way("Basic", setting="`$agent->proxy([\"http\", \"https\"], \"http://USER:PASSWORD@PROXY\")`, or `https_proxy`")
def _(ask):
    return ask.run("perl", program("page_lwp.pl"), ask.with_password(), ask.page, ask.ca)
