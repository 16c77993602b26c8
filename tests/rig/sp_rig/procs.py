"""Child processes of the rig: started to die with it, waited for with deadlines, their words kept in files."""

import ctypes
import os
import signal
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class RigError(Exception):
    """Something of the rig itself did not work; the text says what and where to look."""


def end_with_parent(number=signal.SIGKILL):
    """In a child, before exec: the kernel sends it this signal when its parent is gone, however that ended."""
    _libc.prctl(PR_SET_PDEATHSIG, number)


def _prepare_child():
    end_with_parent()
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Proc:
    """One running server. `log` is the file that takes its standard output and error."""

    def __init__(self, name, argv, log, env=None, cwd=None, pass_fds=()):
        self.name = name
        self.log = log
        self._out = open(log, "ab")
        self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._out, env=env,
                                      cwd=cwd, preexec_fn=_prepare_child, pass_fds=pass_fds)

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def send(self, number):
        if self.alive():
            self.popen.send_signal(number)

    def is_stopped(self):
        """By SIGSTOP. Each thread stops by itself, and on a busy machine goes on for a while."""
        folder = "/proc/%d/task" % self.pid
        for task in os.listdir(folder):
            with open(os.path.join(folder, task, "stat")) as f:
                if f.read().rpartition(")")[2].split()[0] != "T":
                    return False
        return True

    def stop(self, number=signal.SIGTERM, seconds=10.0):
        """Ends it and returns its exit status; what does not end in time is killed (status -9)."""
        if self.alive():
            self.popen.send_signal(signal.SIGCONT)
            self.popen.send_signal(number)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        self._out.close()
        return self.popen.returncode

    def words(self, last=4000):
        with open(self.log, "rb") as f:
            f.seek(0, os.SEEK_END)
            f.seek(max(0, f.tell() - last))
            return f.read().decode("utf-8", "replace")


def run(argv, env=None, stdin=b"", check=True, seconds=60):
    """A command that ends by itself. Returns its standard output as text."""
    done = subprocess.run(argv, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, timeout=seconds)
    if check and done.returncode != 0:
        raise RigError("%s ended with %d:\n%s%s" % (" ".join(argv), done.returncode, done.stdout.decode(), done.stderr.decode()))
    return done.stdout.decode("utf-8", "replace")


def wait_until(what, fact, seconds=10.0, every=0.02):
    """Waits until fact() is true and returns its value; says what was waited for when the time is over."""
    end = time.monotonic() + seconds
    while True:
        value = fact()
        if value:
            return value
        if time.monotonic() > end:
            raise RigError("waited %.1f s in vain: %s" % (seconds, what))
        time.sleep(every)


def can_connect(address, port):
    try:
        socket.create_connection((address, port), 1.0).close()
        return True
    except OSError:
        return False


def wait_for_port(proc, address, port, seconds=15.0):
    def ready():
        if not proc.alive():
            raise RigError("%s did not start:\n%s" % (proc.name, proc.words()))
        return can_connect(address, port)
    wait_until("%s listens on %s:%d" % (proc.name, address, port), ready, seconds)


def free_port(address="127.0.0.1"):
    """A port that is free now, for TCP and for UDP."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind((address, 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind((address, port))
                return port
            except OSError:
                continue
