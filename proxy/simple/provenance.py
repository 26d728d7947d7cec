"""Provenance objects (PEP 740): what an upload's attestations become; knows bytes and shapes, no cryptography."""

from __future__ import annotations

import msgspec

from ..errors import BadUpload

KIND = "yizhan-upload"
"""Of publishers that are users of this server.

The kinds that verifiers know (GitHub, GitLab ...) say that the index saw a machine's identity proved by that service.
Nobody proved one here, so none of them may stand in a provenance object of ours; a verifier that accepts no other
(pypi-attestations) refuses the object as a whole, and still reads each attestation in it.
"""


class _Publisher(msgspec.Struct, omit_defaults=True, kw_only=True):
    """PEP 740's: `kind` and `claims` are demanded, all else is each kind's own."""

    kind: str
    claims: dict[str, str]
    user: str = ""
    """Whose name and password, or token, came with the upload; left out where nobody had to sign in."""


class _Bundle(msgspec.Struct):
    publisher: _Publisher
    attestations: list[msgspec.Raw]


class _Provenance(msgspec.Struct):
    version: int
    attestation_bundles: list[_Bundle]


def write_provenance(attestations: str | None, user: str) -> bytes | None:
    """The provenance object of a file that *user* uploaded with *attestations*, a JSON list of them; None without any.

    Each stands in it byte for byte as it came: what is signed is its signer's own.  That they are of this file was
    seen before (upload.check); raise BadUpload where they are no list.
    """
    try:
        came = msgspec.json.decode(attestations or "[]", type=list[msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError):
        raise BadUpload("Invalid attestations supplied during upload: they cannot be read.") from None
    if not came:
        return None  # PEP 740: a bundle has one or more
    bundle = _Bundle(_Publisher(kind=KIND, claims={}, user=user), came)
    return msgspec.json.encode(_Provenance(version=1, attestation_bundles=[bundle])) + b"\n"
