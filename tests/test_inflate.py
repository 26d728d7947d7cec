"""Gzip within a limit."""

from __future__ import annotations

import contextlib
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import MirrorFailed
from proxy.upstream.inflate import PIECE, Inflater, inflate

MIB = 1024 * 1024


@given(st.binary(max_size=5000), st.integers(1, 700), st.integers(1, 300))
def test_what_comes_in_bits_unpacks_as_the_whole_does(body: bytes, step: int, repeat: int) -> None:
    packed = gzip.compress(body * repeat)
    inflater = Inflater(len(body) * repeat)
    pieces = [piece for at in range(0, len(packed), step) for piece in inflater.feed(packed[at : at + step])]
    inflater.finish()
    assert b"".join(pieces) == body * repeat == inflate(packed, len(body) * repeat)


def test_a_bomb_is_defused_after_one_piece_too_many() -> None:
    packed = gzip.compress(bytes(30 * MIB))
    assert len(packed) < 40_000
    pieces: list[bytes] = []
    with pytest.raises(MirrorFailed, match="unpacks to more than 1048576 bytes"):
        pieces.extend(Inflater(MIB).feed(packed))
    assert [len(piece) for piece in pieces] == [PIECE] * (MIB // PIECE)


def test_exactly_the_limit_is_allowed_and_one_byte_more_is_not() -> None:
    packed = gzip.compress(bytes(PIECE * 2))
    assert inflate(packed, PIECE * 2) == bytes(PIECE * 2)
    with pytest.raises(MirrorFailed, match="more than"):
        inflate(packed, PIECE * 2 - 1)


@pytest.mark.parametrize("missing", [1, 8, 9, 30])
def test_a_truncated_answer_is_noticed(missing: int) -> None:
    with pytest.raises(MirrorFailed, match="ends too early"):
        inflate(gzip.compress(b"a page " * 100)[:-missing], MIB)


def test_nothing_at_all_is_not_an_empty_page() -> None:
    with pytest.raises(MirrorFailed, match="ends too early"):
        inflate(b"", MIB)


def test_a_wrong_checksum_is_noticed() -> None:
    packed = gzip.compress(b"a page")
    with pytest.raises(MirrorFailed, match="damaged"):
        inflate(packed[:-8] + bytes(4) + packed[-4:], MIB)


@pytest.mark.parametrize(
    "body", [b"<html>not packed at all</html>", zlib.compress(b"zlib is not gzip")], ids=["html", "zlib"]
)
def test_what_is_not_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(MirrorFailed, match="damaged"):
        inflate(body, MIB)


@pytest.mark.parametrize("tail", [b"x", gzip.compress(b"", mtime=0)], ids=["garbage", "member"])
def test_nothing_may_follow_the_end(tail: bytes) -> None:
    """Neither garbage nor more members: a million empty ones would cost a second each, and no server sends them."""
    with pytest.raises(MirrorFailed, match="goes on after its end"):
        inflate(gzip.compress(b"a page") + tail, MIB)
    inflater = Inflater(MIB)
    assert b"".join(inflater.feed(gzip.compress(b"a page"))) == b"a page"
    with pytest.raises(MirrorFailed, match="goes on after its end"):
        list(inflater.feed(tail))


@given(st.binary(max_size=300))
def test_no_bytes_whatever_cause_another_error(data: bytes) -> None:
    with contextlib.suppress(MirrorFailed):
        assert len(inflate(b"\x1f\x8b\x08" + data, 1000)) <= 1000
