"""`sallyport doctor`: all well on the rig, and each fault made and found, with its remedy."""

import grp
import json
import os
import re
import shutil
import socket
import subprocess
import time

from common import ALICE, ask, passed
from sp_rig.directory import SERVICE_PASSWORD
from sp_rig.held import total
from sp_rig.pki import Authority
from sp_rig.procs import wait_until
from sp_rig.proxy import command
from test_fault_clock import Clock

SPN = "HTTP/origin.corp.test"              # a name that resolves, and keys that no other test uses


def doctor(w, config, *words):
    """(exit status, standard output); no secret in either output."""
    status, out, err = w.command("doctor", "-c", config.write(), *words)
    for secret in w.secrets():
        assert secret not in out + err, "a password was printed:\n" + out + err
    assert status in (0, 1) and "Sanitizer" not in err, err
    return status, out


def findings(w, config):
    status, out = doctor(w, config, "--json")
    found = json.loads(out)["findings"]
    assert status == (0 if all(f["well"] for f in found) else 1), out
    return found


def one(found, what):
    """The finding about that."""
    named = [f for f in found if what in f["what"]]
    assert named, "nothing about %r in %s" % (what, found)
    return named[0]


def ill(found, what, *states):
    """That, and nothing else, is not well, and a remedy is given."""
    faults = [f for f in found if not f["well"]]
    assert faults and all(what in f["what"] for f in faults), faults
    for state in states:
        assert any(state in f["state"] for f in faults), (state, faults)
    assert all(f["remedy"] for f in faults), faults
    return faults


def healthy(w):
    """The rig's configuration with a keytab whose file and names are as they should be."""
    keytab = w.realm.other_keytab("well", SPN)
    config = w.config()
    config.backends["corp-krb5"] = w.krb5_backend(keytab=keytab)
    return config


def test_all_well(w):
    found = findings(w, healthy(w))
    assert all(f["well"] for f in found), [f for f in found if not f["well"]]
    for what in ("configuration", "listen 10.99.0.1:3128", "corp-krb5: key of HTTP/origin.corp.test@CORP.TEST",
                 "corp-krb5: keytab file", "corp-krb5: DNS about origin.corp.test", "corp-krb5: KDC and keytab", "corp-krb5: clock"):
        one(found, what)
    for server in ("dc1", "dc2"):
        for step in ("resolve", "connect", "tls", "service_bind", "certificate", "base", "group_base"):
            one(found, "corp-ldap: ldaps://%s.corp.test:636 %s" % (server, step))
    assert one(found, "running proxy")["state"].startswith("none")


def test_for_people(w):
    status, out = doctor(w, healthy(w))
    assert status == 0 and "  ok     configuration: " in out and "\x1b" not in out, out


def test_the_running_proxy_is_known(w):
    config = healthy(w)
    p = w.start(config)
    found = findings(w, config)
    assert all(f["well"] for f in found), found
    assert "process %d" % p.proc.pid in one(found, "running proxy")["state"]
    assert "sallyport runs (process %d)" % p.proc.pid in one(found, "listen ")["state"]


def test_what_the_running_proxy_knows_to_be_wrong(w):
    """All three are well on the disk, or as far as logins go: only the process can tell."""
    config = healthy(w)
    config.log["access"] = "/dev/full"
    p = w.start(config)
    p._read = lambda name: "" if name == "access" else type(p)._read(p, name)      # /dev/full reads as zeros without end
    passed(ask(w, auth=ALICE))
    p.log_says("event=log_write_failed")
    faults = ill(findings(w, config), "running proxy", 'log="access" cannot be written')
    assert len(faults) == 1 and "free its disk" in faults[0]["remedy"], faults
    config.guard["windou"] = "1m"
    config.write()
    assert w.command("ctl", "-c", p.path, "reload")[0] == 1
    del config.guard["windou"]
    ill(findings(w, config), "running proxy", "the last reload was refused")
    config.file("ldap.secret", SERVICE_PASSWORD)
    config.write()
    wait_until("it is seen", lambda: total(p, "sallyport_file_current", key="bind_password_file") == 0, 10 * w.patience)
    faults = ill(findings(w, config), "running proxy", 'key="bind_password_file"')
    assert len(faults) == 3, faults


def test_a_fault_of_the_configuration(w):
    config = healthy(w)
    config.guard["windou"] = "1m"
    config.admin["http"] = "nowhere"
    status, out = doctor(w, config, "--json")
    assert status == 1
    found = json.loads(out)["findings"]
    assert "not looked at" in found.pop()["state"], out     # and so it ends
    assert len(ill(found, "configuration", "windou", "nowhere")) == 2, found


def test_an_address_taken_by_another_and_one_that_is_not_ours(w):
    config = healthy(w)
    with socket.create_server(("10.99.0.1", 3199)):
        config.listens = [("10.99.0.1:3199", {"offer": ["basic"]}), ("192.0.2.9:3128", {"offer": ["basic"]})]
        faults = ill(findings(w, config), "listen ", "in use", "Cannot assign")
    assert len(faults) == 2 and "another program" in faults[0]["remedy"] and "no such address" in faults[1]["remedy"]


def test_certificates_of_a_listener(w):
    config = healthy(w)
    keys = dict(tls_certificate=w.certificate, tls_key=w.key)
    config.listens = [("10.99.0.1:3143", keys)]
    good = one(findings(w, config), "certificate of listen")
    assert good["well"] and "proxy.corp.test" in good["state"] and "127.0.0.1" in good["state"], good
    for days, state in ((5, "expires soon"), (-1, "expired on")):
        keys["tls_certificate"], keys["tls_key"] = w.authority.issue("brief%d" % days, ["proxy.corp.test"], days=days)
        ill(findings(w, config), "certificate of listen", state)


def test_a_directory_that_is_down_or_hangs(w):
    w.dc1.stop()
    config = healthy(w)
    config.backends["corp-ldap"] = w.ldap_backend(connect_timeout="500ms", timeout="500ms")
    ill(findings(w, config), "ldaps://dc1.corp.test:636 connect", "refused")
    w.dc1.start()
    w.dc1.hang()
    try:
        ill(findings(w, config), "ldaps://dc1.corp.test:636", "no answer in time")
    finally:
        w.dc1.wake()


def test_a_name_that_does_not_resolve(w):
    config = healthy(w)
    config.backends["corp-ldap"] = w.ldap_backend(uris=["ldaps://nowhere.corp.test"])
    ill(findings(w, config), "ldaps://nowhere.corp.test resolve", "cannot resolve")


def test_certificates_of_a_directory(w):
    config = healthy(w)
    other = Authority(os.path.join(w.folder, "strange-pki"))
    config.backends["corp-ldap"] = w.ldap_backend(tls_ca=other.ca)
    ill(findings(w, config), " tls", "does not verify")
    for days, what, state in ((5, " certificate", "expires in "), (-1, " tls", "expired")):
        certificate, key = w.authority.issue("dc1-brief%d" % days, ["dc1.corp.test"], days=days)
        old = dict(certificate=w.dc1._settings["certificate"], key=w.dc1._settings["key"])
        w.dc1.stop()
        w.dc1.start(certificate=certificate, key=key)
        try:
            config.backends["corp-ldap"] = w.ldap_backend(uris=[w.ldap_url(w.dc1)])
            ill(findings(w, config), what, state)
        finally:
            w.dc1.stop()
            w.dc1.start(**old)


def test_the_service_identity_and_the_bases(w):
    config = healthy(w).file("ldap.secret", "Wrong-Service-06\n")
    ill(findings(w, config), "service_bind", "Invalid credentials")
    config = healthy(w)
    config.backends["corp-ldap"] = w.ldap_backend(base="ou=nobody,dc=corp,dc=test", group_base="ou=none,dc=corp,dc=test")
    faults = ill(findings(w, config), "base", "No such object")
    assert len(faults) == 4, "two bases at two servers: %s" % faults


def test_a_keytab_without_the_spn_and_open_to_all(w):
    config = healthy(w)
    keytab = w.realm.other_keytab("ldaponly", "ldap/dc9.corp.test")
    config.backends["corp-krb5"] = w.krb5_backend(keytab=keytab)
    faults = ill(findings(w, config), "service name", "HTTP/<host>")
    assert "add that principal" in faults[0]["remedy"]
    config = healthy(w)
    os.chmod(config.backends["corp-krb5"]["keytab"], 0o644)
    ill(findings(w, config), "keytab file", "mode 0644")


def test_an_spn_that_dns_does_not_know(w):
    config = healthy(w)
    config.backends["corp-krb5"] = w.krb5_backend(keytab=w.realm.other_keytab("lost", "HTTP/lost.corp.test"))
    ill(findings(w, config), "DNS about lost.corp.test", "does not resolve")


def test_a_key_that_was_changed_since(w):
    config = healthy(w)
    w.realm.kadmin("cpw -randkey " + SPN)
    faults = ill(findings(w, config), "KDC and keytab about HTTP/origin.corp.test")
    assert "export the keytab anew" in faults[0]["remedy"]


def test_an_account_of_the_service_that_has_expired(w):
    config = healthy(w)
    w.realm.kadmin("modprinc -pwexpire yesterday " + SPN)
    try:                                   # a password's age says nothing about tickets for the service
        found = findings(w, config)
        assert all(f["well"] for f in found), [f for f in found if not f["well"]]
        w.realm.kadmin("modprinc -pwexpire never -expire yesterday " + SPN)
        faults = ill(findings(w, config), "KDC and keytab about HTTP/origin.corp.test", "expired")
        assert "expiry" in faults[0]["remedy"] and "keytab" not in faults[0]["remedy"], faults
    finally:
        w.realm.kadmin("modprinc -pwexpire never -expire never " + SPN)


def test_a_clock_that_the_kdc_does_not_take(w):
    config = healthy(w)
    with open(w.realm.krb5_conf) as f:
        text = f.read().replace("[libdefaults]", "[libdefaults]\n    kdc_timesync = 0")
    strict, clock = os.path.join(w.folder, "strict.krb5.conf"), Clock(w)
    with open(strict, "w") as f:
        f.write(text)
    clock.set(420)
    env = dict(w.environment(), KRB5_CONFIG=strict)
    for name, value in clock.environment.items():
        env[name] = ":".join(filter(None, (env.get(name), value))) if name.endswith("_OPTIONS") else value
    _, out, _ = command(w.binary, ["doctor", "-c", config.write(), "--json"], env)
    faults = [f for f in json.loads(out)["findings"] if "KDC and keytab" in f["what"]]
    assert len(faults) == 1 and not faults[0]["well"] and "Clock skew" in faults[0]["state"], out
    assert "NTP" in faults[0]["remedy"] and "keytab" not in faults[0]["remedy"], faults


def test_keys_of_rc4_alone(w):
    config = healthy(w)
    keytab = config.backends["corp-krb5"]["keytab"]
    os.unlink(keytab)
    w.realm.kadmin("ktadd -k %s -e arcfour-hmac:normal %s" % (keytab, SPN))
    faults = ill(findings(w, config), "key of " + SPN, "arcfour")
    assert "AES" in faults[0]["remedy"]


def test_a_directory_whose_clock_is_another(w):
    now = time.time()
    try:
        for seconds, well in ((0, True), (-420, False), (420, False)):
            w.dc1.stop()
            w.dc1.start(extra=w.dc1.tell_time(time.strftime("%Y%m%d%H%M%S.0Z", time.gmtime(now + seconds))))
            found = findings(w, healthy(w))
            clock = one(found, "ldaps://dc1.corp.test:636 clock")
            assert clock["well"] is well, clock
            if not well:
                ill(found, "ldaps://dc1.corp.test:636 clock", "ahead of" if seconds < 0 else "behind")
    finally:
        w.dc1.stop()
        w.dc1.start(extra="")


def test_the_kdc_is_down(w):
    w.realm.stop()
    faults = ill(findings(w, healthy(w)), "KDC and keytab")
    assert "not needed to accept tickets" in faults[0]["remedy"]


def test_the_kdc_hangs(w):
    """The library alone would wait for 27 s, for each key."""
    w.realm.hang()
    try:
        faults = ill(findings(w, healthy(w)), "KDC and keytab", "not known: the KDC at 10.99.0.40:88 does not answer within 5 s")
    finally:
        w.realm.wake()
    assert len(faults) == 1 and "look whether the realm's KDCs run" in faults[0]["remedy"], faults


def test_dns_is_silent(w):
    """Each wait ends by our own deadline, long before the resolver's, and the silent one is named."""
    names = {"origin.corp.test", "dc1.corp.test", "dc2.corp.test", socket.gethostname().lower()}
    os.environ["RES_OPTIONS"] = "timeout:30 attempts:5"
    w.names.silent |= names
    try:
        config = healthy(w)
        config.backends["corp-ldap"] = w.ldap_backend(connect_timeout="500ms", timeout="500ms")
        faults = [f for f in findings(w, config) if not f["well"]]
    finally:
        w.names.silent -= names
        del os.environ["RES_OPTIONS"]
    dns = one(faults, "DNS about origin.corp.test")
    assert dns["state"] == "not known: DNS does not answer within 5 s" and "resolv.conf" in dns["remedy"], dns
    for server in ("dc1", "dc2"):
        assert "cannot resolve %s.corp.test: no answer in time" % server in one(faults, "%s.corp.test:636 resolve" % server)["state"], faults
    assert len(faults) == 3, faults


def test_dns_that_fails_is_no_name_that_is_missing(w):
    """SERVFAIL says nothing about the name: a record that is there would be added in vain."""
    w.names.failing.add("origin.corp.test")
    try:
        faults = ill(findings(w, healthy(w)), "DNS about origin.corp.test", "not known: Temporary failure in name resolution")
    finally:
        w.names.failing.clear()
    assert len(faults) == 1 and "name servers" in faults[0]["remedy"], faults


def test_dns_is_silent_about_this_machine(w):
    """libldap asks about it before it does anything else."""
    own = socket.gethostname().lower()
    os.environ["RES_OPTIONS"] = "timeout:30 attempts:5"
    w.names.silent.add(own)
    try:
        config = healthy(w)
        config.backends["corp-ldap"] = w.ldap_backend(connect_timeout="500ms", timeout="500ms")
        found = findings(w, config)
    finally:
        w.names.silent.remove(own)
        del os.environ["RES_OPTIONS"]
    for server in ("dc1", "dc2"):
        assert "put that into /etc/hosts" in one(found, "%s.corp.test:636 connect" % server)["state"], found
    assert "DNS does not answer" in one(found, "name of this machine")["state"], found


def test_usage(w):
    for words in (("more",), ("--frob",)):
        status, out, err = w.command("doctor", *words)
        assert status == 2 and out == "" and err.startswith("sallyport doctor: "), (status, out, err)


def for_group(path, mode=0o640):
    """As an administrator leaves it who knows that the proxy runs as nobody."""
    os.chown(path, 0, grp.getgrnam("nogroup").gr_gid)
    os.chmod(path, mode)


def test_root_looks_with_the_eyes_of_the_user(w):
    """A secret, a keytab and a folder that root can open, and the user that the proxy becomes cannot; and a log that it cannot write."""
    config = healthy(w)
    keytab = config.backends["corp-krb5"]["keytab"]
    config.top["user"] = "nobody"
    config.log["access"] = config.log["error"] = "-"
    path = config.write()
    secret, backends = os.path.join(config.folder, "ldap.secret"), os.path.join(config.folder, "backends")
    for folder in (w.folder, config.folder, w.realm.folder):
        os.chmod(folder, 0o755)
    for_group(keytab)
    os.chown(secret, 0, 0)
    os.chmod(secret, 0o600)

    def as_it_stands():
        return json.loads(w.command("doctor", "-c", path, "--json")[1])["findings"]
    faults = ill(as_it_stands(), "file for user nobody", "ldap.secret cannot be read by user nobody: Permission denied")
    assert len(faults) == 1 and re.fullmatch(r"chgrp nogroup \S*ldap\.secret && chmod g\+r \S*ldap\.secret", faults[0]["remedy"]), faults
    subprocess.run(faults[0]["remedy"], shell=True, check=True)
    found = as_it_stands()
    assert all(f["well"] for f in found), [f for f in found if not f["well"]]
    assert "can be opened" in one(found, "files for user nobody")["state"]
    os.chmod(keytab, 0o600)
    ill(as_it_stands(), "file for user nobody", keytab)
    for_group(keytab)
    for_group(backends, 0o700)
    faults = ill(as_it_stands(), "file for user nobody", "at the folder " + backends)
    assert all(re.fullmatch(r"chgrp nogroup \S*backends && chmod g\+x \S*backends", f["remedy"]) for f in faults), faults
    shutil.chown(backends, group="mail")        # others' group keeps it, as ssl-cert keeps /etc/ssl/private
    faults = ill(as_it_stands(), "file for user nobody", "at the folder " + backends)
    assert all(re.fullmatch(r"usermod -aG mail nobody && chmod g\+x \S*backends, and restart sallyport", f["remedy"]) for f in faults), faults
    os.chmod(backends, 0o755)
    config.log["error"] = os.path.join(config.folder, "error.log")
    with open(path, "w") as f:
        f.write(config.text())
    ill(as_it_stands(), "file for user nobody", "error.log cannot be written")


def test_a_name_that_is_an_alias(w):
    """Browsers ask for a ticket to the name at the end of a CNAME: the keytab has it, or the finding is the fault."""
    config, real = healthy(w), "HTTP/front-of.corp.test"
    w.names.known["front-of.corp.test"] = w.names.known["origin.corp.test"]
    w.names.aliases = {"front.corp.test": "front-of.corp.test"}
    try:
        config.backends["corp-krb5"] = w.krb5_backend(keytab=w.realm.other_keytab("alias", "HTTP/front.corp.test"))
        faults = ill(findings(w, config), "DNS about front.corp.test", "an alias of front-of.corp.test, so many browsers ask for %s; the keytab lacks it" % real)
        assert len(faults) == 1 and "A record of its own" in faults[0]["remedy"], faults
        config.backends["corp-krb5"] = w.krb5_backend(keytab=w.realm.other_keytab("aliases", "HTTP/front.corp.test", real))
        found = findings(w, config)
        assert all(f["well"] for f in found) and "the keytab has it" in one(found, "DNS about front.corp.test")["state"], found
    finally:
        w.names.aliases = {}
        del w.names.known["front-of.corp.test"]
