"""What people's build backends make is let in, with `upload.strict` too: the control of all that is refused."""

from __future__ import annotations

import os
import subprocess
from hashlib import blake2b, sha256
from pathlib import Path

import pytest
from packaging.metadata import parse_email

from proxy.archive import Limits, inspect
from proxy.errors import BadUpload
from proxy.strict import check_strictly
from proxy.upload import Facts, Form, check

from ..daemon import clean_environment
from .publishing import Environments

MODULE = "acme_real_sdk"
BACKENDS = {
    "setuptools": ("setuptools==80.10.2", "setuptools.build_meta", ""),
    "hatchling": ("hatchling==1.33.0", "hatchling.build", f'[tool.hatch.build.targets.wheel]\npackages = ["{MODULE}"]'),
    "flit": ("flit_core==4.2.0", "flit_core.buildapi", f'[tool.flit.module]\nname = "{MODULE}"'),
    "poetry": ("poetry-core==2.5.0", "poetry.core.masonry.api", f'[tool.poetry]\npackages = [{{include="{MODULE}"}}]'),
    "pdm": ("pdm-backend==2.5.0", "pdm.backend", f'[tool.pdm.build]\nincludes = ["{MODULE}"]'),
    "uv": ("uv_build==0.13.6", "uv_build", f'[tool.uv.build-backend]\nmodule-name = "{MODULE}"\nmodule-root = ""'),
}
"""Each with what it is installed as, its name to frontends, and what it must be told."""

ALL = ("build==1.6.1", *sorted(requirement for requirement, _, _ in BACKENDS.values()))
"""In one environment."""


def write_project(folder: Path, backend: str, settings: str) -> None:
    """One that has all that is looked at: a name to normalise, a license, commands, and names of many letters."""
    (folder / MODULE).mkdir(parents=True)
    (folder / MODULE / "__init__.py").write_text('"""Made for a test."""\n\n__version__ = "1.0"\n\n\ndef main(): ...\n')
    (folder / MODULE / "數據.txt").write_text("data")
    (folder / "LICENSE").write_text("As you like.")
    (folder / "README.md").write_text("# Café\n", encoding="utf-8")
    (folder / "pyproject.toml").write_text(
        f'[build-system]\nrequires = []\nbuild-backend = "{backend}"\n\n[project]\nname = "Acme.Real_SDK"\n'
        'version = "1.0"\ndescription = "Made for a test"\nreadme = "README.md"\nrequires-python = ">=3.8"\n'
        'license = "MIT"\nlicense-files = ["LICENSE"]\ndependencies = ["packaging>=20; python_version >= \'3\'"]\n'
        f'[project.scripts]\nacme-run = "{MODULE}:main"\n'
        f'[project.entry-points."acme.plugins"]\nfirst = "{MODULE}:main"\n{settings}\n'
    )


def build(programs: Path, folder: Path) -> list[Path]:
    """Its wheel and its sdist, from `python -m build`."""
    environment = {
        **clean_environment(),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }  # uv_build is a program
    command = [str(programs / "python"), "-m", "build", "--no-isolation", "--quiet", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted((folder / "dist").iterdir())


def judge(path: Path, *, strict: bool) -> None:
    body = path.read_bytes()
    with path.open("rb") as handle:
        contents = inspect(handle, path.name, Limits(), thorough=strict)
    said, _ = parse_email(contents.metadata)
    digest = sha256(body).hexdigest()
    form = Form(
        filename=path.name,
        name=said["name"],
        version=said["version"],
        filetype=None,
        md5=None,
        sha256=digest,
        blake2b_256=None,
        attestations=None,
    )
    facts = Facts(size=len(body), md5="", sha256=digest, blake2b_256=blake2b(body, digest_size=32).hexdigest())
    assert check(form, facts, contents.metadata)[0] == "acme-real-sdk"
    assert contents.remark is None
    if strict:
        check_strictly(form, contents)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_a_backend_builds_is_let_in_strictly_too(backend: str, environments: Environments, tmp_path: Path) -> None:
    _, module, settings = BACKENDS[backend]
    write_project(tmp_path, module, settings)
    built = build(environments.bin(ALL), tmp_path)
    assert [path.name for path in built] == [f"{MODULE}-1.0-py3-none-any.whl", f"{MODULE}-1.0.tar.gz"]
    for path in built:
        judge(path, strict=False)
        judge(path, strict=True)


def test_what_a_backend_of_old_builds_is_let_in_by_default_alone(environments: Environments, tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("from setuptools import setup\nsetup(name='Acme.Real_SDK', version='1.0')\n")
    (tmp_path / "pyproject.toml").write_text('[build-system]\nrequires = []\nbuild-backend = "setuptools.build_meta"\n')
    wheel, sdist = build(environments.bin(("build==1.6.1", "setuptools==65.7.0", "wheel==0.38.4")), tmp_path)
    assert [wheel.name, sdist.name] == ["Acme.Real_SDK-1.0-py3-none-any.whl", "Acme.Real_SDK-1.0.tar.gz"]
    for path in (wheel, sdist):
        judge(path, strict=False)
        with pytest.raises(BadUpload, match=r"must (begin with|be named) acme_real_sdk"):
            judge(path, strict=True)
