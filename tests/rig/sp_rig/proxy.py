"""sallyport under test: a configuration written for it, a start that waits until it is ready, its logs read back."""

import json
import os
import pathlib
import signal
import socket
import time

from .procs import Proc, RigError, run, wait_until

FIELDS = {"ts", "id", "client", "listener", "user", "scheme", "mech", "backend", "auth", "method", "target", "status", "reason",
          "rule", "bytes_in", "bytes_out", "ms", "auth_ms", "connect_ms"}


class Raw(str):
    """A value that stands in the file as it is."""


def value(v):
    if isinstance(v, Raw):
        return str(v)
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, int):
        return str(v)
    if isinstance(v, (list, tuple)):
        return "{%s}" % ", ".join(value(x) for x in v)
    return '"%s"' % v.replace("\\", "\\\\").replace('"', '\\"')


def block(name, keys, title=None):
    head = name + (' "%s"' % title if title is not None else "")
    return head + " {\n" + "".join("  %s = %s\n" % (k, value(v)) for k, v in keys.items() if v is not None) + "}\n"


class Config:
    """What a configuration file says, as dictionaries. Tests change what they are about."""

    def __init__(self, folder, listen, plugin_dir=None):
        self.folder = folder
        self.top = {"workers": 1, "shutdown_timeout": Raw("5s")}
        if plugin_dir:
            self.top["plugin_dir"] = plugin_dir
        self.listens = [(listen, {"offer": ["negotiate", "basic"]})]
        self.auth = {"realm": "Corporate Proxy", "negotiate": ["corp-krb5"], "basic": ["corp-ldap"]}
        self.cache, self.guard, self.limits, self.protect, self.forward = {}, {}, {}, {}, {}
        self.rules, self.backends = [], {}
        self.log = {"access": os.path.join(folder, "access.log"), "error": os.path.join(folder, "error.log"), "level": "debug"}
        self.admin = {"socket": os.path.join(folder, "admin.sock"), "http": "127.0.0.1:3180"}
        self.files = {}

    def rule(self, name, action="allow", **keys):
        self.rules.append((name, dict({"action": action}, **keys)))
        return self

    def file(self, name, content):
        """A further file beside the configuration."""
        self.files[name] = content
        return self

    def text(self):
        out = ["%s = %s\n" % (k, value(v)) for k, v in self.top.items()]
        out += [block("listen", keys, title) for title, keys in self.listens]
        for name in ("auth", "cache", "guard", "limits", "protect", "forward"):
            if getattr(self, name):
                out.append(block(name, getattr(self, name)))
        out += [block("rule", keys, title) for title, keys in self.rules]
        out += [block("log", self.log), block("admin", self.admin)]
        out += ['include("backends/%s.conf")\n' % name for name in self.backends]
        return "".join(out)

    def write(self):
        os.makedirs(os.path.join(self.folder, "backends"), exist_ok=True)
        for name, keys in self.backends.items():
            with open(os.path.join(self.folder, "backends", name + ".conf"), "w") as f:
                f.write(block("backend", keys, name))
        for name, content in self.files.items():
            path = os.path.join(self.folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            content = content if isinstance(content, bytes) else content.encode()
            if os.path.exists(path) and pathlib.Path(path).read_bytes() == content:
                continue                                        # a running proxy tells of files that were touched
            with open(path, "wb") as f:
                os.chmod(path, 0o600)
                f.write(content)
        path = os.path.join(self.folder, "sallyport.conf")
        with open(path, "w") as f:
            f.write(self.text())
        return path


class Proxy:
    """One running sallyport."""

    def __init__(self, binary, config, env, patience=1.0, ready=True, store=None):
        self.config, self.folder, self.env = config, config.folder, env
        self.patience = patience           # sanitizers make everything slower
        self.path = config.write()
        self.binary = binary
        notify = os.path.join(self.folder, "notify")
        if os.path.exists(notify):
            os.unlink(notify)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(notify)
        os.chmod(notify, 0o666)            # for whatever user it becomes
        self._notify.settimeout(0.05)
        self.store = store                 # a manager that keeps its sockets; None: nobody does
        argv = [binary, "run", "-c", self.path]
        self.proc = Proc("sallyport", store.start(argv) if store else argv, os.path.join(self.folder, "output.log"),
                         env=dict(env, NOTIFY_SOCKET=notify), pass_fds=store.fds if store else ())
        self.status = None
        if ready:
            try:
                self._wait_ready()
            except RigError:
                self.stop(signal.SIGKILL)  # nobody else knows of it
                raise

    def _wait_ready(self):
        end = time.monotonic() + 15 * self.patience
        while time.monotonic() < end:
            try:
                if b"READY=1" in (self.store.hear(self._notify) if self.store else self._notify.recv(4096)):
                    return
            except socket.timeout:
                pass
            if not self.proc.alive():
                raise RigError("sallyport did not start (%s):\n%s%s" % (self.proc.popen.returncode, self.proc.words(), self.errors()))
        raise RigError("sallyport never said READY=1:\n%s%s" % (self.proc.words(), self.errors()))

    def hear(self):
        """What it has to say to the manager that keeps its sockets."""
        self.store.hear_all(self._notify)

    def status_says(self, words):
        """Waits until this is what the service manager is told."""
        end = time.monotonic() + 15 * self.patience
        while time.monotonic() < end:
            try:
                if ("STATUS=" + words) in self._notify.recv(4096).decode().split("\n"):
                    return
            except socket.timeout:
                pass
        raise RigError("the service manager was never told %r" % words)

    def stop(self, number=signal.SIGTERM, seconds=None):
        if self.status is None:
            self.status = self.proc.stop(number, seconds or 15 * self.patience)
            self._notify.close()
        return self.status

    # ---- what it said ----

    def _read(self, name):
        path = self.config.log.get(name, "-")
        if not os.path.isabs(path):
            path = os.path.join(self.folder, path)
        if not os.path.isfile(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def errors(self):
        return self._read("error")

    def everything(self):
        """Every byte it ever wrote, for the search for secrets."""
        return self.proc.words(10 ** 9) + self._read("error") + self._read("access")

    def lines(self):
        """The access log so far; each line has the fixed fields and no others."""
        out = []
        for text in self._read("access").splitlines():
            record = json.loads(text)
            assert set(record) == FIELDS, "fields of the access log: %s" % sorted(set(record) ^ FIELDS)
            out.append(record)
        return out

    def line(self, count=1, seconds=5.0):
        """Waits for `count` lines and returns the last of them."""
        wait_until("%d lines in the access log" % count, lambda: len(self.lines()) >= count, seconds * self.patience)
        return self.lines()[count - 1]

    def last(self, **want):
        """Waits for a line with these values and returns it."""
        def found():
            for record in reversed(self.lines()):
                if all(record[k] == v for k, v in want.items()):
                    return record
            return None
        try:
            return wait_until("an access line with %r" % want, found, 5.0 * self.patience)
        except RigError:
            raise AssertionError("no access line with %r; there are:\n%s" % (want, "\n".join(map(str, self.lines()))))

    def log_says(self, words, seconds=5.0):
        """Waits until the error log holds these words."""
        try:
            wait_until("the error log says %r" % words, lambda: words.lower() in self.errors().lower(), seconds * self.patience)
        except RigError:
            raise AssertionError("the error log never said %r; its end:\n%s" % (words, self.errors()[-3000:]))

    def memory_kib(self):
        with open("/proc/%d/status" % self.proc.pid) as f:
            return int([line for line in f if line.startswith("VmRSS")][0].split()[1])

    def descriptors(self, kind):
        """How many of that kind it has open: "socket" or "pipe" (pipes for splice may be kept for the next tunnel)."""
        folder, count = "/proc/%d/fd" % self.proc.pid, 0
        for fd in os.listdir(folder):
            try:
                count += os.readlink(os.path.join(folder, fd)).startswith(kind + ":")
            except OSError:
                pass                       # closed meanwhile
        return count

    def metrics(self):
        address = self.config.admin["http"]
        return run(["curl", "-sS", "--max-time", "5", "http://%s/metrics" % address])


def command(binary, words, env, stdin=b"", seconds=60):
    """Runs sallyport to its end: (exit status, standard output, standard error)."""
    import subprocess
    done = subprocess.run([binary] + list(words), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, timeout=seconds)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
