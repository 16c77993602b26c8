"""What the process gives up before it serves: another user, capabilities, system calls, dumps."""

import glob
import os
import shutil
import signal
import subprocess

from common import ALICE, ask, passed
from sp_rig.wire import Wire

NOBODY = 65534
SOUND = {"NoNewPrivs": "1", "Seccomp": "2"}
NO_CAPABILITY = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapAmb"), "0" * 16)


def threads(p):
    """What /proc says of each thread: [{key: value}]."""
    found = []
    for path in glob.glob("/proc/%d/task/*/status" % p.proc.pid):
        try:
            with open(path) as f:
                found.append(dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line))
        except (FileNotFoundError, ProcessLookupError):
            continue                                        # one that was started for a call has ended
    assert len(found) > 2, "main thread, worker, log writer: %d threads" % len(found)
    return found


def each_thread(p, **want):
    for thread in threads(p):
        for key, value in want.items():
            assert thread[key] == value, "%s of thread %s is %s, not %s" % (key, thread["Name"], thread[key], value)


def for_nobody(w):
    """A configuration whose places the user nobody can reach and write to."""
    config = w.config()
    os.chmod(w.folder, 0o711)
    os.chown(config.folder, NOBODY, NOBODY)
    config.auth["negotiate"] = []
    config.backends.pop("corp-krb5")
    config.listens[0][1]["offer"] = ["basic"]
    return config


def test_root_becomes_the_user_and_keeps_nothing(w):
    config = for_nobody(w)
    config.top["user"] = "nobody"
    config.top["workers"] = 2
    config.listens.append(("%s:81" % w.proxy_address, {"offer": ["basic"]}))      # bound before the drop
    p = w.start(config)
    passed(ask(w, auth=ALICE))
    with Wire((w.proxy_address, 81)) as c:
        passed(c.ask("GET", "http://odd.corp.test/echo", auth=ALICE))
    each_thread(p, Uid="\t".join([str(NOBODY)] * 4), Gid="\t".join([str(NOBODY)] * 4), CapBnd="0" * 16, **NO_CAPABILITY, **SOUND)
    assert "root" not in [t["Groups"].strip() for t in threads(p)]


def test_root_makes_the_folder_of_the_control_socket_for_the_user(w):
    """As /run/sallyport after each boot, where no service manager makes it."""
    config = for_nobody(w)
    config.top["user"] = "nobody"
    folder = os.path.join(w.folder, "run")                  # in a folder that is root's
    config.admin["socket"] = os.path.join(folder, "admin.sock")
    p = w.start(config)
    code, out, err = w.command("ctl", "-c", p.path, "stats")
    assert code == 0, (out, err)
    assert os.stat(folder).st_uid == NOBODY
    p.stop()
    os.rmdir(folder)                                        # and the socket is gone
    os.mkdir(folder, 0o700)                                 # one that is there stays as it is
    code, out, err = w.command("run", "-c", config.write())
    assert code == 1 and os.stat(folder).st_uid == 0, (code, out, err)
    with open(config.log["error"]) as log:
        assert "its folder must be writable by the user that sallyport runs as" in log.read()


def started_with_low_ports(w, config):
    """As systemd starts it: no root at any time, and the one capability that binds low ports. The plugins are where nobody can
    read them: a checkout may be in root's home."""
    config.top["plugin_dir"] = shutil.copytree(os.path.join(w.build, "plugins"), os.path.join(config.folder, "plugins"))
    path = os.path.join(config.folder, "start")
    with open(path, "w") as f:
        f.write("#!/bin/sh\nexec setpriv --reuid=%d --regid=%d --clear-groups --inh-caps=+net_bind_service "
                "--ambient-caps=+net_bind_service -- %s \"$@\"\n" % (NOBODY, NOBODY, w.binary))
    os.chmod(path, 0o755)
    for folder, _, files in os.walk(config.folder):
        for name in files:
            os.chown(os.path.join(folder, name), NOBODY, NOBODY)
    before, w.binary = w.binary, path
    try:
        return w.start(config)
    finally:
        w.binary = before


def test_a_capability_that_bound_low_ports_is_given_up(w):
    config = for_nobody(w)
    config.listens.append(("%s:81" % w.proxy_address, {"offer": ["basic"]}))
    config.write()
    p = started_with_low_ports(w, config)
    each_thread(p, Uid="\t".join([str(NOBODY)] * 4), **NO_CAPABILITY, **SOUND)
    with Wire((w.proxy_address, 81)) as c:
        passed(c.ask("GET", "http://odd.corp.test/echo", auth=ALICE))
    # what a reload can no longer bind is told, with the remedy, and nothing changes
    config.listens.append(("%s:82" % w.proxy_address, {"offer": ["basic"]}))
    config.write()
    p.proc.send(signal.SIGHUP)
    p.log_says("cannot listen on %s:82: Permission denied: a port below 1024 needs root or CAP_NET_BIND_SERVICE, which a running "
               "process has given up; a restart binds it" % w.proxy_address)
    p.log_says("event=reload_refused")
    passed(ask(w, auth=ALICE))


def test_whoever_stays_root_is_confined_too(w):
    p = w.start()
    each_thread(p, **SOUND)
    assert "event=unconfined" not in p.errors()


def test_the_filter_can_be_left_out_and_the_log_says_so(w):
    config = w.config()
    config.top["seccomp"] = False
    p = w.start(config)
    p.log_says("event=unconfined")
    each_thread(p, NoNewPrivs="1", Seccomp="0")
    passed(ask(w, auth=ALICE))


def end_by_abort(popen):
    """Lifts the limit, aborts the process, and says whether the kernel wrote a core."""
    subprocess.run(["prlimit", "--pid", str(popen.pid), "--core=unlimited"], check=True)
    os.kill(popen.pid, signal.SIGABRT)
    return os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT).si_code == os.CLD_DUMPED


def test_no_core_is_written_whatever_the_limit(w):
    control = subprocess.Popen(["sleep", "600"], cwd=w.folder)
    dumps = end_by_abort(control)
    control.wait()
    p = w.start()
    passed(ask(w, auth=ALICE))
    with open("/proc/%d/limits" % p.proc.pid) as limits:
        line = next(line for line in limits if line.startswith("Max core file size"))
    assert line.split()[4] == "0", line
    dumped = end_by_abort(p.proc.popen)
    assert p.stop() == -signal.SIGABRT
    w._proxies.remove(p)
    assert not dumped, "the kernel wrote a core of sallyport"
    if not dumps:
        print("SKIPPED: this machine writes no cores at all (kernel.core_pattern), so that ours was not written proves nothing")


def test_another_process_of_the_user_cannot_read_its_memory(w):
    config = for_nobody(w)
    config.top["user"] = "nobody"
    p = w.start(config)
    passed(ask(w, auth=ALICE))
    peep = subprocess.run(["setpriv", "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY, "--clear-groups", "head", "-c", "1",
                           "/proc/%d/maps" % p.proc.pid], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert peep.returncode != 0 and b"Permission denied" in peep.stderr, peep
