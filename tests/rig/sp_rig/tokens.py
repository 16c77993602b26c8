"""Client sides of a Negotiate handshake, token by token, with Debian's python3-gssapi."""

import base64
import contextlib
import hashlib
import os
import ssl
import threading

import gssapi
from gssapi.raw import ChannelBindings

KRB5 = gssapi.OID.from_int_seq("1.2.840.113554.1.2.2")
SPNEGO = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")
NTLMSSP = gssapi.OID.from_int_seq("1.3.6.1.4.1.311.2.2.10")

# libkrb5 reads its environment at every call: one handshake at a time owns it
_environment = threading.Lock()


class Initiator:
    """One handshake. mech: SPNEGO, KRB5 (raw AP-REQ) or NTLMSSP (raw)."""

    def __init__(self, env, service="HTTP@proxy.corp.test", mech=SPNEGO, dce=False, mutual=True, bindings=None, ntlm_user=None):
        self._env = {k: env[k] for k in ("KRB5_CONFIG", "KRB5CCNAME", "NTLM_USER_FILE") if k in env}
        flags = [gssapi.RequirementFlag.out_of_sequence_detection]
        if mutual or dce:
            flags.append(gssapi.RequirementFlag.mutual_authentication)
        if dce:
            flags.append(gssapi.RequirementFlag.dce_style)
        with self._own_environment():
            creds = None
            if ntlm_user is not None:
                name = gssapi.Name(ntlm_user, gssapi.NameType.user)
                creds = gssapi.Credentials(name=name, usage="initiate", mechs=[NTLMSSP])
            target = gssapi.Name(service, gssapi.NameType.hostbased_service)
            self.context = gssapi.SecurityContext(
                name=target, creds=creds, mech=mech, flags=_sum(flags),
                usage="initiate", channel_bindings=bindings)

    @contextlib.contextmanager
    def _own_environment(self):
        """Nothing of it stays for the next one: an NTLM identity would be one more mechanism to offer."""
        with _environment:
            before = {name: os.environ.get(name) for name in self._env}
            os.environ.update(self._env)
            try:
                yield
            finally:
                for name, value in before.items():
                    if value is None:
                        del os.environ[name]
                    else:
                        os.environ[name] = value

    def step(self, token=None):
        """The next token, or None when there is none to send."""
        with self._own_environment():
            return self.context.step(token)

    @property
    def complete(self):
        return self.context.complete

    def value(self, challenge=None):
        """The next value of Proxy-Authorization; challenge: the server's "Negotiate <token>"."""
        token = self.step(None if challenge is None else token_of(challenge))
        return None if token is None else negotiate(token)


def _sum(flags):
    total = 0
    for flag in flags:
        total |= int(flag)
    return total


def negotiate(token):
    return "Negotiate " + base64.b64encode(token).decode()


def token_of(challenge):
    scheme, _, text = challenge.partition(" ")
    assert scheme == "Negotiate" and text, "no token in %r" % challenge
    return base64.b64decode(text, validate=True)


def end_point_bindings(certificate_pem):
    """tls-server-end-point of RFC 5929 for a certificate signed with SHA-256."""
    with open(certificate_pem) as f:
        der = ssl.PEM_cert_to_DER_cert(f.read())
    return ChannelBindings(application_data=b"tls-server-end-point:" + hashlib.sha256(der).digest())
