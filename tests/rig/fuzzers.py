#!/usr/bin/python3
"""Runs every fuzz target of a build for a few seconds: fuzzers.py BUILD [SECONDS]. Each target counts as one test.

New inputs go to a temporary folder; the corpora of tests/fuzz/corpus are only read. A crash's input is printed.
"""

import concurrent.futures
import glob
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def run(program, seconds):
    name = os.path.basename(program)
    with tempfile.TemporaryDirectory(prefix="sallyport-fuzz.") as folder:
        fresh = os.path.join(folder, "new")
        os.mkdir(fresh)
        short = name[5:] if name.startswith("fuzz_") else name
        corpora = [c for c in (os.path.join(HERE, "..", "fuzz", "corpus", n) for n in (name, short)) if os.path.isdir(c)]
        argv = [program, "-max_total_time=%d" % seconds, "-rss_limit_mb=2048", "-timeout=10", "-verbosity=1", "-print_final_stats=1",
                "-artifact_prefix=" + folder + "/", fresh] + corpora
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + 120)
            said, status = done.stdout.decode("utf-8", "replace"), done.returncode
        except subprocess.TimeoutExpired:
            said, status = "it did not end\n", -1
        for culprit in glob.glob(folder + "/*-*"):
            with open(culprit, "rb") as f:
                said += "\n%s: %r" % (os.path.basename(culprit), f.read()[:2000])
        runs = [line.split()[-1] for line in said.splitlines() if line.startswith("stat::number_of_executed_units")]
        return name, status, said, runs[0] if runs else "?"


def main():
    build, seconds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    programs = sorted(p for p in glob.glob(os.path.join(build, "**", "fuzz_*"), recursive=True)
                      if os.path.isfile(p) and os.access(p, os.X_OK) and "CMakeFiles" not in p)
    if not programs:
        sys.exit("no fuzz targets in %s" % build)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for name, status, said, runs in pool.map(lambda p: run(p, seconds), programs):
            if status != 0:
                failed += 1
                print("FAILED  %s\n%s" % (name, said[-6000:]))
            else:
                print("ok      %s: %s inputs" % (name, runs))
            sys.stdout.flush()
    print("fuzz targets: %d passed, %d failed" % (len(programs) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
