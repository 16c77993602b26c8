"""A real origin: nginx with pages over http and https. Its log keeps what it was asked, and any proxy credential."""

import os

from .procs import Proc, wait_for_port

CONF = """
worker_processes 1;
daemon off;
{user}
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    log_format rig '$request|$status|$http_host|$http_via|$http_proxy_authorization|$http_proxy_connection';
    access_log {folder}/access.log rig;
    client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp; fastcgi_temp_path {folder}/tmp;
    uwsgi_temp_path {folder}/tmp; scgi_temp_path {folder}/tmp;
    client_max_body_size 0;
    default_type text/plain;
    keepalive_requests 1000000;
    server {{
        listen {address}:{port};
        listen {address}:{tls_port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        root {folder}/pages;
    }}
}}
"""


class Origin:
    def __init__(self, folder, address, port, tls_port, authority, hosts):
        self.folder, self.address, self.port, self.tls_port = folder, address, port, tls_port
        for part in ("pages", "tmp"):
            os.makedirs(os.path.join(folder, part))
        certificate, key = authority.issue("origin", hosts, ["127.0.0.1", address])
        with open(os.path.join(folder, "nginx.conf"), "w") as f:
            f.write(CONF.format(folder=folder, address=address, port=port, tls_port=tls_port, certificate=certificate, key=key,
                                user="user root;" if os.geteuid() == 0 else ""))
        self.page("index.html", b"the origin's page\n")
        self.page("1k", b"k" * 1024)
        self.page("64k", os.urandom(65536))

    def page(self, name, content):
        with open(os.path.join(self.folder, "pages", name), "wb") as f:
            f.write(content)

    def start(self):
        conf = os.path.join(self.folder, "nginx.conf")
        self.proc = Proc("nginx", ["/usr/sbin/nginx", "-e", os.path.join(self.folder, "error.log"), "-c", conf, "-p", self.folder],
                         os.path.join(self.folder, "nginx.out"))
        wait_for_port(self.proc, self.address, self.port)

    def requests(self):
        """What it was asked: request, status, Host, Via, Proxy-Authorization, Proxy-Connection."""
        path = os.path.join(self.folder, "access.log")
        if not os.path.exists(path):
            return []
        with open(path, encoding="latin-1") as f:
            return [line.rstrip("\n").split("|") for line in f]

    def stop(self):
        self.proc.stop()
