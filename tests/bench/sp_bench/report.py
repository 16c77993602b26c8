"""What the bench prints, and where in docs/performance.md it goes."""

import os
import re
import subprocess
import time

from . import sides


def machine():
    model = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    return "%d CPUs (%s), Linux %s" % (len(os.sched_getaffinity(0)), model.group(1).strip() if model else "?", os.uname().release)


def version(*command):
    out = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode()
    return out.splitlines()[0].split(" - http")[0] if out else "?"


def heading(bench, command):
    known = [version(bench.world.binary, "version"), version("/usr/sbin/nginx", "-v")]
    known += [version(sides.SQUID, "-v")] if bench.squid else []
    known += [version(sides.HAPROXY, "-v")] if bench.haproxy else []
    known += [version(sides.APACHE, "-v").replace("Server version: ", "")] if bench.apache else []
    return "`%s` on %s, %s; %s. One worker each; %d rounds of %d s (more where three differ by more than an aim leaves), the sides in turn." % (
        command, machine(), time.strftime("%Y-%m-%d"), "; ".join(known), bench.rounds, bench.seconds)


def section(scenario, results):
    return "### %s\n\n%s" % (scenario.title, scenario.table(results))


def aims_table(aims):
    lines = ["| aim | measured | |", "| --- | --- | --- |"]
    for aim in sorted(aims, key=lambda a: a.point):
        lines.append("| %d. %s | %s | %s |" % (aim.point, aim.text, aim.measured, {True: "holds", False: "**not yet**", None: "not compared"}[aim.holds]))
    return "\n".join(lines)


def put(path, mark, text):
    """Between the marks `<!-- MARK -->` and `<!-- end of MARK -->` of a page."""
    with open(path) as f:
        page = f.read()
    pattern = re.compile(r"(<!-- %s -->\n).*?(<!-- end of %s -->)" % (mark, mark), re.S)
    if not pattern.search(page):
        raise SystemExit("%s has no mark <!-- %s -->" % (path, mark))
    with open(path, "w") as f:
        f.write(pattern.sub(lambda m: m.group(1) + text + "\n" + m.group(2), page))
