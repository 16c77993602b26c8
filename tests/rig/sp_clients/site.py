"""The web site that the clients ask for, over http and https: it keeps every byte that reached it.

It serves files, a git repository by git's own http-backend, and beside that a line that answers only after the client has
closed its writing side.
"""

import hashlib
import http.server
import os
import socket
import socketserver
import ssl
import subprocess
import threading

GIT_BACKEND = "/usr/lib/git-core/git-http-backend"
LATE_PORT = 9000
KINDS = {".html": "text/html; charset=utf-8", ".svg": "image/svg+xml"}


class Tee:
    """What is read from a connection, kept as it is read."""

    def __init__(self, stream, keep):
        self._stream, self._keep = stream, keep

    def readline(self, *limit):
        line = self._stream.readline(*limit)
        self._keep(line)
        return line

    def read(self, *size):
        data = self._stream.read(*size)
        self._keep(data)
        return data

    def __getattr__(self, name):
        return getattr(self._stream, name)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def setup(self):
        if self.server.context is not None:
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()
        self.rfile = Tee(self.rfile, lambda data: self.server.site.keep(data, self.server.context is not None))

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass                      # the client went away; what it asked is kept

    def finish(self):
        try:
            super().finish()
            if self.server.context is not None:
                self.request.unwrap()
        except OSError:
            pass
        finally:
            self.request.close()

    def log_message(self, *_):
        pass

    def _answer(self, status, body, kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = b""
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            data += self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                return data

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path.startswith("/repo.git/"):
            self._git(path, query, b"")
            return
        found = self.server.site.file(path, "https" if self.server.context else "http")
        if found is None:
            self._answer(404, b"no such page\n")
        else:
            self._answer(200, found, KINDS.get(os.path.splitext(path)[1], "text/plain"))

    do_HEAD = do_GET

    def do_POST(self):
        path, _, query = self.path.partition("?")
        body = self._body()
        if path.startswith("/repo.git/"):
            self._git(path, query, body)
        elif path == "/arrived":
            self.server.site.arrived.append(body)
            self._answer(200, b"thank you\n")
        else:
            self._answer(404, b"no such page\n")

    def _git(self, path, query, body):
        env = {"GIT_PROJECT_ROOT": self.server.site.folder, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
               "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
               "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
               "HOME": self.server.site.folder, "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run([GIT_BACKEND], input=body, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line)
        self._answer(int(fields.get("Status", "200").split()[0]), answer, fields.get("Content-Type", "text/plain"))


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, site, address, context=None):
        self.site, self.context = site, context
        super().__init__(address, _Handler)

    def handle_error(self, *_):
        pass                          # a handshake that a client gave up


class Site:
    """folder: its files. `{base}` in a file of npm/ becomes the address under which it was asked for."""

    def __init__(self, folder, name, address, authority):
        self.folder, self.name = folder, name
        os.makedirs(folder)
        self.arrived = []
        self._seen, self._lock = [bytearray(), bytearray()], threading.Lock()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue("site", [name], [address]))
        self._servers = [_Server(self, (address, 80)), _Server(self, (address, 443), context)]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        self._late = socket.create_server((address, LATE_PORT), backlog=16)
        threading.Thread(target=self._serve_late, daemon=True).start()

    def keep(self, data, tls=False):
        with self._lock:
            self._seen[tls] += data

    def mark(self):
        """Begins anew: what comes from here on is what the next client sent."""
        with self._lock:
            self._seen = [bytearray(), bytearray()]
        self.arrived.clear()

    def seen(self, tls):
        """All bytes that came since then; tls: what clients said within their own TLS, which no proxy can see or change."""
        with self._lock:
            return bytes(self._seen[tls])

    def write(self, path, content):
        path = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(content)
        return content

    def file(self, path, scheme):
        name = os.path.realpath(os.path.join(self.folder, path.lstrip("/")))
        if not name.startswith(os.path.realpath(self.folder) + os.sep) or not os.path.isfile(name):
            return None
        with open(name, "rb") as f:
            data = f.read()
        return data.replace(b"{base}", ("%s://%s" % (scheme, self.name)).encode()) if os.sep + "npm" + os.sep in name else data

    # ---- the line that answers late ----

    @staticmethod
    def late_answer(said):
        """What comes back for these bytes: longer than any one socket buffer, and of them alone."""
        return hashlib.sha256(said).hexdigest().encode() * 16384 + b"\n"

    def _serve_late(self):
        while True:
            try:
                sock, _ = self._late.accept()
            except OSError:
                return
            threading.Thread(target=self._one_late, args=(sock,), daemon=True).start()

    def _one_late(self, sock):
        said = b""
        with sock:
            sock.settimeout(30)
            try:
                while True:
                    part = sock.recv(65536)
                    if not part:
                        break
                    said += part
                self.keep(said)
                sock.sendall(self.late_answer(said))
            except OSError:
                pass

    def stop(self):
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._late.shutdown(socket.SHUT_RDWR)
        self._late.close()
