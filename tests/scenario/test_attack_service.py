"""The service identity's own account must not be locked out by us."""

import re

from before import brief
from common import login
from sp_rig.directory import PEOPLE, SERVICE_DN
from test_attack import finished, storm


def test_a_wrong_service_password_costs_one_bind_however_many_workers_need_it(w):
    """All at once, as after a start in the morning; a directory locks an account after a few."""
    config = brief(w, workers=8)
    config.file("ldap.secret", "not the service's password\n")
    p = w.start(config)
    w.ldap.mark()
    threads, got = storm(w, [login(user) for user in PEOPLE] * 6, connections=30)
    finished(w, threads)
    assert set(got) <= {407, 503} and got.count(503) > len(got) / 2, got     # 407: names that no directory is asked about
    binds = w.ldap.binds_of(SERVICE_DN)
    assert binds == 1, "%d binds of the service identity" % binds
    pauses = re.findall(r"event=ldap_service_refused.*", p.errors())
    assert len(pauses) == 1, pauses
