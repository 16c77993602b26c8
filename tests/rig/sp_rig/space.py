"""A private network for the scenarios: a namespace with nothing but a loopback, and name service of the rig's own.

The scenario runner re-executes itself in new network and mount namespaces. There the loopback carries the addresses
below, well-known ports are free, and /etc/hosts, /etc/resolv.conf and /etc/nsswitch.conf are files of the rig, bind
mounted: seen in the namespace only.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile

MARK = "SALLYPORT_RIG_SPACE"

# Every party has an address of its own, none of them in 127.0.0.0/8, which sallyport protects.
ADDRESSES = {
    "proxy": "10.99.0.1", "client": "10.99.0.2", "other-client": "10.99.0.3",
    "origin": "10.99.0.10", "site": "10.99.0.11", "odd": "10.99.0.20", "other": "10.99.0.21",
    "dc1": "10.99.0.31", "dc2": "10.99.0.32", "kdc": "10.99.0.40", "partner-kdc": "10.99.0.41",
    "dead": "10.99.0.99",
}
DOMAIN = "corp.test"


def host(name):
    return "%s.%s" % (name, DOMAIN)


def names():
    """What the rig's name server knows: name -> addresses."""
    known = {host(name): [address] for name, address in ADDRESSES.items()}
    known["localhost"] = ["127.0.0.1", "::1"]
    known[host("inside")] = ["127.0.0.1"]                             # a name that points inside
    known[host("mixed")] = ["127.0.0.1", ADDRESSES["odd"]]            # one address denied, one not
    known[host("six")] = ["fd99::20", ADDRESSES["odd"]]               # both families
    known[host("halfdead")] = [ADDRESSES["dead"], ADDRESSES["odd"]]   # the first address never answers
    known[host("halfopen")] = [ADDRESSES["other-client"], ADDRESSES["odd"]]   # nothing listens at the first
    known[host("alias")] = [ADDRESSES["proxy"]]
    known[host("refusing")] = [ADDRESSES["other-client"]]             # nothing listens there
    return known


def enter():
    """Re-executes the program inside the namespaces, once. Returns there."""
    if os.environ.get(MARK) == "1":
        _furnish()
        return
    command = ["unshare", "--net", "--mount", "--propagation", "private"]
    if os.geteuid() != 0:
        command[1:1] = ["--user", "--map-root-user"]
    probe = subprocess.run(command + ["true"], stderr=subprocess.PIPE)
    if probe.returncode != 0:
        sys.exit("the scenarios need a network namespace of their own, and this machine refuses one:\n  %s\n"
                 "run as root, or allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1)"
                 % probe.stderr.decode().strip())
    os.environ[MARK] = "1"
    os.execvp(command[0], command + ["--", sys.executable] + sys.argv)


def _furnish():
    ip = lambda *words: subprocess.run(("ip",) + words, check=True)
    ip("link", "set", "lo", "up")
    for address in ADDRESSES.values():
        ip("addr", "add", address + "/32", "dev", "lo")
    subprocess.run(("ip", "addr", "add", "fd99::20/128", "dev", "lo", "nodad"), stderr=subprocess.DEVNULL)
    folder = tempfile.mkdtemp(prefix="sallyport-names.")
    _cover("/etc/hosts", folder, "127.0.0.1 localhost\n::1 localhost\n")
    _cover("/etc/resolv.conf", folder, "nameserver 127.0.0.1\noptions timeout:1 attempts:2\n")
    _cover("/etc/nsswitch.conf", folder, "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"
                                         "services: files\nprotocols: files\nnetworks: files\n")
    shutil.rmtree(folder)  # the mounts keep the files
    os.environ.pop(MARK)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        os.environ.pop(name, None)


def _cover(path, folder, text):
    own = os.path.join(folder, os.path.basename(path))
    with open(own, "w") as f:
        f.write(text)
    libc = ctypes.CDLL(None, use_errno=True)
    MS_BIND = 4096
    target = os.path.realpath(path)  # resolv.conf is often a link
    if libc.mount(own.encode(), target.encode(), None, MS_BIND, None) != 0:
        sys.exit("cannot cover %s in the namespace: %s" % (target, os.strerror(ctypes.get_errno())))
