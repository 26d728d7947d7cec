"""No promise without a test, and no test named that is not there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

from .promises import NOT_OURS, NOT_YET, PROMISES

TESTS = Path(__file__).parent

UNREAD = {"long", "bench", "skip", "xfail"}
"""Marks of tests that do not run by default."""


def numbered(prefix: str, *numbers: int, width: int = 1) -> list[str]:
    return [f"{prefix}{number:0{width}}" for number in numbers]


def cases(prefix: str, *numbers: int) -> list[str]:
    return numbered(prefix, *numbers, width=2)


FIRST = [
    *numbered("rule-", *range(1, 39), *range(48, 76)),
    *numbered("U", *range(1, 10), *range(12, 15)),
    *numbered("V", *range(1, 7), 8),
    *chain(cases("A", *range(1, 19)), cases("B", *range(1, 9), 22), cases("C", *range(1, 9), 14)),
    *chain(cases("D", *range(1, 7), 8, 12, 13, 21, 26), cases("E", *range(15, 20), 26)),
    *chain(cases("F", 1, 2, *range(7, 11)), cases("G", 7), cases("I", *range(1, 7), 9)),
    *chain(cases("J", 1, 4, 5, 6, 16), cases("K", 1, 2, 6, 13, 14)),
    *chain(numbered("house-", *range(1, 6)), numbered("index-", *range(1, 7)), numbered("files-", *range(1, 7))),
    *chain(numbered("private-", *range(1, 10)), numbered("front-", 1), numbered("done-", *range(1, 11))),
]
"""What the first issue names."""

MIRRORS = [
    *chain(cases("A", *range(19, 30)), cases("B", *range(9, 22), *range(23, 31)), cases("C", *range(9, 14), 15, 16)),
    *numbered("mirror-F", *range(1, 18)),
    *numbered("decision-", *range(8, 14), 16, *range(20, 24), 25, 26),
    *chain(numbered("set-", *range(1, 7)), numbered("pages-", *range(1, 6)), numbered("transfer-", *range(1, 5))),
    *chain(numbered("fast-", *range(1, 5)), numbered("heal-", *range(1, 6)), numbered("ahead-", 1, 2)),
    *chain(numbered("visible-", *range(1, 4)), numbered("set-done-", *range(1, 6))),
]
"""What the one on mirrors names."""

PRIVATE = [
    *numbered("rule-", *range(76, 83), 86, *range(89, 95)),
    *chain(numbered("U", 10, 11, *range(15, 19)), numbered("V", 7, 9)),
    *chain(cases("D", 7, *range(9, 12), *range(14, 20), 22, 24, 25), cases("E", *range(1, 15), *range(20, 26), 27)),
    *chain(cases("F", *range(3, 7), *range(11, 15), 18), cases("J", 2, 3, *range(7, 12), 14, *range(17, 20), 21, 22)),
    *numbered("decision-", *range(1, 8), 14, 17, 18, *range(27, 37)),
    *(f"private-{word}" for word in ["uploaders", "sign-in", "validation", "legacy", "strict"]),
    *(f"private-{word}" for word in ["names", "restored", "names-command", "yank", "delete", "api", "status"]),
    *(f"private-{word}" for word in ["users", "tokens", "rights", "closed", "guessing", "clear-http"]),
    *(f"private-{word}" for word in ["json", "search", "provenance", "passed-on"]),
    *(f"private-{word}" for word in ["order", "failing-disk", "racing", "together", "import", "backup", "verify"]),
    *numbered("private-done-", *range(1, 7)),
]
"""What the one on the private index names."""

REQUIRED = [*FIRST, *MIRRORS, *PRIVATE]


@dataclass(frozen=True)
class Found:
    """A test function, as its module's text has it."""

    marks: frozenset[str]


@cache
def collected() -> dict[str, Found]:
    """Every test by its id, parameters apart; those that a class inherits too."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(TESTS.rglob("*.py"))}
    classes = {
        node.name: node for tree in trees.values() for node in tree.body if isinstance(node, ast.ClassDef)
    }  # contracts are written once, and inherited in other modules
    found: dict[str, Found] = {}
    for path, tree in trees.items():
        if path.name.startswith("test_"):
            place = path.relative_to(TESTS.parent).as_posix()
            everywhere = marks(*(node for node in tree.body if isinstance(node, ast.Assign)))
            for name, said in those_in(tree.body, classes):
                found[f"{place}::{name}"] = Found(everywhere | said)
    return found


def those_in(body: list[ast.stmt], classes: dict[str, ast.ClassDef]) -> Iterator[tuple[str, frozenset[str]]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name, marks(*node.decorator_list)
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            bases = [classes[base.id].body for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
            for name, said in those_in([*chain(*bases), *node.body], classes):
                yield f"{node.name}::{name}", marks(*node.decorator_list) | said


def marks(*nodes: ast.AST) -> frozenset[str]:
    """The x of every `pytest.mark.x` in *nodes*, but for those of single cases."""
    return frozenset(
        node.attr
        for node in chain(*map(walk, nodes))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "mark"
    )


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """*node* and all in it, without what stands in a `pytest.param`."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "param"):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from walk(child)


def test_every_id_is_held_or_has_its_reason() -> None:
    told = PROMISES.keys() | NOT_YET.keys() | NOT_OURS.keys()
    assert [name for name in REQUIRED if name not in told] == []
    # A part of a rule, as in `rule-37:all`, may be missing where the rest is held.
    assert [name for name in told if name.partition(":")[0] not in REQUIRED] == []


def test_no_id_is_held_and_not_held() -> None:
    assert PROMISES.keys() & NOT_YET.keys() == set()
    assert (PROMISES.keys() | NOT_YET.keys()) & NOT_OURS.keys() == set()
    assert all(reason.endswith(".") for reason in [*NOT_YET.values(), *NOT_OURS.values()])


def test_every_test_that_is_named_exists() -> None:
    named = {test for promise in PROMISES.values() for test in promise.tests}
    assert sorted(named - collected().keys()) == []


@pytest.mark.parametrize("name", PROMISES)
def test_each_promise_is_held_by_a_test_that_runs(name: str) -> None:
    promise = PROMISES[name]
    assert promise.gloss
    assert len(set(promise.tests)) == len(promise.tests)
    assert any(not collected()[test].marks & UNREAD for test in promise.tests if test in collected())


def test_tests_are_collected_as_pytest_does() -> None:
    found = collected()
    assert "tests/test_stores.py::TestDiskStore::test_a_new_store_is_empty" in found
    assert "long" in found["tests/test_mutations.py::test_every_mutation_is_noticed_and_nothing_else"].marks
    # Of its hundred rounds alone.
    racers = "tests/e2e/test_racers.py::test_of_fifty_with_other_bytes_for_one_filename_one_wins"
    assert "long" not in found[racers].marks
    assert (
        "real"
        in found[
            "tests/e2e/test_real_index.py::test_what_was_installed_once_is_installed_again_without_the_index"
        ].marks
    )
