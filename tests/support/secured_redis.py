"""A Redis that admits one ACL user, over TLS alone, like those that are rented.

The server of the wheel is built without TLS, so the connections are decrypted before it, on this host's loopback.
"""

import ipaddress
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runtime.embedded.binaries import redis_server
from runtime.embedded.ports import HOST, choose
from tests.support.commands import ROOT, wait_for

#: With characters that an address has to encode.
PASSWORD = "p/ss:w@rd#%"  # of a server that lives as long as the test
ADMIN_PASSWORD = "admin"  # as above


@dataclass(frozen=True, slots=True, kw_only=True)
class SecuredRedis:
    """Where it is.

    Args:
        user: the one ACL user that may come by TLS.
        port: of TLS.
        ca: a file with the certificate of who signed the server's.
        admin: a client of the user that may do everything, without TLS.
    """

    user: str
    port: int
    ca: Path
    admin: redis.Redis

    def url(self, *, options: str | None = None, password: str = PASSWORD) -> str:
        """Its address; by default with the certificate that is trusted."""
        query = f"ssl_ca_certs={self.ca}" if options is None else options
        return f"rediss://{self.user}:{quote(password, safe='')}@{HOST}:{self.port}/0" + (f"?{query}" if query else "")

    def refused(self) -> list[str]:
        """What the user asked for and may not do: the server's own log."""
        said = self.admin.acl_log()
        return [f"{one['reason']}: {one['object']} ({one['context']})" for one in said if one["username"] == self.user]


def documented_rules() -> str:
    """The user that `docs/operations.md` tells people to make, without its password."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"^ACL SETUSER (.+)$", page, re.MULTILINE)
    return str(found).replace(" >PASSWORD", "")


@contextmanager
def secured_redis(folder: Path, rules: str) -> Iterator[SecuredRedis]:
    """A server of its own with one user by `rules`, as `ACL SETUSER` takes them but for the password."""
    plain = choose(avoid=frozenset())
    secured = choose(avoid=frozenset({plain}))
    server = [redis_server(), "--port", plain, "--bind", HOST, "--save", "", "--requirepass", ADMIN_PASSWORD]
    tls = [sys.executable, ROOT / "tests" / "support" / "relay.py", HOST, secured, plain, _certificate(folder)]
    with ExitStack() as stack:
        for command in (server, tls):
            process = subprocess.Popen(
                list(map(str, command)), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
        admin = stack.enter_context(redis.Redis(host=HOST, port=plain, password=ADMIN_PASSWORD))
        made = SecuredRedis(user=rules.split(maxsplit=1)[0], port=secured, ca=folder / "ca.pem", admin=admin)
        wait_for(lambda: _answers(admin), what="Redis", timeout_s=30)
        admin.execute_command("ACL", "SETUSER", *rules.split(), f">{PASSWORD}")
        with redis.Redis.from_url(made.url()) as client:
            wait_for(lambda: _answers(client), what="Redis by TLS", timeout_s=30)
        yield made


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def _certificate(folder: Path) -> Path:
    """An authority in `ca.pem`, and the file with the server's key and certificate."""
    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of this test")])
    now = datetime.now(UTC)

    def certified(key: ec.EllipticCurvePrivateKey, name: x509.Name, *, is_authority: bool) -> bytes:
        builder = x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        if is_authority:
            usage = x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            )
            builder = builder.add_extension(usage, critical=True)
        else:
            here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
            builder = builder.add_extension(here, critical=False)
        return builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    (folder / "ca.pem").write_bytes(certified(authority, issuer, is_authority=True))
    private = server.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    pair = folder / "server.pem"
    pair.write_bytes(private + certified(server, name, is_authority=False))
    return pair
