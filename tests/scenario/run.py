#!/usr/bin/python3
"""Runs the scenarios: each function test_* of tests/scenario/test_*.py against the rig and a real sallyport.

  run.py --build DIR [--jobs N] [--patience N] [--twice] [--keep] [--list] [NAME...]

NAME is a part of a file's or a test's name. The files are dealt out to N processes, each with a rig and a network
namespace of its own. The last line is `scenarios: N passed, N failed`; the exit status is 1 if anything failed.
"""

import argparse
import importlib
import os
import signal
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(HERE, "..", "rig"), HERE]

LIMIT_SECONDS = 90


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--patience", type=float, default=1.0, help="how many times longer than usual to wait (sanitizers)")
    parser.add_argument("--twice", action="store_true", help="what fails by its own words runs once more; both are told")
    parser.add_argument("--keep", action="store_true", help="leave the rig's directory")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--shard", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*")
    return parser.parse_args()


def collect(wanted):
    """[(file, [(name, function)])] in the files' order."""
    found = []
    for file in sorted(os.listdir(HERE)):
        if not (file.startswith("test_") and file.endswith(".py")):
            continue
        module = importlib.import_module(file[:-3])
        tests = [(name, f) for name, f in vars(module).items() if name.startswith("test_") and callable(f)
                 and f.__module__ == file[:-3]]
        tests = [t for t in tests if not wanted or any(w in file or w in t[0] for w in wanted)]
        if tests:
            found.append((file[:-3], tests))
    return found


def deal(files, jobs):
    """Every test of all files in turn to the processes; those of one file stay in order."""
    everything = [(file, name, f) for file, tests in files for name, f in tests]
    return [everything[i::jobs] for i in range(jobs)]


class TooLong(Exception):
    pass


def _too_long(*_):
    raise TooLong("the test did not end in time")


def run_one(world, function, patience):
    """None, or words about what went wrong; and whether they are the test's own alone: what the world finds at its end (a
    sanitizer's report, a bad exit status, a secret in a log) is none of them."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(int(LIMIT_SECONDS * patience))
    fault = None
    try:
        world.begin()
        function(world)
    except (AssertionError, Exception):
        fault = traceback.format_exc()
    finally:
        signal.alarm(0)
    tails = ["--- error log of %s, its end ---\n%s--- access log, its end ---\n%s" % (p.folder, p.errors()[-2500:], p._read("access")[-1500:])
             for p in world.running()]
    try:
        after = world.end()
    except Exception:
        after = [traceback.format_exc()]
    if fault is None and not after:
        return None, True
    return "\n".join(([fault] if fault else []) + after + tails), not after


# What the leak checker says when it has crashed itself: GCC 12's does, about once in a thousand ends of a process. That is
# no verdict on the test, neither way, so the test runs once more; a second crash counts as a failure.
NO_VERDICT = "LeakSanitizer has encountered a fatal error"
VERDICTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:")


def indented(words):
    return "\n".join("        " + line for line in words.splitlines())


def run_to_verdict(world, words, function, patience, twice):
    """None, or what went wrong, and whether it ran a second time. With twice, for machines that are shared: a test that
    fails by its own words may have met a machine that stood still; what the world finds at its end is final. What the first
    attempt said is shown in full, and the number of second ones stands before the last line."""
    fault, own = run_one(world, function, patience)
    if fault is None or any(v in fault for v in VERDICTS):
        return fault, False
    if NO_VERDICT in fault:
        print("again   %s (the leak checker itself crashed)" % words, flush=True)
    elif twice and own:
        print("AGAIN   %s: it failed, and runs once more\n%s" % (words, indented(fault)), flush=True)
    else:
        return fault, False
    return run_one(world, function, patience)[0], True


def run_shard(options, mine):
    from sp_rig import space
    space.enter()
    from sp_rig.world import World
    world = World(options.build, patience=options.patience)
    failed = again = 0
    try:
        for file, name, function in mine:
            begun = time.monotonic()
            words = "%s: %s" % (file[5:], name[5:].replace("_", " "))
            fault, second = run_to_verdict(world, words, function, options.patience, options.twice)
            again += second
            took = time.monotonic() - begun
            if fault is None:
                print("ok      %s (%.1f s)" % (words, took), flush=True)
            else:
                failed += 1
                print("FAILED  %s (%.1f s)\n%s" % (words, took, indented(fault)), flush=True)
    finally:
        world.stop(keep=options.keep)
        if options.keep:
            print("left: %s" % world.folder)
    print("shard-total %d %d" % (len(mine) - failed, again), flush=True)


def main():
    options = arguments()
    files = collect(options.names)
    if options.list:
        for file, tests in files:
            for name, _ in tests:
                print(file[5:] + ": " + name[5:].replace("_", " "))
        return 0
    if options.shard is not None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        index, jobs = map(int, options.shard.split("/"))
        run_shard(options, deal(files, jobs)[index])
        return 0
    total = sum(len(tests) for _, tests in files)
    if total == 0:
        sys.exit("no scenario is called %s" % " ".join(options.names))
    from sp_rig import procs
    jobs = max(1, min(options.jobs, total))
    children = [subprocess.Popen([sys.executable, __file__, "--shard", "%d/%d" % (i, jobs)] + sys.argv[1:], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                                 preexec_fn=lambda: procs.end_with_parent(signal.SIGTERM)) for i in range(jobs)]
    return finish(children, total)


def finish(children, total):
    """Prints what the shards say, whole tests at a time, and adds up."""
    import threading
    passed, again, lock = [0], [0], threading.Lock()

    def relay(child):
        for line in child.stdout:
            with lock:
                if line.startswith("shard-total "):
                    passed[0] += int(line.split()[1])
                    again[0] += int(line.split()[2])
                else:
                    sys.stdout.write(line)
                    sys.stdout.flush()

    relays = [threading.Thread(target=relay, args=(c,)) for c in children]
    for r in relays:
        r.start()
    try:
        for r in relays:
            r.join()
    except KeyboardInterrupt:
        for c in children:
            c.terminate()
        raise
    if again[0]:
        print("second attempts: %d (AGAIN says of which, and why)" % again[0])
    # a shard that broke off has not said its total: all that is not known to have passed has failed
    print("scenarios: %d passed, %d failed" % (passed[0], total - passed[0]))
    return 0 if passed[0] == total else 1


if __name__ == "__main__":
    sys.exit(main())
