"""What a provenance object says, read by no code of ours (PEP 740)."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import BadUpload
from proxy.simple.provenance import write_provenance

SLSA = "https://slsa.dev/provenance/v1"


def attestation(filename: str, body: bytes, **fields: Any) -> dict[str, Any]:
    """An attestation object of *body*, in the shape that signers write; its signature is nobody's."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": filename, "digest": {"sha256": hashlib.sha256(body).hexdigest()}}],
        "predicateType": SLSA,
        "predicate": None,
    }
    return {
        "version": 1,
        "verification_material": {
            "certificate": base64.b64encode(b"a certificate").decode(),
            "transparency_entries": [{"logIndex": "1", "inclusionProof": {"treeSize": "2", "hashes": []}}],
        },
        "envelope": {
            "statement": base64.b64encode(json.dumps(statement).encode()).decode(),
            "signature": base64.b64encode(b"signed").decode(),
        },
        **fields,
    }


def written(attestations: str | None, user: str = "alice") -> Any:
    body = write_provenance(attestations, user)
    return body and json.loads(body)


def test_the_object_is_pep_740s_and_its_publisher_claims_no_identity_that_was_not_seen() -> None:
    came = [attestation("a-1.0.zip", b"bytes"), attestation("a-1.0.zip", b"bytes", version=1)]
    assert written(json.dumps(came)) == {
        "version": 1,
        "attestation_bundles": [
            {"publisher": {"kind": "yizhan-upload", "claims": {}, "user": "alice"}, "attestations": came}
        ],
    }


def test_where_nobody_signs_in_no_user_is_named() -> None:
    (bundle,) = written("[{}]", "")["attestation_bundles"]
    assert bundle["publisher"] == {"kind": "yizhan-upload", "claims": {}}


@pytest.mark.parametrize("attestations", [None, "", "[]", " [ ] "])
def test_without_attestations_there_is_no_provenance(attestations: str | None) -> None:
    assert write_provenance(attestations, "alice") is None


@pytest.mark.parametrize(
    "one",
    [
        '{"version":1,  "a" : 1.10,"b":1e400,"c":123456789012345678901234567890}',
        '{"z": 1, "a": 2, "z": 3}',
        '{"text": "\\u00e9\\/ 坏了 💥", "more": [ ]}',
        '{\n  "lines": true\n}',
    ],
)
def test_an_attestation_stands_in_it_byte_for_byte(one: str) -> None:
    body = write_provenance(f"[{one} , {one}]", "alice")
    assert body is not None
    assert body.count(one.encode()) == 2


def test_a_user_is_text_and_no_json() -> None:
    (bundle,) = written("[{}]", 'a"},{"b\\\x00é')["attestation_bundles"]
    assert bundle["publisher"]["user"] == 'a"},{"b\\\x00é'


@pytest.mark.parametrize(
    "attestations",
    ["{}", "1", "null", "[", "[1,]", "nonsense", '[{"a": 01}]', '[{"a": nan}]', "[" * 100_000, "[" * 9999 + "]" * 9999],
)
def test_what_is_no_list_is_refused_in_words(attestations: str) -> None:
    with pytest.raises(BadUpload, match=r"^Invalid attestations supplied during upload: [a-z ]+\.$"):
        write_provenance(attestations, "alice")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.lists(json_values, min_size=1, max_size=4), st.text())
def test_all_values_come_out_as_they_went_in(values: list[Any], user: str) -> None:
    (bundle,) = written(json.dumps(values), user)["attestation_bundles"]
    assert bundle["attestations"] == values
    assert bundle["publisher"].get("user", "") == user
