"""The systemd unit: systemd's own judgement of it, and its filter of system calls with sallyport behind it."""

import glob
import os
import re
import shutil
import subprocess

from common import ALICE, ask, passed
from sp_rig.procs import run

HERE = os.path.dirname(os.path.abspath(__file__))


def unit(w):
    """The file as it is installed, or None without systemd-analyze."""
    if shutil.which("systemd-analyze") is None:
        print("SKIPPED: the systemd unit; systemd-analyze (package systemd) is not here")
        return None
    prefix = os.path.join(w.folder, "unit-prefix")
    run(["cmake", "--install", w.build, "--prefix", prefix])
    found = glob.glob(os.path.join(prefix, "**", "sallyport.service"), recursive=True)
    assert len(found) == 1, found
    with open(found[0]) as f:
        text = f.read()
    # where the installed program is when the unit is used is another place than the test's
    text = re.sub(r"^(Exec\w+=)\S+/sallyport ", r"\g<1>%s " % os.path.join(prefix, "sbin/sallyport"), text, flags=re.M)
    path = os.path.join(w.folder, "sallyport.service")
    with open(path, "w") as f:
        f.write(text)
    return path


def test_systemd_accepts_the_unit(w):
    path = unit(w)
    if path:
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = [line for line in done.stdout.decode().splitlines() if "sallyport" in line]
        assert done.returncode == 0 and not said, done.stdout.decode()


def test_the_units_exposure_is_as_written(w):
    """docs/security.md names the figure of Debian 12's systemd; a later one may judge otherwise."""
    path = unit(w)
    if path is None:
        return
    version = int(re.search(r"systemd (\d+)", run(["systemd-analyze", "--version"]))[1])
    if version != 252:
        print("SKIPPED: the unit's exposure; the figure is that of systemd 252, and this is %d" % version)
        return
    said = run(["systemd-analyze", "security", "--offline=true", "--no-pager", path], check=False)
    figure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)[1]
    with open(os.path.join(HERE, "..", "..", "docs", "security.md")) as f:
        written = re.search(r"`systemd-analyze security` gives it \*\*([0-9.]+)\*\*", f.read())[1]
    assert figure == written, "docs/security.md says %s\n%s" % (written, "\n".join(l for l in said.splitlines() if not l.startswith("✓")))


def calls(word):
    """The calls that a word of SystemCallFilter= stands for."""
    if not word.startswith("@"):
        return {word}
    lines = run(["systemd-analyze", "--no-pager", "syscall-filter", word]).splitlines()
    return set().union(*[calls(line.strip()) for line in lines if line.startswith("    ") and not line.strip().startswith("#")])


def allowed_by(path):
    allowed = set()
    with open(path) as f:
        for words in re.findall(r"^SystemCallFilter=(.*)$", f.read(), re.M):
            named = set().union(*[calls(w) for w in words.lstrip("~").split()])
            allowed = allowed - named if words.startswith("~") else allowed | named
    return allowed


def test_sallyport_serves_behind_the_units_filter(w):
    path = unit(w)
    if path is None:
        return
    try:
        import seccomp
        del seccomp
    except ImportError:
        print("SKIPPED: sallyport behind the unit's filter; python3-seccomp is not here")
        return
    allowed = allowed_by(path)
    with open(os.path.join(w.build, "CMakeCache.txt")) as cache:
        if re.search(r"^SP_SANITIZE:\w+=\w", cache.read(), re.M):
            allowed.add("ptrace")          # the leak checker's
    start = os.path.join(w.folder, "behind-the-filter")
    with open(start, "w") as f:
        f.write("#!/usr/bin/python3\nimport errno, os, seccomp, sys\nf = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))\n"
                "for name in %r:\n    number = seccomp.resolve_syscall(seccomp.Arch(), name)\n"
                "    if number >= 0: f.add_rule(seccomp.ALLOW, number)\nf.load()\n"
                "os.execv(%r, [%r] + sys.argv[1:])\n" % (sorted(allowed), w.binary, w.binary))
    os.chmod(start, 0o755)
    before, w.binary = w.binary, start
    try:
        p = w.start()
    finally:
        w.binary = before
    passed(ask(w, auth=ALICE))
    passed(ask(w, auth=w.initiator().value()))
    with open("/proc/%d/status" % p.proc.pid) as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    assert status["Seccomp_filters"] == "3", "the unit's, and the two of our own: %s" % status["Seccomp_filters"]
    assert "event=unconfined" not in p.errors()
