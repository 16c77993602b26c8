#!/usr/bin/python3
"""Runs the unit test programs of a build: units.py BUILD [PATIENCE [FOLDER]]. Each cmocka test counts as one.

FOLDER is `unit`, or `want`: those under want of memory. The last line is `unit tests: N passed, N failed`. A program that crashes, hangs or skips a test has failed tests.
"""

import concurrent.futures
import os
import re
import subprocess
import sys


# The leak checker's own crash is no verdict on a program (see tests/scenario/run.py): it runs once more.
NO_VERDICT = "LeakSanitizer has encountered a fatal error"
VERDICTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:")


def run(program, seconds):
    passed, failed, said = run_once(program, seconds)
    if failed and NO_VERDICT in said and not any(v in said for v in VERDICTS):
        print("again   %s (the leak checker itself crashed)" % os.path.basename(program), flush=True)
        passed, failed, said = run_once(program, seconds)
    return passed, failed, said


def run_once(program, seconds):
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=1", UBSAN_OPTIONS="print_stacktrace=1")
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    try:
        done = subprocess.run([program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=here,
                              env=env, timeout=seconds)
        said, status = done.stdout.decode("utf-8", "replace"), done.returncode
    except subprocess.TimeoutExpired as slow:
        said, status = (slow.stdout or b"").decode("utf-8", "replace") + "\nit did not end in %d s" % seconds, -1
    meant = sum(int(n) for n in re.findall(r"Running (\d+) test\(s\)", said))
    passed = len(re.findall(r"^\[       OK \]", said, re.M))
    failed = max(meant - passed, 0)
    if status != 0 and failed == 0:
        failed = 1                      # a leak, or a fault at the end: the tests were well, the program is not
    if meant == 0:
        failed = max(failed, 1)
    return passed, failed, said


def main():
    build, patience = os.path.abspath(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    folder = os.path.join(build, "tests", sys.argv[3] if len(sys.argv) > 3 else "unit")
    programs = sorted(os.path.join(folder, f) for f in os.listdir(folder)) if os.path.isdir(folder) else []
    programs = [p for p in programs if os.access(p, os.X_OK) and os.path.isfile(p)]
    if not programs:
        sys.exit("no unit test programs in %s" % folder)
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for program, (ok, bad, said) in zip(programs, pool.map(lambda p: run(p, 120 * patience), programs)):
            passed, failed = passed + ok, failed + bad
            name = os.path.basename(program)
            if bad:
                print("FAILED  %s: %d of %d\n%s" % (name, bad, ok + bad, said[-6000:]))
            else:
                print("ok      %s: %d" % (name, ok))
            sys.stdout.flush()
    print("unit tests: %d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
