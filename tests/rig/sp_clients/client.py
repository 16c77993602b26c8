"""A client, and the ways in which it is asked for a page through the proxy."""

import os
import re
import shutil
import subprocess

PYTHON = "/usr/bin/python3"
PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")


class Way:
    """One row of the table. run(ask) gives the page's bytes; with cannot, the client is to end without it."""

    def __init__(self, client, login, proxy, targets, setting, run, cannot, page, most, shows):
        self.client, self.login, self.proxy, self.targets = client, login, proxy, targets
        self.setting, self.run, self.cannot, self.page, self.most, self.shows = setting, run, cannot, page, most, shows

    @property
    def scheme(self):
        return "negotiate" if self.login.startswith("Negotiate") else "basic"

    @property
    def title(self):
        return "%s, %s, %s proxy" % (self.client.name, self.login, self.proxy)


class Client:
    """tools: commands it needs; modules: npm packages it needs; imports: of Debian's Python. version: a command whose
    first number is the version. heavy: its packages are too large to be installed for every run of all tests."""

    every = []

    def __init__(self, name, version, tools=(), modules=(), imports=(), heavy=False):
        self.name, self._version, self.heavy = name, version, heavy
        self.tools, self.modules, self.imports = tools, modules, imports
        self.ways = []
        Client.every.append(self)

    def way(self, login, proxy="clear", targets=("http", "https"), setting="", cannot=False, page="page.txt", most=None, shows=False):
        """Registers a function as one way. page: which of the site's pages it gives. most: it asks over several connections at
        once, and how many of them meet a 407 is a matter of the moment: no more than this, and one for a connection.
        shows: the client itself gives the proxy's password to the origin, within its own TLS, where no proxy can take it out."""
        def register(run):
            # Decorators are applied from the lowest up; the table has them as they are written.
            at = next((n for n, other in enumerate(self.ways) if other.run is run), len(self.ways))
            self.ways.insert(at, Way(self, login, proxy, targets, setting, run, cannot, page, most, shows))
            return run
        return register

    def missing(self, modules):
        """What it needs and this machine lacks; empty where it can run."""
        lacks = [tool for tool in self.tools if shutil.which(tool) is None]
        lacks += ["npm's " + name for name in self.modules if not os.path.isdir(os.path.join(modules, name))]
        lacks += ["python3's " + name for name in self.imports
                  if subprocess.run([PYTHON, "-c", "import " + name], stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL).returncode != 0]
        return ", ".join(lacks)

    def version(self, modules):
        done = subprocess.run(self._version, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd="/",
                              env=dict(os.environ, NODE_PATH=modules))
        found = re.search(r"\d+(\.\w+)+", done.stdout.decode("utf-8", "replace"))
        return found[0] if found else "?"


def python(module):
    return [PYTHON, "-c", "import %s as m; print(m.__version__)" % module]


def npm_version(name):
    return ["node", "-p", "JSON.parse(require('fs').readFileSync(process.env.NODE_PATH + '/%s/package.json')).version" % name]


def program(name):
    return os.path.join(PROGRAMS, name)
