"""The imitated mirrors are what the real ones are: their pages equal the samples, and so do their manners."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPMessage
from urllib.parse import urlsplit

import pytest

from proxy.simple.model import HTML, JSON

from . import make
from .family import Family, family
from .family.mirrors import Tuna
from .family.samples import UTF8, blocked, sample
from .family.wheels import AliyunWheels, FlatPage, JaxReleases, PyTorch, Rocm, TorchStable
from .upstream_server import UpstreamServer, running

SERIAL = 31415926
A = {"sha256": "a" * 64}
DEMO = "demo_pkg-1.0.tar.gz"
WHEEL = "demo_pkg-1.10.0-py3-none-any.whl"
PLACES = {
    DEMO: "01/23/456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    WHEEL: "fe/dc/ba9876543210fedcba9876543210fedcba9876543210fedcba9876543210",
}
TORCH = "torch-2.7.0+cu128-cp311-cp311-manylinux_2_28_x86_64.whl"
VISION = "torchvision-0.22.0+cu128-cp311-cp311-manylinux_2_28_x86_64.whl"

Answer = tuple[int, HTTPMessage, bytes]


def get(url: str, accept: str = "*/*", *, method: str = "GET") -> Answer:
    """What stands at *url*; redirects are not followed."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request(method, parts.path, headers={"Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def location(url: str) -> tuple[int, str]:
    status, headers, _ = get(url)
    return status, headers["Location"]


@pytest.fixture
def them() -> Iterator[Family]:
    """The family with the project of the samples."""
    with family() as members:
        for member in members.holders():
            member.listing.serial = SERIAL - 2
        members.publish(
            "Demo_Pkg",
            DEMO,
            b"sdist",
            path=PLACES[DEMO],
            hashes=A,
            size=1234,
            upload_time="2025-01-02T03:04:05.678901Z",
            yanked="broken <build>",
        )
        members.publish(
            "Demo_Pkg",
            WHEEL,
            b"wheel",
            path=PLACES[WHEEL],
            hashes=A,
            size=5678,
            upload_time=None,
            requires_python=">=3.9,<4",
            core_metadata=True,
        )
        for member in members.holders():
            member.listing.mention("demo-pkg", "1.9.0+local")
        yield members


@pytest.mark.parametrize("mirror", ["tuna", "bfsu", "ustc"])
def test_a_page_in_json_is_shadowmires_to_the_letter(them: Family, mirror: str) -> None:
    up = getattr(them, mirror)
    for accept in (JSON, f"text/html, {JSON};q=0.001"):
        status, headers, body = get(f"{up.simple}demo-pkg/", accept)
        assert (status, headers["Content-Type"], body) == (200, JSON, sample("shadowmire_project.json"))
    assert set(headers.keys()) >= {"Content-Length", "Last-Modified", "ETag"}


def test_a_project_may_have_html_alone(them: Family) -> None:
    them.tuna.html_only.add("demo-pkg")
    for accept, declared in ((JSON, UTF8), ("text/html", UTF8), (HTML, HTML)):
        status, headers, body = get(f"{them.tuna.simple}demo-pkg/", accept)
        assert (status, headers["Content-Type"], body) == (200, declared, sample("shadowmire_project.html"))
    them.tuna.autoindex = True
    _, _, listed = get(f"{them.tuna.simple}demo-pkg/", JSON)
    assert listed == sample("nginx_autoindex.html").replace(b"/simple/", b"/pypi/web/simple/")


def test_the_list_of_all_projects_is_shadowmires_to_the_letter() -> None:
    tuna = Tuna()
    tuna.listing.serial = SERIAL - 2
    with running(tuna):
        tuna.publish("0", "0-1.0.tar.gz", b"nought")
        tuna.publish("demo-pkg", DEMO, b"sdist")
        assert get(tuna.simple, "text/html")[2] == sample("shadowmire_root.html")
        assert get(tuna.simple, JSON)[2] == sample("shadowmire_root.json")


def test_tuna_knows_one_spelling_and_leaves_some_out(them: Family) -> None:
    assert get(f"{them.tuna.simple}Demo_Pkg/")[0] == 404
    assert location(f"{them.tuna.simple}demo-pkg") == (301, "/pypi/web/simple/demo-pkg/")
    them.tuna.excluded.add("demo-pkg")
    assert get(f"{them.tuna.simple}demo-pkg/")[0] == 404


def test_tunas_metadata_is_away_but_was_promised_once(them: Family) -> None:
    beside = f"{them.tuna.files}{PLACES[WHEEL]}/{WHEEL}.metadata"
    assert (b"metadata" in get(f"{them.tuna.simple}demo-pkg/", JSON)[2], get(beside)[0]) == (False, 404)
    them.tuna.metadata.add("advertised")
    entry = json.loads(get(f"{them.tuna.simple}demo-pkg/", JSON)[2])["files"][1]
    assert (entry["core-metadata"], entry["data-dist-info-metadata"], get(beside)[0]) == (True, True, 404)


def test_tunas_backends_may_disagree(them: Family) -> None:
    older = Tuna()
    older.publish("demo-pkg", "demo_pkg-0.9.tar.gz", b"older")
    them.tuna.behind = older.listing
    pages = [json.loads(get(f"{them.tuna.simple}demo-pkg/", JSON)[2]) for _ in range(4)]
    assert [page["meta"]["_last-serial"] for page in pages] == [str(SERIAL), "2", str(SERIAL), "2"]


def test_a_blocked_subnet_reads_why_in_several_languages(them: Family) -> None:
    them.tuna.fault("/", **blocked())
    for path in (them.tuna.simple, f"{them.tuna.files}{PLACES[WHEEL]}/{WHEEL}"):
        status, headers, body = get(path, JSON)
        assert (status, headers["Content-Type"], body) == (403, UTF8, sample("tuna_403.html"))


def test_legacy_documents_stand_where_each_generator_puts_them(them: Family) -> None:
    for url in (f"{them.tuna.origin}/pypi/web/json/demo-pkg", f"{them.bfsu.origin}/pypi/web/pypi/demo-pkg/json"):
        status, _, body = get(url)
        assert (status, body) == (200, sample("legacy_project.json"))
    for url in (f"{them.bfsu.origin}/pypi/web/json/demo-pkg", f"{them.ustc.origin}/pypi/json/demo-pkg"):
        assert get(url)[0] == 404


def test_ustc_leads_to_tuna_for_what_it_does_not_hold(them: Family) -> None:
    url = f"{them.ustc.files}{PLACES[WHEEL]}/{WHEEL}"
    assert location(url) == (302, f"{them.tuna.files}{PLACES[WHEEL]}/{WHEEL}")
    them.ustc.cached.add(WHEEL)
    assert get(url)[2] == b"wheel"
    assert get(f"{them.ustc.simple}demo-pkg/", "text/html")[2] == sample("shadowmire_project.html")


def test_a_single_file_may_be_away_from_bfsu(them: Family) -> None:
    url = f"{them.bfsu.files}{PLACES[WHEEL]}/{WHEEL}"
    assert get(url)[2] == b"wheel"
    them.bfsu.missing.add(WHEEL)
    assert get(url)[0] == 404


def test_sjtu_rewrites_tunas_html_and_redirects_to_its_files(them: Family) -> None:
    status, headers, body = get(f"{them.sjtu.simple}demo-pkg/", JSON)
    assert (status, headers["Content-Type"]) == (200, UTF8)
    assert body == sample("sjtu_project.html").replace(b"https://mirror.sjtu.edu.cn", them.sjtu.origin.encode())
    file = f"{them.sjtu.files}{PLACES[WHEEL]}/{WHEEL}"
    assert location(file) == (302, f"{them.tuna.files}{PLACES[WHEEL]}/{WHEEL}")
    them.sjtu.cached.add(WHEEL)
    assert location(file) == (301, f"{them.bucket.files}{PLACES[WHEEL]}/{WHEEL}")
    assert get(f"{them.bucket.files}{PLACES[WHEEL]}/{WHEEL}")[2] == b"wheel"
    assert get(f"{them.bucket.files}nothing")[::2] == (404, sample("s3_no_such_key.xml"))


def test_sjtu_redirects_what_is_too_big_and_has_a_notice_for_the_rest(them: Family) -> None:
    them.sjtu.largest = 100
    assert location(f"{them.sjtu.simple}demo-pkg/") == (302, f"{them.tuna.simple}demo-pkg/")
    assert location(f"{them.sjtu.simple}unknown/") == (302, f"{them.tuna.simple}unknown/")
    assert get(them.sjtu.simple, JSON)[::2] == (200, sample("sjtu_notice.html"))
    status, _, body = get(f"{them.sjtu.origin}/pypi/web/packages/x", JSON)
    assert (status, b"No route for /pypi/web/packages/x." in body) == (200, True)


def test_aliyun_has_html_for_everyone_and_little_in_it(them: Family) -> None:
    for accept in (JSON, "text/html"):
        status, headers, body = get(f"{them.aliyun.simple}demo-pkg/", accept)
        assert (status, headers["Content-Type"], body) == (200, UTF8, sample("aliyun_project.html"))
    assert get(f"{them.aliyun.origin}/pypi/demo-pkg/")[::2] == (404, sample("aliyun_404.html"))
    url = f"{them.aliyun.files}{PLACES[WHEEL]}/{WHEEL}"
    assert (get(url)[2], get(url, method="HEAD")[0], get(f"{url}.metadata")[0]) == (b"wheel", 400, 404)


def test_huawei_has_other_paths_and_files_below_projects(them: Family) -> None:
    assert them.huawei.simple.endswith("/repository/pypi/simple/")
    assert get(f"{them.huawei.simple}demo-pkg/", JSON)[2] == sample("aliyun_project.html")
    for url in (f"{them.huawei.files}{PLACES[WHEEL]}/{WHEEL}", f"{them.huawei.simple}demo-pkg/{WHEEL}"):
        assert get(url)[2] == b"wheel"


def test_cernet_leads_to_another_one_each_time(them: Family) -> None:
    targets = [location(f"{them.cernet.simple}demo-pkg/") for _ in range(3)]
    assert targets == [(302, f"{one.simple}demo-pkg/") for one in (them.tuna, them.bfsu, them.tuna)]


# Indexes beside the official one


def publish_torch(up: UpstreamServer) -> None:
    up.publish("torch", TORCH, b"torch")
    up.publish("torchvision", VISION, b"vision")


def test_a_page_of_pytorch_is_theirs_to_the_letter() -> None:
    up = PyTorch()
    with running(up):
        said = {"size": 1097104896, "upload_time": "2026-04-02T03:04:05Z", "core_metadata": A, "metadata": b"about"}
        up.publish("torch", TORCH, b"torch", hashes=A, **said)
        aarch64 = "torch-2.7.0+cu128-cp312-cp312-manylinux_2_28_aarch64.whl"
        up.publish("torch", aarch64, b"arm", hashes={})
        up.publish("typing-extensions", "typing_extensions-4.12.2-py3-none-any.whl", b"typing")
        status, headers, body = get(f"{up.simple}torch/", JSON)
        assert (status, headers["Content-Type"], body) == (200, "text/html", sample("pytorch_project.html"))
        assert get(up.simple)[2] == sample("pytorch_root.html")
        quoted = up.files + TORCH.replace("+", "%2B")
        assert (get(quoted)[2], get(f"{quoted}.metadata")[2]) == (b"torch", b"about")
        for unknown in (f"{up.simple}nothing/", up.files + TORCH, f"{up.origin}/whl/cu999/torch/"):
            assert get(unknown)[::2] == (403, sample("s3_access_denied.xml"))


def test_pytorchs_files_may_stand_on_another_host() -> None:
    other = PyTorch(address="127.0.0.2")
    up = PyTorch(files=other)
    with running(other, up):
        publish_torch(up)
        url = f"{other.origin}/whl/cu128/{TORCH.replace('+', '%2B')}"
        assert f'<a href="{url}#sha256='.encode() in get(f"{up.simple}torch/")[2]
        assert get(url)[2] == b"torch"


@pytest.mark.parametrize(
    ("flat", "name"),
    [
        (AliyunWheels(), "aliyun_pytorch_wheels.html"),
        (JaxReleases(), "jax_releases.html"),
        (TorchStable(), "torch_stable.html"),
    ],
)
def test_a_flat_page_is_the_samples(flat: FlatPage, name: str) -> None:
    with running(flat):
        publish_torch(flat)
        expected = sample(name).replace(b"https://storage.googleapis.com", flat.origin.encode())
        assert get(flat.simple)[2] == expected
        for spelled in (TORCH, TORCH.replace("+", "%2B")):
            assert get(flat.files + spelled)[2] == b"torch"


def test_rocms_wheels_stand_beside_their_projects_folders() -> None:
    up = Rocm()
    with running(up):
        publish_torch(up)
        assert get(f"{up.simple}torch/")[2] == sample("rocm_project.html")
        assert get(up.files + TORCH.replace("+", "%2B"))[2] == b"torch"


def test_what_they_publish_is_one_thing(them: Family) -> None:
    """The same bytes at the same path of all who hold files."""
    filename, body = make.wheel("demo", "2.0")
    item = them.publish("demo", filename, body)
    them.ustc.cached.add(filename)
    assert [get(f"{one.files}{item.path}/{filename}")[2] for one in them.holders()] == [body] * len(them.holders())
