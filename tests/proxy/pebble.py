"""Pebble, a real ACME server, with a DNS server that sends every name to 127.0.0.1."""

import json
import os
import ssl
import subprocess
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .caddy import Caddy, accepts, free_port, wait_for


@dataclass
class Pebble:
    """`settings` are what a Caddy needs to get its certificates here."""

    folder: Path
    directory: str
    management: str
    processes: list[subprocess.Popen[bytes]]

    @property
    def settings(self) -> dict[str, str]:
        return {
            "ACME_CA": self.directory,
            "ACME_EMAIL": "ops@optifit.test",
            "SSL_CERT_FILE": str(self.folder / "pebble.pem"),
        }

    def trust(self) -> ssl.SSLContext:
        """What a client needs that trusts this CA; ask before it goes away."""
        ours = ssl.create_default_context(cafile=str(self.folder / "pebble.pem"))
        with urllib.request.urlopen(f"{self.management}/roots/0", context=ours, timeout=30) as answer:  # noqa: S310 – our own address
            return ssl.create_default_context(cadata=answer.read().decode())

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(60)
        self.processes.clear()


@contextmanager
def pebble(folder: Path, caddy: Caddy, *, validity_seconds: int):
    """Running, for a Caddy on these ports; its certificates are valid for so long."""
    folder.mkdir()
    _write_certificate(folder)
    port, management, dns = free_port(), free_port(), free_port()
    settings = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(folder / "pebble.pem"),
        "privateKey": str(folder / "pebble.key"),
        "httpPort": caddy.http_port,
        "tlsPort": caddy.https_port,
        "certificateValidityPeriod": validity_seconds,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
    names = ["pebble-challtestsrv", "-management", "", "-dns01", f"127.0.0.1:{dns}", "-defaultIPv6", ""]
    for unused in ("-http01", "-https01", "-tlsalpn01"):
        names += [unused, ""]
    authority = ["pebble", "-config", str(folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{dns}"]
    with (folder / "pebble.log").open("ab") as log:
        started = [
            subprocess.Popen(
                command,
                env={"PATH": os.environ["PATH"], "PEBBLE_VA_NOSLEEP": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            for command in (names, authority)
        ]
    instance = Pebble(folder, f"https://127.0.0.1:{port}/dir", f"https://127.0.0.1:{management}", started)
    try:
        wait_for("Pebble listens", lambda: accepts(port) and accepts(management))
        yield instance
    finally:
        instance.kill()


def _write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pebble")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "pebble.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "pebble.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
