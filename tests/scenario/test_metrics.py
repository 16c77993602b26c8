"""/metrics is what Prometheus reads: its text format (0.0.4) to the letter, its own checker content, every name in the manual."""

import os
import re
import shutil
import signal
import subprocess

from common import ALICE, BOB, ask, basic, challenged, passed
from sp_rig.procs import wait_until
from test_connect import tunnel

HERE = os.path.dirname(os.path.abspath(__file__))
MANUAL = os.path.join(HERE, "..", "..", "docs", "man", "sallyport.8")
VALUE = re.compile(r"(?:[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)|NaN)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(?:,|$)')
PARTS = ("_bucket", "_sum", "_count")


def labels_of(text):
    found, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        assert match, "labels: %r" % text
        assert match[1] not in found, "a label twice: %r" % text
        found[match[1]] = match[2]
        at = match.end()
    return found


def families(text):
    """{name: (type, [(sample's name, labels, value)])}; asserts what the format asks for."""
    assert text.endswith("\n"), "the last line has an end"
    found, now = {}, None
    for line in text[:-1].split("\n"):
        help_line = re.fullmatch(r"# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)", line)
        type_line = re.fullmatch(r"# TYPE (\S+) (counter|gauge|histogram)", line)
        if help_line:
            now = help_line[1]
            assert now not in found, "%s stands in two places" % now
            found[now] = (None, [])
        elif type_line:
            assert type_line[1] == now and found[now] == (None, []), line
            found[now] = (type_line[2], [])
        else:
            sample = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)", line)
            assert sample and VALUE.fullmatch(sample[3]), line
            kind, samples = found[now]
            part = [p for p in PARTS if sample[1] == now + p]
            assert part if kind == "histogram" else sample[1] == now, "%s in the family of %s" % (line, now)
            samples.append((sample[1], labels_of(sample[2] or ""), float(sample[3])))
    for name, (kind, samples) in found.items():
        assert kind and samples, "%s has no type, or no samples" % name
        assert (kind == "counter") == name.endswith("_total"), (name, kind)
        keys = [(n, tuple(sorted(labels.items()))) for n, labels, _ in samples]
        assert len(set(keys)) == len(keys), "a series twice in %s" % name
        if kind == "histogram":
            histogram(name, samples)
    return found


def histogram(name, samples):
    rows = {}
    for n, labels, v in samples:
        rest = tuple(sorted((k, x) for k, x in labels.items() if k != "le"))
        rows.setdefault(rest, {"b": [], "s": None, "c": None})
        if n.endswith("_bucket"):
            rows[rest]["b"].append((float(labels["le"].replace("+Inf", "inf")), v))
        else:
            rows[rest][n[len(name) + 1]] = v
    for row in rows.values():
        bounds, counts = [b for b, _ in row["b"]], [c for _, c in row["b"]]
        assert bounds == sorted(set(bounds)) and bounds[-1] == float("inf"), bounds
        assert counts == sorted(counts) and counts[-1] == row["c"] and row["s"] is not None, (counts, row)


def value(found, name, **labels):
    return sum(v for _, have, v in found[name][1] if all(have.get(k) == x for k, x in labels.items()))


def promtool(w):
    """Prometheus's checker: installed, or taken out of Debian's package without installing it, once a machine."""
    at = shutil.which("promtool") or os.path.join(os.path.expanduser("~"), ".cache", "sallyport-tests", "promtool")
    if os.access(at, os.X_OK):
        return at
    folder = os.path.join(w.folder, "prometheus")
    os.makedirs(folder)
    os.makedirs(os.path.dirname(at), exist_ok=True)
    os.chmod(folder, 0o777)                  # apt's downloads are another user's
    done = subprocess.run("apt-get download -q prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xO ./usr/bin/promtool >promtool"
                          " && chmod 755 promtool", shell=True, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    if done.returncode != 0:
        print("SKIPPED promtool: it is not installed and Debian's package could not be had: %s" % done.stdout.decode()[-300:], flush=True)
        return None
    os.replace(os.path.join(folder, "promtool"), at)
    return at


def some_traffic(w):
    challenged(ask(w))
    passed(ask(w, auth=ALICE))
    passed(ask(w, auth=ALICE))
    challenged(ask(w, auth=basic("bob", "wrong")))
    passed(ask(w, auth=BOB))
    passed(ask(w, auth=w.initiator("alice").value()))


def test_the_format_is_prometheus_own(w):
    p = w.start()
    families(p.metrics())                     # also before anything has happened
    some_traffic(w)
    with tunnel(w):
        found = families(p.metrics())
        assert value(found, "sallyport_tunnels") == 1
    assert value(found, "sallyport_requests_total", status="200", scheme="basic") == 4, found["sallyport_requests_total"]
    assert value(found, "sallyport_requests_total", status="407") == 2
    assert value(found, "sallyport_auth_total", backend="corp-ldap", result="reject") == 1
    assert value(found, "sallyport_ready") == 1 and value(found, "sallyport_workers") == 1
    assert value(found, "sallyport_build_info") == 1 and value(found, "process_open_fds") > 5
    with open("/proc/%d/status" % p.proc.pid) as f:
        threads = int(re.search(r"^Threads:\s+(\d+)", f.read(), re.M)[1])
    assert value(found, "process_threads") == threads
    assert value(found, "process_resident_memory_bytes") > 2 ** 20 and 0 < value(found, "process_cpu_seconds_total") < 1000
    begun = int(os.stat("/proc/%d" % p.proc.pid).st_mtime)
    assert abs(value(found, "process_start_time_seconds") - begun) < 60, (value(found, "process_start_time_seconds"), begun)
    said = subprocess.run(["curl", "-sS", "-D", "-", "-o", "/dev/null", "http://%s/metrics" % p.config.admin["http"]],
                          stdout=subprocess.PIPE, check=True).stdout.decode()
    assert "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in said, said


def test_prometheus_own_checker_has_nothing_to_say(w):
    at = promtool(w)
    if at is None:
        return
    p = w.start()
    some_traffic(w)
    done = subprocess.run([at, "check", "metrics"], input=p.metrics().encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert (done.returncode, done.stdout) == (0, b""), done.stdout.decode()


def test_every_metric_is_in_the_manual(w):
    p = w.start()
    some_traffic(w)
    with open(MANUAL) as f:
        manual = f.read()
    missing = [name for name in families(p.metrics()) if not re.search(r"\b%s\b" % name, manual)]
    assert not missing, "sallyport(8) does not name %s" % missing


def test_reloads_are_counted_by_what_they_came_to(w):
    config = w.config()
    p = w.start(config)
    assert w.command("ctl", "-c", p.path, "reload")[0] == 0
    wait_until("it is counted", lambda: value(families(p.metrics()), "sallyport_reloads_total", result="ok") == 1, 5 * w.patience)
    with open(p.path, "a") as f:
        f.write("nonsense = 1\n")
    p.proc.send(signal.SIGHUP)
    p.log_says("event=reload_refused")
    found = families(p.metrics())
    assert value(found, "sallyport_reloads_total", result="refused") == 1
    assert value(found, "sallyport_config_last_reload_successful") == 0
