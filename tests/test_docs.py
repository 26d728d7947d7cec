"""The example configuration and README say what the program does: every setting and every flag, and no other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from packaging.utils import canonicalize_name

from proxy.cli import yizhan
from proxy.config import load
from proxy.config.tables import every_setting
from proxy.rights import WITHOUT_RULES
from proxy.upstream.presets import PRESETS

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "config.example.toml"
README = ROOT / "README.md"

HOME = {"HOME": "/home/wang"}
COMPUTED = {"storage.state", "storage.cache", "auth.htpasswd"}
NO_DEFAULT = {"right.user", "right.names", "right.may"}
"""Of a table that does not stand there unless somebody writes it."""

# A whole table as prose: each line behind a # and a space, as no setting is that is merely off.
_TABLE = re.compile(r"^# \[\[index\]\]\n(?:# [a-z_]+ = .*\n)+", re.MULTILINE)
_SETTING = re.compile(r"(?P<off>#?)(?P<key>[a-z_]+) = ")
_HAN = re.compile("[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Entry:
    """A setting as the example writes it, and the comment right above it."""

    off: bool
    comment: tuple[str, ...]


def entries() -> dict[str, Entry]:
    """By section and key; a setting that is commented out has its # right before its name, prose a space between."""
    found: dict[str, Entry] = {}
    section, comment = "", list[str]()
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if header := re.fullmatch(r"#?\[{1,2}([a-z]+)\]{1,2}", line):
            section = header[1]
        elif setting := _SETTING.match(line):
            name = f"{section}.{setting['key']}"
            assert name not in found, f"{name} stands there twice"
            found[name] = Entry(bool(setting["off"]), tuple(comment))
        elif line.startswith("# "):
            comment.append(line)
            continue
        comment = []
    return found


def commands_and_flags(group: click.Group = yizhan, words: str = "yizhan") -> list[str]:
    """Each command as it is typed, those below others too, and each flag that any of them takes."""
    found = set[str]()
    for name, command in group.commands.items():
        typed = f"{words} {name}"
        found |= {flag for item in command.params if isinstance(item, click.Option) for flag in item.opts}
        found |= set(commands_and_flags(command, typed)) if isinstance(command, click.Group) else {typed}
    return sorted(found)


def test_the_example_holds_every_setting_and_no_other() -> None:
    assert list(entries()) == [f"{section}.{key}" for section, key, _ in every_setting()]


def test_only_what_is_computed_or_has_no_default_is_commented_out() -> None:
    assert {name for name, entry in entries().items() if entry.off} == COMPUTED | NO_DEFAULT


def test_the_example_is_the_defaults() -> None:
    assert load(EXAMPLE, environment=HOME).settings == load(None, environment=HOME).settings


def test_what_is_commented_out_is_accepted_once_it_is_not(tmp_path: Path) -> None:
    text = re.sub(r"^#(?=[a-z_]+ = |\[\[)", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (tmp_path / "all.toml").write_text(text, encoding="utf-8")
    settings = load(tmp_path / "all.toml", environment={}).settings
    assert settings.htpasswd == Path("/etc/yizhan/htpasswd")
    assert settings.rules == WITHOUT_RULES


def test_the_further_indexes_of_the_example_are_accepted_above_the_general_one(tmp_path: Path) -> None:
    text = _TABLE.sub(lambda table: table[0].replace("# ", ""), EXAMPLE.read_text(encoding="utf-8"))
    (tmp_path / "several.toml").write_text(text, encoding="utf-8")
    cuda, page, general = load(tmp_path / "several.toml", environment=HOME).settings.index
    assert [cuda.unknown_at(mirror) for mirror in cuda.mirrors] == [(404, 410), (403, 404, 410)]
    assert any(pattern.covers(canonicalize_name("pytorch-triton-rocm")) for pattern in cuda.names)
    (mirror,) = page.mirrors
    assert (page.kind, mirror.url) == ("find-links", "https://wheels.example.cn/all.html")
    assert general == load(None, environment=HOME).settings.index[0]


@pytest.mark.parametrize("name", [f"{section}.{key}" for section, key, _ in every_setting()])
def test_every_setting_is_explained_in_english_and_chinese(name: str) -> None:
    comment = entries()[name].comment
    assert any(not _HAN.search(line) for line in comment)
    assert any(_HAN.search(line) for line in comment)


@pytest.mark.parametrize(
    ("kind", "unit"), [("Seconds", "(duration)"), ("Size", "(size)"), ("int", "(number)"), ("Path", "absolute path")]
)
def test_every_amount_names_its_unit(kind: str, unit: str) -> None:
    names = [f"{section}.{key}" for section, key, field in every_setting() if kind in _kinds(field.annotation)]
    assert names
    assert [name for name in names if unit not in "\n".join(entries()[name].comment)] == []


def test_the_example_names_every_preset() -> None:
    comment = "\n".join(entries()["index.mirrors"].comment)
    assert ", ".join(preset.name for preset in PRESETS) in comment.replace("\n# ", " ")


@pytest.mark.parametrize("words", commands_and_flags())
def test_readme_tells_every_command_and_flag(words: str) -> None:
    assert re.search(rf"(?<![\w-]){re.escape(words)}(?![\w-])", README.read_text(encoding="utf-8"))


def _kinds(annotation: object) -> set[str]:
    """The names of the types in *annotation*."""
    return set(re.findall(r"\w+", str(getattr(annotation, "__name__", annotation))))
