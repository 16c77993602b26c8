"""Behind tests/clients: each way of each client once, in a namespace of its own, and what it cost beside docs/clients.md."""

import argparse
import os
import signal
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)

from sp_rig import space                                                       # noqa: E402
from sp_clients import browsers, command_line, languages, packagers            # noqa: E402
from sp_clients.client import Client                                           # noqa: E402
from sp_clients.ground import Ground                                           # noqa: E402
from sp_clients.site import Site                                               # noqa: E402
from sp_clients.table import Cost, Table                                       # noqa: E402
from sp_rig.procs import run                                                   # noqa: E402

CLIENTS = [client for room in (command_line, browsers, languages, packagers) for client in Client.every if client in vars(room).values()]


def arguments():
    parser = argparse.ArgumentParser(prog="tests/clients")
    parser.add_argument("--build", default="build")
    parser.add_argument("--modules", default="/nonexistent", help="a folder of npm packages")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--light", action="store_true")
    parser.add_argument("--patience", type=float, default=1.0)
    parser.add_argument("names", nargs="*")
    return parser.parse_args()


def furnish(site):
    """The pages, and what each of them is when it arrives whole."""
    page = os.urandom(48000).hex().encode() + b"\n"
    words = os.urandom(16).hex().encode()
    site.write("page.txt", page)
    packagers.furnish(site, page)
    browsers.furnish(site, words)
    work = os.path.join(site.folder, "work")
    git = ["git", "-c", "user.name=rig", "-c", "user.email=rig@corp.test", "-c", "init.defaultBranch=main"]
    run(git + ["init", "-q", work])
    with open(os.path.join(work, "page.txt"), "wb") as f:
        f.write(page)
    run(git + ["-C", work, "add", "page.txt"])
    run(git + ["-C", work, "commit", "-q", "-m", "A page"])
    run(git + ["clone", "-q", "--bare", work, os.path.join(site.folder, "repo.git")])
    return {"page.txt": page, "three pages": page * 3, "thanks": b"thank you\n", "late answer": Site.late_answer(command_line.SAID),
            "page.html": words, "beacon.html": words, "pictures": words}


class Fault(Exception):
    pass


def judge(ground, way, body, page):
    """What the way cost; a Fault where anything but its price is not as it must be."""
    lines = ground.lines()
    told = "\n".join("  %s" % {k: r[k] for k in ("method", "target", "status", "reason", "user", "scheme", "mech", "auth")} for r in lines)
    seen, shown = ground.credentials_seen(tls=False), ground.credentials_seen(tls=True)
    if seen or bool(shown) != way.shows:
        raise Fault("the site saw of a credential: %s; within the client's own TLS: %s, and that was %sto be\n%s" % (
            ", ".join(seen) or "nothing", ", ".join(shown) or "nothing", "" if way.shows else "not ", told))
    if way.cannot:
        if body == page or [r for r in lines if r["status"] != 407]:
            raise Fault("it was to end at the 407:\n" + told)
    else:
        if body != page:
            raise Fault("the page is not what the site has: %d bytes instead of %d, %r ...\n%s" % (len(body), len(page), body[:200], told))
        through = [r for r in lines if r["status"] == 200]
        wanted = {"user": "alice", "scheme": way.scheme, "mech": "krb5" if way.scheme == "negotiate" else ""}
        if not through or [r for r in through if any(r[k] != v for k, v in wanted.items())] or [r for r in lines if r["status"] not in (200, 404, 407)]:
            raise Fault("the log does not show %s:\n%s" % (wanted, told))
    refusals = [r for r in lines if r["status"] == 407]
    return Cost(len(refusals), len(lines), ground.connections(lines), way.most), told


def compare(cost, expected):
    """None, or how the price differs from the table's."""
    if cost.most is not None and cost.refusals > cost.most:
        return "%d 407s, and at most %d were to be" % (cost.refusals, cost.most)
    if cost.most is not None and cost.refusals > cost.connections:
        return "%d 407s on %d connections: one was asked twice" % (cost.refusals, cost.connections)
    if expected is None:
        return "docs/clients.md has no row for it; --write puts it there"
    number, bound = expected
    if cost.most is None and (bound or cost.refusals != number):
        return "%d 407s, and docs/clients.md says %d" % (cost.refusals, number)
    return None


class Run:
    def __init__(self, options, ground, pages):
        self.options, self.ground, self.pages = options, ground, pages
        self.table, self.passed, self.failed, self.skipped = Table(), 0, 0, []

    def one(self, way, target, version):
        title = "%s, %s" % (way.title, {"http": "http:// page", "https": "https:// page", "tunnel": "tunnel"}[target])
        begun = time.monotonic()
        fault = told = None
        try:
            ask = self.ground.ask(target, way.proxy, way.scheme == "negotiate")
            body = way.run(ask)
            cost, told = judge(self.ground, way, body, self.pages[way.page])
            words = "%s%s" % (cost.words(), ", %d counted" % cost.refusals if cost.most is not None else "")
            if self.options.write:
                self.table.put(way, target, version, cost)
            fault = compare(cost, self.table.expected(way, target))
        except Fault as error:
            fault = str(error)
        except Exception:
            fault = traceback.format_exc()
        took = time.monotonic() - begun
        if fault is None:
            self.passed += 1
            print("ok      %s: 407s: %s (%.1f s)" % (title, words.replace("*", ""), took), flush=True)
        else:
            self.failed += 1
            print("FAILED  %s (%.1f s)\n%s" % (title, took, "\n".join("        " + line for line in (fault + ("\n" + told if told else "")).splitlines())), flush=True)

    def all(self, ways):
        for client in CLIENTS:
            mine = [way for way in ways if way.client is client]
            if not mine:
                continue
            missing = client.missing(self.options.modules)
            why = "left out by --light" if client.heavy and self.options.light else "this machine lacks " + missing if missing else None
            if why:
                self.skipped.append("%d of %s: %s" % (sum(len(way.targets) for way in mine), client.name, why))
                print("SKIPPED %s: %s" % (client.name, why), flush=True)
                continue
            version = client.version(self.options.modules)
            known = self.table.versions.get(client.name, version)
            if known != version:
                print("note    %s is %s here, %s in docs/clients.md" % (client.name, version, known), flush=True)
            for way in mine:
                for target in way.targets:
                    self.one(way, target, version)


def main():
    options = arguments()
    everything = [way for client in CLIENTS for way in client.ways]
    ways = [way for way in everything if not options.names or any(name.lower() in way.title.lower() for name in options.names)]
    if options.list:
        print("\n".join(way.title for way in ways))
        return 0
    if not ways:
        sys.exit("no client is called %s" % " ".join(options.names))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    space.enter()
    ground = Ground(options.build, options.modules, options.patience)
    try:
        run = Run(options, ground, furnish(ground.site))
        run.all(ways)
    finally:
        faults = ground.stop()
    for fault in faults:
        run.failed += 1
        print("FAILED  " + fault)
    if options.write:
        run.table.write(everything)
    if run.skipped:
        print("clients skipped: %s" % "; ".join(run.skipped))
    print("clients: %d passed, %d failed" % (run.passed, run.failed))
    return 1 if run.failed or not run.passed else 0


if __name__ == "__main__":
    sys.exit(main())
