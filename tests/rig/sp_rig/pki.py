"""The rig's own certificate authority, made with the openssl command for one run."""

import os

from .procs import run


class Authority:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.ca = os.path.join(folder, "ca.pem")
        self._key = os.path.join(folder, "ca.key")
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-subj", "/CN=sallyport rig CA", "-keyout", self._key, "-out", self.ca])

    def issue(self, name, hosts, addresses=(), days=30, key=("ec", "ec_paramgen_curve:P-256")):
        """A certificate and key as (certificate, key) file names."""
        base = os.path.join(self.folder, name)
        alternatives = ",".join(["DNS:" + h for h in hosts] + ["IP:" + a for a in addresses])
        run(["openssl", "req", "-newkey", key[0], "-pkeyopt", key[1], "-nodes", "-subj", "/CN=" + hosts[0],
             "-keyout", base + ".key", "-out", base + ".csr"])
        with open(base + ".ext", "w") as f:
            f.write("subjectAltName=%s\nextendedKeyUsage=serverAuth\n" % alternatives)
        run(["openssl", "x509", "-req", "-in", base + ".csr", "-CA", self.ca, "-CAkey", self._key, "-CAcreateserial",
             "-days", str(days), "-extfile", base + ".ext", "-out", base + ".pem"])
        return base + ".pem", base + ".key"
