"""A certificate authority for a test, made with the openssl program."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


def server_context(folder: Path, *, host: str = "IP:127.0.0.1", days: int = 1) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS with a self-signed certificate for *host*, and the file that whoever trusts it needs."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", str(days)]
    command += ["-subj", "/CN=made for a test", "-addext", f"subjectAltName={host}"]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context, certificate
