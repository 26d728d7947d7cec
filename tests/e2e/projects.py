"""Source trees that real build frontends build, with setuptools or with nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

SETUPTOOLS = '[build-system]\nrequires = ["setuptools>=61.0"]\nbuild-backend = "setuptools.build_meta"\n'

IN_TREE = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
"""PEP 517's own way to need nothing from any index, on every Python."""

BACKEND = '''\
"""Builds the one package of this source tree."""

import io
import tarfile
import tomllib
import zipfile
from pathlib import Path

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())["project"]
MODULE = PROJECT["name"].replace("-", "_")
STEM = f"{MODULE}-{PROJECT['version']}"


def metadata():
    lines = ["Metadata-Version: 2.2", f"Name: {PROJECT['name']}", f"Version: {PROJECT['version']}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in PROJECT["dependencies"]]
    return ("\\n".join(lines) + "\\n").encode()


def build_sdist(sdist_directory, config_settings=None):
    filename = f"{STEM}.tar.gz"
    sources = {str(path): path.read_bytes() for path in (Path("pyproject.toml"), *Path().rglob("*.py"))}
    with tarfile.open(Path(sdist_directory, filename), "w:gz") as archive:
        for name, body in {"PKG-INFO": metadata(), **sources}.items():
            member = tarfile.TarInfo(f"{STEM}/{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return filename


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    filename = f"{STEM}-py3-none-any.whl"
    members = {str(path): path.read_bytes() for path in Path(MODULE).glob("*.py")}
    about = f"{STEM}.dist-info"
    members[f"{about}/METADATA"] = metadata()
    members[f"{about}/WHEEL"] = b"Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    members[f"{about}/RECORD"] = "".join(f"{name},,\\n" for name in [*members, f"{about}/RECORD"]).encode()
    with zipfile.ZipFile(Path(wheel_directory, filename), "w") as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return filename
'''


def write_project(
    folder: Path, name: str, version: str, *, requires: Sequence[str], module: str, build_system: str = IN_TREE
) -> None:
    """Write the source tree of *name* to *folder*; *module* is the text of its module `example`."""
    package = folder / name.replace("-", "_")
    package.mkdir(parents=True)
    dependencies = "".join(f'  "{requirement}",\n' for requirement in requires)
    (folder / "pyproject.toml").write_text(
        f'{build_system}\n[project]\nname = "{name}"\nversion = "{version}"\nrequires-python = ">=3.11"\n'
        f"dependencies = [\n{dependencies}]\n"
    )
    if build_system == IN_TREE:
        (folder / "backend.py").write_text(BACKEND)
    (package / "__init__.py").write_text("")
    (package / "example.py").write_text(module)
