"""A certificate authority for a test, made with the openssl program."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


def server_context(folder: Path, *, host: str = "IP:127.0.0.1", days: int = 1) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS with a self-signed certificate for *host*, and the file that whoever trusts it needs.

    *days*: for how long it holds, where -1 is one that has expired.
    """
    key, request, certificate = folder / "key.pem", folder / "request.pem", folder / "certificate.pem"
    said = folder / "extensions.cnf"
    said.write_text(f"subjectAltName={host}\nbasicConstraints=CA:TRUE\n")
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    new += ["-subj", "/CN=made for a test", "-keyout", str(key), "-out", str(request)]
    signed = ["openssl", "x509", "-req", "-in", str(request), "-signkey", str(key), "-out", str(certificate)]
    signed += ["-days", str(days), "-extfile", str(said)]
    for command in (new, signed):
        subprocess.run(command, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context, certificate
