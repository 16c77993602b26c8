"""Groups from the ticket's PAC: SIDs in rules, alone and together with a directory's names."""

from common import ECHO, ask, own, passed, request

DOMAIN = "S-1-5-21-397955417-626881126-188441444"
LOGON = ("domain=" + DOMAIN, "rid=513", "rid=1105", "extra=S-1-18-1", "resource_domain=S-1-5-21-1-2-3", "resource=77")


def config_of(w, groups_from):
    config = w.config()
    config.backends["corp-krb5"] = w.krb5_backend(groups_from=groups_from)
    return config


def test_sids_of_the_pac_decide_by_rules(w):
    config = config_of(w, "pac")
    config.rule("domain", groups=[DOMAIN.lower() + "-1105"], methods=["GET"])
    config.rule("extra", groups=["S-1-18-1"], methods=["PUT"])
    config.rule("resource", groups=["S-1-5-21-1-2-3-77"], methods=["DELETE"])
    config.rule("other", groups=[DOMAIN + "-1106"], methods=["POST"])
    p = w.start(config)
    for method, rule in (("GET", "domain"), ("PUT", "extra"), ("DELETE", "resource")):
        passed(ask(w, method=method, auth=w.made_ticket(*LOGON).value()))
        p.last(status=200, user="alice", rule=rule)
    own(ask(w, method="POST", auth=w.made_ticket(*LOGON).value()), 403, "denied")
    assert w.ldap.searches() == [], "the directory is not asked"


def test_a_pinned_connection_keeps_the_tickets_groups(w):
    config = config_of(w, "pac+corp-ldap")
    config.cache = {"ttl": "1s", "refresh": 0}
    config.rule("both", groups=[DOMAIN + "-1105"])
    p = w.start(config)
    with w.wire() as c:
        passed(c.ask("GET", ECHO, auth=w.made_ticket(*LOGON).value()))
        while len(w.ldap.searches()) < 4:              # a person and their groups, twice: the directory's part was renewed
            passed(c.ask("GET", ECHO))
    p.last(status=200, user="alice", rule="both", auth="connection")


def test_both_are_merged(w):
    config = config_of(w, "pac+corp-ldap")
    config.rule("sid", groups=[DOMAIN + "-1105"], methods=["GET"])
    config.rule("name", groups=["admins"], methods=["PUT"])
    p = w.start(config)
    for method, rule in (("GET", "sid"), ("PUT", "name")):
        passed(ask(w, method=method, auth=w.made_ticket(*LOGON).value()))
        p.last(status=200, user="alice", rule=rule)
    own(ask(w, auth=w.initiator("alice").value()), 403, "denied")      # this ticket brings no SIDs, and takes none from the one before
    passed(ask(w, method="PUT", auth=w.initiator("alice").value()))


def test_a_ticket_without_groups_is_403_and_the_log_says_why(w):
    config = config_of(w, "pac")
    config.rule("domain", groups=[DOMAIN + "-513"])
    p = w.start(config)
    own(ask(w, auth=w.initiator("alice").value()), 403, "denied")       # MIT's KDC: a PAC without logon info
    p.log_says("event=pac_absent")
    own(ask(w, auth=w.made_ticket().value()), 403, "denied")            # no PAC at all


def test_a_pac_that_the_services_key_did_not_sign_brings_nothing(w):
    config = config_of(w, "pac")
    config.rule("domain", groups=[DOMAIN + "-513"])
    w.start(config)
    own(ask(w, auth=w.made_ticket(*LOGON, "wrong_signature").value()), 403, "denied")
    passed(ask(w, auth=w.made_ticket(*LOGON).value()))


def test_an_unknown_backend_after_pac_is_a_configuration_error(w):
    config = config_of(w, "pac+elsewhere")
    status, out, err = w.command("check", "-c", config.write())
    assert status == 1 and 'there is no backend "elsewhere"' in out + err, (status, out, err)


def test_a_burst_of_tickets_asks_the_directory_once_for_the_users_groups(w):
    config = config_of(w, "corp-ldap")
    config.top["workers"] = 2
    config.rule("admins", groups=["admins"])
    w.start(config)
    tickets = [w.initiator("alice").value() for _ in range(20)]
    clients = [w.wire() for _ in tickets]
    try:
        w.dc1.hang()
        for c, ticket in zip(clients, tickets):
            c.send(request("GET", ECHO, auth=ticket))
        w.dc1.wake()
        for c in clients:
            passed(c.answer())
    finally:
        w.dc1.wake()
        for c in clients:
            c.close()
    assert len(w.ldap.searches()) == 2, "one for the person, one for the groups: %s" % w.ldap.searches()
