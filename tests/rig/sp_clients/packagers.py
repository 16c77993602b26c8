"""Package managers, each with a tiny repository on the site."""

import hashlib
import json
import os
import subprocess
import tarfile
import io

from .client import Client
from .command_line import read

APT = Client("apt", ["apt-get", "--version"], tools=["apt-get", "dpkg-deb"])
NPM = Client("npm", ["npm", "--version"], tools=["npm"])


def furnish(site, page):
    """The repositories: a package of each kind that holds the page."""
    tree = os.path.join(site.folder, "making")
    site.write("making/DEBIAN/control", b"Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: Rig <rig@corp.test>\nDescription: a page\n")
    site.write("making/usr/share/tiny/page.txt", page)
    os.makedirs(os.path.join(site.folder, "apt"))
    deb = os.path.join(site.folder, "apt", "tiny_1_all.deb")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, deb], check=True, stdout=subprocess.DEVNULL)
    data = read(deb)
    site.write("apt/Packages", ("Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: Rig <rig@corp.test>\nDescription: a page\n"
                                "Filename: ./tiny_1_all.deb\nSize: %d\nSHA256: %s\n\n" % (len(data), hashlib.sha256(data).hexdigest())).encode())
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        for name, content in (("package/package.json", b'{"name": "tiny", "version": "1.0.0"}'), ("package/page.txt", page)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    site.write("tiny-1.0.0.tgz", whole.getvalue())
    version = {"name": "tiny", "version": "1.0.0", "dist": {"tarball": "{base}/tiny-1.0.0.tgz", "shasum": hashlib.sha1(whole.getvalue()).hexdigest()}}
    site.write("npm/tiny", json.dumps({"name": "tiny", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}).encode())


@APT.way("Basic", targets=("http",), setting="`Acquire::http::Proxy \"http://USER:PASSWORD@PROXY/\";` and the same for `Acquire::https::Proxy`")
@APT.way("Basic", targets=("https",), shows=True, setting="the same")
@APT.way("Basic", "TLS", targets=("http",), setting="the same with `https://`, and `Acquire::https::CAInfo \"CA\";`")
def _(ask):
    for folder in ("lists/partial", "archives/partial", "state", "etc/parts"):
        os.makedirs(ask.at(folder))
    ask.write("state/status", "")
    conf = ask.write("apt.conf", "".join('%s "%s";\n' % pair for pair in {
        "Dir::State": ask.at("state"), "Dir::State::lists": ask.at("lists"), "Dir::State::status": ask.at("state", "status"), "Dir::Cache": ask.at("."),
        "Dir::Cache::archives": ask.at("archives"), "Dir::Etc": ask.at("etc"), "Dir::Etc::sourcelist": ask.write("etc/sources.list", "deb [trusted=yes] %s/apt ./\n" % ask.base),
        "Dir::Etc::sourceparts": ask.at("etc", "parts"), "APT::Sandbox::User": "root", "Acquire::Languages": "none", "Acquire::Retries": "0",
        "Acquire::http::Proxy": ask.with_password() + "/", "Acquire::https::Proxy": ask.with_password() + "/", "Acquire::https::CAInfo": ask.ca}.items()))
    ask.run("apt-get", "-q", "update", APT_CONFIG=conf)
    ask.run("apt-get", "-q", "download", "tiny", APT_CONFIG=conf)
    ask.run("dpkg-deb", "-x", ask.at("tiny_1_all.deb"), ask.at("out"))
    return read(ask.at("out", "usr", "share", "tiny", "page.txt"))


@NPM.way("Basic", setting="`npm config set proxy http://USER:PASSWORD@PROXY`, and `https-proxy`; `cafile` for a CA of your own")
def _(ask):
    ask.write("package.json", '{"name": "rig", "version": "1.0.0"}')
    ask.write(".npmrc", "proxy=%s\nhttps-proxy=%s\nnoproxy=\ncafile=%s\nregistry=%s/npm/\naudit=false\nfund=false\nupdate-notifier=false\nfetch-retries=0\n"
              "cache=%s\n" % (ask.with_password(), ask.with_password(), ask.ca, ask.base, ask.at("cache")))
    ask.run("npm", "install", "tiny")
    return read(ask.at("node_modules", "tiny", "page.txt"))
