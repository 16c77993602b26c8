#!/usr/bin/python3
"""Runs every fuzz target of a build for a few seconds: fuzzers.py BUILD [SECONDS]. Each target counts as one test.

New inputs go to a temporary folder; the corpora of tests/fuzz/corpus are only read. A crash's input is printed.
tests/fuzz/long runs the same targets for as long as you like, and keeps what it finds.
"""

import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import tempfile

FUZZ = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fuzz")


def programs_of(build):
    """The fuzz targets of a build, by their names."""
    found = (p for p in glob.glob(os.path.join(build, "**", "fuzz_*"), recursive=True)
             if os.path.isfile(p) and os.access(p, os.X_OK) and "CMakeFiles" not in p)
    return {os.path.basename(p)[len("fuzz_"):]: p for p in sorted(found)}


def seeds_of(name):
    """The target's corpus in the tree, and its dictionary: what libFuzzer is given of them."""
    corpus, words = os.path.join(FUZZ, "corpus", name), os.path.join(FUZZ, "words", name)
    return ["-dict=" + words] if os.path.isfile(words) else [], [corpus] if os.path.isdir(corpus) else []


def fuzz(program, name, seconds, fresh, artifacts):
    """Runs one target: new inputs go to `fresh`, what breaks it to `artifacts`. Its status, and what it said."""
    words, corpora = seeds_of(name)
    argv = [program, "-max_total_time=%d" % seconds, "-rss_limit_mb=2048", "-timeout=10", "-verbosity=1", "-print_final_stats=1",
            "-artifact_prefix=" + artifacts + "/"] + words + [fresh] + corpora
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + 120)
        return done.returncode, done.stdout.decode("utf-8", "replace")
    except subprocess.TimeoutExpired as slow:
        return -1, (slow.stdout or b"").decode("utf-8", "replace") + "\nit did not end\n"


def runs_of(said):
    """How many inputs a target has tried, as it said at its end."""
    runs = re.findall(r"^stat::number_of_executed_units:\s*(\d+)", said, re.M)
    return int(runs[-1]) if runs else 0


def run(name, program, seconds):
    with tempfile.TemporaryDirectory(prefix="sallyport-fuzz.") as folder:
        fresh = os.path.join(folder, "new")
        os.mkdir(fresh)
        status, said = fuzz(program, name, seconds, fresh, folder)
        for culprit in glob.glob(folder + "/*-*"):
            with open(culprit, "rb") as f:
                said += "\n%s: %r" % (os.path.basename(culprit), f.read()[:2000])
        return name, status, said


def main():
    build, seconds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    programs = programs_of(build)
    if not programs:
        sys.exit("no fuzz targets in %s" % build)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for name, status, said in pool.map(lambda n: run(n, programs[n], seconds), programs):
            if status != 0 or runs_of(said) == 0:
                failed += 1
                print("FAILED  %s\n%s" % (name, said[-6000:]))
            else:
                print("ok      %s: %d inputs" % (name, runs_of(said)))
            sys.stdout.flush()
    print("fuzz targets: %d passed, %d failed" % (len(programs) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
