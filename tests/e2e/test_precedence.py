"""A name that is ours is never taken over from outside, however high the version there."""

from __future__ import annotations

from pathlib import Path

from packaging.utils import canonicalize_name

from .. import make
from ..daemon import Server, yizhan
from ..upstream_server import UpstreamServer
from .clients import Workstation, answered, said

RESERVED = '[private]\nreserved = ["acme-*"]\n'


def publish_decoys(upstream: UpstreamServer) -> None:
    """What an attacker puts on the public index: higher versions of our names, and what those need."""
    for name in ("acme-sdk", "acme-secret"):
        upstream.publish(name, *make.wheel(name, "99.0"))
    upstream.publish("idna", *make.wheel("idna", "3.3"))


def upload_ours(desk: Workstation, server: Server, folder: Path) -> None:
    """acme-sdk 1.0, which needs a public project."""
    filename, body = make.wheel("acme_sdk", "1.0", requires=("idna",))
    (folder / filename).write_bytes(body)
    words = ["--repository-url", server.url, "-u", server.user, "-p", server.password]
    desk.twine("upload", "--non-interactive", *words, str(folder / filename))


def mentions(upstream: UpstreamServer) -> list[str]:
    """Requests to the upstream in which any spelling of a name of ours stands."""
    return [request.path for request in upstream.log if "acme" in canonicalize_name(request.path)]


def test_without_yizhan_pip_and_uv_install_the_decoy(desk: Workstation, upstream: UpstreamServer) -> None:
    publish_decoys(upstream)
    desk.pip("install", "-i", upstream.simple, "acme-sdk")
    assert desk.version("acme-sdk") == "99.0"
    desk.set_up()
    desk.uv("pip", "install", "--default-index", upstream.simple, "acme-sdk")
    assert desk.version("acme-sdk") == "99.0"
    assert mentions(upstream) != []


def test_pip_and_uv_install_ours_and_the_upstream_never_hears_of_it(
    desk: Workstation, upstream: UpstreamServer, tmp_path: Path
) -> None:
    publish_decoys(upstream)
    with yizhan(tmp_path / "data", upstream=upstream.simple, config=RESERVED) as server:
        upload_ours(desk, server, tmp_path)
        desk.pip("install", "-i", server.simple, "Acme.SDK")
        assert (desk.version("acme-sdk"), desk.version("idna")) == ("1.0", "3.3")
        desk.set_up()
        desk.uv("pip", "install", "--default-index", server.simple, "acme_sdk>=1")
        assert (desk.version("acme-sdk"), desk.version("idna")) == ("1.0", "3.3")
        assert any(access.target.endswith("/acme_sdk-1.0-py3-none-any.whl") for access in answered(server))
    assert mentions(upstream) == []
    # The upstream was asked for what is public.
    assert upstream.asked("/simple/idna/") != []


def test_neither_a_version_nor_a_name_that_only_the_upstream_has_can_be_had(
    desk: Workstation, upstream: UpstreamServer, tmp_path: Path
) -> None:
    publish_decoys(upstream)
    with yizhan(tmp_path / "data", upstream=upstream.simple, config=RESERVED) as server:
        upload_ours(desk, server, tmp_path)
        for requirement in ("acme-sdk==99.0", "acme-secret"):
            refused = desk.pip("install", "-i", server.simple, requirement, ok=False)
            assert "No matching distribution found" in said(refused)
            refused = desk.uv("pip", "install", "--default-index", server.simple, requirement, ok=False)
            assert "No solution found" in said(refused)
    assert mentions(upstream) == []


def test_uv_does_not_look_for_our_name_at_its_next_index(
    desk: Workstation, upstream: UpstreamServer, tmp_path: Path
) -> None:
    """A reserved name without files is an empty page and not a 404, on which uv would go on (decision 2)."""
    publish_decoys(upstream)
    with yizhan(tmp_path / "data", upstream=upstream.simple, config=RESERVED) as server:
        words = ["--index", server.simple, "--default-index", upstream.simple, "acme-secret"]
        assert "No solution found" in said(desk.uv("pip", "install", *words, ok=False))
    assert mentions(upstream) == []
