"""`sallyport check` and refusals to start: each fault with file and line."""

import os
import re

from common import ALICE, ask, challenged, passed
from sp_rig.procs import RigError
from sp_rig.proxy import Raw, command


def check(w, config, *wanted, status=1):
    """Runs `check`; every pattern must be found in what it says."""
    path = config.write()
    code, out, err = w.command("check", "-c", path)
    said = out + err
    assert code == status, "exit status %d:\n%s" % (code, said)
    for pattern in wanted:
        assert re.search(pattern, said), "%r is not in:\n%s" % (pattern, said)
    return said


def line_of(path, text):
    with open(path) as f:
        for number, line in enumerate(f, 1):
            if text in line:
                return number
    raise AssertionError("%r is not in %s" % (text, path))


def test_a_good_configuration_is_well_in_one_line(w):
    """Nothing of what serving logs, such as the keys that a keytab holds."""
    config = w.config()
    said = check(w, config, status=0)
    assert said == "%s/sallyport.conf: ok: 1 listener, 0 rules, 2 backends: corp-ldap (ldap), corp-krb5 (gssapi)\n" % config.folder, said


def test_an_unknown_key_is_named_with_file_and_line(w):
    config = w.config()
    config.limits = {"header_size": "128k", "no_such_key": 5}
    check(w, config)
    path = os.path.join(config.folder, "sallyport.conf")
    check(w, config, r"sallyport\.conf:%d: .*no_such_key" % line_of(path, "no_such_key"))


def test_an_unknown_block_is_named_with_file_and_line(w):
    config = w.config()
    config.top["nonsense"] = Raw('"x"')
    check(w, config, r"sallyport\.conf:\d+: .*nonsense")


def test_bad_values_are_named_with_file_and_line(w):
    for section, key, bad in (("limits", "header_size", "lots"), ("cache", "ttl", "5 parsecs"), ("limits", "header_count", 0), ("cache", "refresh", 300),
                              ("guard", "window", "-5m"), ("protect", "destinations", ["10.0.0.0/99"]), ("protect", "ports", ["80-"]),
                              ("forward", "x_forwarded_for", "perhaps"), ("forward", "via", "Corporate Proxy"), ("forward", "via", "a,b"),
                              ("log", "format", "xml"), ("log", "level", "loud")):
        config = w.config()
        values = dict(getattr(config, section))
        values[key] = bad
        setattr(config, section, values)
        path = config.write()
        check(w, config, r"sallyport\.conf:%d: .*%s" % (line_of(path, "  %s = " % key), key))


def test_a_fault_in_a_backend_file_names_that_file(w):
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(timeout="soon")
    path = config.write()
    backend = os.path.join(config.folder, "backends", "corp-ldap.conf")
    check(w, config, r"backends/corp-ldap\.conf:%d: .*timeout" % line_of(backend, "timeout = \"soon\""))
    config.backends["corp-ldap"] = w.ldap_backend(no_such_option="x")
    config.write()
    check(w, config, r"backends/corp-ldap\.conf:%d: .*no_such_option" % line_of(backend, "no_such_option"))


def test_all_faults_are_told_and_not_just_the_first(w):
    config = w.config()
    config.limits = {"header_size": "lots"}
    config.cache = {"ttl": "never"}
    config.backends["corp-ldap"] = w.ldap_backend(timeout="soon")
    check(w, config, "header_size", "ttl", "timeout")


def test_one_run_tells_what_the_reader_finds_and_what_the_owners_find(w):
    """Keys, values, files, addresses, rules, backends and their own checks; and nothing that only follows from these."""
    config = w.config()
    config.limits = {"header_size": "lots", "no_such_key": 1}
    config.listens += [("10.99.0.1:99999", {}), ("10.99.0.1:3143", {"tls_certificate": "absent.pem", "tls_key": w.key}), ("10.99.0.1:3129", {"offer": ["digest"]})]
    config.auth = {"basic": ["corp-ldap", "ghost"], "negotiate": ["odd"]}
    config.protect = {"destinations": ["10.0.0.0/99"]}
    config.forward = {"via": "two words", "x_forwarded_for": "perhaps"}
    config.rule("one", to=[""])
    config.admin["http"] = "nowhere"
    config.backends["corp-ldap"] = w.ldap_backend(timeout="soon", uris=["http://dc1.corp.test"])
    config.backends["odd"] = {"plugin": "nosuch"}
    said = check(w, config, "`header_size`", "`no_such_key`", r"10\.99\.0\.1:99999", r"absent\.pem", '"digest"', '"ghost"', "10.0.0.0/99", '"two words"', '"perhaps"',
                 r'to: ""', '"nowhere" is not an address', '"soon"', "http://dc1", '"nosuch"')
    assert len(said.splitlines()) == 14, said
    assert all(re.match(r"\S+\.conf:\d+: ", line) for line in said.splitlines()), said


def test_a_missing_file_hides_no_other_fault(w):
    config = w.config()
    config.limits = {"header_size": "lots"}
    path = config.write()
    os.unlink(os.path.join(config.folder, "backends", "corp-ldap.conf"))
    code, out, err = w.command("check", "-c", path)
    assert code == 1 and len(err.splitlines()) == 2, err
    assert re.search(r"sallyport\.conf:\d+: \S+corp-ldap\.conf cannot be read", err) and "`header_size`" in err, err


def test_missing_files_are_named(w):
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(bind_password_file="absent.secret")
    check(w, config, r"corp-ldap\.conf:\d+: .*absent\.secret")
    config = w.config()
    config.backends["corp-krb5"] = w.krb5_backend(keytab="absent.keytab")
    check(w, config, r"corp-krb5\.conf:\d+: .*absent\.keytab")
    config = w.config()
    config.listens = [("10.99.0.1:3128", {"tls_certificate": "absent.pem", "tls_key": w.key})]
    check(w, config, r"sallyport\.conf:\d+: .*absent\.pem")
    config = w.config()
    path = config.write()
    os.unlink(os.path.join(config.folder, "backends", "corp-ldap.conf"))
    code, out, err = w.command("check", "-c", path)
    assert code == 1 and re.search(r"sallyport\.conf:\d+: .*corp-ldap\.conf", out + err), out + err


def test_a_pipe_in_a_files_place_is_told_and_holds_up_nothing(w):
    """Opening one waits for whoever writes: at a reload that would be the main thread, and TERM would not be heard."""
    config = w.config()
    pipe = os.path.join(config.folder, "pipe")
    os.mkfifo(pipe)
    config.backends["corp-ldap"]["tls_ca"] = pipe
    config.backends["corp-krb5"]["keytab"] = pipe
    config.listens = [("10.99.0.1:3128", {"tls_certificate": pipe, "tls_key": pipe})]
    check(w, config, *(r"`%s`: .*/pipe is a pipe; write it to a file" % key for key in ("tls_certificate", "tls_key", "tls_ca", "keytab")))


def test_a_missing_configuration_is_told(w):
    code, out, err = w.command("check", "-c", "/nonexistent/sallyport.conf")
    assert code == 1 and "/nonexistent/sallyport.conf" in out + err, (code, out, err)


def test_a_keytab_that_is_none_is_a_configuration_error(w):
    config = w.config().file("bad.keytab", b"no keytab at all")
    config.backends["corp-krb5"] = w.krb5_backend(keytab="../bad.keytab")
    check(w, config, r"corp-krb5\.conf:\d+: .*keytab")


def test_a_plugin_that_is_not_there_is_named(w):
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(plugin="nosuch")
    check(w, config, r"corp-ldap\.conf:\d+: .*nosuch")


def test_a_backend_that_auth_names_and_nobody_defines_is_told(w):
    config = w.config()
    config.auth["basic"] = ["corp-ldap", "ghost"]
    check(w, config, r"sallyport\.conf:\d+: .*ghost")


def test_a_backend_that_cannot_do_the_scheme_is_told(w):
    config = w.config()
    config.auth["negotiate"] = ["corp-ldap"]
    check(w, config, r"sallyport\.conf:\d+: .*corp-ldap")


def test_groups_from_must_name_a_backend_with_groups(w):
    config = w.config()
    config.backends["corp-krb5"] = w.krb5_backend(groups_from="ghost")
    check(w, config, r"\.conf:\d+: .*ghost")


def test_clear_ldap_to_another_host_is_an_error(w):
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(uris=["ldap://dc1.corp.test"])
    check(w, config, r"corp-ldap\.conf:\d+: .*(start_tls|allow_clear)")


def test_clear_ldap_to_loopback_is_none(w):
    config = w.config()
    config.backends["corp-ldap"] = w.ldap_backend(uris=["ldap://127.0.0.1"])
    check(w, config, status=0)


def test_a_listener_with_nothing_to_offer_is_an_error(w):
    config = w.config()
    config.auth["negotiate"] = []
    config.listens = [("10.99.0.1:3128", {})]       # Basic only, and in clear it must be named
    check(w, config, r"sallyport\.conf:\d+: .*")


def test_half_a_certificate_is_an_error(w):
    config = w.config()
    config.listens = [("10.99.0.1:3128", {"tls_certificate": w.certificate})]
    check(w, config, r"sallyport\.conf:\d+: .*tls_key")


def test_a_certificate_that_is_listed_twice_is_an_error(w):
    config = w.config()
    config.listens.append(("10.99.0.1:3143", {"tls_certificate": [w.certificate] * 2, "tls_key": [w.key] * 2}))
    check(w, config, r"sallyport\.conf:\d+: tls_certificate .*: is in the list twice")


def test_a_scheme_that_no_listener_offers_is_worth_a_word(w):
    config = w.config()
    said = check(w, config, status=0)
    assert "no listener offers" not in said, said
    config.listens = [("10.99.0.1:3128", {})]
    check(w, config, r"warning: \S+sallyport\.conf:\d+: basic has backends, but no listener offers it: .*tls_certificate", status=0)
    config.listens = [("10.99.0.1:3128", {"offer": ["basic"]})]
    check(w, config, r"warning: \S+sallyport\.conf:\d+: negotiate has backends, but no listener offers it", status=0)


def test_listeners_that_overlap_are_an_error(w):
    """The kernel gives such an address to one of them only; IPv6 and IPv4 are apart."""
    config = w.config()
    config.listens.append(("[::]:3128", {"offer": ["basic"]}))
    check(w, config, status=0)
    config.listens.append(("0.0.0.0:3128", {"offer": ["basic"]}))
    check(w, config, r'sallyport\.conf:9: listen "0\.0\.0\.0:3128" and listen "10\.99\.0\.1:3128" overlap')


def test_a_user_that_is_not_there_is_told(w):
    config = w.config()
    config.top["user"] = "no-such-user"
    check(w, config, r'sallyport\.conf:%d: there is no user "no-such-user": create it' % 3)


def test_the_pages_have_an_address_and_a_port(w):
    for http in ("*:3180", ":3180", "127.0.0.1", "127.0.0.1:0", "localhost:3180", "::1:3180"):
        config = w.config()
        config.admin["http"] = http
        check(w, config, r'sallyport\.conf:\d+: "%s" is not an address and port: write' % re.escape(http))


def test_a_bad_address_to_listen_on_is_an_error(w):
    for bad in ("10.99.0.1", "10.99.0.1:port", "10.99.0.1:70000", "nowhere at all"):
        config = w.config()
        config.listens = [(bad, {})]
        check(w, config, r"sallyport\.conf:\d+: ")


def test_bad_rules_are_errors(w):
    for bad in ({"action": "perhaps"}, {"clients": ["10.0.0.0/40"]}, {"ports": ["http"]}, {"hours": "Mo-Xx 08:00-18:00"}, {"hours": "Mo-Fr 8-25:00"}):
        config = w.config()
        config.rule("bad", **bad)
        check(w, config, r"sallyport\.conf:\d+: ")


def test_the_environment_is_read(w):
    config = w.config()
    config.auth["realm"] = "${RIG_REALM}"
    path = config.write()
    os.environ["RIG_REALM"] = "From The Environment"
    try:
        w.start(config)
        assert 'realm="From The Environment"' in ask(w).challenges[1]
    finally:
        del os.environ["RIG_REALM"]


def test_nothing_starts_with_a_bad_configuration(w):
    config = w.config()
    config.cache = {"ttl": "never"}
    proxy = w.start(config, ready=False)
    status = proxy.proc.popen.wait(20 * w.patience)
    assert status == 1, status
    assert re.search(r"sallyport\.conf:\d+: ", proxy.proc.words()), proxy.proc.words()
    w._proxies.remove(proxy)
    proxy.stop()


def test_a_port_in_use_is_told(w):
    import socket
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("10.99.0.1", 3128))
        taken.listen(1)
        proxy = w.start(w.config(), ready=False)
        status = proxy.proc.popen.wait(20 * w.patience)
        assert status == 1, status
        said = proxy.proc.words() + proxy.errors()
        assert "10.99.0.1:3128" in said, said
    w._proxies.remove(proxy)
    proxy.stop()


def test_relative_paths_are_relative_to_the_file_that_names_them(w):
    config = w.config().file("backends/own.secret", "Service-Secret-81")
    config.backends["corp-ldap"] = w.ldap_backend(bind_password_file="own.secret")
    w.start(config)
    passed(ask(w, auth=ALICE))


def test_usage_errors_exit_with_2(w):
    for words in (["nonsense"], ["check", "--nonsense"], ["check", "-c"]):
        code, out, err = w.command(*words)
        assert code == 2, (words, code, out, err)


def test_help_and_version_exit_with_0(w):
    for words in (["help"], ["version"], ["--help"], ["check", "--help"], ["run", "--help"], ["help", "run"]):
        code, out, err = w.command(*words)
        assert code == 0 and out.strip(), (words, code, out, err)


def test_slips_are_told_as_what_they_are(w):
    """What an editor, a copy from a web page and a missing include leave behind."""
    def slip(change, *wanted, status=1):
        path = w.config().write()
        with open(path, "rb") as f:
            text = f.read()
        with open(path, "wb") as f:
            f.write(change(text))
        code, out, err = w.command("check", "-c", path)
        assert code == status, (code, out, err)
        for pattern in wanted:
            assert re.search(pattern, out + err), "%r is not in:\n%s" % (pattern, out + err)

    slip(lambda text: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"), ": ok: ", status=0)
    slip(lambda text: text.replace(b"}\nlog {", b"\nlog {"), r"sallyport\.conf:\d+: a \"\{\" within the block that begins at line \d+")
    slip(lambda text: text + b"}\n", r"sallyport\.conf:\d+: a \"\}\" too many")
    slip(lambda text: text.replace(b"log {", b"log\xc2\xa0{"), r"not ASCII")
    slip(lambda text: text + b'include("backends/corp-ldap.conf")\n', r"a second backend \"corp-ldap\".*that file is included twice")
    slip(lambda text: text + b'include("backends")\n', r"sallyport\.conf:\d+: \S+/backends cannot be read: it is a folder; name the files in it")
    slip(lambda text: text + b'include("backends/*.conf")\n', r"a \* stands for nothing")
    slip(lambda text: text.replace(b'include("backends/corp-krb5.conf")', b""), r"there is no backend \"corp-krb5\"; there are: \"corp-ldap\"")
    config = w.config()
    config.file("ldap.secret", b"\xef\xbb\xbfsecret\n")
    check(w, config, r"ldap\.secret begins with a byte order mark")
    config = w.config()
    del config.backends["corp-ldap"]["base"]
    check(w, config, r"corp-ldap\.conf:1: `base`: ")
    code, out, err = w.command("check", "-c", os.path.join(w.folder, "nowhere.conf"))
    assert code == 1 and err.count("nowhere.conf") == 1 and "-c FILE names another" in err, err


def test_words_that_a_command_does_not_take_are_told(w):
    path = w.config().write()
    for words, wanted in ((["ctl", "trace"], "ctl trace: whom it is about"), (["ctl", "sessions", "x"], "nothing more may follow"),
                          (["ctl", "--json", "stats"], "it has no --json"), (["ctl", "flush", ""], "an empty word names nothing"),
                          (["ctl", "explode"], "there is no such command"), (["ctl"], "must follow"), (["why"], "an ID, USER or CLIENT must follow"),
                          (["why", ""], "an empty word"), (["login", ""], "the USER is empty"), (["login", "--to", "x", "alice"], "--to x: write HOST:PORT"),
                          (["login", "--backend", "corp-lpad", "alice"], "--backend corp-lpad: there is no such backend; there are: corp-ldap corp-krb5"),
                          (["login", "--negotiate", "--listen", "x:1"], "there is no such listen; there are: %s:3128" % w.proxy_address)):
        code, out, err = w.command(words[0], "-c", path, *words[1:])
        assert code == 2 and wanted in err and not out, (words, code, out, err)
    for place, wanted in ((path, "this is no socket"), (w.folder, "this is no socket"), ("/nonexistent/x", "is sallyport running?")):
        code, out, err = w.command("ctl", "--socket", place, "stats")
        assert code == 1 and wanted in err, (code, out, err)


def test_a_start_that_fails_says_where_it_is_told(w):
    config = w.config()
    config.log["access"] = os.path.join(config.folder, "nowhere", "access.log")
    path = config.write()
    code, out, err = w.command("run", "-c", path)
    assert code == 1 and "%s:%d: `access`: %s cannot be opened: No such file" % (path, line_of(path, "  access ="), config.log["access"]) in err, err
    config = w.config()
    config.top["pid_file"] = os.path.join(config.folder, "nowhere", "pid")
    path = config.write()
    code, out, err = w.command("run", "-c", path)
    assert code == 1 and "%s:%d: `pid_file`: %s cannot be opened: No such file" % (path, line_of(path, "pid_file"), config.top["pid_file"]) in err, err
    config = w.config()
    os.mkdir(config.admin["socket"])
    path = config.write()
    code, out, err = w.command("run", "-c", path)
    assert code == 1 and config.log["error"] in err, err
    with open(config.log["error"]) as log:
        said = log.read()
    assert "event=admin_failed socket=" in said and 'event=start_failed detail="%s:%d: ' % (path, line_of(path, "admin {")) in said, said


def test_too_few_open_files_are_told_with_the_limit_that_would_do(w):
    config = w.config()
    words = ["run", "-c", config.write()]
    for limit in (8, 20):                                   # of 8 not even the loop's library could say so
        code, out, err = command("/bin/sh", ["-c", 'ulimit -n %d; exec "$@"' % limit, "sh", w.binary] + words, w.environment(), b"", 60 * w.patience)
        assert code == 1 and re.search(r"the limit of open files is %d; .* need (\d+) .*LimitNOFILE" % limit, err), (code, out, err)
