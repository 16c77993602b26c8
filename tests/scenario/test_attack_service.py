"""No account may be locked out through us: neither the service identity's own nor a person's."""

import base64
import re
import threading

from before import brief
from common import ECHO, login
from sp_rig import space
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


SPELLINGS = ["alice", "ALICE", "Alice", " alice", "alice ", "ali ce", "CORP\\alice", "corp\\ALICE", "alice@corp.test", "Alice@CORP.TEST", "CORP\\alice ", "ａｌｉｃｅ", "ali\u00adce",
             "alic\u0065\u0301", "ⓐlice", "alice\u200b", "\ufeffalice", "alice\u00a0", "𝐚lice", "ᵃlice", "alice\x00", "alice\x00x", "alice\t", "*", "alic*", "a\\6cice", "\\61lice",
             "uid=alice", "alice)(uid=*", "OTHER\\alice", "alice@other.test", "alice@corp.test@corp.test", "CORP\\CORP\\alice", "alice/admin", "a" * 300]


def test_no_spelling_connection_or_address_gives_more_guesses_at_an_account(w):
    """Three for all of them together, whoever asks, and however the name is written."""
    w.start()
    w.ldap.mark()
    values = ["Basic " + base64.b64encode(("%s:guess %d" % (name, n)).encode()).decode() for n in range(8) for name in SPELLINGS]
    sources = [space.ADDRESSES[name] for name in ("client", "other-client", "origin", "site", "odd", "other")]
    got = []

    def guess(mine, source):
        for value in mine:
            with w.wire(source=source) as c:
                got.append(c.ask("GET", ECHO, auth=value).status)
    threads = [threading.Thread(target=guess, args=(values[n::24], sources[n % len(sources)]), daemon=True) for n in range(24)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30 * w.patience)
        assert not t.is_alive()
    assert len(got) == len(values) and set(got) <= {400, 407, 429}, got
    assert 0 < w.ldap.binds("alice") <= 3, "%d guesses reached the directory" % w.ldap.binds("alice")
    assert 429 in got
