"""CPU time and memory of a process tree, and the clients that make load: wrk, and the bench's own generator."""

import json
import os
import re
import subprocess
import time


def tree(pid):
    """A process and all that it started."""
    todo, seen = [pid], []
    while todo:
        pid = todo.pop()
        if pid in seen:
            continue
        seen.append(pid)
        try:
            for task in os.listdir("/proc/%d/task" % pid):
                with open("/proc/%d/task/%s/children" % (pid, task)) as f:
                    todo += [int(x) for x in f.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return seen


def cpu_seconds(pid):
    """User and system time of a process tree, in nanoseconds' grain: the clocks of its processes (clock_getcpuclockid(3))."""
    total = 0.0
    for each in tree(pid):
        try:
            total += time.clock_gettime(~each << 3 | 2)
        except OSError:
            continue
    return total


def user_memory(pid):
    """Bytes of anonymous memory of a process tree: what it allocated, without the pages of its files."""
    total = 0
    for each in tree(pid):
        try:
            with open("/proc/%d/smaps_rollup" % each) as f:
                total += 1024 * int(re.search(r"^Anonymous:\s+(\d+)", f.read(), re.M).group(1))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def wrk(address, seconds, connections, script, environment):
    """(requests, seconds, errors)"""
    out = subprocess.run(["wrk", "-t1", "-c%d" % connections, "-d%ds" % seconds, "-s", script, "http://%s/" % address], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ, **environment), timeout=seconds + 30).stdout.decode()
    done = re.search(r"(\d+) requests in", out)
    if done is None:
        raise RuntimeError("wrk did not run:\n" + out)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    errors = (int(wrong.group(1)) if wrong else 0) + (sum(map(int, broken.groups())) if broken else 0)
    return int(done.group(1)), int(done.group(1)) / rate if rate else seconds, errors


class Load:
    """The bench's own generator, built by CMake."""

    def __init__(self, build):
        self.folder = os.path.join(build, "tests", "bench")
        self.binary = os.path.join(self.folder, "load")

    def program(self, name):
        return os.path.join(self.folder, name)

    def missing(self):
        return [name for name in ("load", "relay", "tokens", "decide") if not os.access(self.program(name), os.X_OK)]

    def argv(self, address, seconds, words):
        return [self.binary, "-s", str(seconds)] + [str(w) for w in words] + [address]

    def start(self, address, seconds, *words):
        """Under way; what it prints is for report()."""
        return subprocess.Popen(self.argv(address, seconds, words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    @staticmethod
    def report(said):
        """What it counted, as a dictionary."""
        last = said.decode().strip().splitlines()[-1:]
        if not last or not last[0].startswith("{"):
            raise RuntimeError("the load generator did not run: %s" % said.decode())
        return json.loads(last[0])

    @staticmethod
    def mark(load):
        """The next line of `-w` from one that is under way, as soon as it comes."""
        said = load.stdout.readline().decode().split()
        if len(said) != 6 or said[0] != "at":
            raise RuntimeError("the load generator said: %s" % " ".join(said))
        return {"at": float(said[1]), "standing": int(said[3]), "done": int(said[5])}

    def run(self, address, seconds, *words):
        with self.start(address, seconds, *words) as load:
            return self.report(load.communicate(timeout=seconds + 60)[0])

    def hold(self, address, seconds, *words):
        """Opens idle connections: (process, how many stand). Closing its standard input ends it."""
        proc = subprocess.Popen(self.argv(address, seconds, words), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        first = proc.stdout.readline().decode()
        match = re.match(r"held (\d+) failed (\d+)", first)
        if match is None:
            proc.stdin.close()
            proc.wait(10)
            raise RuntimeError("the idle connections did not stand: %s" % first)
        return proc, int(match.group(1)), int(match.group(2))
