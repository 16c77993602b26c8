"""People of another realm, which ours trusts: who may come in, and under what name."""

from common import ECHO, ask, expect, own, passed
from sp_rig.tokens import Initiator

RULE = r"""        auth_to_local = RULE:[1:$1@$0](^pat@PARTNER\.TEST$)s/^pat@.*$/bob/
        auth_to_local = DEFAULT
"""


def guest(w, user):
    """Somebody of PARTNER.TEST: a ticket of their own KDC, then one across the trust from ours."""
    return Initiator(w.partner().environment(user), service="HTTP@" + w.proxy_host)


def start(w, rules="", **changes):
    config = w.config()
    config.backends["corp-krb5"] = w.krb5_backend(groups_from=None, **changes)
    partner = w.partner()
    return w.start(config, krb5_conf=w.realm.write_krb5_conf(config.folder + "/krb5.conf", [partner], rules))


def test_people_of_a_trusted_realm_come_in_where_it_is_listed(w):
    p = start(w, realms=["CORP.TEST", "PARTNER.TEST"], username="principal")
    passed(ask(w, auth=guest(w, "alice").value()))
    p.last(status=200, user="alice@PARTNER.TEST", mech="krb5")
    passed(ask(w, auth=w.initiator("alice").value()))
    p.last(status=200, user="alice@CORP.TEST")


def test_people_of_a_trusted_realm_that_is_not_listed_are_403_and_not_asked_again(w):
    p = start(w, realms=["CORP.TEST"])
    own(ask(w, auth=guest(w, "alice").value()), 403, "denied")
    p.last(status=403, reason="denied", scheme="negotiate", backend="corp-krb5")
    p.log_says("alice of realm PARTNER.TEST has proven who they are, but realms does not list it")
    passed(ask(w, auth=w.initiator("alice").value()))
    p.last(status=200, user="alice")


def test_without_a_list_any_trusted_realm_comes_in_and_its_people_keep_their_realm(w):
    p = start(w, realms=[])
    passed(ask(w, auth=guest(w, "alice").value()))
    p.last(status=200, user="alice@PARTNER.TEST")      # never our alice
    passed(ask(w, auth=w.initiator("alice").value()))
    p.last(status=200, user="alice")


def test_the_librarys_own_mapping_names_people_of_listed_realms(w):
    p = start(w, RULE, realms=["CORP.TEST", "PARTNER.TEST"])
    passed(ask(w, auth=guest(w, "pat").value()))
    p.last(status=200, user="bob")                     # as auth_to_local says
    passed(ask(w, auth=guest(w, "alice").value()))
    p.last(status=200, user="alice")                   # no rule is for her: the realm is listed, so its names count as ours
    passed(ask(w, auth=w.initiator("bob").value()))
    p.last(status=200, user="bob")


def test_the_mapping_lets_nobody_in_whose_realm_is_not_listed(w):
    p = start(w, RULE, realms=["CORP.TEST"])
    own(ask(w, auth=guest(w, "pat").value()), 403, "denied")
    p.last(status=403, reason="denied")


def test_principal_goes_before_the_mapping(w):
    p = start(w, RULE, realms=["CORP.TEST", "PARTNER.TEST"], username="principal")
    passed(ask(w, auth=guest(w, "pat").value()))
    p.last(status=200, user="pat@PARTNER.TEST")
