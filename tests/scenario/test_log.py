"""What is written: the access log's fields, the other formats, and no secret anywhere."""

import base64
import re
import time

from common import ALICE, BOB, ECHO, ask, basic, challenged, expect, login, own, passed, request
from sp_rig.directory import PEOPLE


def test_one_line_for_each_exchange_with_all_fields(w):
    p = w.start()
    with w.wire(source="10.99.0.2") as c:
        challenged(c.ask("GET", ECHO))
        passed(c.ask("GET", ECHO, auth=ALICE))
        passed(c.ask("GET", ECHO, auth=ALICE))
    p.line(3)
    time.sleep(0.3)
    lines = p.lines()
    assert len(lines) == 3, lines
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d)", line["ts"]), line
        assert line["client"] == "10.99.0.2" and line["listener"] == "10.99.0.1:3128", line
        assert line["method"] == "GET" and line["target"] == ECHO, line
        for number in ("status", "bytes_in", "bytes_out", "ms", "auth_ms", "connect_ms"):
            assert isinstance(line[number], (int, float)), (number, line)
        assert line["bytes_in"] > 50 and line["bytes_out"] > 50, line
    assert len({line["id"] for line in lines}) == 3
    assert [line["auth"] for line in lines] == ["none", "directory", "cache"]


def test_the_last_lines_of_a_burst_come_without_another_event(w):
    """They once waited for the worker's next wake-up where the burst outlasted the batch that had ordered one."""
    p = w.start()
    count = 0
    with w.wire() as c:
        for length in (0.26, 0.3, 0.34, 0.4, 0.6):
            end = time.monotonic() + length
            while time.monotonic() < end:
                passed(c.ask("GET", ECHO, auth=ALICE))
                count += 1
            p.line(count, 2.0)      # the connection stays open, and silent


def test_bytes_are_counted_on_the_clients_side_with_heads(w):
    p = w.start()
    with w.wire() as c:
        body = b"z" * 12345
        sent = request("POST", "http://odd.corp.test/upload", fields=[("Content-Length", str(len(body)))], body=body, auth=ALICE)
        c.send(sent)
        answer = passed(c.answer())
    record = p.last(method="POST", status=200)
    assert record["bytes_in"] == len(sent), record
    assert record["bytes_out"] == len(answer.head) + len(answer.body), record


def test_times_are_counted(w):
    p = w.start()
    passed(ask(w, "http://odd.corp.test/slow?0.4", auth=ALICE))
    record = p.last(status=200)
    assert 390 <= record["ms"] <= 5000 * w.patience, record


def test_a_client_that_leaves_is_client_gone(w):
    p = w.start()
    c = w.wire()
    c.send(request("GET", "http://odd.corp.test/slow?2", auth=ALICE))
    time.sleep(0.4)
    c.reset()
    p.last(reason="client_gone")


def test_a_target_is_logged_without_userinfo(w):
    p = w.start()
    with w.wire() as c:
        c.send(request("GET", "http://someone:Userinfo-Secret@odd.corp.test/echo", host="odd.corp.test", auth=ALICE))
        c.answer()
    p.line(1)
    said = p.everything()
    assert "Userinfo-Secret" not in said and "someone:" not in said, said


def test_no_secret_is_in_any_log_at_any_level(w):
    config = w.config()
    config.log["level"] = "debug"
    config.guard = {"user_failures": 0}
    p = w.start(config)
    wrong = "Wrong-Planted-Pass-123"
    planted = [wrong, PEOPLE["alice"], base64.b64encode(b"alice:" + wrong.encode()).decode(), ALICE.split()[1]]
    with w.wire() as c:
        passed(c.ask("GET", ECHO, auth=ALICE))
        challenged(c.ask("GET", ECHO, auth=basic("alice", wrong)))
        own(c.ask("GET", ECHO, auth=basic("expired", PEOPLE["expired"])), 403, "account")
        value = w.initiator("alice").value()
        passed(c.ask("GET", ECHO, auth=value))
        planted.append(value.split()[1][:60])
    ask(w, auth="Basic " + base64.b64encode(b"no-colon-" + wrong.encode()).decode())
    ask(w, auth=wrong + " " + wrong)
    ask(w, auth=ALICE, fields=[("Proxy-Authorization", basic("bob", wrong))])
    with w.wire() as c:
        c.send(b"GET http://odd.corp.test/ HTTP/1.1\r\nProxy-Authorization : " + ALICE.encode() + b"\r\n\r\n")
        c.answer()
    w.dc1.stop()
    w.dc2.stop()
    ask(w, auth=basic("carol", wrong))
    time.sleep(0.3)
    p.stop()
    said = p.everything()
    for secret in planted:
        assert secret not in said, "%r is in the logs" % secret


def test_what_clients_say_cannot_forge_lines(w):
    p = w.start()
    challenged(ask(w, auth=basic("mallory\"} {\"user\":\"alice", "x")))
    ask(w, "http://odd.corp.test/echo?%0a{\"status\":200}", auth=ALICE)
    p.line(2)
    assert len(p.lines()) == 2


def test_the_squid_format_is_squids(w):
    config = w.config()
    config.log["format"] = "squid"
    p = w.start(config)
    passed(ask(w, auth=ALICE, source="10.99.0.2"))
    challenged(ask(w))
    p.stop()
    lines = p._read("access").splitlines()
    assert re.match(r"\d+\.\d{3} +\d+ 10\.99\.0\.2 TCP_MISS/200 \d+ GET http://odd\.corp\.test/echo alice HIER_DIRECT/10\.99\.0\.20 text/plain$", lines[0]), lines
    assert re.match(r"\d+\.\d{3} +\d+ \S+ TCP_DENIED/407 \d+ GET http://odd\.corp\.test/echo - HIER_NONE/- ", lines[1]), lines


def test_the_combined_format_is_apaches(w):
    config = w.config()
    config.log["format"] = "combined"
    p = w.start(config)
    passed(ask(w, auth=ALICE, fields=[("User-Agent", 'rig "quoted"'), ("Referer", "http://before.test/")], source="10.99.0.2"))
    p.stop()
    line = p._read("access").splitlines()[0]
    assert re.match(r'10\.99\.0\.2 - alice \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET http://odd\.corp\.test/echo HTTP/1\.1" 200 \d+ '
                    r'"http://before\.test/" "rig .*quoted.*"$', line), line


def test_logs_go_to_standard_output_and_error_by_default(w):
    import json
    config = w.config()
    config.log = {"access": "-", "error": "-"}
    p = w.start(config)
    passed(ask(w, auth=ALICE))
    p.stop()
    records = [json.loads(line) for line in p.proc.words(10 ** 7).splitlines() if line.startswith("{")]
    assert [r["status"] for r in records] == [200], p.proc.words()


def test_metrics_and_health_are_served(w):
    from sp_rig.procs import run
    p = w.start()
    challenged(ask(w))
    passed(ask(w, auth=ALICE))
    passed(ask(w, auth=ALICE))
    said = p.metrics()
    for name in ("sallyport_requests_total{", "sallyport_auth_total{", "sallyport_cache_total{", "sallyport_cache_entries", "sallyport_connections",
                 "sallyport_tunnels", "sallyport_bytes_total{", "sallyport_build_info{"):
        assert name in said, "%s is not in\n%s" % (name, said[:3000])
    assert re.search(r'sallyport_requests_total\{status="200",scheme="basic"\} 2\b', said) or re.search(
        r'sallyport_requests_total\{scheme="basic",status="200"\} 2\b', said), said[:3000]
    run(["curl", "-sSf", "http://127.0.0.1:3180/healthz"])
    run(["curl", "-sSf", "http://127.0.0.1:3180/readyz"])
