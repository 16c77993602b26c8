"""Which names are looked up for a service identity by Kerberos, and that nobody waits for a name service that is silent."""

import contextlib
import os
import socket

from by_ticket import comes_back, configured, kerberos_directory
from common import BOB, ask, own, passed
from sp_rig.held import control

PTR = 12
PTR_OF_DC1 = "31.0.99.10.in-addr.arpa"


def canonical_conf(w):
    """krb5.conf as it is by default: names are made canonical by DNS, forth and back."""
    with open(w.realm.krb5_conf) as f:
        text = f.read()
    path = os.path.join(w.folder, "canonical-krb5.conf")
    with open(path, "w") as f:
        f.write(text.replace("dns_canonicalize_hostname = false", "dns_canonicalize_hostname = true").replace("rdns = false", "rdns = true"))
    return path


@contextlib.contextmanager
def silent(w, *names):
    w.names.silent |= set(names)
    try:
        yield
    finally:
        w.names.silent -= set(names)


def started(w, keys):
    """It asks again after three seconds: long enough for a wait of ours to end before, and for a test to see it come back."""
    p = w.start(configured(w, keys), krb5_conf=canonical_conf(w), env={"RES_OPTIONS": "timeout:3 attempts:5"})
    passed(ask(w, auth=w.initiator("alice").value()))
    return p


def is_503_and_holds_up_nobody(w, p, *words):
    tokens = [w.initiator("carol").value() for _ in range(4)]
    own(ask(w, auth=BOB), 503, "directory_unavailable")
    for token in tokens:
        passed(ask(w, auth=token))
    for word in words:
        p.log_says(word)
    assert "event=ldap_service_refused" not in p.errors(), p.errors()


def test_the_principal_is_made_of_the_name_that_dns_gives_back(w):
    with kerberos_directory(w) as (_, keys):
        started(w, keys)
        del w.names.asked[:]
        passed(ask(w, auth=BOB))
        assert (PTR_OF_DC1, PTR) in w.names.asked, w.names.asked


def test_reverse_dns_that_is_silent_is_503_until_it_speaks(w):
    with kerberos_directory(w) as (_, keys):
        p = started(w, keys)
        with silent(w, PTR_OF_DC1):
            is_503_and_holds_up_nobody(w, p, "DNS about dc1.corp.test does not answer in time")
        comes_back(w)


def test_this_machines_own_name_that_dns_is_silent_about_is_503_until_it_speaks(w):
    """The SASL library asks about it at each bind, and says it to nobody."""
    with kerberos_directory(w) as (server, keys):
        p = started(w, keys)
        passed(ask(w, auth=BOB))
        server.stop()
        server.start()
        control(p, "flush")
        with silent(w, socket.gethostname().lower()):
            is_503_and_holds_up_nobody(w, p, "no answer in time")
        comes_back(w)


def test_a_start_waits_for_no_name(w):
    """libldap asks about this machine before anything else."""
    with kerberos_directory(w) as (_, keys):
        with silent(w, socket.gethostname().lower()):
            p = started(w, keys)
            is_503_and_holds_up_nobody(w, p, "put that into /etc/hosts")
        comes_back(w)
